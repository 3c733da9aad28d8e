import FoundationEssentials
import SealedArchive

/// What a backup takes itself, what it leaves to others, and what it still waits for.
struct SlotRound: Sendable {
    /// An etcd whose snapshot another node is to make, unless it does not in time.
    struct Waiting: Sendable {
        var target: EtcdTarget
        /// How many members are before this node's in the order.
        var place: Int
        /// How long the backup waits for them, in seconds.
        var seconds: Double
        /// When this node takes over.
        var end: ContinuousClock.Instant
    }

    /// The etcds that this node takes a snapshot of now.
    var taken: [EtcdTarget] = []
    /// Those whose snapshots are in the store.
    var shared: [SharedSnapshot] = []
    /// Those whose snapshots are not there yet.
    var waiting: [Waiting] = []
    /// The slot; nil where no snapshot is shared.
    var slot: SlotRecord?

    /// What the archive that is made now says of the etcds that it has no snapshot of.
    var sharedOrAwaited: [SharedSnapshot] {
        shared
            + waiting.map {
                SharedSnapshot(name: $0.target.name, clusterID: $0.target.clusterID, slot: slot?.number ?? 0)
            }
    }

    /// The round after an archive was made: what it has a snapshot of is shared.
    func after(_ report: BackupReport) -> SlotRound {
        var next = self
        next.taken = []
        next.shared += report.sidecar.etcd.map { summary in
            var shared = SharedSnapshot(
                name: summary.name, clusterID: summary.clusterID, slot: slot?.number ?? 0)
            shared.reference = report.reference
            shared.createdAt = report.sidecar.archive.createdAt
            shared.revision = summary.revision ?? summary.revisionAtStart
            shared.databaseSHA256 = summary.databaseSHA256
            return shared
        }
        return next
    }
}

extension SharedSnapshot {
    /// A snapshot that is in the store.
    init(_ seen: SeenSnapshot, of target: EtcdTarget) {
        self.init(name: target.name, clusterID: target.clusterID, slot: seen.slot)
        reference = seen.reference
        createdAt = seen.createdAt
        revision = seen.revision
        databaseSHA256 = seen.databaseSHA256
    }
}
