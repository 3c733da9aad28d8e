import ArchiveStore
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// One attempt at a backup: one archive, one candidate of each etcd.
///
/// `@unchecked Sendable`: the writer, which is not, is used by one attempt at a time and by nobody else.
struct BackupAttempt: @unchecked Sendable {
    /// What an attempt came to.
    enum Outcome: Sendable {
        case done(BackupReport)
        case again(BackupAttempt)
    }

    var plan: BackupPlan
    let observer: Observer
    let writer: LocalStoreWriter
    let previous: StoredBackup?
    /// The number of the new backup and the sidecar before it, and what does not hold among those before.
    let chain: (link: ChainLink, findings: [Finding])
    /// Etcds that no snapshot is taken of.
    var unreachable: [Finding]
    var targets: [EtcdTarget]
    /// Whether keys that change during this attempt are taken as they are, and that is said.
    var acceptsChangedKeys = false

    /// Makes the archive, or says what to try next.
    func run() async throws -> Outcome {
        for target in targets {
            observer.note("snapshot from \(target.candidate.endpoint): \(target.candidate.reason)")
        }
        try checkSpace()
        do {
            return .done(try await make())
        } catch let failure as TargetFailure {
            return .again(try after(failure))
        } catch let change as KeysChanged {
            observer.warn("\(change.description); beginning again")
            var again = self
            again.acceptsChangedKeys = true
            // A rotation may bring files of other names.
            again.plan.node = plan.node.rediscovered()
            return .again(again)
        }
    }

    /// The attempt with another member of the etcd that failed, or without that etcd if nobody asked for it.
    private func after(_ failure: TargetFailure) throws -> BackupAttempt {
        let target = targets[failure.index]
        var again = self
        if let next = target.retrying(after: failure.error, observer: observer) {
            again.targets[failure.index] = next
            return again
        }
        guard !target.source.isRequired, !(failure.error is CancellationError) else { throw failure.error }
        again.targets.remove(at: failure.index)
        again.unreachable.append(target.source.unreachable(for: failure.error))
        observer.warn("\(target.name): \(Failure(wrapping: failure.error).message); beginning again without it")
        return again
    }

    /// Fails early where the archive can't fit: by the last archive's ratio, or at a fifth of the databases.
    private func checkSpace() throws {
        let databaseSize = targets.reduce(0) { $0 + Int($1.candidate.status.databaseByteCount) }
        let expected = expectedArchiveByteCount(databaseSize, after: previous)
        let available = try writer.availableByteCount()
        guard available > expected else {
            throw Failure(
                .noSpace,
                "the archive will need about \(expected) bytes, \(quoted(plan.store.root)) has \(available) left",
                hint: "free some space there, or name another store", settings: [.store])
        }
    }

