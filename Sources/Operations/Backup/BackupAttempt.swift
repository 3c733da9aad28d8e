import ArchiveStore
import EtcdSnap
import EtcdStorage
import HostIO
import PKIBackup
import SealedArchive

/// One attempt at a backup: one archive, one candidate of each etcd.
///
/// Its stages are the files, the snapshots, the analysis, the verification and the publication.
struct BackupAttempt: Sendable {
    var plan: BackupPlan
    var publisher: BackupPublisher
    let recorder: RunRecorder
    let observer: Observer
    /// Etcds that no snapshot is taken of.
    var unreachable: [Finding]
    var targets: [EtcdTarget]
    /// The slot, and whose snapshots are others', where snapshots are shared.
    let round: SlotRound
    /// Whether keys that change during this attempt are taken as they are, and that is said.
    var acceptsChangedKeys = false

    /// Makes and publishes the archive; what was written is removed if that fails.
    ///
    /// - Throws: ``SourceError``, ``SinkError`` or ``KeysChanged``, by which it is decided what is tried next; other errors
    ///   are final.
    func run() async throws -> BackupReport {
        for target in targets {
            observer.note("snapshot from \(target.candidate.endpoint): \(target.candidate.reason)")
        }
        try toSink { try publisher.checkSpace(targets) }
        let header = publisher.header()
        return try await withBlockingThread("etcd-snap.backup") {
            let file = try toSink { try publisher.writer.begin(header.id) }
            let archive: ArchiveWriter
            do {
                archive = try toSink {
                    try ArchiveWriter(
                        to: file, recipients: plan.recipients, header: header, options: plan.compression)
                }
            } catch {
                file.discard()
                throw error
            }
            let interruption = file.interruption
            do {
                return try await withTaskCancellationHandler {
                    try await fill(archive, file)
                } onCancel: {
                    interruption?()
                }
            } catch {
                // In this order: the archive's threads write to the file until they are stopped.
                archive.abandon()
                file.discard()
                throw error
            }
        }
    }

    private func fill(_ archive: ArchiveWriter, _ file: any PendingArchive) async throws -> BackupReport {
        var manifest = publisher.manifest(archive.header)
        manifest.retentionClass = plan.retentionClass
        manifest.slot = round.slot
        manifest.sharedSnapshots = round.sharedOrAwaited.isEmpty ? nil : round.sharedOrAwaited
        manifest.findings = publisher.storeFindings + unreachable + targets.flatMap(\.clusterFindings)
        if !plan.isOfFilesAlone { manifest.findings += [plan.node.datastoreFinding].compactMap(\.self) }
        let node = NodeCapture(plan.node, observer: observer)
        let epoch = try node.epoch()
        try await recorder.timing("files") { try toSink { try node.capture(into: archive, &manifest) } }
        let inventory = node.inventory()
        let snapshots = try await stream(into: archive, node.encryption(inventory))
        manifest.etcd = snapshots.map(\.record)
        manifest.findings += snapshots.compactMap(\.ageFinding)
        try compareKeys(epoch, try node.epoch(), &manifest)
        try await recorder.timing("analysis") {
            try toSink { try node.complete(archive, inventory, snapshots, &manifest) }
        }
        manifest.findings = plan.node.judged(manifest.findings)
        manifest.run = record(of: snapshots)
        return try await finish(archive, file, manifest, snapshots)
    }

    private func stream(
        into archive: ArchiveWriter, _ encryption: NodeEncryption
    ) async throws -> [StreamedSnapshot] {
        var snapshots: [StreamedSnapshot] = []
        for (index, target) in targets.enumerated() {
            let stage = SnapshotStage(
                index: index, target: target, readers: encryption.readers(ofEtcd: target.name),
                verification: plan.verification,
                previous: target.previous ?? publisher.previous,
                observer: observer)
            var snapshot = try await recorder.timing("snapshot \(target.name)") {
                try await stage.stream(into: archive)
            }
            snapshot.record.dataDirectory = plan.node.dataDirectory(of: target.name)
            snapshots.append(snapshot)
        }
        return snapshots
    }

    /// Seals the archive, checks what was stored and publishes it.
    private func finish(
        _ archive: ArchiveWriter, _ file: any PendingArchive, _ manifest: Manifest, _ snapshots: [StreamedSnapshot]
    ) async throws -> BackupReport {
        let verifier = BackupVerifier(level: plan.verification, observer: observer)
        let comparisons = snapshots.indices.map { verifier.beginComparison(snapshots[$0], targets[$0]) }
        defer { comparisons.forEach { $0?.cancel() } }
        let sealed = try toSink { try archive.finish(manifest) }
        // Before anything is read: an upload ends here, and says whether it is whole.
        let bytes = try toSink { try file.stored() }
        let stored = StoredArchive { try archive.reopen(bytes) }
        var checks: [SnapshotCheck] = []
        for (index, snapshot) in snapshots.enumerated() {
            checks.append(
                try await verifier.check(
                    stored, snapshot, of: targets[index], index: index, comparison: comparisons[index]))
        }
        let unread = try verifier.checkStored(stored, &checks)
        try Task.checkCancellation()
        var report = try toSink { try publisher.publish(file, manifest, sealed, checks, unread) }
        report.findings += plan.node.judged(publisher.store.lockFindings(of: manifest.archive, observer: observer))
        return report
    }

    /// Keys that changed between the files and the snapshot may not open it: once the whole attempt is repeated.
    private func compareKeys(_ before: CaptureEpoch, _ after: CaptureEpoch, _ manifest: inout Manifest) throws {
        let changed = before.changes(to: after)
        guard !changed.isEmpty else { return }
        guard acceptsChangedKeys else { throw KeysChanged(paths: changed) }
        manifest.findings += changed.map {
            Finding(
                .error, code: "keys-changed", subject: $0,
                message: "it changed between the capture of the files and the end of the etcd snapshot, twice",
                advice: "keys and snapshot may not belong together: back up again when the rotation is over")
        }
    }

    /// How the run went until now.
    private func record(of snapshots: [StreamedSnapshot]) -> RunRecord {
        var record = recorder.current
        record.members = zip(targets, snapshots).flatMap { target, snapshot in
            target.survey.records(of: target.name, source: snapshot.source)
        }
        return record
    }
}
