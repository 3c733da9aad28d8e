import ArchiveStore
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// A snapshot that has streamed into an archive, with what was found out on the way.
struct StreamedSnapshot {
    var record: EtcdSnapshotRecord
    /// What has seen every page; nil when only the stream is checked.
    let verifier: SnapshotVerifier?
    /// The pages, verified; nil before that, and where some have to be read again.
    private(set) var verified: VerifiedSnapshot?

    init(record: EtcdSnapshotRecord, verifier: SnapshotVerifier?) {
        self.record = record
        self.verifier = verifier
    }

    /// Ends the structural check and puts what it found into the record.
    ///
    /// - Parameter previous: the backup before, for the rate at which the cluster writes.
    /// - Throws: ``StorageError`` if the snapshot is damaged.
    func examined(since previous: StoredBackup?) throws -> StreamedSnapshot {
        guard let verifier else { return self }
        var result = self
        do {
            let verified = try verifier.finishKeepingPages()
            result.verified = verified
            result.record.fill(try verified.report.requireSound(trailer: .ignored), since: previous)
        } catch StorageError.needsRereading {
            // Told by the stored bytes, once the archive is finished.
        }
        return result
    }

    /// The verified pages, with the stored bytes to read again what the stream alone did not tell.
    func verified(rereading bytes: any RandomAccessBytes) throws -> VerifiedSnapshot? {
        if let verified { return verified }
        guard let verifier else { return nil }
        let verified = try verifier.finishKeepingPages(rereading: bytes)
        try verified.report.requireSound(trailer: .ignored)
        return verified
    }
}

extension EtcdSnapshotRecord {
    /// Takes over what the database itself says.
    fileprivate mutating func fill(_ contents: SnapshotContents, since previous: StoredBackup?) {
        revision = contents.currentRevision
        compactRevision = contents.compactRevision
        hash = contents.hash
        totalKey = contents.totalRowCount
        verification = .structural
        guard let previous, let last = previous.sidecar.etcd.first(where: { $0.name == name }),
            last.clusterID == clusterID, let lastRevision = last.revision, contents.currentRevision >= lastRevision
        else { return }
        let seconds = max(1, Date().timeIntervalSince(previous.sidecar.archive.createdAt))
        revisionsPerSecond = Double(contents.currentRevision - lastRevision) / seconds
    }
}

/// A member's own hash over its key space.
struct MemberHash: Sendable {
    /// The most time for one answer: the member reads its whole database for it.
    private static let timeout = Duration.seconds(120)

    var endpoint: Endpoint
    var isSource: Bool
    var result: Result<EtcdSnap.HashKV, any Error>

