import ArchiveStore
import FoundationEssentials
import SealedArchive

/// A snapshot of an etcd cluster that a backup in the store has, whichever node made it.
struct SeenSnapshot: Sendable, Equatable {
    /// The backup: `cluster/node/id`.
    var reference: String
    /// The name of the node that made it.
    var node: String
    /// When that backup began, or was at the latest begun by what its node has made since.
    var createdAt: Date
    /// The number of that backup among those of its node.
    var sequence = 0
    /// The number of the slot that it was made for.
    var slot: Int
    /// How long that backup took, in seconds.
    var durationSeconds = 0.0
    /// The revision of the snapshot.
    var revision: Int64?
    /// SHA-256 of its database in hexadecimal.
    var databaseSHA256: String?
}

extension SeenSnapshot: Comparable {
    /// By their times, which are whole seconds, then by their numbers.
    static func < (one: SeenSnapshot, other: SeenSnapshot) -> Bool {
        (one.createdAt, one.sequence, one.reference) < (other.createdAt, other.sequence, other.reference)
    }
}

extension StoreListing {
    /// The snapshots of an etcd cluster that can be relied on: those whose checks did not fail, of members that kept up.
    ///
    /// What lies flat in a directory was copied there, and is no sign that anybody makes backups.
    func snapshots(ofEtcd clusterID: String, in cluster: String, _ clock: SlotClock) -> [SeenSnapshot] {
        let own = backups.filter { $0.scope.cluster == cluster && !$0.isFlat }
        let times = Self.times(own)
        return zip(own, times).compactMap { backup, time in
            let sidecar = backup.sidecar
            guard !sidecar.hasFailed,
                let summary = sidecar.etcd.first(where: { $0.clusterID == clusterID && $0.mayBeOld != true })
            else { return nil }
            var seen = SeenSnapshot(
                reference: backup.reference, node: backup.scope.node, createdAt: time,
                slot: sidecar.slot(at: time, clock))
            seen.sequence = sidecar.sequence
            seen.durationSeconds = max(0, sidecar.completedAt.timeIntervalSince(sidecar.archive.createdAt))
            seen.revision = summary.revision ?? summary.revisionAtStart
            seen.databaseSHA256 = summary.databaseSHA256
            return seen
        }
    }

    /// Whether another node has stored something that belongs to an etcd cluster: a snapshot, or files beside one.
    func hasOtherNodes(than scope: StoreScope, ofEtcd clusterID: String) -> Bool {
        backups.contains { backup in
            backup.scope.cluster == scope.cluster && backup.scope.node != scope.node && !backup.isFlat
                && (backup.sidecar.etcd.contains { $0.clusterID == clusterID }
                    || backup.sidecar.sharedSnapshots?.contains { $0.clusterID == clusterID } == true)
        }
    }

    /// When backups began: no later than what their nodes made after them, whatever the clock said then.
    private static func times(_ backups: [StoredBackup]) -> [Date] {
        var times = backups.map(\.sidecar.archive.createdAt)
        let latestFirst = backups.indices.sorted { backups[$0].sidecar.sequence > backups[$1].sidecar.sequence }
        var earliest: [StoreScope: Date] = [:]
        for index in latestFirst {
            let scope = backups[index].scope
            times[index] = min(times[index], earliest[scope] ?? times[index])
            earliest[scope] = times[index]
        }
        return times
    }
}

extension Sidecar {
    /// Whether a check of the sealed archive found something that speaks against it.
    var hasFailed: Bool { checkFindings.contains { $0.severity == Finding.Severity.error } }

    /// The slot that it was made for: the recorded one if it is of this length, unless the time tells that the clock was wrong.
    fileprivate func slot(at time: Date, _ clock: SlotClock) -> Int {
        guard let slot, slot.lengthMinutes == clock.lengthMinutes, time == archive.createdAt else {
            return clock.slot(at: time)
        }
        // A backup may begin after the slot that it is for, when it waited for another node.
        return min(slot.number, clock.slot(at: time))
    }
}
