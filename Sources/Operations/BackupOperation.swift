import Age
import ArchiveStore
import EtcdSnap
import EtcdStorage
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
    /// How far the backup is verified before it is published.
    public var verification = VerificationLevel.structural

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
        let attempts = try await BackupAttempts(
            plan: plan, client: client, observer: observer, writer: writer, previous: previous)
        var report = try await tryInTurn(candidates, attempts)
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

    /// Makes an attempt, and a second one with the server held back if it ran away from this host.
    private func run(_ candidate: Candidate, _ attempts: BackupAttempts) async throws -> BackupReport {
        do {
            return try await attempts.run(candidate)
        } catch let error as SnapshotError {
            guard case .outrun = error else { throw error }
            observer.warn("\(Failure(wrapping: error).message); beginning again, slower")
            return try await attempts.heldBack().run(candidate)
        }
    }

    /// Whether another member could give what this one did not: it died, or what it gave is damaged.
    private static func mayWorkElsewhere(_ error: any Error) -> Bool {
        switch error {
        case let error as SnapshotError: error.isRetryableElsewhere
        case let error as EtcdError: error.isRetryableElsewhere
        case is StorageError, is DivergedMember: true
        default: false
        }
    }

    private func tryInTurn(_ candidates: [Candidate], _ attempts: BackupAttempts) async throws -> BackupReport {
        for (index, candidate) in candidates.enumerated() {
            observer.note("snapshot from \(candidate.endpoint): \(candidate.reason)")
            do {
                try attempts.checkSpace(candidate)
                return try await run(candidate, attempts)
            } catch let error where index + 1 < candidates.count && Self.mayWorkElsewhere(error) {
                observer.warn("\(Failure(wrapping: error).message); trying the next endpoint")
            }
        }
        preconditionFailure("the last candidate returns or throws")
    }
}
