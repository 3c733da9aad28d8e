import Age
import Foundation
import HostIO
import SealedArchive
import Testing

@testable import ArchiveStore

/// A store in a scratch directory, and the steps by which a backup gets into it.
struct StoreLaboratory {
    let root: String
    var store: LocalStore { LocalStore(root: root) }

    func time(_ second: Int) -> Date { Date(timeIntervalSince1970: 1_795_402_800 + Double(second)) }

    func id(_ second: Int) -> BackupID { BackupID(time: time(second)) }

    func scope(_ cluster: String = "prod", _ node: String = "cp-0") throws -> StoreScope {
        try StoreScope(cluster: cluster, node: node)
    }

    func directory(_ scope: StoreScope) -> String { "\(root)/\(scope)" }

    /// Writes a small archive; gives it pending with the sidecar that belongs to it.
    func seal(
        _ id: BackupID, with writer: any StoreWriter, at time: Date = Date(timeIntervalSince1970: 1_795_402_800)
    ) throws -> (any PendingArchive, Sidecar) {
        let file = try writer.begin(id)
        let header = ArchiveHeader(
            id: id, cluster: writer.scope.cluster, node: writer.scope.node, createdAt: time)
        let archive = try ArchiveWriter(
            to: file, recipients: [X25519Identity.generate().recipient], header: header,
            options: CompressionOptions(frameSize: 4096, coreCount: 1))
        let summary = try archive.finish(Manifest(archive: header))
        let sidecar = Sidecar(
            manifest: Manifest(archive: header), sealed: summary, recipients: [], completedAt: header.createdAt,
            sequence: 1,
            previousSidecarSHA256: nil)
        return (file, sidecar)
    }

    /// Puts a backup into the store.
    @discardableResult
    func add(_ second: Int = 0, to scope: StoreScope) throws -> StoredBackup {
        try add(second, to: scope, in: store)
    }

    /// Puts a backup into a store.
    @discardableResult
    func add(_ second: Int, to scope: StoreScope, in store: any Store) throws -> StoredBackup {
        let id = id(second)
        let writer = try store.writer(for: scope)
        var (file, sidecar) = try seal(id, with: writer, at: time(second))
        let link = try writer.nextLink(after: store.list())
        sidecar.sequence = link.sequence
        sidecar.previousSidecarSHA256 = link.previousSidecarSHA256
        try file.publish(SidecarDocument(sidecar))
        return try #require(try store.list().backups.first { $0.id == id && $0.scope == scope })
    }
}

/// The names in a directory but for the record of the chain.
func names(in path: String) throws -> [String] {
    try OpenDirectory(path: path).utf8Names().filter { $0 != "chain.json" }
}

/// The permission bits of a file.
func mode(_ path: String) throws -> UInt16 {
    let url = URL(filePath: path)
    let name = try #require(EntryName(url.lastPathComponent.utf8))
    return try OpenDirectory(path: url.deletingLastPathComponent().path).attributes(of: name).mode
}
