import HostIO
import NodeRewrite
import Testing

/// Values of ConfigMaps of a cluster, which concern nodes that join later.
@Suite struct ClusterDocumentTests {
    private static let change = Result {
        try NodeChange(
            oldName: "cp-1", newName: "cp-21", addresses: [pair("10.0.0.11", "10.0.0.21")],
            oldEndpoint: NodeChange.Endpoint("lb.example:6443"), newEndpoint: NodeChange.Endpoint("api.example:8443"),
            members: [
                NodeChange.Member(oldName: "cp-1", newName: "cp-21", addresses: [pair("10.0.0.11", "10.0.0.21")]),
                NodeChange.Member(oldName: "cp-2", newName: "cp-22", addresses: [pair("10.0.0.12", "10.0.0.22")]),
            ])
    }

    private static func pair(_ old: String, _ new: String) throws -> NodeChange.Address {
        guard let old = IPAddress(old), let new = IPAddress(new) else { throw Failure(.usage, "no address") }
        return NodeChange.Address(old: old, new: new)
    }

    @Test func namesOfCertificatesChange() throws {
        let text = """
            apiServer:
              certSANs: [cp-1, "10.0.0.12", lb.example, other.example] # all
            controlPlaneEndpoint: lb.example:6443
            etcd:
              local:
                peerCertSANs:
                - cp-2
                serverCertSANs:
                - 10.0.0.11
            kind: ClusterConfiguration
            """
        let found = try #require(
            try NodeRewriter.rewrite(
                documentsOf: "/configmaps/a", bytes: Array(text.utf8), change: Self.change.get()))
        let expected = """
            apiServer:
              certSANs: [cp-21, "10.0.0.22", api.example, other.example] # all
            controlPlaneEndpoint: api.example:8443
            etcd:
              local:
                peerCertSANs:
                - cp-22
                serverCertSANs:
                - 10.0.0.21
            kind: ClusterConfiguration
            """
        #expect(String(decoding: found.newBytes, as: UTF8.self) == expected)
        #expect(
            try NodeRewriter.rewrite(
                documentsOf: "/configmaps/a", bytes: found.newBytes, change: Self.change.get()) == nil)
    }
}
