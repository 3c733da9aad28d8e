import ArchiveStore
import SealedArchive

/// How long bringing this node's cluster back would take, and whether a drill has measured it.
struct RecoveryCheck {
    let scope: StoreScope
    let listing: StoreListing
    /// The backups of the cluster's other nodes, for a node that has none of its own: any of them brings the cluster back.
    let others: () -> [StoredBackup]

    /// - Returns: nil for a cluster without backups, of which there is nothing to bring back.
    func run(databaseByteCount: Int, fileByteCount: Int) -> DoctorReport.Check? {
        let own = listing.backups.filter { $0.scope == scope && !$0.isFlat }
        let backups = own.isEmpty ? others().filter { !$0.isFlat } : own
        func newest(_ backups: [StoredBackup]) -> StoredBackup? {
            backups.max { $0.sidecar.completedAt < $1.sidecar.completedAt }
        }
        let last = newest(backups.filter { !$0.sidecar.etcd.isEmpty }) ?? newest(backups)
        guard let last else { return nil }
        let size = databaseByteCount > 0 ? databaseByteCount : last.sidecar.etcd.map(\.databaseSize).max() ?? 0
        let drills = backups.compactMap(\.drill)
        let forecast = RebuildForecast(databaseByteCount: size, fileByteCount: fileByteCount, drills: drills)
        var check = DoctorReport.Check(
            name: "recovery", status: .ok,
            message: "about \(forecast.minutes) minutes for a database of \(size) bytes, by \(forecast.basis)")
        if own.isEmpty {
            let what = last.sidecar.etcd.isEmpty ? "" : " with a snapshot"
            check.message +=
                "; from \(last.reference), the newest backup of the cluster\(what): this node has none of its own"
        }
        guard let failed = drills.max(by: { $0.startedAt < $1.startedAt }), failed.hasFailed else { return check }
        check.status = .warning
        check.message += "; the drill of \(failed.archive.reference) failed"
        check.advice = "see its record: `etcd-snap list`, and make a drill of another backup"
        return check
    }
}
