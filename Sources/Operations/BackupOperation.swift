import Age
import ArchiveStore
import EtcdSnap
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// What a backup is made of and where it goes.
public struct BackupPlan: Sendable {
    /// The place in the store.
    public var scope: StoreScope
    /// The store.
    public var store: LocalStore
    /// The etcd to snapshot.
    public var etcd: EtcdSource
    /// Whom the archive is sealed for.
    public var recipients: [any Recipient]
    /// The files to capture.
    public var selection: CaptureSelection
    /// How the archive is compressed.
    public var compression = CompressionOptions()

    /// A plan with the default compression.
    public init(
        scope: StoreScope, store: LocalStore, etcd: EtcdSource, recipients: [any Recipient], selection: CaptureSelection
    ) {
        self.scope = scope
        self.store = store
        self.etcd = etcd
        self.recipients = recipients
        self.selection = selection
    }
}

/// What a backup came to.
public struct BackupReport: Codable, Sendable {
    /// Which archive: `cluster/node/id`.
    public var reference: String
    /// The path of the archive.
    public var path: String
    /// The public description, as stored beside the archive.
    public var sidecar: Sidecar
    /// What needs attention.
    public var findings: [Finding]
    /// What was met and not taken.
    public var skipped: [SkippedPath]
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Takes a snapshot of etcd and files of this host into a new archive of a store.
public struct BackupOperation: Sendable {
    private let plan: BackupPlan
    private let observer: Observer
    private let client: Client

    /// A backup by a plan.
    ///
    /// - Throws: what is wrong with the TLS files, before anything is asked of a server.
    public init(_ plan: BackupPlan, observer: Observer = Observer()) throws {
        self.plan = plan
        self.observer = observer
        client = try Client(plan.etcd.client)
    }

    /// Asks the cluster and the store what a backup would do, changing nothing.
    ///
    /// - Returns: sentences for a person.
    public func dryRun() async throws -> [String] {
        let first = try await usableCandidates()[0]
        var lines = plan.etcd.discovered.map { "found \($0)" }
        lines.append("would take the snapshot from \(first.endpoint): \(first.reason)")
        lines.append("database: \(first.status.databaseByteCount) bytes at revision \(first.status.revision)")
        lines += plan.selection.include.map { "would capture \($0)" }
        lines.append("would seal for \(Keys.records(plan.recipients).map(\.fingerprint).joined(separator: ", "))")
        lines.append("would store in \(plan.store.root)/\(plan.scope)")
        return lines
    }

    /// Makes the backup.
    ///
    /// A snapshot that dies is taken again from the next candidate, into an archive begun anew: an age file key must
    /// never seal two contents.
    public func run() async throws -> BackupReport {
        let start = ContinuousClock.now
        for line in plan.etcd.discovered { observer.note("found \(line)") }
        let candidates = try await usableCandidates()
        let writer = try plan.store.writer(for: plan.scope)
        for name in writer.removedLeftovers { observer.warn("removed \(name), left over from an interrupted run") }
        let previous = try plan.store.list(cluster: plan.scope.cluster, node: plan.scope.node).latest(in: plan.scope)
        let context = try await BackupContext(
            plan: plan, client: client, observer: observer, writer: writer, previous: previous)
        var report = try await tryInTurn(candidates, context)
        report.durationSeconds = (ContinuousClock.now - start).seconds
        return report
    }

    /// The members that a snapshot can be taken from, the best first; at least one.
    private func usableCandidates() async throws -> [Candidate] {
        let all = try await client.snapshotCandidates()
        for rejected in all where !rejected.isUsable {
            observer.warn("no snapshot from \(rejected.endpoint): \(rejected.reason)")
        }
        let usable = all.compactMap { candidate in
            candidate.isUsable ? candidate.status.map { Candidate(member: candidate, status: $0) } : nil
        }
        if usable.isEmpty { throw noCandidate(all) }
        return usable
    }

    /// The reason of the one member, or of all.
    private func noCandidate(_ rejected: [SnapshotCandidate]) -> Failure {
        let errors = rejected.compactMap(\.error).map { Failure(wrapping: $0) }
        if let error = errors.first(where: { $0.code == .untrusted }) ?? errors.first { return error }
        return Failure(
            .failed, "no member can give a snapshot: \(rejected.map(\.reason).joined(separator: "; "))",
            hint: "see `etcdctl endpoint status` and `etcdctl alarm list`")
    }

    private func tryInTurn(_ candidates: [Candidate], _ context: BackupContext) async throws -> BackupReport {
        for (index, candidate) in candidates.enumerated() {
            observer.note("snapshot from \(candidate.endpoint): \(candidate.reason)")
            do {
                try context.checkSpace(candidate)
                return try await context.attempt(candidate)
            } catch let error as SnapshotError where error.isRetryableElsewhere && index + 1 < candidates.count {
                observer.warn("\(Failure(wrapping: error).message); trying the next endpoint")
            }
        }
        preconditionFailure("the last candidate returns or throws")
    }
}

/// A member that a snapshot can be taken from, with its status.
private struct Candidate {
    var member: SnapshotCandidate
    var status: MemberStatus
    var endpoint: Endpoint { member.endpoint }
    var reason: String { member.reason }
}

/// What all attempts of one backup share.
private struct BackupContext: @unchecked Sendable {
    // Used by one attempt at a time, and by nobody else.
    let writer: LocalStoreWriter
    let plan: BackupPlan
    let client: Client
    let observer: Observer
    let previous: StoredBackup?
    let members: [EtcdMemberRecord]
    let alarms: [String]

