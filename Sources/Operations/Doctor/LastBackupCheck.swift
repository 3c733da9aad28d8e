import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// Whether the last backup of a node is new enough, and has the snapshots that it should.
struct LastBackupCheck {
    let scope: StoreScope
    let listing: StoreListing
    /// The names of the etcds that the next backup would take; nil if they are not known.
    let etcds: [String]?

    /// After how long a daily backup is missed, in hours.
    private static let expectedHours = 48

    func run() -> DoctorReport.Check {
        guard let last = listing.latest(in: scope) else {
            return .init(
                name: "last backup", status: .warning, message: "there is none of \(scope)",
                advice: "make one with `etcd-snap backup`")
        }
        var check = DoctorReport.Check(
            name: "last backup", status: .ok,
            message: "\(last.reference), \(age(last)), verified: \(last.sidecar.verification.rawValue), "
                + "\(last.sidecar.findingCount) findings")
        if hours(last) >= Self.expectedHours {
            check.status = .warning
            check.advice = "see `systemctl status etcd-snap-backup` for why there is no newer one"
        }
        let shared = last.sidecar.sharedSnapshots ?? []
        for snapshot in shared {
            check.message += "; files only; snapshot of \(quoted(snapshot.name)) by \(snapshot.place)"
        }
        for name in missingSnapshots(last) where !shared.contains(where: { $0.name == name }) { note(name, in: &check) }
        return check
    }

    /// The snapshots that the last backup lacks: none at all is the lack of each; of several the lack of one that an earlier
    /// backup has, for people give them names.
    private func missingSnapshots(_ last: StoredBackup) -> [String] {
        let taken = Set(last.sidecar.etcd.map(\.name))
        let before = Set(own.flatMap { $0.sidecar.etcd.map(\.name) })
        guard !taken.isEmpty else {
            if before.isEmpty { return etcds ?? [] }
            return etcds?.isEmpty == true ? [] : before.sorted()
        }
        return before.subtracting(taken).filter { etcds?.contains($0) == true }.sorted()
    }

    private func note(_ name: String, in check: inout DoctorReport.Check) {
        check.message += "; it has no snapshot of \(quoted(name))"
        guard let newest = own.last(where: { $0.sidecar.etcd.contains { $0.name == name } }) else {
            check.message += ", and neither has any other"
            check.status = .warning
            check.advice = "make a backup with it: `etcd-snap backup`"
            return
        }
        check.message += ", the newest that has one is \(newest.reference), \(age(newest))"
        guard hours(newest) >= Self.expectedHours else { return }
        check.status = .warning
        check.advice = "make a backup with it: `etcd-snap backup`, without what leaves etcd out"
    }

    /// The backups of the node in their order.
    private var own: [StoredBackup] { listing.backups.filter { $0.scope == scope && !$0.isFlat } }

    private func minutes(_ backup: StoredBackup) -> Int {
        Int(Date().timeIntervalSince(backup.sidecar.completedAt) / 60)
    }

    private func hours(_ backup: StoredBackup) -> Int { minutes(backup) / 60 }

    private func age(_ backup: StoredBackup) -> String {
        hours(backup) < 2 ? "\(minutes(backup)) minutes ago" : "\(hours(backup)) hours ago"
    }
}
