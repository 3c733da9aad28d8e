import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// What pruning a store removes and keeps, and why.
public struct PrunePlan: Sendable {
    /// One for each backup, by scope, the oldest first.
    public let decisions: [RetentionDecision]
    /// Why a person should look at it before it is carried out.
    public let cautions: [String]
    /// What can't be relied on or not be seen, and is left alone.
    public let problems: [Failure]
    /// Archives that were never published, and whose time of grace has ended.
    public let abandoned: [UnpublishedArchive]
    fileprivate let place: Place

    fileprivate struct Place: Sendable {
        var store: any Store
        var cluster: String?
        var node: String?
        /// What was written before is nobody's any more; nil where such is not looked at.
        var abandonedBefore: Date?
    }

    /// The backups that go, the oldest of each node first.
    public var removed: [RetentionDecision] { decisions.filter(\.reasons.isEmpty) }
    /// The backups that stay.
    public var kept: [RetentionDecision] { decisions.filter { !$0.reasons.isEmpty } }
    /// The bytes of the archives that go.
    public var removedByteCount: Int { removed.reduce(0) { $0 + $1.backup.sidecar.object.size } }
}

/// Removes the backups that no rule keeps.
public enum PruneOperation {
    /// How long an upload, or an archive that is not published, may still be somebody's, in seconds.
    private static let graceSeconds = 86_400.0

    /// Looks at a store, and decides; nothing is changed.
    ///
    /// - Parameters:
    ///   - cluster: only backups of this cluster.
    ///   - node: only backups of this node.
    ///   - retentionClass: only backups of this class; what was never published has none that is known, and stays.
    ///   - rules: what is kept.
    ///   - now: the time here.
    /// - Throws: ``Failure`` with the code `usage` if there is no rule, `notFound` if there is no backup.
    public static func plan(
        for store: any Store, cluster: String?, node: String?, ofClass retentionClass: String? = nil,
        rules: RetentionRules, now: Date = Date()
    ) throws -> PrunePlan {
        guard !rules.areEmpty else {
            throw Failure(
                .usage, "there is no rule that says what is kept",
                hint: "with none everything but the newest \(rules.floor.count) would go", settings: [.retention])
        }
        let listing = try store.list(cluster: cluster, node: node)
        guard !listing.backups.isEmpty else {
            throw BackupReference.nothing(in: store, cluster: cluster, node: node)
                ?? Failure(.notFound, "there is no backup in \(quoted(store.name)) that can be relied on")
        }
        // What the files of other nodes need shows only where these are known too.
        let known = node == nil ? listing : try store.list(cluster: cluster)
        let retention = known.retention(by: rules, now: now) { backup in
            (node == nil || backup.scope.node == node)
                && (retentionClass == nil || backup.sidecar.retentionClass == retentionClass)
        }
        let place = PrunePlan.Place(
            store: store, cluster: cluster, node: node,
            abandonedBefore: retentionClass == nil ? now.addingTimeInterval(-graceSeconds) : nil)
        return PrunePlan(
            decisions: retention.decisions, cautions: retention.cautions, problems: listing.problems,
            abandoned: place.abandonedBefore.map { listing.abandoned(before: $0) } ?? [], place: place)
    }

    /// Checks that a plan could be carried out; changes nothing.
    ///
    /// - Throws: as ``run(_:)``, but for `locked`.
    public static func check(_ plan: PrunePlan) throws {
        try DeleteOperation.check(plan.removed.map { .whole($0.backup) }, in: plan.place.store)
    }

    /// Carries out a plan, and removes what interrupted runs have left and is nobody's any more.
    ///
    /// What is killed in the middle has removed a part, and is done again by the next run.
    ///
    /// - Returns: what was removed of such, for people.
    /// - Throws: ``Failure`` with the code `locked`, before anything is removed, while a backup is running in one of the
    ///   places; for any other error it names what was removed before.
    public static func run(_ plan: PrunePlan) throws -> [String] {
        let place = plan.place
        try DeleteOperation.run(plan.removed.map { .whole($0.backup) }, in: place.store)
        guard let abandonedBefore = place.abandonedBefore else { return [] }
        return try place.store.removeAbandoned(cluster: place.cluster, node: place.node, before: abandonedBefore)
    }
}
