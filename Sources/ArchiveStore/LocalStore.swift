import Crypto
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Archives in directories of this host, `<root>/<cluster>/<node>/<id>.tar.zst.age` with `<id>.json` beside each.
///
/// Directories have mode 0700, files 0600. An archive counts only with its sidecar, which is published last: a crash at
/// any moment leaves the archives that were there before, and at most leftovers that the next writer removes.
public struct LocalStore: Sendable {
    /// The path of the store.
    public let root: String

    /// The largest sidecar that is read.
    private static let maximumSidecarSize = 16 << 20

    /// The store at `root`, which need not exist yet.
    public init(root: String) { self.root = root }

    /// Everything in the store, or in one cluster or node of it.
    ///
    /// - Throws: ``SystemCallError`` if the store can't be read; a store that does not exist is an error.
    public func list(cluster: String? = nil, node: String? = nil) throws -> StoreListing {
        var listing = StoreListing()
        let top = try OpenDirectory(path: root)
        for clusterName in try subdirectories(of: top) where cluster == nil || cluster == clusterName {
            let clusterDirectory = try top.openDirectory(clusterName)
            for nodeName in try subdirectories(of: clusterDirectory) where node == nil || node == nodeName {
                // A directory that can't be a scope, such as lost+found, is not ours.
                guard let scope = try? StoreScope(cluster: clusterName, node: nodeName) else { continue }
                try list(clusterDirectory.openDirectory(nodeName), scope, into: &listing)
            }
        }
        return listing
    }

    /// Opens the sealed bytes of an archive.
    public func open(_ backup: StoredBackup) throws -> RandomAccessFile {
        try RandomAccessFile(path: path(of: backup))
    }

    /// The path of an archive.
    public func path(of backup: StoredBackup) -> String { "\(root)/\(backup.scope)/\(backup.archiveName)" }

    /// Locks a scope for writing, making its directories, and removes what interrupted runs left in it.
    ///
    /// - Throws: ``Failure`` with the code `locked` while another process writes there.
    public func writer(for scope: StoreScope) throws -> LocalStoreWriter {
        let directory = try OpenDirectory.make(path: root)
            .makeDirectory(scope.cluster).makeDirectory(scope.node)
        return try LocalStoreWriter(directory: directory, scope: scope)
    }

    /// The room that a store has.
    public struct Space: Sendable {
        /// The store, or the nearest directory above it that exists.
        public var directory: String
        /// Whether the directory is the store itself.
        public var exists: Bool
        /// The bytes that are free.
        public var availableByteCount: Int
        /// Whether this user may write there.
        public var isWritable: Bool
    }

    /// The room of the store, which need not exist yet; changes nothing.
    ///
    /// - Throws: ``SystemCallError``.
    public func space() throws -> Space {
        let (path, directory) = try Self.nearestDirectory(to: root)
        return Space(
            directory: path, exists: path == root, availableByteCount: try directory.availableByteCount(),
            isWritable: access(path, W_OK | X_OK) == 0)
    }

    private static func nearestDirectory(to path: String) throws -> (path: String, directory: OpenDirectory) {
        do {
            return (path, try OpenDirectory(path: path))
        } catch {
            guard error.errno == .noSuchFileOrDirectory, path.count > 1 else { throw error }
        }
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return try nearestDirectory(to: parent.isEmpty ? "/" : parent)
    }

    private func subdirectories(of directory: OpenDirectory) throws -> [String] {
        try directory.utf8Names().filter { !$0.hasPrefix(".") && directory.isDirectory($0) }
    }

    private func list(_ directory: OpenDirectory, _ scope: StoreScope, into listing: inout StoreListing) throws {
        let names = try directory.utf8Names()
        var backups: [StoredBackup] = []
        for name in names where name.hasSuffix(ArchiveFormat.sidecarSuffix) {
            guard let id = BackupID(name.dropLast(ArchiveFormat.sidecarSuffix.count)) else { continue }
            do {
                let backup = try read(id, scope, in: directory)
                guard names.contains(backup.archiveName) else {
                    throw Failure(
                        .integrity, "\(quoted(backup.reference)) has a sidecar and no archive",
                        hint: "restore \(backup.archiveName) from a copy of the store, or remove \(backup.sidecarName)")
                }
                try checkSize(of: backup, in: directory)
                backups.append(backup)
            } catch {
                listing.unreadable.append(
                    UnreadableBackup(scope: scope, id: id, failure: Failure(wrapping: error)))
            }
        }
        // IDs of one second sort by chance.
        listing.backups += backups.sorted { ($0.sidecar.sequence, $0.id) < ($1.sidecar.sequence, $1.id) }
    }

