import NodeFiles
import PKIBackup
import TestSupport
import Testing

/// Which API servers of a node read which etcd, and by which configuration.
@Suite struct EncryptionServerTests {
    private static func server(_ number: Int, _ flags: [String: [String]]) -> Component {
        Component(name: "kube-apiserver", source: "/manifests/\(number).yaml", flags: flags)
    }

    private static func servers(
        _ components: [Component], etcds: [DiscoveredEtcd] = []
    ) throws -> [EncryptionServer] {
        let directory = try TemporaryDirectory()
        var layout = NodeLayout()
        layout.components = components
        layout.etcds = etcds
        return CertificateInventory.build(layout: layout, files: NodeRoot(prefix: directory.path)).encryptionServers
    }

    @Test func theLastFlagCountsAndAnEmptyOneIsNone() throws {
        let flag = "encryption-provider-config"
        let servers = try Self.servers([
            Self.server(1, [flag: ["/a.yaml", "/b.yaml"], "etcd-prefix": ["/x", "kubernetes.io"]]),
            Self.server(2, [flag: ["/a.yaml", ""]]), Self.server(3, [:]), Self.server(4, [flag: ["/b.yaml"]]),
        ])
        #expect(servers.map(\.subject) == ["/b.yaml", "/manifests/2.yaml", "/manifests/3.yaml", "/b.yaml"])
        #expect(servers.map(\.paths) == [["/b.yaml"], [], [], ["/b.yaml"]])
        #expect(servers.map(\.prefix) == ["kubernetes.io", "/registry", "/registry", "/registry"])
    }

    /// What a distribution is told to hand on has an order too, and of others it is not known what they hand on.
    @Test(arguments: ["k3s", "rke2", "k0s"]) func ofArgumentsThatAreHandedOnTheLastCounts(_ program: String) throws {
        let arguments = [
            "audit-log-path=/l", "encryption-provider-config=/a.yaml", "--encryption-provider-config=/b.yaml",
        ]
        let component = Component(name: program, source: "/config.yaml", flags: ["kube-apiserver-arg": arguments])
        #expect(try Self.servers([component]).map(\.subject) == ["/b.yaml"])
        let other = Component(name: program, source: "/config.yaml", flags: ["kube-apiserver-arg": ["v=2"]])
        #expect(try Self.servers([other]).isEmpty)
    }

    @Test func withoutAnyConfigurationNobodyIsAsked() throws {
        #expect(try Self.servers([Self.server(1, [:]), Self.server(2, ["encryption-provider-config": [""]])]).isEmpty)
    }

    /// What an image holds can't be judged.
    @Test func aConfigurationInAnImageIsUnknown() throws {
        var component = Self.server(1, ["encryption-provider-config": ["/image/e.yaml"]])
        component.mounts = [ContainerMount(mountPath: "/etc/kubernetes", nodePath: "/etc/kubernetes")]
        let other = Self.server(2, ["encryption-provider-config": ["/e.yaml"]])
        #expect(try Self.servers([component, other]).map(\.subject) == ["/e.yaml"])
    }

    @Test func eachReadsTheEtcdsThatItWasGiven() throws {
        let flag = "encryption-provider-config"
        func etcd(_ name: String, _ url: String, advertised: [String] = []) -> DiscoveredEtcd {
            DiscoveredEtcd(name: name, endpoints: [url], advertisedEndpoints: advertised, source: name)
        }
        let servers = try Self.servers(
            [
                Self.server(
                    1,
                    [
                        flag: ["/a.yaml"], "etcd-servers": ["https://cp1:2379"],
                        "etcd-servers-overrides": ["/events#https://127.0.0.1:2479;https://cp1:2479"],
                    ]),
                Self.server(2, [flag: ["/b.yaml"], "etcd-servers": ["https://127.0.0.1:2579"]]),
                Self.server(3, [flag: ["/c.yaml"], "etcd-servers": ["https://balancer:2379"]]),
            ],
            etcds: [
                etcd("etcd", "https://127.0.0.1:2379", advertised: ["https://cp1:2379"]),
                etcd("etcd-events", "https://127.0.0.1:2479"), etcd("etcd-2", "https://127.0.0.1:2579"),
            ])
        func readers(_ name: String) -> [String] { servers.filter { $0.reads(etcd: name) }.map(\.subject) }
        #expect(readers("etcd") == ["/a.yaml", "/c.yaml"] && readers("etcd-events") == ["/a.yaml", "/c.yaml"])
        #expect(readers("etcd-2") == ["/b.yaml", "/c.yaml"] && readers("configured").count == 3)
    }
}
