import ArchiveStore
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// A member that a snapshot can be taken from, with its status.
struct Candidate: Sendable {
    var member: SnapshotCandidate
    var status: MemberStatus
    var endpoint: Endpoint { member.endpoint }
    var reason: String { member.reason }
}

/// The attempts of one backup, one candidate after the other, and what they share.
///
/// `@unchecked Sendable`: the writer, which is not, is used by one attempt at a time and by nobody else.
struct BackupAttempts: @unchecked Sendable {
    let plan: BackupPlan
    let observer: Observer
    private let writer: LocalStoreWriter
    private var client: Client
    private let previous: StoredBackup?
    private let members: [EtcdMemberRecord]
    private let alarms: [String]

    init(
        plan: BackupPlan, client: Client, observer: Observer, writer: LocalStoreWriter, previous: StoredBackup?
    ) async throws {
        self.plan = plan
        self.client = client
        self.observer = observer
        self.writer = writer
        self.previous = previous
        // Without a quorum too: then the last backup matters most.
        members = try await client.members(linearizable: false).members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
        do {
            alarms = try await client.alarms().map { "\($0.kind) of member \(hexadecimal($0.memberID))" }
        } catch let error as EtcdError {
            alarms = []
            observer.warn("the alarms are not known: \(error)")
        }
    }

    /// The same attempts over connections that receive little ahead.
    func heldBack() throws -> BackupAttempts {
        var attempts = self
        attempts.client = try client.with { $0.boundsReadAhead = true }
        return attempts
    }

    /// Fails early where the archive can't fit: by the last archive's ratio, or at a fifth of the database.
    func checkSpace(_ candidate: Candidate) throws {
        let databaseSize = Int(candidate.status.databaseByteCount)
        var expected = Double(databaseSize) / 5
        if let previous, let last = previous.sidecar.etcd.first, last.databaseSize > 0 {
            expected = Double(previous.sidecar.object.size) / Double(last.databaseSize) * Double(databaseSize)
        }
        let available = try writer.availableByteCount()
        guard Double(available) > expected else {
            throw Failure(
                .noSpace,
                "the archive will need about \(Int64(min(expected, 1e18))) bytes, \(quoted(plan.store.root)) has \(available) left",
                hint: "free some space there, or name another store with --store")
        }
    }

    /// Makes one archive of one candidate's snapshot; what was written is removed if that fails.
    func run(_ candidate: Candidate) async throws -> BackupReport {
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
                return try await fill(archive, file, candidate)
            } catch {
                // In this order: the archive's threads write to the file until they are stopped.
                archive.abandon()
                file.discard()
                throw error
            }
        }
    }

    private func fill(
        _ archive: ArchiveWriter, _ file: PendingFile, _ candidate: Candidate
    ) async throws -> BackupReport {
        var manifest = Manifest(archive: archive.header)
        try captureFiles(into: archive, &manifest)
        let snapshot = try await stream(candidate, into: archive)
        manifest.etcd = [snapshot.record]
        let comparison = plan.verification >= .consistent ? hashesOfMembers(snapshot, candidate) : nil
        defer { comparison?.cancel() }
        let (written, sealed) = try archive.finish(manifest)
        let hashes = try await comparison?.value ?? []
        let check = try verify(archive.reopen(file.reopen()), snapshot, against: hashes)
        try Task.checkCancellation()
        let sidecar = sidecar(written, sealed, check)
        try writer.publish(file, sidecar: sidecar)
        return BackupReport(
            reference: "\(plan.scope)/\(archive.header.id)", path: file.path, sidecar: sidecar,
            findings: written.findings + check.findings, skipped: written.skipped, durationSeconds: 0)
    }

    private func captureFiles(into archive: ArchiveWriter, _ manifest: inout Manifest) throws {
        let capture = FileCapture(into: archive, exclude: plan.selection.exclude, role: EntryRole.include)
        for path in plan.selection.include { try capture.capture(path) }
        manifest.findings = capture.report.findings
        manifest.skipped = capture.report.skipped
        for alarm in alarms {
            manifest.findings.append(
                Finding(
                    .warning, code: "etcd-alarm", subject: plan.etcd.name, message: "alarm \(alarm) is raised",
                    advice: "see `etcdctl alarm list`"))
        }
    }

    private func sidecar(
        _ manifest: Manifest, _ sealed: SealedArchiveSummary, _ check: SnapshotCheck
    ) -> Sidecar {
        var sidecar = Sidecar(
            manifest: manifest, sealed: sealed, recipients: Keys.records(plan.recipients), completedAt: Date(),
            sequence: (previous?.sidecar.sequence ?? 0) + 1,
            previousSidecarSHA256: previous.map { sha256($0.sidecarBytes).hexadecimal })
        sidecar.verification = check.level
        sidecar.etcd[0].hashKV = check.hashKV
        sidecar.checkFindings = check.findings
        sidecar.findingCount += check.findings.count
        return sidecar
    }

    // MARK: Snapshot

    private func stream(_ candidate: Candidate, into archive: ArchiveWriter) async throws -> StreamedSnapshot {
        let stream = try await client.snapshot(from: candidate.member)
        let fileByteCount = Int(stream.header.totalByteCount)
        let path = EtcdSnapshotRecord.path(name: plan.etcd.name)
        let metadata = EntryMetadata(path: path, byteCount: fileByteCount, time: archive.header.createdAt)
        try archive.begin(metadata, role: EntryRole.etcd, source: candidate.endpoint.description, isHashed: false)
        // The stream checks the trailer itself.
        let verifier = plan.verification >= .structural ? SnapshotVerifier(name: path, checksTrailer: false) : nil
        var doneByteCount = 0
        for try await block in stream {
            try block.withUnsafeBytes { bytes throws in
                try archive.write(bytes)
                try verifier?.consume(bytes)
            }
            doneByteCount += block.count
            observer.progress(
                Progress(phase: "etcd snapshot", doneByteCount: doneByteCount, totalByteCount: fileByteCount))
        }
        guard let summary = stream.summary else { preconditionFailure("a snapshot ended without being checked") }
        try archive.end(sha256: summary.fileSHA256)
        return try StreamedSnapshot(record: record(candidate, summary), verifier: verifier).examined(since: previous)
    }

    private func record(_ candidate: Candidate, _ summary: SnapshotSummary) -> EtcdSnapshotRecord {
        let status = candidate.status
        return EtcdSnapshotRecord(
            name: plan.etcd.name, endpoint: candidate.endpoint.description, reason: candidate.reason,
            clusterID: hexadecimal(status.clusterID), memberID: hexadecimal(status.memberID),
            serverVersion: status.version, storageVersion: summary.storageVersion, revisionAtStart: status.revision,
            raftTerm: status.raftTerm, databaseSize: Int(summary.databaseByteCount),
            databaseSHA256: summary.sha256.hexadecimal, members: members, alarms: alarms,
            verification: .streamed, durationSeconds: summary.duration.seconds)
    }

    /// Asks the members for their own hash at the snapshot's revision, while the archive is being finished.
    private func hashesOfMembers(
        _ snapshot: StreamedSnapshot, _ candidate: Candidate
    ) -> Task<[MemberHash], any Error>? {
        guard let revision = snapshot.record.revision else { return nil }
        let client = client
        return Task { try await MemberHash.ask(client, revision: revision, first: candidate) }
    }
}

/// An ID as etcdctl prints it.
func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
