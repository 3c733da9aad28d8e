import ArchiveStore
import HostIO
import SealedArchive
import SystemPackage

/// Where archives lie in a store, `<store>/<cluster>/<node>/<id>.tar.zst.age`, read from the path.
public enum StorePath {
    /// The store and the reference of an archive, or its sidecar, at such a path.
    ///
    /// - Throws: ``Failure`` with the code `usage` for what lies elsewhere, `notFound` for what does not exist, `integrity`
    ///   for a file that is something else.
    public static func reference(_ path: String) throws -> (store: LocalStore, reference: BackupReference) {
        var directory = absolutePath(path)
        let parts = (0..<3).map { _ in
            defer { directory.removeLastComponent() }
            return directory.lastComponent?.string ?? ""
        }
        let suffix = [ArchiveFormat.archiveSuffix, ArchiveFormat.sidecarSuffix].first { parts[0].hasSuffix($0) }
        guard let suffix, let id = BackupID(parts[0].dropLast(suffix.count)) else {
            // What it is says more than what it is called.
            try FileKind.check(RandomAccessFile(regular: path), is: [.age], whatIsExpected: "a sealed archive")
            throw Failure(
                .usage, "\(quoted(path)) does not have the name of an archive",
                hint: "it has to be in a store as CLUSTER/NODE/ID\(ArchiveFormat.archiveSuffix)")
        }
        guard let scope = try? StoreScope(cluster: parts[2], node: parts[1]) else { throw loose(path) }
        let stem = String(path.dropLast(suffix.count))
        let besides = stem + ArchiveFormat.sidecarSuffix
        let store = LocalStore(root: directory.string)
        // What is left of a removal has no name any more.
        guard
            [besides, stem + ArchiveFormat.archiveSuffix].contains(where: { entryKind(at: $0) != nil })
                || (try? store.isScope(cluster: scope.cluster, node: scope.node)) == true
        else {
            throw Failure(
                .notFound, "there is no file \(quoted(path))",
                hint: "name the backup's store besides, or its whole path",
                settings: [.store])
        }
        if let sidecar = try? sidecar(at: besides), sidecar.archive.reference != "\(scope)/\(id)" {
            throw loose(path, of: sidecar.archive.reference)
        }
        return (store, try BackupReference("\(scope)/\(id)"))
    }

    /// The same for an archive that is to be removed: one that nothing shows to be in a store is nobody's to remove.
    ///
    /// - Throws: as ``reference(_:)``.
    public static func referenceForRemoval(_ path: String) throws -> (store: LocalStore, reference: BackupReference) {
        let (store, reference) = try reference(path)
        let directory = absolutePath(path).removingLastComponent()
        let node = directory.lastComponent?.string ?? ""
        let cluster = directory.removingLastComponent().lastComponent?.string ?? ""
        guard let kind = entryKind(at: path) else { return (store, reference) }
        if kind != .file { _ = try RandomAccessFile(regular: path) }
        guard try store.isScope(cluster: cluster, node: node) else { throw loose(path) }
        return (store, reference)
    }

    private static func sidecar(at path: String) throws -> Sidecar {
        let file = try RandomAccessFile(path: path)
        return try Sidecar.decode(file.bytes(at: 0, count: min(file.byteCount, 16 << 20)), name: path)
    }

    private static func loose(_ path: String, of reference: String? = nil) -> Failure {
        let what = reference.map { ", the archive of \($0)," } ?? ""
        return Failure(
            .usage, "\(quoted(path))\(what) lies in a directory that is no store of cluster and node",
            hint: "such a directory is only read: remove its files yourself, or move them to "
                + "\(reference.map { $0.split(separator: "/").dropLast().joined(separator: "/") } ?? "CLUSTER/NODE") "
                + "in a store")
    }

    /// That a directory without backups is a part of a store, or has a store in it; nil if neither is so.
    static func failure(besideStore store: any Store) -> Failure? {
        guard let root = store.directory, let directory = try? OpenDirectory(path: root),
            let names = try? directory.utf8Names()
        else {
            return nil
        }
        for name in names.filter(directory.isDirectory).prefix(limitOfDirectories) {
            let path = directory.path(of: name)
            guard let listing = try? LocalStore(root: path).list() else { continue }
            let scopes = listing.backups.map { $0.isFlat ? nil : $0.scope } + listing.unreadable.map(\.scope)
            guard let first = scopes.first else { continue }
            guard first == nil else {
                return Failure(
                    .notFound,
                    "there is no backup in \(quoted(root)), but its directory \(quoted(path)) is a store",
                    hint: "name that", settings: [.store])
            }
            var above = absolutePath(root)
            let cluster = above.lastComponent?.string ?? ""
            above.removeLastComponent()
            return Failure(
                .notFound, "\(quoted(root)) is no store: it is the directory of a cluster in one",
                hint: "name the store \(quoted(above.string)) and the cluster \(cluster)", settings: [.store, .cluster])
        }
        return nil
    }

    /// So many are looked into: it is a hint.
    private static let limitOfDirectories = 100
}
