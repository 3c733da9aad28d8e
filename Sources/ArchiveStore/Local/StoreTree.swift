import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Tells from directories alone which store a path of this host is in.
///
/// A store has no mark of its own: its directories of clusters and nodes tell it, by what this program keeps in them. What
/// lies beside a path is looked at only on its own file system, near it, and where there is not much of it.
public struct StoreTree {
    /// The absolute paths that a path means: with symbolic links resolved, and as it is written.
    private let paths: [String]
    /// The nearest directory at or above the path that exists, links resolved.
    private let existing: FilePath
    private let deviceID: UInt64?

    /// A directory with more in it is none of stores or clusters.
    private static let directoryLimit = 100
    private static let nodeLimit = 1000
    /// So many sidecars tell whose a directory is.
    private static let sidecarLimit = 20
    /// How far above the path a store is told by what lies beside the path.
    private static let levelCount = 3

    /// What is around a path, which need not exist.
    public init(path: String) {
        let written = absolutePath(path).string
        var existing = FilePath(written)
        var rest: [String] = []
        while (try? OpenDirectory(path: existing.string)) == nil, let name = existing.lastComponent {
            rest.insert(name.string, at: 0)
            existing.removeLastComponent()
        }
        let real = Self.realPath(existing.string) ?? existing.string
        paths = [joinPath(real, rest.joined(separator: "/")), written]
        self.existing = FilePath(real)
        deviceID = Self.deviceID(real)
    }

    /// The root of the store that has the path somewhere below it; nil if there is none.
    public var enclosingStore: String? {
        paths.lazy.compactMap(Self.storeOfParts).first ?? storesBeside.first { $0 != paths[0] && isStore($0) }
    }

    /// The root of the store that the path is in, or is itself.
    public var store: String? { enclosingStore ?? (isStore(paths[0]) ? paths[0] : nil) }

    /// A directory in the path's own that is a store, where the path is none itself.
    public var storeBelow: String? {
        guard !isStore(paths[0]) else { return nil }
        return Self.directories(in: paths[0]).map { joinPath(paths[0], $0) }.first(where: isStore)
    }

    /// The store whose directory of a node or a cluster the path is in, or is.
    private static func storeOfParts(_ path: String) -> String? {
        var directory = FilePath(path)
        while directory.lastComponent != nil {
            let above = directory.removingLastComponent()
            if isScope(directory.string) { return above.removingLastComponent().string }
            if nodes(in: directory.string).contains(where: { isScope(joinPath(directory.string, $0)) }) {
                return above.string
            }
            directory = above
        }
        return nil
    }

    private var storesBeside: [String] {
        var directories: [String] = []
        var directory = existing
        while directory.lastComponent != nil, directories.count < Self.levelCount {
            directories.append(directory.string)
            directory.removeLastComponent()
        }
        return directories
    }

    private func isStore(_ path: String) -> Bool {
        guard Self.deviceID(path) == deviceID else { return false }
        return Self.directories(in: path).contains { cluster in
            let cluster = joinPath(path, cluster)
            return Self.nodes(in: cluster).contains { Self.isScope(joinPath(cluster, $0)) }
        }
    }

    /// The names of the directories in one; none where there are too many.
    private static func directories(in path: String) -> [String] {
        guard let directory = try? OpenDirectory(path: path), let names = try? directory.utf8Names() else { return [] }
        let found = names.lazy.filter { StoreScope.canBeName($0) && directory.isDirectory($0) }.prefix(
            directoryLimit + 1)
        return found.count > directoryLimit ? [] : found.sorted()
    }

    /// The names of the entries that have what this program keeps in a node's directory.
    private static func nodes(in path: String) -> [String] {
        guard let directory = try? OpenDirectory(path: path), let names = try? directory.utf8Names(),
            names.count <= nodeLimit
        else { return [] }
        return names.filter { name in
            [ChainRecord.fileName, DirectoryLock.fileName].contains { directory.contains("\(name)/\($0)") }
        }
    }

    /// Whether a directory is that of a node's backups.
    private static func isScope(_ path: String) -> Bool {
        let path = FilePath(path)
        guard let node = path.lastComponent?.string, let cluster = path.removingLastComponent().lastComponent?.string,
            let scope = try? StoreScope(cluster: cluster, node: node),
            let directory = try? OpenDirectory(path: path.string)
        else { return false }
        let isRecorded = directory.contains(ChainRecord.fileName)
        let contents = ScopeDirectory(directory: directory, scope: scope)
        let ids = (try? contents.ids()) ?? []
        let told = ids.prefix(sidecarLimit).compactMap { contents.statedScope(of: $0) }
        // A copy of a node's directory under another name is no part of a store.
        return told.isEmpty ? isRecorded && ChainRecord.isThere(in: directory) : told.contains(scope)
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func deviceID(_ path: String) -> UInt64? {
        (try? OpenDirectory(path: path).attributes())?.identity.device
    }
}
