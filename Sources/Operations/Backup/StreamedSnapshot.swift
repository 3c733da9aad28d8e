import ArchiveStore
import EncryptionAtRest
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import KubernetesObjects
import SealedArchive

/// A snapshot that has streamed into an archive, with what was found out on the way.
struct StreamedSnapshot {
    var record: EtcdSnapshotRecord
    /// What the member said of itself, over the connection that the snapshot came over.
    let source: MemberStatus
    /// That it may be old, if so.
    let ageFinding: Finding?
    /// What the manifest will say of the stored snapshot.
    let entry: ManifestEntry
    /// What has seen every page; nil when only the stream is checked.
    let verifier: SnapshotVerifier?
    /// The keys of the encryption at rest that values refer to; nil if that could not be told while it streamed.
    private(set) var encryptionKeys: EncryptionKeysInUse?
    /// The volumes of the cluster, of which there may be none; nil if that could not be told while it streamed.
    private(set) var volumes: VolumeInventory?
    /// What the database itself says; nil where ``verified`` is.
    private(set) var contents: SnapshotContents?
    /// The pages, verified; nil before that, and where some have to be read again.
    private(set) var verified: VerifiedSnapshot?

    init(record: EtcdSnapshotRecord, from opened: OpenedSnapshot, entry: ManifestEntry, verifier: SnapshotVerifier?) {
        self.record = record
        source = opened.status
        ageFinding = opened.ageFinding
        self.entry = entry
        self.verifier = verifier
    }

    /// Ends the structural check and puts what it found into the record.
    ///
    /// - Parameter previous: the backup before, for the rate at which the cluster writes.
    /// - Throws: ``StorageError`` if the snapshot is damaged.
    func examined(since previous: StoredBackup?) throws -> StreamedSnapshot {
        guard let verifier, let verified = try Self.finish(verifier) else { return self }
        var result = self
        result.verified = verified
        let contents = try verified.report.requireSound(trailer: .ignored)
        result.record.fill(contents, since: previous)
        result.encryptionKeys = contents.encryptionKeys
        result.volumes = contents.selectedRows.map { VolumeInventory($0) }
        result.contents = contents
        return result
    }

    /// Ends the verification; nil where pages have to be read again, which is done once the archive is finished.
    private static func finish(_ verifier: SnapshotVerifier) throws -> VerifiedSnapshot? {
        do {
            return try verifier.finishKeepingPages()
        } catch {
            guard case .needsRereading = error else { throw error }
            return nil
        }
    }

    /// The verified pages, with the stored bytes to read again what the stream alone did not tell.
    func verified(rereading bytes: any RandomAccessBytes) throws -> VerifiedSnapshot? {
        if let verified { return verified }
        guard let verifier else { return nil }
        return try verifier.finishKeepingPages(rereading: bytes)
    }
}

extension EtcdSnapshotRecord {
    /// Takes over what the database itself says.
    fileprivate mutating func fill(_ contents: SnapshotContents, since previous: StoredBackup?) {
        revision = contents.currentRevision
        compactRevision = contents.compactRevision
        hash = contents.hash
        hashKV = contents.hashKV?.hash
        totalKey = contents.totalRowCount
        verification = OpenValue(.structural)
        guard let previous, let last = previous.sidecar.etcd.first(where: { $0.name == name }),
            last.clusterID == clusterID, let lastRevision = last.revision, contents.currentRevision >= lastRevision
        else { return }
        let seconds = max(1, Date().timeIntervalSince(previous.sidecar.archive.createdAt))
        revisionsPerSecond = (Double(contents.currentRevision) - Double(lastRevision)) / seconds
    }
}

extension SnapshotContents {
    /// What could not be read of a snapshot's rows.
    ///
    /// Volumes that are encrypted at rest are a choice of the cluster's and no finding: the inventory counts them.
    ///
    /// - Parameter volumes: the inventory of ``selectedRows``.
    func unreadFindings(of name: String, volumes: VolumeInventory?) -> [Finding] {
        var findings: [Finding] = []
        if let volumes, !volumes.isComplete, volumes.encryptedCounts.isEmpty || !volumes.unreadableCounts.isEmpty {
            let unreadable = volumes.unreadableCounts.sorted { $0.key < $1.key }
                .map { "\($0.value) of kind \($0.key) could not be read" }
            findings.append(
                Finding(
                    .warning, code: "volumes-incomplete", subject: name,
                    message: "\(quoted(VolumeDocument.path)) lists only a part of the volumes: "
                        + (unreadable.isEmpty ? "there are too many" : unreadable.joined(separator: ", ")),
                    advice: "read the rest out of a restored cluster"))
        }
        if !store.unreadableRows.isEmpty {
            findings.append(
                Finding(
                    .warning, code: "rows-unreadable", subject: name,
                    message: "rows of the snapshot are not what etcd writes: "
                        + store.unreadableRows.joined(separator: ", "),
                    advice: "compare with `etcd-snap inspect status` of another member's snapshot"))
        }
        return findings
    }
}
