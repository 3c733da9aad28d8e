import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Archives in directories of this host, `<root>/<cluster>/<node>/<id>.tar.zst.age` with `<id>.json` beside each.
///
/// Directories have mode 0700, files 0600. An archive counts only with its sidecar; one without it is reported and never
/// removed. A crash at any moment leaves the archives that were there before, and at most temporary files that the next
/// writer clears up.
public struct LocalStore: Store {
    /// The path of the store.
    public let root: String

    /// The path of the store.
    public var name: String { root }

    /// The path of the store.
    public var directory: String? { root }

    /// The store at `root`, which need not exist yet.
    public init(root: String) { self.root = root }

    /// Everything in the store, or in one cluster or node of it, and what lies flat in its root.
    ///
    /// - Throws: ``SystemCallError`` if the store can't be read; a store that does not exist is an error.
    public func list(cluster: String?, node: String?) throws -> StoreListing {
        var listing = StoreListing()
        listing.hidden = try forEachScope(cluster, node) { try list($0, into: &listing) }
        var flat = StoreListing()
        try list(ScopeDirectory(directory: OpenDirectory(path: root), scope: nil), into: &flat)
        listing.unreadable += flat.unreadable
        listing.backups += flat.backups.filter {
            (cluster == nil || $0.scope.cluster == cluster) && (node == nil || $0.scope.node == node)
        }
        listing.sort()
        listing.chain += listing.disputes
        return listing
    }

    /// The backups whose removal was interrupted after they were gone, in the store or in one cluster or node of it.
    ///
    /// - Throws: as ``list(cluster:node:)``.
    public func interruptedRemovals(cluster: String?, node: String?) throws -> [StoredBackup] {
        var backups: [StoredBackup] = []
        _ = try forEachScope(cluster, node) { backups += try $0.interruptedRemovals() }
        return backups
    }

    /// Calls `body` with every scope of the given names; one that can't be read does not hide the others.
    ///
    /// - Returns: the directories that are not looked at.
    private func forEachScope(
        _ cluster: String?, _ node: String?, _ body: (ScopeDirectory) throws -> Void
    ) throws -> [HiddenDirectory] {
        var hidden: [HiddenDirectory] = []
        try forEachDirectory(in: OpenDirectory(path: root), named: cluster, &hidden) {
            clusterDirectory, cluster, hidden in
            try forEachDirectory(in: clusterDirectory, named: node, &hidden) { directory, node, _ in
                try body(ScopeDirectory(directory: directory, scope: StoreScope(cluster: cluster, node: node)))
            }
        }
        return hidden
    }

    private func forEachDirectory(
        in parent: OpenDirectory, named wanted: String?, _ hidden: inout [HiddenDirectory],
        _ body: (OpenDirectory, String, inout [HiddenDirectory]) throws -> Void
    ) throws {
        for name in try parent.utf8Names() where wanted == nil || wanted == name {
            // What can't be the name of a scope, such as lost+found, is not ours.
            guard StoreScope.canBeName(name), let entry = EntryName(name.utf8) else { continue }
            do {
                switch try parent.attributes(of: entry).kind {
                case .directory: try body(parent.openDirectory(name), name, &hidden)
                case .symbolicLink where Self.leadsOut(of: parent, name):
                    hidden.append(HiddenDirectory(isLink: true, failure: Self.notFollowed(parent.path(of: name))))
                default: break
                }
            } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
                continue
            } catch {
                hidden.append(HiddenDirectory(isLink: false, failure: Failure(wrapping: error)))
            }
        }
    }

    private static func notFollowed(_ path: String) -> Failure {
        Failure(
            .failed, "\(quoted(path)) is a symbolic link, and is not followed",
            hint: "mount the directory there instead (`mount --bind`), or name its store", settings: [.store])
    }

    /// Whether a symbolic link leads to a directory that is not beside it, and is looked at there.
    private static func leadsOut(of parent: OpenDirectory, _ name: String) -> Bool {
        guard let target = try? OpenDirectory(path: parent.path(of: name)), let names = try? parent.utf8Names() else {
            return false
        }
        return !names.contains { parent.isEntry($0, target.descriptor) }
    }

    /// Whether the directory of a cluster and node is one that this program has written to, or has a backup of them.
    public func isScope(cluster: String, node: String) throws -> Bool {
        let directory = try OpenDirectory(path: "\(root)/\(cluster)/\(node)")
        if directory.contains(ChainRecord.fileName) || directory.contains(DirectoryLock.fileName) { return true }
        return try list(cluster: cluster, node: node).backups.contains { !$0.isFlat }
    }

    /// Opens the sealed bytes of an archive.
    public func open(_ backup: StoredBackup) throws -> any RandomAccessBytes {
        try RandomAccessFile(path: location(of: backup))
    }

    /// Opens the sealed bytes of the archive with an identifier, whether it has a sidecar or not.
    public func open(_ id: BackupID, in scope: StoreScope) throws -> any RandomAccessBytes {
        try RandomAccessFile(path: location(of: id, in: scope))
    }

    /// The path of an archive.
    public func location(of backup: StoredBackup) -> String {
        backup.isFlat ? "\(root)/\(backup.archiveName)" : location(of: backup.id, in: backup.scope)
    }

    /// The path of the archive with an identifier, whether it has a sidecar or not.
    public func location(of id: BackupID, in scope: StoreScope) -> String {
        "\(root)/\(scope)/\(StoredBackup.archiveName(id))"
    }

    /// Locks a scope for writing, making its directories, and clears up what interrupted runs left in it.
    ///
    /// - Throws: ``Failure`` with the code `locked` while another process writes there.
    public func writer(for scope: StoreScope) throws -> any StoreWriter {
        let directory = try OpenDirectory.make(path: root)
            .makeDirectory(scope.cluster).makeDirectory(scope.node)
        return try LocalStoreWriter(ScopeDirectory(directory: directory, scope: scope), scope)
    }

    /// Checks that something could be written for a scope; changes nothing, and takes no lock.
    ///
    /// - Throws: what ``writer(for:)`` would throw, or the first file that is written there.
    public func checkWritable(for scope: StoreScope) throws {
        guard
            let directory = try OpenDirectory.checkMake(path: root)?.checkMakeDirectory(scope.cluster)?
                .checkMakeDirectory(scope.node)
        else { return }
        try directory.checkWritable("open", DirectoryLock.fileName)
    }

    /// The room of the store, which need not exist yet; changes nothing.
    ///
    /// - Throws: ``SystemCallError``.
    public func space() throws -> StoreSpace {
        let (path, directory) = try Self.nearestDirectory(to: root)
        return StoreSpace(
            place: path, exists: path == root, availableByteCount: try directory.availableByteCount(),
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

    private func list(_ directory: ScopeDirectory, into listing: inout StoreListing) throws {
        var found = try directory.contents()
        // Who publishes or removes meanwhile writes the record too.
        for _ in 0..<Self.chainAttemptCount where !found.chain.isEmpty { found = try directory.contents() }
        listing.add(found)
    }

    private static let chainAttemptCount = 2
}
