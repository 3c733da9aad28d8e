import ArchiveStore
import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import KubernetesObjects
import SealedArchive

/// A snapshot that has streamed into an archive, with what was found out on the way.
struct StreamedSnapshot {
    var record: EtcdSnapshotRecord
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

    init(record: EtcdSnapshotRecord, entry: ManifestEntry, verifier: SnapshotVerifier?) {
        self.record = record
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

/// A member's own hash over its key space.
struct MemberHash: Sendable {
    /// The most time for one answer: the member reads its whole database for it.
    private static let timeout = Duration.seconds(120)

    var endpoint: Endpoint
    var isSource: Bool
    var result: Result<HashKV, any Error>

    /// Asks the source of a snapshot and all other members that can be reached, by the endpoints given or by the URLs
    /// that the members advertise.
    static func ask(
        _ target: EtcdTarget, revision: Int64, compactRevision: Int64
    ) async throws -> [MemberHash] {
        let source = target.candidate
        let patient = try target.client.with { configuration in
            configuration.commandTimeout = timeout
            let advertised = target.members.flatMap(\.clientURLs).compactMap { try? Endpoint(parsing: $0) }
            // One that needs TLS files where none are configured, or the other way round, is no endpoint of ours.
            configuration.endpoints += advertised.filter {
                $0.transport == source.endpoint.transport && !configuration.endpoints.contains($0)
            }
        }
        let others = await patient.snapshotCandidates(excludingMember: source.status.memberID)
        return try await withThrowingTaskGroup { group in
            for (endpoint, isSource) in [(source.endpoint, true)] + others.map({ ($0.endpoint, false) }) {
                group.addTask {
                    do {
                        let hash = try await patient.freshHashKV(
                            endpoint: endpoint, revision: revision, compactRevision: compactRevision)
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

extension Client {
    /// A member's hash at a revision, and not one that it stored under an older compaction.
    ///
    /// Where a member compacted at that very revision it answers with what it hashed then, of rows that are gone meanwhile.
    /// At its current revision it always computes; that is of use while nothing is written.
    /// Source: etcd since 3.5.5, `mvcc/hash.go`, `HashStorage`, which keeps the hashes of the last ten compactions.
    fileprivate func freshHashKV(endpoint: Endpoint, revision: Int64, compactRevision: Int64) async throws -> HashKV {
        let hash = try await hashKV(endpoint: endpoint, revision: revision)
        guard hash.compactRevision < compactRevision else { return hash }
        let current = try await hashKV(endpoint: endpoint, revision: 0)
        return current.currentRevision == revision ? current : hash
    }
}

/// How far a stored snapshot was verified, and what was found.
struct SnapshotCheck {
    var level: VerificationLevel
    /// The hash by which the snapshot was compared with its cluster.
    var hashKV: KeyValueHash?
    /// What the database itself says; nil when only the stream was checked.
    var contents: SnapshotContents?
    var findings: [Finding] = []

    /// What could not be told while the snapshot streamed, because old pages looked like pages of the tree.
    static func late(_ contents: SnapshotContents, of name: String) -> [Finding] {
        let keys = contents.encryptionKeys.names
        let volumes = contents.selectedRows.map { VolumeInventory($0) }
        var findings = contents.unreadFindings(of: name, volumes: volumes)
        if !keys.isEmpty {
            findings.append(
                Finding(
                    .warning, code: "encryption-keys-unchecked", subject: name,
                    message:
                        "values are encrypted with \(keys.joined(separator: ", ")), which was known too late to look "
                        + "for the keys", advice: "see that the encryption configuration in the backup has them"))
        }
        if volumes?.isEmpty == false {
            findings.append(
                Finding(
                    .warning, code: "volumes-incomplete", subject: name,
                    message: "the volumes were known too late to be listed in \(quoted(VolumeDocument.path))",
                    advice: "list them with `etcd-snap inspect volumes`"))
        }
        return findings
    }

    /// Takes over into the sidecar what the manifest, which was written before, may lack.
    func fill(_ summary: inout Sidecar.EtcdSummary) {
        guard let contents else { return }
        summary.hashKV = (hashKV ?? contents.hashKV)?.hash
        if let hashKV, hashKV.compactRevision != contents.compactRevision {
            summary.hashKVCompactRevision = hashKV.compactRevision
        }
        summary.revision = contents.currentRevision
        summary.compactRevision = contents.compactRevision
        summary.hash = contents.hash
    }
}

extension BackupAttempt {
    /// Checks what was stored of one etcd, as far as the plan says.
    ///
    /// - Parameter comparison: the members' own hashes where they were asked for already.
    /// - Throws: ``StorageError`` if the snapshot is damaged, ``DivergedMember`` if it is not what the member itself has.
    func check(
        _ reader: ArchiveReader, _ snapshot: StreamedSnapshot, of target: EtcdTarget,
        comparison: Task<[MemberHash], any Error>?
    ) async throws -> SnapshotCheck {
        var check = SnapshotCheck(level: .streamed)
        guard plan.verification >= .structural else { return check }
        let bytes = try reader.bytes(of: snapshot.entry)
        guard let verified = try snapshot.verified(rereading: bytes) else { return check }
        let contents = try verified.report.requireSound(trailer: .ignored)
        check.level = .structural
        check.contents = contents
        if snapshot.encryptionKeys == nil { check.findings += SnapshotCheck.late(contents, of: snapshot.record.name) }
        if plan.verification >= .consistent {
            let hashes: [MemberHash]
            if let comparison {
                hashes = try await withTaskCancellationHandler {
                    try await comparison.value
                } onCancel: {
                    comparison.cancel()
                }
            } else {
                hashes = try await MemberHash.ask(
                    target, revision: contents.currentRevision, compactRevision: contents.compactRevision)
            }
            try compare(snapshot.record.name, verified, bytes, hashes, &check)
        }
        return check
    }

    /// Reads everything back that was stored, if the plan says so.
    func checkStored(_ reader: ArchiveReader, _ checks: inout [SnapshotCheck]) throws {
        guard plan.verification >= .stored else { return }
        try VerifyOperation.checkMembers(reader, observer: observer)
        for index in checks.indices where checks[index].level == .consistent { checks[index].level = .stored }
    }

    /// Compares the stored snapshot's HashKV with the members' own.
    private func compare(
        _ name: String, _ verified: VerifiedSnapshot, _ bytes: any RandomAccessBytes, _ hashes: [MemberHash],
        _ check: inout SnapshotCheck
    ) throws {
        let contents = try verified.report.requireSound(trailer: .ignored)
        let source = hashes.first { $0.isSource }
        // A member that has compacted since then leaves out more rows: compare under its compaction.
        let compacted = (try? source?.result.get().compactRevision) ?? contents.compactRevision
        let compactRevision = max(compacted, contents.compactRevision)
        guard let own = try hashKV(verified, bytes, contents, compactRevision: compactRevision) else {
            return report(["more keys were written since its compaction than fit into memory"], of: name, &check)
        }
        check.hashKV = own
        var problems: [String] = []
        for member in hashes {
            switch member.result {
            case .failure(let error): problems.append("\(member.endpoint): \(Failure(wrapping: error).message)")
            case .success(let theirs) where theirs.compactRevision != own.compactRevision:
                problems.append(
                    theirs.compactRevision > own.compactRevision
                        ? "\(member.endpoint) has compacted to \(theirs.compactRevision) meanwhile"
                        : "\(member.endpoint) answers with a hash that it stored at revision \(theirs.compactRevision)")
            case .success(let theirs) where theirs.hash == own.hash:
                if member.isSource { check.level = .consistent }
            case .success(let theirs):
                try disagree(member, theirs, own, &check)
            }
        }
        report(problems, of: name, &check)
    }

    /// Says which members were not compared: a finding if the source was not, a note for others.
    private func report(_ problems: [String], of name: String, _ check: inout SnapshotCheck) {
        guard check.level < .consistent else {
            for problem in problems { observer.warn("not compared: \(problem)") }
            return
        }
        let reasons = problems.isEmpty ? "no member answered" : problems.joined(separator: "; ")
        check.findings.append(
            Finding(
                .warning, code: "hashkv-not-compared", subject: name,
                message: "the snapshot could not be compared with the cluster's own hash: \(reasons)",
                advice: "its structure and digest are sound; HashKV needs the root role where authentication is on"))
    }

    private func hashKV(
        _ verified: VerifiedSnapshot, _ bytes: any RandomAccessBytes, _ contents: SnapshotContents,
        compactRevision: Int64
    ) throws -> KeyValueHash? {
        if let known = contents.hashKV, known.compactRevision == compactRevision { return known }
        return try verified.survey(rereading: bytes, compactRevision: compactRevision).hashKV
    }

    private func disagree(
        _ member: MemberHash, _ theirs: HashKV, _ own: KeyValueHash, _ check: inout SnapshotCheck
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
            hint: "nothing was stored: take it from another member", settings: [.endpoints])
    }
}
