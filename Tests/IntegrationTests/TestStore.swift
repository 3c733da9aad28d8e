import Foundation
import TestSupport
import Testing

/// A store for one test, with a server and a key.
struct TestStore {
    let directory: TemporaryDirectory
    let root: String
    let server: EtcdServer
    let key: Laboratory.Key
    private let configuration: String

    /// The directory of the archives.
    var scopeDirectory: String { "\(root)/test/node" }
    /// The flags that name the store.
    var flags: [String] { ["--store", root, "--cluster", "test", "--node", "node"] }

    init(_ server: EtcdServer, root: String? = nil) throws {
        directory = try TemporaryDirectory()
        self.root = root ?? directory.file("store")
        self.server = server
        key = try Laboratory.shared().key()
        configuration = try Laboratory.shared().plainConfiguration
    }

    /// The arguments of a backup into the store, of etcd and of what further flags name.
    func backup(port: UInt16? = nil, _ more: [String] = []) -> [String] {
        ["backup", "-r", key.recipient] + server.flags(port: port) + ["--config", configuration] + flags + more
    }

    /// Makes a backup and returns the path of the archive.
    @discardableResult
    func makeBackup(_ more: [String] = []) throws -> String {
        try SnapTool.json(backup(more)).path.string
    }

    /// Makes a backup and returns its ID.
    @discardableResult
    func makeBackupID(_ more: [String] = []) throws -> String { Self.id(of: try makeBackup(more)) }

    /// The ID of the archive at a path.
    static func id(of archive: String) -> String {
        String((archive.split(separator: "/").last ?? "").prefix { $0 != "." })
    }

    /// Holds the lock of a node's archives as another run would.
    func holdLock(node: String = "node") throws -> (holder: BackgroundProcess, path: String) {
        let path = "\(root)/test/\(node)/.lock"
        return (try BackgroundProcess.holdingLock(on: path, ready: directory.file("ready")), path)
    }

    /// Everything below the store's root, with the permission bits.
    func contents() throws -> [(path: String, mode: Int)] {
        let manager = FileManager.default
        guard manager.fileExists(atPath: root) else { return [] }
        return try ([""] + manager.subpathsOfDirectory(atPath: root)).map { path in
            let attributes = try manager.attributesOfItem(atPath: "\(root)/\(path)")
            return (path, (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1)
        }
    }

    /// The names of the archives' directory but for the lock.
    func names() throws -> [String] {
        guard FileManager.default.fileExists(atPath: scopeDirectory) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: scopeDirectory).filter {
            $0 != ".lock" && $0 != "chain.json"
        }.sorted()
    }

    /// Expects that nobody but the owner may read anything.
    func expectPrivate(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for (path, mode) in try contents() {
            var isDirectory: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: "\(root)/\(path)", isDirectory: &isDirectory)
            #expect(mode == (isDirectory.boolValue ? 0o700 : 0o600), "\(path)", sourceLocation: sourceLocation)
        }
    }

    /// Expects that a failed run has left no archive, whole or in part.
    func expectEmpty(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try names() == [], sourceLocation: sourceLocation)
    }

    /// Expects that a backup goes well now, and returns what it said.
    @discardableResult
    func expectNextRunSucceeds(sourceLocation: SourceLocation = #_sourceLocation) throws -> CommandResult {
        let result = try SnapTool.attempt(backup())
        #expect(result.status == 0, "\(result.errorText)", sourceLocation: sourceLocation)
        #expect(try names().count % 2 == 0, sourceLocation: sourceLocation)
        #expect(try !names().contains { $0.hasPrefix(".") }, sourceLocation: sourceLocation)
        try SnapTool.run(["verify", "-i", key.path] + flags)
        try expectPrivate(sourceLocation: sourceLocation)
        return result
    }
}
