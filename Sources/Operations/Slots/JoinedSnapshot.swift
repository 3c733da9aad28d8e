import Age
import ArchiveStore
import HostIO
import SealedArchive
import SystemPackage

/// A snapshot of another node's backup, open for the restore of files that were backed up without one.
///
/// Not safe for use by two threads at once.
struct JoinedSnapshot {
    /// The archive that it is in.
    let reader: ArchiveReader
    /// What the manifest there says of it.
    let record: EtcdSnapshotRecord
    /// The entry of its file.
    let entry: ManifestEntry
    /// The backup: `cluster/node/id`.
    let reference: String
    /// Which one it is and why it was taken.
    let note: String
    /// What speaks against it.
    let warnings: [String]

    /// Finds and opens the snapshot that belongs to an archive.
    ///
    /// - Parameters:
    ///   - archive: the archive with the files.
    ///   - files: the same, open.
    /// - Throws: ``Failure`` as ``SharedSnapshotSearch/find()``; what opening the archive with the snapshot throws.
    init(
        _ shared: SharedSnapshot, for archive: OpenedArchive, _ files: ArchiveReader, identities: [any Identity]
    ) throws {
        let header = try files.readManifest().archive
        let (backups, places) = try Self.backups(of: header.cluster, in: archive.stores)
        let search = SharedSnapshotSearch(shared: shared, files: header, backups: backups)
        let found = try search.find()
        let reference = found.backup.reference
        guard let store = places[reference] else { preconditionFailure("a backup is in no store") }
        reader = try OpenedArchive(found.backup, in: store).reader(identities)
        let manifest = try reader.readManifest()
        let record = try search.record(in: manifest, of: found)
        guard let entry = manifest.entries.first(where: { $0.path == record.path }) else {
            throw Failure(.integrity, "\(quoted(reference)) names \(quoted(record.path)) and does not hold it")
        }
        (self.record, self.entry, self.reference, note) = (record, entry, reference, found.note)
        warnings = found.warnings + (try SnapshotFit.problems(of: files, beside: reader))
    }

    /// The snapshots that an archive was made without and that others have.
    static func all(
        for archive: OpenedArchive, _ files: ArchiveReader, identities: [any Identity]
    ) throws -> [JoinedSnapshot] {
        let manifest = try files.readManifest()
        return try manifest.sharedSnapshotsElsewhere.map {
            try JoinedSnapshot($0, for: archive, files, identities: identities)
        }
    }

    /// Everything of a cluster in some stores, with where each backup is.
    ///
    /// - Throws: why the last of them can't be listed, if none can.
    private static func backups(
        of cluster: String, in stores: [any Store]
    ) throws -> ([StoredBackup], [String: any Store]) {
        var backups: [StoredBackup] = []
        var places: [String: any Store] = [:]
        var failure: (any Error)?
        var isListed = stores.isEmpty
        for store in stores {
            do {
                for backup in try store.list(cluster: cluster).backups where places[backup.reference] == nil {
                    places[backup.reference] = store
                    backups.append(backup)
                }
                isListed = true
            } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
                isListed = true
            } catch {
                failure = error
            }
        }
        if let failure, !isListed { throw failure }
        return (backups, places)
    }
}

extension Manifest {
    /// The etcds whose snapshots are in other backups, and not here besides.
    var sharedSnapshotsElsewhere: [SharedSnapshot] {
        (sharedSnapshots ?? []).filter { shared in !etcd.contains { $0.name == shared.name } }
    }
}
