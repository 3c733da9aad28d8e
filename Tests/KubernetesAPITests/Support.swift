import Foundation
import HostIO
import KubernetesAPI
import TestSupport

/// A stand-in for an API server with what its clients need.
struct Server {
    let pki: TestPKI
    let server: APIServer
    let admin: TestPKI.Pair

    /// - Parameter names: whom its certificate is for.
    init(_ objects: String = "[]", names: String = "DNS:kubernetes,IP:127.0.0.1", faults: [String] = []) throws {
        pki = try TestPKI()
        let pair = try pki.issue(
            "apiserver", commonName: "kube-apiserver", usage: "serverAuth", alternativeNames: names)
        admin = try pki.issue("admin", commonName: "kubernetes-admin", organization: "system:masters")
        server = try APIServer(objects: objects, pki: pki, pair: pair, faults: faults)
    }

    func access(_ pair: TestPKI.Pair? = nil, serverName: String? = nil) throws -> APIServerAccess {
        let directory = try TemporaryDirectory()
        let text = try server.kubeconfig(pki, client: pair ?? admin, serverName: serverName)
        return try APIServerAccess(kubeconfig: directory.write(text, to: "admin.conf"))
    }

    func client(_ pair: TestPKI.Pair? = nil, serverName: String? = nil) throws -> KubernetesClient {
        try KubernetesClient(access(pair, serverName: serverName))
    }
}

let configMaps = ResourcePath(resource: "configmaps")
let pods = ResourcePath(resource: "pods")

func secret(_ text: String) -> SecretBytes {
    Array(text.utf8).withUnsafeBytes { SecretBytes(copying: $0) }
}

/// ConfigMaps of the namespace `default`.
func manyConfigMaps(_ count: Int) -> String {
    let items = (0..<count).map {
        #"{"kind": "ConfigMap", "metadata": {"name": "c\#($0)", "namespace": "default"}, "data": {"a": "\#($0)"}}"#
    }
    return "[" + items.joined(separator: ",") + "]"
}

/// The refusal that something ends with.
func refusal(_ body: () throws -> Void) -> APIStatus? {
    do {
        try body()
        return nil
    } catch {
        return error as? APIStatus
    }
}