    /// Makes one archive; what was written is removed if that fails.
    private func make() async throws -> BackupReport {
        let createdAt = Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down))
        let header = ArchiveHeader(
            id: BackupID(time: createdAt), cluster: plan.scope.cluster, node: plan.scope.node, createdAt: createdAt)
        return try await withBlockingThread("etcd-snap.backup") {
            let file = try writer.begin(header.id)
            let archive: ArchiveWriter
            do {
                archive = try ArchiveWriter(
                    to: file, recipients: plan.recipients, header: header, options: plan.compression)
            } catch {
                file.discard()
                throw error
            }
            do {
                return try await fill(archive, file)
            } catch {
                // In this order: the archive's threads write to the file until they are stopped.
                archive.abandon()
                file.discard()
                throw error
            }
        }
    }

    private func fill(_ archive: ArchiveWriter, _ file: PendingFile) async throws -> BackupReport {
        var manifest = Manifest(
            archive: archive.header, sequence: chain.link.sequence,
            previousSidecarSHA256: chain.link.previousSidecarSHA256)
        manifest.findings = chain.findings + unreachable + targets.flatMap(\.alarmFindings)
        if plan.etcds.isEmpty { manifest.findings += [plan.node.datastoreFinding].compactMap(\.self) }
        let node = NodeCapture(plan.node, observer: observer)
        let epoch = try node.epoch()
        try node.capture(into: archive, &manifest)
        var snapshots: [StreamedSnapshot] = []
        for index in targets.indices {
            let snapshot: StreamedSnapshot = try await attributing(to: index) {
                try await stream(targets[index], into: archive)
            }
            snapshots.append(snapshot)
        }
        manifest.etcd = snapshots.map(\.record)
        try compareKeys(epoch, try node.epoch(), &manifest)
        try node.complete(archive, snapshots, &manifest)
        let comparisons = snapshots.indices.map { compare(snapshots[$0], targets[$0]) }
        defer { comparisons.forEach { $0?.cancel() } }
        let sealed = try archive.finish(manifest)
        let reader = try archive.reopen(file.reopen())
        var checks: [SnapshotCheck] = []
        for (index, snapshot) in snapshots.enumerated() {
            let result = try await attributing(to: index) {
                try await check(reader, snapshot, of: targets[index], comparison: comparisons[index])
            }
            checks.append(result)
        }
        try checkStored(reader, &checks)
        try Task.checkCancellation()
        let sidecar = sidecar(manifest, sealed, checks)
        // A server may claim numbers that no reader takes; a backup that can't be listed is none.
        _ = try Sidecar.decode(DocumentCoding.encode(sidecar), name: archive.header.id.description)
        try writer.publish(file, sidecar: sidecar)
        return BackupReport(
            reference: "\(plan.scope)/\(archive.header.id)", path: file.path, sidecar: sidecar,
            findings: manifest.findings + sidecar.checkFindings, skipped: manifest.skipped, durationSeconds: 0)
    }

    /// Notes which etcd an error is about, for another of its members may do better.
    private func attributing<Result>(to index: Int, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch {
            throw TargetFailure(index: index, error: error)
        }
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

    private func sidecar(_ manifest: Manifest, _ sealed: SealedArchiveSummary, _ checks: [SnapshotCheck]) -> Sidecar {
        var sidecar = Sidecar(
            manifest: manifest, sealed: sealed, recipients: Keys.records(plan.recipients, labels: plan.recipientLabels),
            completedAt: Date(),
            sequence: manifest.sequence ?? 1, previousSidecarSHA256: manifest.previousSidecarSHA256)
        sidecar.verification = OpenValue(checks.map(\.level).min() ?? .streamed)
        for (index, check) in checks.enumerated() { check.fill(&sidecar.etcd[index]) }
        sidecar.checkFindings = checks.flatMap(\.findings)
        sidecar.findingCount += sidecar.checkFindings.count
        return sidecar
    }

    // MARK: Snapshot

    private func stream(_ target: EtcdTarget, into archive: ArchiveWriter) async throws -> StreamedSnapshot {
        releaseUnusedCode()
        let stream = try await target.client.snapshot(from: target.candidate.member)
        let fileByteCount = Int(stream.header.totalByteCount)
        let metadata = EntryMetadata(path: target.path, byteCount: fileByteCount, time: archive.header.createdAt)
        try archive.begin(
            metadata, role: EntryRole.etcd, source: Array(target.candidate.endpoint.description.utf8), isHashed: false)
        // The stream checks the trailer itself.
        let verifier =
            plan.verification >= .structural
            ? SnapshotVerifier(name: target.path, checksTrailer: false, selecting: .volumes) : nil
        var doneByteCount = 0
        for try await block in stream {
            try archive.write(block)
            try block.withUnsafeBytes { try verifier?.consume($0) }
            doneByteCount += block.count
            observer.progress(
                Progress(phase: "\(target.name) snapshot", doneByteCount: doneByteCount, totalByteCount: fileByteCount))
        }
        guard let summary = stream.summary else { preconditionFailure("a snapshot ended without being checked") }
        let entry = try archive.end(sha256: summary.fileSHA256)
        return try StreamedSnapshot(record: record(target, summary), entry: entry, verifier: verifier)
            .examined(since: previous)
    }

    private func record(_ target: EtcdTarget, _ summary: SnapshotSummary) -> EtcdSnapshotRecord {
        let status = target.candidate.status
        return EtcdSnapshotRecord(
            name: target.name, endpoint: target.candidate.endpoint.description, reason: target.candidate.reason,
            clusterID: hexadecimal(status.clusterID), memberID: hexadecimal(status.memberID),
            serverVersion: status.version, storageVersion: summary.storageVersion, revisionAtStart: status.revision,
            raftTerm: status.raftTerm, databaseSize: Int(summary.databaseByteCount),
            databaseSHA256: summary.sha256.hexadecimal, members: target.members, alarms: target.alarms,
            verification: .streamed, durationSeconds: summary.duration.seconds)
    }

    /// Asks the members for their own hash at the snapshot's revision, while the archive is being finished.
    private func compare(_ snapshot: StreamedSnapshot, _ target: EtcdTarget) -> Task<[MemberHash], any Error>? {
        guard plan.verification >= .consistent, let revision = snapshot.record.revision else { return nil }
        let compactRevision = snapshot.record.compactRevision ?? -1
        return Task {
            try await MemberHash.ask(target, revision: revision, compactRevision: compactRevision)
        }
    }
}

/// An error that is about one etcd of a backup.
private struct TargetFailure: Error {
    var index: Int
    var error: any Error
}

/// Keys that were replaced while the backup ran.
private struct KeysChanged: Error, CustomStringConvertible {
    var paths: [String]

    var description: String {
        "\(paths.map(quoted).joined(separator: ", ")) changed while the snapshot was taken"
    }
}
