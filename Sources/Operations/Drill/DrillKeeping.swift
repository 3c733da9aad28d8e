import ArchiveStore
import HostIO
import SealedArchive

/// Keeps records of drills beside their archives.
public enum DrillKeeping {
    /// As long as a backup of the node may publish.
    private static let patienceSeconds = 120

    /// Writes the record and its page into the store, in the place of those of drills before.
    ///
    /// - Throws: what writing there throws; ``Failure`` with the code `locked` while another run writes there for long.
    public static func keep(
        _ record: DrillRecord, of backup: StoredBackup, in store: any Store, observer: Observer
    ) async throws {
        guard !backup.isFlat else {
            throw Failure(
                .failed, "\(quoted(backup.reference)) lies in a directory of archives, which is only read",
                hint: "drill it in its store")
        }
        try await withBlockingThread("etcd-snap.drill.record") {
            let writer = try NamedStore(store).writer(
                for: backup.scope, waitingSeconds: patienceSeconds, observer: observer)
            try writer.keep(DrillDocument(record, page: DrillPage.bytes(record)), of: backup)
        }
    }
}
