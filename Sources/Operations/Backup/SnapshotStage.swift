import ArchiveStore
import EncryptionAtRest
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// The stage that streams one etcd's snapshot into an archive.
struct SnapshotStage {
    /// Which of the backup's etcds it is.
    let index: Int
    let target: EtcdTarget
    /// Who must be able to read the values, with the keys that were captured.
    let readers: EncryptionReaders?
    let verification: VerificationLevel
    let previous: StoredBackup?
    let observer: Observer

    /// Streams the snapshot.
    ///
    /// - Throws: ``SourceError`` for what the etcd or its snapshot lacks, ``SinkError`` for what the archive can't take,
    ///   `CancellationError`.
    func stream(into archive: ArchiveWriter) async throws -> StreamedSnapshot {
        releaseUnusedCode()
        let opened = try await fromSource(index) { try await target.open(observer: observer) }
        let stream = try await fromSource(index) { try await opened.session.begin() }
        let fileByteCount = Int(stream.header.totalByteCount)
        let metadata = EntryMetadata(path: target.path, byteCount: fileByteCount, time: archive.header.createdAt)
        try toSink {
            try archive.begin(
                metadata, role: EntryRole.etcd, source: Array(opened.session.endpoint.description.utf8), isHashed: false
            )
        }
        // The stream checks the trailer itself.
        let verifier =
            verification >= .structural
            ? SnapshotVerifier(
                name: target.path, checksTrailer: false, selecting: .volumes, readBy: readers) : nil
        try await copy(stream, to: archive, verifier, fileByteCount)
        guard let summary = stream.summary else { preconditionFailure("a snapshot ended without being checked") }
        let entry = try toSink { try archive.end(sha256: summary.fileSHA256) }
        return try await fromSource(index) {
            try StreamedSnapshot(record: record(opened, summary), from: opened, entry: entry, verifier: verifier)
                .examined(since: previous)
        }
    }

    private func copy(
        _ stream: SnapshotStream, to archive: ArchiveWriter, _ verifier: SnapshotVerifier?, _ fileByteCount: Int
    ) async throws {
        var doneByteCount = 0
        var blocks = stream.makeAsyncIterator()
        while let block = try await fromSource(index, { try await blocks.next() }) {
            try toSink { try archive.write(block) }
            if let verifier { try await fromSource(index) { try block.withUnsafeBytes { try verifier.consume($0) } } }
            doneByteCount += block.count
            observer.progress(
                Progress(phase: "\(target.name) snapshot", doneByteCount: doneByteCount, totalByteCount: fileByteCount))
        }
    }

    private func record(_ opened: OpenedSnapshot, _ summary: SnapshotSummary) -> EtcdSnapshotRecord {
        let status = opened.status
        var record = EtcdSnapshotRecord(
            name: target.name, endpoint: opened.session.endpoint.description, reason: opened.reason,
            clusterID: hexadecimal(status.clusterID), memberID: hexadecimal(status.memberID),
            serverVersion: status.version, storageVersion: summary.storageVersion, revisionAtStart: status.revision,
            raftTerm: status.raftTerm, databaseSize: Int(summary.databaseByteCount),
            databaseSHA256: summary.sha256.hexadecimal, members: target.members, alarms: target.alarms ?? [],
            verification: .streamed, durationSeconds: summary.duration.seconds)
        record.alarmsKnown = target.alarms != nil
        if opened.ageFinding?.severity == Finding.Severity.error { record.mayBeOld = true }
        return record
    }
}
