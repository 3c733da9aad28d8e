import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct EtcdDiscoveryTests {
    private let tree: NodeTree
    private let manifests = "/etc/kubernetes/manifests"

    init() throws { tree = try NodeTree() }

    private func pod(_ name: String, _ arguments: [String], to file: String) throws {
        let list = arguments.map { "\"\($0)\"" }.joined(separator: ", ")
        try tree.write(
            """
            kind: Pod
            metadata: {name: \(name)}
            spec:
              containers:
              - {name: \(name), command: [\(name), \(list)], volumeMounts: [{name: e, mountPath: /etc}, {name: d, mountPath: /data}]}
              volumes: [{name: e, hostPath: {path: /etc}}, {name: d, hostPath: {path: /var/lib/\(file)}}]
            """, to: "\(manifests)/\(file).yaml")
    }

    private func member(_ file: String, port: Int, _ more: [String] = []) throws {
        try pod(
            "etcd",
            [
                "--listen-client-urls=https://0.0.0.0:\(port)", "--advertise-client-urls=https://10.0.0.1:\(port)",
                "--data-dir=/data", "--cert-file=/etc/\(file)/server.crt", "--key-file=/etc/\(file)/server.key",
                "--trusted-ca-file=/etc/\(file)/ca.crt",
            ] + more, to: file)
    }

    @Test func eventsHaveTheirOwn() throws {
        try member("etcd", port: 2379)
        try member("etcd-events", port: 2381, ["--wal-dir=/data/wal"])
        try member("etcd-spare", port: 2390)
        try pod(
            "kube-apiserver",
            [
                "--etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379", "--etcd-cafile=/etc/a/ca.crt",
                "--etcd-certfile=/etc/a/c.crt", "--etcd-keyfile=/etc/a/c.key",
                "--etcd-servers-overrides=/events#https://10.0.0.1:2381;https://10.0.0.2:2381,coordination.k8s.io/leases#http://[::1]:2500",
            ], to: "kube-apiserver")
        try tree.touch(["etcd", "etcd-events", "etcd-spare"].map { "/var/lib/\($0)/member/snap/db" })
        try tree.touch(["/var/lib/etcd-events/wal/0.wal"])
        let layout = tree.discover()
        #expect(layout.etcds.map(\.name) == ["etcd", "etcd-events", "etcd-leases", "etcd-spare"])
        let main = try #require(layout.etcd("etcd"))
        #expect(main.endpoints == ["https://127.0.0.1:2379", "https://10.0.0.1:2379", "https://10.0.0.2:2379"])
        #expect(
            main.caPath == "/etc/a/ca.crt" && main.certificatePath == "/etc/a/c.crt" && main.keyPath == "/etc/a/c.key")
        #expect(main.dataDirectory == "/var/lib/etcd")
        let events = try #require(layout.etcd("etcd-events"))
        #expect(events.endpoints == ["https://127.0.0.1:2381", "https://10.0.0.1:2381", "https://10.0.0.2:2381"])
        #expect(events.dataDirectory == "/var/lib/etcd-events")
        #expect(layout.etcd("etcd-leases")?.endpoints == ["http://[::1]:2500"])
        let spare = try #require(layout.etcd("etcd-spare"))
        #expect(spare.certificatePath == "/etc/etcd-spare/server.crt" && spare.caPath == "/etc/etcd-spare/ca.crt")
        #expect(
            Set(layout.excludedPaths.map(\.path)).isSuperset(of: [
                "/var/lib/etcd", "/var/lib/etcd-events", "/var/lib/etcd-spare",
            ]))
        for etcd in layout.etcds {
            #expect(etcd.name.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") })
        }
    }

    @Test func aMemberWithoutAnAPIServerIsTheMainOne() throws {
        try member("my.Etcd_server", port: 2379)
        try tree.touch(["/etc/my.Etcd_server/healthcheck-client.crt", "/etc/my.Etcd_server/healthcheck-client.key"])
        let etcds = tree.discover().etcds
        #expect(etcds.map(\.name) == ["etcd"])
        #expect(etcds.first?.certificatePath == "/etc/my.Etcd_server/healthcheck-client.crt")
        #expect(etcds.first?.endpoints == ["https://127.0.0.1:2379"])
    }

    /// A leftover of kubeadm's health checks may have expired long ago; what the API server uses works.
    @Test func thePairInUseComesBeforeALeftover() throws {
        try member("etcd", port: 2379)
        try pod(
            "kube-apiserver",
            [
                "--etcd-servers=https://10.0.0.1:2379", "--etcd-certfile=/etc/a/c.crt", "--etcd-keyfile=/etc/a/c.key",
            ], to: "kube-apiserver")
        try tree.touch(["/etc/etcd/healthcheck-client.crt", "/etc/etcd/healthcheck-client.key"])
        // One that is named and not there is none.
        #expect(tree.discover().etcds.first?.certificatePath == "/etc/etcd/healthcheck-client.crt")
        try tree.touch(["/etc/a/c.crt", "/etc/a/c.key"])
        let etcd = try #require(tree.discover().etcds.first)
        #expect(etcd.certificatePath == "/etc/a/c.crt" && etcd.keyPath == "/etc/a/c.key")
    }

    @Test func advertisedURLsAreKept() throws {
        try pod(
            "etcd",
            [
                "--listen-client-urls=https://0.0.0.0:2379", "--advertise-client-urls=https://cp1.example:2379",
                "--data-dir=/data",
            ], to: "etcd")
        let etcd = try #require(tree.discover().etcds.first)
        #expect(etcd.endpoints == ["https://127.0.0.1:2379"])
        #expect(etcd.advertisedEndpoints == ["https://cp1.example:2379"])
    }

    @Test func kubespray() throws {
        try tree.write(
            """
            # Environment file for etcd
            ETCD_DATA_DIR=/var/lib/etcd
            ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.1:2379
            ETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379,https://127.0.0.1:2379
            ETCD_TRUSTED_CA_FILE=/etc/ssl/etcd/ssl/ca.pem
            ETCD_CERT_FILE=/etc/ssl/etcd/ssl/member-cp0.pem
            ETCD_KEY_FILE="/etc/ssl/etcd/ssl/member-cp0-key.pem"
            """, to: "/etc/etcd.env")
        try tree.write(
            "ETCD_LISTEN_CLIENT_URLS=https://127.0.0.1:2383\nETCD_DATA_DIR=/var/lib/etcd-events\n",
            to: "/etc/etcd-events.env")
        try tree.touch([
            "/etc/ssl/etcd/ssl/ca.pem", "/etc/ssl/etcd/ssl/ca-key.pem", "/etc/ssl/etcd/ssl/node-cp0.pem",
            "/etc/ssl/etcd/ssl/node-cp0-key.pem", "/etc/ssl/etcd/ssl/member-cp0.pem",
            "/etc/ssl/etcd/ssl/member-cp0-key.pem",
        ])
        try pod(
            "kube-apiserver",
            [
                "--etcd-servers=https://10.0.0.1:2379", "--etcd-cafile=/etc/ssl/etcd/ssl/ca.pem",
                "--etcd-certfile=/etc/ssl/etcd/ssl/node-cp0.pem", "--etcd-keyfile=/etc/ssl/etcd/ssl/node-cp0-key.pem",
            ], to: "kube-apiserver")
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.distributions == ["kubespray"])
        let main = try #require(layout.etcd("etcd"))
        #expect(main.endpoints == ["https://127.0.0.1:2379", "https://10.0.0.1:2379"])
        #expect(main.certificatePath == "/etc/ssl/etcd/ssl/node-cp0.pem")
        #expect(main.keyPath == "/etc/ssl/etcd/ssl/node-cp0-key.pem")
        #expect(layout.etcd("etcd-events")?.endpoints == ["https://127.0.0.1:2383"])
        #expect(layout.reference("/etc/ssl/etcd/ssl/member-cp0-key.pem")?.captureClass == .privateKey)
        #expect(layout.reference("/etc/etcd.env")?.captureClass == .etcdConfiguration)
    }

    @Test func networksHaveTheirOwn() throws {
        try member("etcd", port: 2379)
        try tree.write(
            """
            {"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "calico",
              "etcd_endpoints": "https://10.0.0.1:6666,https://10.0.0.2:6666", "etcd_key_file": "/etc/cni/net.d/calico-tls/etcd-key",
              "etcd_cert_file": "/etc/cni/net.d/calico-tls/etcd-cert", "etcd_ca_cert_file": "/etc/cni/net.d/calico-tls/etcd-ca"}]}
            """, to: "/etc/cni/net.d/10-calico.conflist")
        try tree.write(
            "kind: CalicoAPIConfig\nspec: {datastoreType: etcdv3, etcdEndpoints: 'https://10.0.0.2:6666'}",
            to: "/etc/calico/calicoctl.cfg")
        try tree.write(
            "endpoints: [https://10.0.0.9:2379]\ntrusted-ca-file: /var/lib/cilium/ca.crt\n",
            to: "/var/lib/cilium/etcd-config.yml")
        try tree.write("{ not json", to: "/etc/cni/net.d/99-bad.conf")
        try tree.make("mkfifo etc/cni/net.d/00-pipe.conf")
        let layout = tree.discover()
        #expect(layout.codes == ["configuration-unparsable"])
        #expect(layout.etcds.map(\.name) == ["etcd", "etcd-calico", "etcd-cilium"])
        let calico = try #require(layout.etcd("etcd-calico"))
        #expect(calico.endpoints == ["https://10.0.0.2:6666", "https://10.0.0.1:6666"])
        #expect(calico.certificatePath == "/etc/cni/net.d/calico-tls/etcd-cert")
        #expect(layout.reference("/var/lib/cilium/ca.crt")?.captureClass == .caCertificate)
    }

    @Test func configurationFilesOfEtcd() throws {
        try pod("etcd", ["--config-file=/etc/etcd/etcd.conf.yml"], to: "etcd")
        try tree.write(
            """
            listen-client-urls: https://127.0.0.1:2379
            data-dir: /data
            client-transport-security: {cert-file: /etc/etcd/s.crt, key-file: /etc/etcd/s.key, trusted-ca-file: /etc/etcd/ca.crt}
            """, to: "/etc/etcd/etcd.conf.yml")
        try tree.touch(["/var/lib/etcd/member/snap/db"])
        let layout = tree.discover()
        #expect(layout.etcds.map(\.caPath) == ["/etc/etcd/ca.crt"])
        #expect(layout.reference("/etc/etcd/s.key")?.captureClass == .privateKey)
        #expect(layout.excludedPaths.map(\.path) == ["/var/lib/etcd"])
    }

    /// Only data is left out: no directory without any, and nothing that is something else too.
    @Test func onlyDataIsExcluded() throws {
        try pod("etcd", ["--data-dir=/etc/kubernetes", "--cert-file=/etc/kubernetes/pki/s.crt"], to: "etcd")
        try tree.touch(["/etc/kubernetes/pki/s.crt"])
        #expect(tree.discover().excludedPaths.isEmpty)
        try tree.touch(["/etc/kubernetes/member/snap/db"])
        #expect(tree.discover().excludedPaths.map(\.path) == ["/etc/kubernetes/member"])
        try pod("etcd", ["--data-dir=/etc/kubernetes/member/snap"], to: "etcd")
        #expect(tree.discover().excludedPaths.isEmpty)
        try pod("etcd", ["--data-dir=/data", "--key-file=/data/member/etcd.key"], to: "etcd")
        try tree.touch(["/var/lib/etcd/member/etcd.key"])
        let layout = tree.discover()
        #expect(layout.excludedPaths.isEmpty)
        #expect(layout.reference("/var/lib/etcd/member/etcd.key")?.captureClass == .privateKey)
    }

    @Test func ofTwoSchemesTheSecureOneCounts() {
        let urls = ["http://127.0.0.1:2379", "http://10.0.0.1:1", "https://localhost:2379", "https://10.0.0.1:2"]
        #expect(EtcdURL.unique(urls) == ["http://10.0.0.1:1", "https://localhost:2379", "https://10.0.0.1:2"])
        #expect(EtcdURL.unique(["https://[::1]:1", "http://127.0.0.1:1"]) == ["https://[::1]:1"])
    }

    @Test func aggregatedServersHaveTheirOwn() throws {
        try pod("kube-apiserver", ["--etcd-servers=https://127.0.0.1:2379"], to: "kube-apiserver")
        try pod("sample-apiserver", ["--etcd-servers=http://127.0.0.1:12379"], to: "sample")
        #expect(tree.discover().etcds.map(\.name) == ["etcd", "etcd-sample-apiserver"])
    }

    /// kine listens on a socket; it is no etcd to take a snapshot of.
    @Test func socketsAreNone() throws {
        try pod("kube-apiserver", ["--etcd-servers=unix://kine.sock"], to: "kube-apiserver")
        #expect(tree.discover().etcds.isEmpty)
    }
}