    /// Asks the source of a snapshot and all other members that can be reached.
    static func ask(_ client: Client, revision: Int64, first: Candidate) async throws -> [MemberHash] {
        let patient = try client.with { $0.commandTimeout = timeout }
        let others = await client.snapshotCandidates(excludingMember: first.status.memberID)
        return try await withThrowingTaskGroup { group in
            for (endpoint, isSource) in [(first.endpoint, true)] + others.map({ ($0.endpoint, false) }) {
                group.addTask {
                    do {
                        let hash = try await patient.hashKV(endpoint: endpoint, revision: revision)
                        return MemberHash(endpoint: endpoint, isSource: isSource, result: .success(hash))
                    } catch let error as EtcdError {
                        return MemberHash(endpoint: endpoint, isSource: isSource, result: .failure(error))
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }
}

/// How far a stored snapshot was verified, and what was found.
struct SnapshotCheck {
    var level: VerificationLevel
    var hashKV: UInt32?
    var findings: [Finding] = []
}

extension BackupAttempts {
    /// Checks what was stored, as far as the plan says.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if the snapshot is not what the member itself has.
    func verify(
        _ reader: ArchiveReader, _ snapshot: StreamedSnapshot, against hashes: [MemberHash]
    ) throws -> SnapshotCheck {
        var check = SnapshotCheck(level: .streamed)
        guard plan.verification >= .structural else { return check }
        let bytes = try storedBytes(reader, snapshot.record)
        guard let verified = try snapshot.verified(rereading: bytes) else { return check }
        check.level = .structural
        if plan.verification >= .consistent {
            try compare(verified, bytes, hashes, &check)
        }
        if plan.verification >= .stored {
            try VerifyOperation.checkMembers(reader, observer: observer)
            if check.level == .consistent { check.level = .stored }
        }
        return check
    }

    private func storedBytes(_ reader: ArchiveReader, _ record: EtcdSnapshotRecord) throws -> any RandomAccessBytes {
        let path = record.path
        guard let entry = try reader.readManifest().entries.first(where: { $0.path == path }) else {
            throw Failure(.integrity, "\(quoted(reader.name)) lacks \(quoted(path))")
        }
        return try reader.bytes(of: entry)
    }

    /// Compares the stored snapshot's HashKV with the members' own.
    private func compare(
        _ verified: VerifiedSnapshot, _ bytes: any RandomAccessBytes, _ hashes: [MemberHash],
        _ check: inout SnapshotCheck
    ) throws {
        let contents = try verified.report.requireSound(trailer: .ignored)
        let source = hashes.first { $0.isSource }
        // A member that has compacted since then leaves out more rows: compare under its compaction.
        let compacted = (try? source?.result.get().compactRevision) ?? contents.compactRevision
        let own = try hashKV(verified, bytes, contents, compactRevision: max(compacted, contents.compactRevision))
        check.hashKV = own.hash
        var problems: [String] = []
        for member in hashes {
            switch member.result {
            case .failure(let error): problems.append("\(member.endpoint): \(Failure(wrapping: error).message)")
            case .success(let theirs) where theirs.compactRevision != own.compactRevision:
                problems.append("\(member.endpoint) has compacted to \(theirs.compactRevision) meanwhile")
            case .success(let theirs) where theirs.hash == own.hash:
                if member.isSource { check.level = .consistent }
            case .success(let theirs):
                try disagree(member, theirs, own, &check)
            }
        }
        report(problems, &check)
    }

    /// Says which members were not compared: a finding if the source was not, a note for others.
    private func report(_ problems: [String], _ check: inout SnapshotCheck) {
        guard check.level < .consistent else {
            for problem in problems { observer.warn("not compared: \(problem)") }
            return
        }
        let reasons = problems.isEmpty ? "no member answered" : problems.joined(separator: "; ")
        check.findings.append(
            Finding(
                .warning, code: "hashkv-not-compared", subject: plan.etcd.name,
                message: "the snapshot could not be compared with the cluster's own hash: \(reasons)",
                advice: "its structure and digest are sound; HashKV needs the root role where authentication is on"))
    }

    private func hashKV(
        _ verified: VerifiedSnapshot, _ bytes: any RandomAccessBytes, _ contents: SnapshotContents,
        compactRevision: Int64
    ) throws -> EtcdStorage.HashKV {
        if let known = contents.hashKV, known.compactRevision == compactRevision { return known }
        return try verified.survey(rereading: bytes, compactRevision: compactRevision).hashKV
    }

    private func disagree(
        _ member: MemberHash, _ theirs: EtcdSnap.HashKV, _ own: EtcdStorage.HashKV, _ check: inout SnapshotCheck
    ) throws {
        let numbers =
            "\(theirs.hash) at \(member.endpoint), \(own.hash) in the snapshot, both at revision \(own.revision)"
        if member.isSource { throw DivergedMember(numbers: numbers) }
        check.findings.append(
            Finding(
                .error, code: "members-disagree", subject: "\(member.endpoint)",
                message: "a member's data differs from that of the snapshot's source: HashKV is \(numbers)",
                advice: "find out which member is right before you restore: see etcd's documentation on data corruption"
            ))
    }
}

/// A member whose snapshot does not hold what it says that it has.
struct DivergedMember: Error, FailureConvertible {
    var numbers: String

    var failure: Failure {
        Failure(
            .integrity, "the snapshot does not hold what its member has: HashKV is \(numbers)",
            hint: "take it from another member with --endpoints; nothing was stored")
    }
}
