import Foundation
import NodeFiles
import PKIBackup
import SealedArchive
import TestSupport

/// A tree that stands for a control-plane node, to be damaged by a test.
final class ControlPlaneTree {
    let directory: TemporaryDirectory
    let openssl: OpenSSL
    /// 2027-01-15, when everything in the fixture is valid.
    static let now = Date(timeIntervalSince1970: 1_800_000_000)

    /// An empty tree.
    init() throws {
        directory = try TemporaryDirectory()
        openssl = try OpenSSL()
    }

    /// The control plane that kubeadm 1.36 made.
    static func kubeadm() throws -> ControlPlaneTree {
        let tree = try ControlPlaneTree()
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm").path
        try run("cp", ["-a", fixture + "/etc", tree.directory.path])
        try run(
            "find",
            [
                tree.directory.path, "(", "-name", "*.key", "-o", "-name", "*.conf", ")", "-exec", "chmod", "0600",
                "{}", "+",
            ])
        return tree
    }

    func location(_ path: String) -> String { directory.path + path }

    func read(_ path: String) throws -> String { try String(contentsOfFile: location(path), encoding: .utf8) }

    func write(_ path: String, _ text: String) throws { try write(path, Data(text.utf8)) }

    func write(_ path: String, _ data: Data) throws {
        let url = URL(fileURLWithPath: location(path))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: url)
    }

    func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: location(path)) }

    /// Replaces a text that must be there.
    func replace(_ path: String, _ old: String, _ new: String) throws {
        let text = try read(path)
        guard text.contains(old) else { throw TestSupportError("\(path) has no \(old)") }
        try write(path, text.replacingOccurrences(of: old, with: new))
    }

    func pair(_ path: String) throws -> OpenSSL.Pair {
        OpenSSL.Pair(certificate: try read(path + ".crt"), key: try read(path + ".key"))
    }

    func write(_ path: String, _ pair: OpenSSL.Pair) throws {
        try write(path + ".crt", pair.certificate)
        try write(path + ".key", pair.key)
    }

    func inventory() -> CertificateInventory {
        let root = NodeRoot(prefix: directory.path)
        return CertificateInventory.build(layout: NodeDiscovery(root: root).discover(), files: root)
    }

    func findings(snapshot: SnapshotFacts? = nil, now: Date = ControlPlaneTree.now) -> [Finding] {
        let root = NodeRoot(prefix: directory.path)
        let layout = NodeDiscovery(root: root).discover()
        let inventory = CertificateInventory.build(layout: layout, files: root)
        return Completeness.check(
            layout: layout, files: root, inventory: inventory, snapshot: snapshot,
            options: CompletenessOptions(now: now)
        )
    }
}

/// Findings by severity, code and subject, for comparison as a whole.
func summary(_ findings: [Finding]) -> [String] {
    findings.map { "\($0.severity.rawValue) \($0.code) \($0.subject)" }.sorted()
}
