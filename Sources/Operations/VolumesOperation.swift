import EtcdStorage
import HostIO
import KubernetesObjects

extension RowSelection {
    /// The rows that a volume inventory is made of.
    static var volumes: RowSelection {
        RowSelection(resources: VolumeInventory.resources, reduce: VolumeInventory.compact)
    }
}

extension VolumeInventory {
    /// The inventory of the rows that were kept while a snapshot was verified.
    init(_ selected: SelectedRows) {
        self.init(
            rows: selected.rows.map { (key: $0.key, value: $0.value) },
            isComplete: selected.isComplete && selected.omittedCount == 0)
    }

    /// Whether the store holds nothing of Kubernetes' volumes: it is some other etcd.
    var isEmpty: Bool {
        persistentVolumes.isEmpty && persistentVolumeClaims.isEmpty && storageClasses.isEmpty
            && volumeAttachments.isEmpty && csiDrivers.isEmpty && csiNodes.isEmpty && nodes.isEmpty
            && encryptedCounts.isEmpty && unreadableCounts.isEmpty
    }
}

/// Lists the volumes of a cluster out of an etcd snapshot.
public enum VolumesOperation {
    /// Verifies a snapshot and reads the volumes out of it; a file without the SHA-256 trailer is accepted.
    ///
    /// - Throws: ``StorageError`` for a snapshot that is damaged.
    public static func run(
        _ bytes: any RandomAccessBytes, observer: Observer = Observer()
    ) async throws -> VolumeInventory {
        try await withBlockingThread("etcd-snap.inspect") {
            try stoppable {
                let bytes = WatchedBytes(bytes, phase: "inspect", observer: observer)
                let snapshot = try SnapshotStatus.verify(bytes, checksTrailer: false, selecting: .volumes)
                let contents = try snapshot.report.requireSound(trailer: .ignored)
                guard let selected = contents.selectedRows else { preconditionFailure("rows were selected") }
                return VolumeInventory(selected)
            }
        }
    }
}
