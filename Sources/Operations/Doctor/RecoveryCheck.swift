import ArchiveStore
import SealedArchive

/// How long bringing this node's cluster back would take, and whether a drill has measured it.
struct RecoveryCheck {
    let scope: StoreScope
    let listing: StoreListing

    /// - Returns: nil for a node without backups, of which there is nothing to bring back.
    func run(databaseByteCount: Int, fileByteCount: Int) -> DoctorReport.Check? {
        let own = listing.backups.filter { $0.scope == scope && !$0.isFlat }
        guard !own.isEmpty else { return nil }
        let lastSize = own.last { !$0.sidecar.etcd.isEmpty }?.sidecar.etcd.map(\.databaseSize).max()
        let size = databaseByteCount > 0 ? databaseByteCount : lastSize ?? 0
        let drills = own.compactMap(\.drill)
        let forecast = RebuildForecast(databaseByteCount: size, fileByteCount: fileByteCount, drills: drills)
        var check = DoctorReport.Check(
            name: "recovery", status: .ok,
            message: "about \(forecast.minutes) minutes for a database of \(size) bytes, by \(forecast.basis)")
        guard let failed = drills.max(by: { $0.startedAt < $1.startedAt }), failed.hasFailed else { return check }
        check.status = .warning
        check.message += "; the drill of \(failed.archive.reference) failed"
        check.advice = "see its record: `etcd-snap list`, and make a drill of another backup"
        return check
    }
}
