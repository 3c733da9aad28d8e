import FoundationEssentials
import HostIO
import SealedArchive

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
    /// Whether it lies in the root of the store itself, beside archives of any cluster and node: such are only read.
    public let isFlat: Bool
    /// What the newest drill of it has proved; nil where there is none, or none that can be read.
    public var drill: DrillRecord?

    /// The file name of the archive.
    public var archiveName: String { Self.archiveName(id) }
    /// The file name of the sidecar.
    public var sidecarName: String { Self.sidecarName(id) }
    /// `cluster/node/id`.
    public var reference: String { "\(scope)/\(id)" }

    /// Whether it was begun before another one: by their times, which are whole seconds, then by their numbers.
    public func isOlder(than other: StoredBackup) -> Bool {
        (sidecar.archive.createdAt, sidecar.sequence, id) < (
            other.sidecar.archive.createdAt, other.sidecar.sequence, other.id
        )
    }

    /// The file name of the archive with an identifier.
    static func archiveName(_ id: BackupID) -> String { id.description + ArchiveFormat.archiveSuffix }
    /// The file name of its sidecar.
    static func sidecarName(_ id: BackupID) -> String { id.description + ArchiveFormat.sidecarSuffix }
}

/// An archive that can't be relied on: it has no sidecar, or one that can't be read or does not fit it.
public struct UnreadableBackup: Sendable {
    /// Where it is; nil in a flat directory, where only the sidecar tells.
    public let scope: StoreScope?
    /// Its identifier.
    public let id: BackupID
    /// Whether there is an archive that only lacks its sidecar.
    public let isOrphan: Bool
    /// What is wrong with it.
    public let failure: Failure

    /// `cluster/node/id`, or the identifier alone.
    public var reference: String { scope.map { "\($0)/\(id)" } ?? id.description }

    /// An archive without a sidecar.
    static func orphan(scope: StoreScope?, id: BackupID) -> UnreadableBackup {
        let name = StoredBackup.sidecarName(id)
        guard let scope else {
            let failure = Failure(
                .integrity, "\(quoted(StoredBackup.archiveName(id))) has no sidecar",
                hint: "copy \(name) beside it, or name the archive by its path")
            return UnreadableBackup(scope: nil, id: id, isOrphan: true, failure: failure)
        }
        let reference = "\(scope)/\(id)"
        let failure = Failure(
            .integrity, "\(quoted(reference)) has an archive and no sidecar",
            hint: "copy \(name) back if there is one elsewhere, or make it anew with "
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
    /// What does not hold in the chains of backups.
    public var chain: [ChainProblem] = []
    /// Archives that are not published, which in some stores readers see.
    public var unpublished: [UnpublishedArchive] = []
    /// What the directories remember.
    var records: [StoreScope: ChainRecord] = [:]
    /// Backups that count as removed, and of which something is still there.
    var removing: [StoreScope: [BackupID]] = [:]

    /// An empty listing.
    public init() {}

    /// Why some can't be relied on, or not be seen.
    public var problems: [Failure] { hidden.map(\.failure) + unreadable.map(\.failure) }

    /// Why something that is not listed may be there all the same.
    public var obstacle: Failure? { hidden.first { !$0.isLink }?.failure }

    /// The newest archive of a scope in its place, see ``BackupOrder``.
    public func latest(in scope: StoreScope) -> StoredBackup? {
        let own = backups.filter { $0.scope == scope && !$0.isFlat }
        return order(of: own, scope).latest.map { own[$0] }
    }

    /// The archives of a scope in its place by their numbers.
    func inOrderOfNumbers(in scope: StoreScope) -> [StoredBackup] {
        backups.filter { $0.scope == scope && !$0.isFlat }.inOrderOfNumbers
    }

    /// The newest archive of each node.
    public var latestOfNodes: [StoredBackup] {
        scopes.compactMap { scope, own in order(of: own, scope).latest.map { own[$0] } }
    }

    /// Where the chains of a node's backups disagree about which is the latest.
    public var disputes: [ChainProblem] {
        scopes.compactMap { scope, own in
            let order = order(of: own, scope)
            guard let latest = order.latest, !order.rivals.isEmpty else { return nil }
            return .disputed(own[latest], by: order.rivals.map { own[$0] })
        }
    }

    /// The archives that were never published, and that nobody will publish any more.
    ///
    /// One whose sidecar was lost looks the same, but its number is missing among the backups: such a one stays, and so does the
    /// newest of a node, of which that can't be told.
    ///
    /// - Parameter date: those that were complete before.
    public func abandoned(before date: Date) -> [UnpublishedArchive] {
        unpublished.filter { archive in
            guard let scope = archive.backup.scope, let time = archive.modifiedAt, time < date else { return false }
            let record = records[scope] ?? ChainRecord()
            return record.run(of: archive.backup.id, among: inOrderOfNumbers(in: scope)) == nil
        }
    }

    /// Takes over what another listing has of other scopes.
    mutating func add(_ other: StoreListing) {
        backups += other.backups
        unreadable += other.unreadable
        unpublished += other.unpublished
        hidden += other.hidden
        chain += other.chain
        records.merge(other.records) { first, _ in first }
        removing.merge(other.removing) { first, _ in first }
    }

    /// Puts the archives in order.
    mutating func sort() {
        backups = scopes.flatMap { scope, own in order(of: own, scope).indices.map { own[$0] } }
    }

    var scopes: [(StoreScope, [StoredBackup])] {
        Dictionary(grouping: backups, by: \.scope).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func order(of backups: [StoredBackup], _ scope: StoreScope) -> BackupOrder {
        BackupOrder(backups.map(\.ordered), record: records[scope] ?? ChainRecord(), now: Date())
    }
}

extension StoredBackup {
    /// Whether it says that it was made later than now, by more than clocks differ.
    public var isFromTheFuture: Bool { isFromTheFuture(at: Date()) }

    /// Whether it says that it was made later than a time, by more than clocks differ.
    public func isFromTheFuture(at now: Date) -> Bool { BackupOrder.isFuture(sidecar.archive.createdAt, at: now) }

    /// Whether the newest drill says that it was begun later than now.
    public func hasDrillFromTheFuture(at now: Date) -> Bool {
        drill.map { BackupOrder.isFuture($0.startedAt, at: now) } ?? false
    }

    fileprivate var ordered: OrderedBackup {
        OrderedBackup(
            id: id, sequence: sidecar.sequence, createdAt: sidecar.archive.createdAt, sidecarSHA256: sidecarSHA256,
            previousSidecarSHA256: sidecar.previousSidecarSHA256, isRebuilt: sidecar.rebuilt == true)
    }
}
