import Foundation
import TestSupport
import Testing

/// A backup of a node's tree, with nothing told but where the tree is.
struct DistributionBackup {
    private let directory: TemporaryDirectory
    private let key: Laboratory.Key
    private let store: [String]
    let tree: NodeTreeBuilder

    init(of tree: NodeTreeBuilder) throws {
        directory = try TemporaryDirectory()
        key = try Laboratory.shared().key()
        store = ["--store", directory.file("store"), "--cluster", "test", "--node", "node"]
        self.tree = tree
    }

    func run(_ more: [String] = []) throws -> CommandResult {
        try SnapTool.attempt(["backup", "--root", tree.root, "-r", key.recipient, "-o", "json"] + store + more)
    }

    func doctor(_ more: [String] = []) throws -> CommandResult {
        try SnapTool.attempt(["doctor", "--root", tree.root, "-r", key.recipient] + store + more)
    }

    func manifest() throws -> JSON {
        try SnapTool.json(["describe", "-i", key.path] + store).manifest
    }

    /// The manifest's whole text.
    func manifestText() throws -> String {
        try SnapTool.run(["describe", "-o", "json", "-i", key.path] + store).text
    }

    /// The captured files of the node with their classes.
    func classes() throws -> [String: String] {
        let entries = try manifest().entries.array.filter {
            $0.path.string.hasPrefix("files/") && $0.kind.string != "directory"
        }
        return Dictionary(uniqueKeysWithValues: entries.map { (String($0.path.string.dropFirst(5)), $0.role.string) })
    }

    /// What is restored on a new host of the cluster.
    func restoredForNewHost() throws -> Set<String> {
        let target = directory.file("restored-\(UUID().uuidString)")
        try SnapTool.run(
            ["restore", "files", "--for", "new-host", "-i", key.path, "--target", target] + store)
        let text = try shell("cd \"$1\"; find . ! -type d -printf '/%P\\0'", target).text
        return Set(text.split(separator: "\0").map(String.init))
    }

    /// Expects a backup with exactly these findings, `code subject` each, and the exit status that says so.
    @discardableResult
    func expect(
        findings expected: [String], _ more: [String] = [], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> JSON {
        let result = try run(more)
        #expect(result.status == (expected.isEmpty ? 0 : 3), "\(result.errorText)", sourceLocation: sourceLocation)
        let report = try JSON(result.output)
        let found = report.findings.array.map { "\($0.code.string) \($0.subject.string)" }
        #expect(found.sorted() == expected.sorted(), "\(result.errorText)", sourceLocation: sourceLocation)
        return report
    }

    /// Expects the names of the etcds that were snapshotted.
    func expect(etcds: [String], in report: JSON, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(report.sidecar.etcd.array.map(\.name.string) == etcds, sourceLocation: sourceLocation)
    }
}