    private func checkSize(of backup: StoredBackup, in directory: OpenDirectory) throws {
        guard let name = EntryName(backup.archiveName.utf8) else { return }
        try backup.sidecar.object.checkSize(directory.attributes(of: name).byteCount, of: path(of: backup))
    }

    private func read(_ id: BackupID, _ scope: StoreScope, in directory: OpenDirectory) throws -> StoredBackup {
        let path = directory.path(of: id.description + ArchiveFormat.sidecarSuffix)
        let file = try RandomAccessFile(path: path)
        guard file.byteCount <= Self.maximumSidecarSize else {
            throw Failure(.integrity, "\(quoted(path)) has \(file.byteCount) bytes, too many for a sidecar")
        }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        let sidecar = try Sidecar.decode(bytes, name: path)
        guard sidecar.archive.id == id, sidecar.archive.cluster == scope.cluster, sidecar.archive.node == scope.node
        else {
            throw Failure(
                .integrity,
                "\(quoted(path)) describes \(sidecar.archive.cluster)/\(sidecar.archive.node)/\(sidecar.archive.id)",
                hint: "the file was moved or replaced: compare it with another copy of the store")
        }
        return StoredBackup(scope: scope, id: id, sidecar: sidecar, sidecarBytes: bytes)
    }
}

/// A scope of a local store, locked for writing while this object lives.
public final class LocalStoreWriter {
    /// The scope.
    public let scope: StoreScope
    /// The names of unfinished files that were found and removed.
    public let removedLeftovers: [String]
    private let directory: OpenDirectory
    private let lock: DirectoryLock

    fileprivate init(directory: OpenDirectory, scope: StoreScope) throws {
        self.directory = directory
        self.scope = scope
        lock = try DirectoryLock(directory)
        removedLeftovers = try Self.removeLeftovers(in: directory)
    }

    /// The bytes that are free in the store.
    public func availableByteCount() throws -> Int { try directory.availableByteCount() }

    /// Begins an archive; nothing of it is visible before ``publish(_:sidecar:)``.
    public func begin(_ id: BackupID) throws -> PendingFile {
        let file = try PendingFile(in: directory, name: id.description + ArchiveFormat.archiveSuffix)
        file.reservedByteCount = Self.reserve(directory)
        file.bypassPageCache()
        return file
    }

    /// Publishes an archive, then its sidecar; returns when both are durable.
    public func publish(_ archive: PendingFile, sidecar: Sidecar) throws {
        let pendingSidecar = try PendingFile(
            in: directory, name: sidecar.archive.id.description + ArchiveFormat.sidecarSuffix)
        try pendingSidecar.write(DocumentCoding.encode(sidecar))
        try archive.publish()
        try pendingSidecar.publish()
    }

    /// Removes an archive: its sidecar first, so that it is never listed without being whole.
    public func delete(_ backup: StoredBackup) throws {
        precondition(backup.scope == scope, "an archive of another scope")
        try directory.removeFile(backup.sidecarName)
        try directory.sync()
        try directory.removeFile(backup.archiveName)
        try directory.sync()
    }

    /// An archive without its sidecar was left by a run that is no more, for we hold the lock; so was a temporary file that
    /// nobody holds locked.
    private static func removeLeftovers(in directory: OpenDirectory) throws -> [String] {
        let names = try directory.utf8Names()
        let unfinished = names.filter { name in
            guard name.hasSuffix(ArchiveFormat.archiveSuffix) else { return false }
            let id = name.dropLast(ArchiveFormat.archiveSuffix.count)
            return BackupID(id) != nil && !names.contains(id + ArchiveFormat.sidecarSuffix)
        }
        for name in unfinished { try directory.removeFile(name) }
        // A download into this directory has temporary files here too.
        let temporary = try names.filter { name in
            try name.hasPrefix(PendingFile.temporaryPrefix) && PendingFile.removeLeftover(name, in: directory)
        }
        let leftovers = temporary + unfinished
        if !leftovers.isEmpty { try directory.sync() }
        return leftovers
    }

    /// What is left free for others, for a full disk under etcd stops the cluster: 2 % of the file system, at most 256 MiB.
    private static func reserve(_ directory: OpenDirectory) -> Int {
        min(256 << 20, ((try? directory.totalByteCount()) ?? 0) / 50)
    }
}