    init(
        plan: BackupPlan, client: Client, observer: Observer, writer: LocalStoreWriter, previous: StoredBackup?
    ) async throws {
        self.plan = plan
        self.client = client
        self.observer = observer
        self.writer = writer
        self.previous = previous
        members = try await client.members().members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
        alarms = try await client.alarms().map { "\($0.kind) of member \(hexadecimal($0.memberID))" }
    }

    /// Fails early where the archive can't fit: by the last archive's ratio, or at a fifth of the database.
    func checkSpace(_ candidate: Candidate) throws {
        let databaseSize = Int(candidate.status.databaseByteCount)
        var expected = databaseSize / 5
        if let previous, let last = previous.sidecar.etcd.first, last.databaseSize > 0 {
            expected = Int(Double(previous.sidecar.object.size) / Double(last.databaseSize) * Double(databaseSize))
        }
        let available = try writer.availableByteCount()
        guard available > expected else {
            throw Failure(
                .noSpace,
                "the archive will need about \(expected) bytes, \(quoted(plan.store.root)) has \(available) left",
                hint: "free some space there, or name another store with --store")
        }
    }

    func attempt(_ candidate: Candidate) async throws -> BackupReport {
        let createdAt = Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down))
        let header = ArchiveHeader(
            id: BackupID(time: createdAt), cluster: plan.scope.cluster, node: plan.scope.node, createdAt: createdAt)
        return try await withBlockingThread("etcd-snap.backup") {
            let file = try writer.begin(header.id)
            let archive = try ArchiveWriter(
                to: file, recipients: plan.recipients, header: header, options: plan.compression)
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
        let capture = FileCapture(into: archive, exclude: plan.selection.exclude, role: EntryRole.include)
        for path in plan.selection.include { try capture.capture(path) }
        manifest.findings = capture.report.findings
        manifest.skipped = capture.report.skipped
        for alarm in alarms {
            manifest.findings.append(
                Finding(
                    .warning, code: "etcd-alarm", subject: plan.etcd.name, message: "alarm \(alarm) is raised",
                    advice: "see `etcdctl alarm list`; a NOSPACE alarm comes along into a restored cluster"))
        }
        manifest.etcd = [try await stream(candidate, into: archive)]
        let (written, sealed) = try archive.finish(manifest)
        let sidecar = Sidecar(
            manifest: written, sealed: sealed, recipients: Keys.records(plan.recipients), completedAt: Date(),
            sequence: (previous?.sidecar.sequence ?? 0) + 1,
            previousSidecarSHA256: previous.map { sha256($0.sidecarBytes).hexadecimal })
        try Task.checkCancellation()
        try writer.publish(file, sidecar: sidecar)
        return BackupReport(
            reference: "\(plan.scope)/\(archive.header.id)", path: file.path, sidecar: sidecar,
            findings: written.findings, skipped: written.skipped, durationSeconds: 0)
    }

    private func stream(
        _ candidate: Candidate, into archive: ArchiveWriter
    ) async throws -> EtcdSnapshotRecord {
        let stream = try await client.snapshot(from: candidate.member)
        let fileByteCount = Int(stream.header.totalByteCount)
        let path = "\(ArchiveFormat.etcdPrefix)/\(plan.etcd.name).db"
        let metadata = EntryMetadata(path: path, byteCount: fileByteCount, time: archive.header.createdAt)
        try archive.begin(metadata, role: EntryRole.etcd, source: candidate.endpoint.description, isHashed: false)
        var doneByteCount = 0
        for try await block in stream {
            try block.withUnsafeBytes { try archive.write($0) }
            doneByteCount += block.count
            observer.progress(
                Progress(
                    phase: "etcd snapshot", doneByteCount: doneByteCount, totalByteCount: fileByteCount))
        }
        guard let summary = stream.summary else { preconditionFailure("a snapshot ended without being checked") }
        try archive.end(sha256: summary.fileSHA256)
        let status = candidate.status
        return EtcdSnapshotRecord(
            name: plan.etcd.name, endpoint: candidate.endpoint.description, reason: candidate.reason,
            clusterID: hexadecimal(status.clusterID), memberID: hexadecimal(status.memberID),
            serverVersion: status.version, storageVersion: summary.storageVersion, revisionAtStart: status.revision,
            raftTerm: status.raftTerm, databaseSize: Int(summary.databaseByteCount),
            databaseSHA256: summary.sha256.hexadecimal, members: members, alarms: alarms,
            verification: .streamed, durationSeconds: summary.duration.seconds)
    }
}

/// An ID as etcdctl prints it.
private func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
