import Foundation
import TestSupport

/// The file systems of two control-plane nodes of one cluster, cp-21 and cp-22, as kubeadm 1.36 made them:
/// `N1` and `N2` of `Tests/Fixtures/kubeadm-variants.tar.zst`, with an encryption configuration that both have.
struct ClusterNodes {
    /// The nodes' names with the directories that are their roots.
    let roots: [String: String]

    /// What belongs to the cluster: the same on every node.
    static let shared: Set<String> = Set(
        [
            "ca.crt", "ca.key", "etcd/ca.crt", "etcd/ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key",
            "sa.pub",
        ]
        .map { "/etc/kubernetes/pki/\($0)" } + ["/etc/kubernetes/enc.yaml"])

    init(in directory: TemporaryDirectory) throws {
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm-variants.tar.zst").path
        let trees = ["kubeadm-variants/N1", "kubeadm-variants/N2"]
        try run("tar", ["--zstd", "-xpf", fixture, "-C", directory.path, "--strip-components=1"] + trees)
        roots = ["cp-21": directory.file("N1"), "cp-22": directory.file("N2")]
        let encryption = """
            apiVersion: apiserver.config.k8s.io/v1
            kind: EncryptionConfiguration
            resources: [{resources: [secrets], providers: [{identity: {}}]}]

            """
        for root in roots.values {
            let path = "\(root)/etc/kubernetes/enc.yaml"
            try encryption.write(toFile: path, atomically: false, encoding: .utf8)
            try run("touch", ["-d", "2026-01-01", path])
        }
    }

    /// Backs a node up into a store, under its own name; what is found of the test's etcd does not matter here.
    func backUp(_ name: String, to store: TestStore) throws {
        let result = try SnapTool.attempt(
            [
                "backup", "--root", roots[name] ?? "", "-r", store.key.recipient, "--store", store.root, "--cluster",
                "test",
            ]
                + ["--node", name] + store.server.flags())
        guard [0, 3].contains(result.status) else { throw TestSupportError("backup of \(name): \(result.errorText)") }
    }
}
