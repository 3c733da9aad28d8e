import Foundation
import TestSupport
import Testing

/// The control-plane nodes of one cluster, each with a root, a configuration and a member of the etcd, and one store.
struct Masters {
    /// One of them.
    struct Master {
        let name: String
        let server: EtcdServer
        let node: ControlPlaneNode
        let configuration: String
        fileprivate let directory: TemporaryDirectory
    }

    /// A week, that hardly a test is cut in two by the end of a slot.
    static let slotMinutes = 10_080

    let directory: TemporaryDirectory
    let store: String
    let key: Laboratory.Key
    let masters: [Master]

    /// The servers' nodes.
    ///
    /// - Parameters:
    ///   - store: the store, where that is no directory of the test's own.
    ///   - takeOverMinutes: after how long the next one takes over, where that is not the default.
    ///   - settings: more lines for each configuration.
    init(
        _ servers: [EtcdServer], store: String? = nil, takeOverMinutes: Int? = nil, settings: String = ""
    ) throws {
        let takeOver = takeOverMinutes.map { ", takeOverMinutes: \($0)" } ?? ""
        directory = try TemporaryDirectory()
        self.store = store ?? directory.file("store")
        key = try Laboratory.shared().key()
        var masters: [Master] = []
        for (index, server) in servers.enumerated() {
            let name = "cp-\(index + 1)"
            let place = try TemporaryDirectory()
            let node = try ControlPlaneNode(in: place, runs: server)
            if let pki = server.pki { try node.adopt(pki) }
            let configuration = try directory.write(
                """
                cluster: test
                node: \(name)
                store: \(self.store)
                recipients: [\(key.recipient)]
                hostFacts: false
                snapshot: {slotMinutes: \(Self.slotMinutes)\(takeOver)}
                \(settings)
                """, to: "\(name).yaml")
            masters.append(
                Master(name: name, server: server, node: node, configuration: configuration, directory: place))
        }
        self.masters = masters
    }

    /// The arguments of a backup of one of them.
    func backup(_ index: Int, _ more: [String] = []) -> [String] {
        ["backup", "--config", masters[index].configuration, "--root", masters[index].node.root, "-o", "json"] + more
    }

    /// Makes a backup of one of them; what is found of the fixture's files does not matter here.
    @discardableResult
    func makeBackup(_ index: Int, _ more: [String] = []) throws -> JSON {
        try Self.report(SnapTool.attempt(backup(index, more), environment: memory(index)))
    }

    /// Makes a backup of one of them, which has to do without a snapshot of its own; returns its reference.
    func makeSharingBackup(_ index: Int) throws -> String {
        let result = try SnapTool.attempt(backup(index, ["-v"]), environment: memory(index))
        let report = try Self.report(result)
        try #require(!report.hasSnapshot, "\(result.errorText)")
        return report.reference.string
    }

    /// Makes backups of several at once, and returns their reports in that order.
    func makeBackups(_ indices: [Int]) throws -> [JSON] {
        let running = try indices.map { try SnapTool.start(backup($0), environment: memory($0)) }
        return try running.map { try Self.report($0.wait(seconds: 400)) }
    }

    private static func report(_ result: CommandResult) throws -> JSON {
        guard [0, 3].contains(result.status) else { throw TestSupportError("backup: \(result.errorText)") }
        return try JSON(result.output)
    }

    /// The place of one of them in the order of now, 0 for the first; -1 where there is a snapshot already.
    func place(_ index: Int) throws -> Int {
        let preview = try makeBackup(index, ["--dry-run"])
        if !preview.snapshots.array.isEmpty { return 0 }
        return preview.awaitedSnapshots[0].place.int
    }

    /// Runs a command on the store, which any node can reach.
    func attempt(_ command: [String], _ more: [String] = []) throws -> CommandResult {
        try SnapTool.attempt(
            command + ["--config", masters[0].configuration, "--cluster", "test"] + more, environment: memory(0))
    }

    /// Removes a backup from the store.
    @discardableResult
    func delete(_ reference: String) throws -> CommandResult {
        let result = try attempt(["delete", reference, "--yes"])
        guard result.status == 0 else { throw TestSupportError("delete: \(result.errorText)") }
        return result
    }

    /// Where one of them remembers stores elsewhere.
    private func memory(_ index: Int) -> [String: String] {
        let place = masters[index].directory
        return ["STATE_DIRECTORY": place.file("state"), "CACHE_DIRECTORY": place.file("cache")]
    }
}

extension JSON {
    /// Whether the report is of a backup with a snapshot.
    var hasSnapshot: Bool { !self["sidecar"].etcd.array.isEmpty }
}
