import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// Finds the backup that has the snapshot of an etcd which another backup was made without.
///
/// The recorded one is taken if it is there. Else it is one of the same slot, or the newest that is no newer than the files:
/// keys that a snapshot needs are made before values are encrypted with them, so that files may lack those of a newer one.
struct SharedSnapshotSearch {
    /// What is looked for.
    let shared: SharedSnapshot
    /// The archive that was made without it.
    let files: ArchiveHeader
    /// Everything of the cluster in the stores that are looked into.
    let backups: [StoredBackup]

    /// A backup with the snapshot.
    struct Found {
        var backup: StoredBackup
        /// Which one it is and why it was taken.
        var note: String
        /// What speaks against it.
        var warnings: [String] = []
    }

    /// The backup to take.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if the recorded backup has another snapshot than it had, `notFound` if
    ///   there is none.
    func find() throws(Failure) -> Found {
        if let recorded = backups.first(where: { $0.reference == shared.reference }) { return try checked(recorded) }
        let usable = backups.filter { backup in
            !backup.sidecar.hasFailed && !backup.isFromTheFuture
                && backup.sidecar.etcd.contains { $0.clusterID == shared.clusterID && $0.mayBeOld != true }
        }
        let warnings = shared.reference.map {
            ["the snapshot of \(quoted(shared.name)) that \(files.reference) was made with, in \($0), is not there"]
        }
        let ofSlot = usable.filter { $0.sidecar.slot?.number == shared.slot }
        if let newest = Self.newest(ofSlot) {
            return Found(
                backup: newest, note: note(newest, "it is of the slot of the files"), warnings: warnings ?? [])
        }
        let latest = files.createdAt.addingTimeInterval(SlotClock.toleranceSeconds)
        if let newest = Self.newest(usable.filter { $0.sidecar.archive.createdAt <= latest }) {
            return Found(
                backup: newest, note: note(newest, "it is the newest that is no newer than the files"),
                warnings: warnings ?? [])
        }
        throw notFound(usable)
    }

    private static func newest(_ backups: [StoredBackup]) -> StoredBackup? {
        backups.max { $0.isOlder(than: $1) }
    }

    /// The recorded backup, if it still has what was seen in it.
    private func checked(_ backup: StoredBackup) throws(Failure) -> Found {
        guard let summary = backup.sidecar.etcd.first(where: { $0.clusterID == shared.clusterID }) else {
            let found = backup.sidecar.etcd.map(\.clusterID).joined(separator: ", ")
            throw Failure(
                .integrity,
                "\(quoted(backup.reference)) has no snapshot of the etcd cluster \(shared.clusterID), which "
                    + "\(quoted(files.reference)) was made with"
                    + (found.isEmpty ? "" : ", but of \(found)"),
                hint: "it was replaced: compare it with another copy of the store")
        }
        try check(summary.databaseSHA256, of: backup.reference)
        return Found(backup: backup, note: note(backup, "it is the one that the files were made with"))
    }

    /// Checks that a database is the recorded one.
    private func check(_ databaseSHA256: String, of reference: String) throws(Failure) {
        guard let recorded = shared.databaseSHA256, recorded != databaseSHA256 else { return }
        throw Failure(
            .integrity,
            "\(quoted(reference)) has another snapshot than \(quoted(files.reference)) was made with: the sha256 of its "
                + "database is \(databaseSHA256.prefix(16))… and not \(recorded.prefix(16))…",
            hint: "it was replaced: compare it with another copy of the store")
    }

    private func note(_ backup: StoredBackup, _ why: String) -> String {
        "the snapshot of \(shared.name) is taken from \(backup.reference): \(why)"
    }

    private func notFound(_ usable: [StoredBackup]) -> Failure {
        let next = usable.min { $0.isOlder(than: $1) }
        let hint =
            next.map {
                "the next one is \($0.reference), which is newer than the files: they may lack keys that it needs; name it "
                    + "to restore etcd from it"
            } ?? "name the store that has it, or restore the files alone"
        return Failure(
            .notFound,
            "\(quoted(files.reference)) was taken of files only, and the snapshot of \(quoted(shared.name)) by "
                + "\(shared.place) is not there, nor an earlier one of the etcd cluster \(shared.clusterID)",
            hint: hint, settings: [.store, .restoreSelection])
    }

    /// The snapshot's record in the manifest of the backup that was found.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if what is sealed there is of another cluster, or another snapshot.
    func record(in manifest: Manifest, of found: Found) throws(Failure) -> EtcdSnapshotRecord {
        guard let record = manifest.etcd.first(where: { $0.clusterID == shared.clusterID }) else {
            throw Failure(
                .integrity,
                "\(quoted(found.backup.reference)) has no snapshot of the etcd cluster \(shared.clusterID) sealed in it",
                hint: "its sidecar says so: compare it with another copy of the store")
        }
        if found.backup.reference == shared.reference { try check(record.databaseSHA256, of: found.backup.reference) }
        return record
    }
}
