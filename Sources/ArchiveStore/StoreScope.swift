import HostIO
import SealedArchive

/// A place in a store: the archives of one node of one cluster.
public struct StoreScope: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The cluster's name.
    public let cluster: String
    /// The node's name.
    public let node: String

    private static let maximumNameLength = 253

    /// A scope, when both names can be names of directories everywhere.
    ///
    /// - Throws: ``Failure`` with the code `usage` if a name has other characters than letters, digits, `.`, `_` and `-`,
    ///   begins with a dot or a dash, or is longer than 253 characters.
    public init(cluster: String, node: String) throws(Failure) {
        try Self.checkName(cluster, "cluster", .cluster)
        try Self.checkName(node, "node", .node)
        self.cluster = cluster
        self.node = node
    }

    /// `cluster/node`.
    public var description: String { "\(cluster)/\(node)" }

    /// Orders by cluster, then by node.
    public static func < (left: Self, right: Self) -> Bool {
        (left.cluster, left.node) < (right.cluster, right.node)
    }

    /// Checks a name that becomes that of a directory or a file in an archive, by the rule of ``init(cluster:node:)``.
    ///
    /// - Parameters:
    ///   - what: what has the name, for the message.
    ///   - setting: what sets it, for the hint.
    public static func checkName(_ name: String, _ what: String, _ setting: Failure.Setting) throws(Failure) {
        guard canBeName(name) else {
            throw Failure(
                .usage, "\(quoted(name)) can't be the name of a \(what) in a store",
                hint: "use letters, digits, '.', '_' and '-'", settings: [setting])
        }
    }

    static func canBeName(_ name: String) -> Bool {
        let allowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return allowed && !name.isEmpty && name.utf8.count <= maximumNameLength && !name.hasPrefix(".")
            && !name.hasPrefix("-")
    }
}

/// A complete archive in a store.
public struct StoredBackup: Sendable {
    /// Where it is.
    public let scope: StoreScope
    /// Its identifier.
    public let id: BackupID
    /// Its public description.
    public let sidecar: Sidecar
    /// The sidecar's bytes as stored.
    public let sidecarBytes: [UInt8]

    /// The file name of the archive.
    public var archiveName: String { Self.archiveName(id) }
    /// The file name of the sidecar.
    public var sidecarName: String { Self.sidecarName(id) }
    /// `cluster/node/id`.
    public var reference: String { "\(scope)/\(id)" }

    /// The file name of the archive with an identifier.
    static func archiveName(_ id: BackupID) -> String { id.description + ArchiveFormat.archiveSuffix }
    /// The file name of its sidecar.
    static func sidecarName(_ id: BackupID) -> String { id.description + ArchiveFormat.sidecarSuffix }
}

/// An archive that can't be relied on: it has no sidecar, or one that can't be read or does not fit it.
public struct UnreadableBackup: Sendable {
    /// Where it is.
    public let scope: StoreScope
    /// Its identifier.
    public let id: BackupID
    /// Whether there is an archive that only lacks its sidecar.
    public let isOrphan: Bool
    /// What is wrong with it.
    public let failure: Failure

    /// `cluster/node/id`.
    public var reference: String { "\(scope)/\(id)" }

    /// An archive without a sidecar.
    static func orphan(scope: StoreScope, id: BackupID) -> UnreadableBackup {
        let reference = "\(scope)/\(id)"
        let failure = Failure(
            .integrity, "\(quoted(reference)) has an archive and no sidecar",
            hint: "copy \(StoredBackup.sidecarName(id)) back if there is one elsewhere, or make it anew with "
                + "`etcd-snap adopt \(reference)` and your key",
            settings: [.identity])
        return UnreadableBackup(scope: scope, id: id, isOrphan: true, failure: failure)
    }
}

/// A directory of a store that is not looked at.
public struct HiddenDirectory: Sendable {
    /// Whether it is a symbolic link, which is not followed; otherwise there may be archives in it.
    public let isLink: Bool
    /// Why it is not looked at.
    public let failure: Failure
}

/// What a store holds: its complete archives, and what can't be relied on.
public struct StoreListing: Sendable {
    /// The complete archives, by scope, in the order in which they were made.
    public var backups: [StoredBackup] = []
    /// Those that can't be relied on, by scope.
    public var unreadable: [UnreadableBackup] = []
    /// The directories that are not looked at.
    public var hidden: [HiddenDirectory] = []

    /// An empty listing.
    public init() {}

    /// Why some can't be relied on, or not be seen.
    public var problems: [Failure] { hidden.map(\.failure) + unreadable.map(\.failure) }

    /// Why something that is not listed may be there all the same.
    public var obstacle: Failure? { hidden.first { !$0.isLink }?.failure }

    /// The same with what to do about it, a line each.
    public var warnings: [String] {
        problems.map { failure in failure.description + (failure.hint.map { " (\($0))" } ?? "") }
    }

    /// The newest archive of a scope.
    public func latest(in scope: StoreScope) -> StoredBackup? { backups.last { $0.scope == scope } }

    /// The newest archive of all.
    public var latest: StoredBackup? {
        backups.max { first, second in
            let (left, right) = (first.sidecar.archive, second.sidecar.archive)
            return (left.createdAt, first.sidecar.sequence, left.id) < (
                right.createdAt, second.sidecar.sequence, right.id
            )
        }
    }
}
