import EtcdSnap
import EtcdStorage
import HostIO
import SealedArchive

/// The stage that checks what was stored, as far as the plan says.
struct BackupVerifier {
    let level: VerificationLevel
    let observer: Observer

    /// Asks the members for their own hash at a snapshot's revision, while the archive is being finished.
    func beginComparison(_ snapshot: StreamedSnapshot, _ target: EtcdTarget) -> Task<[MemberHash], any Error>? {
        guard level >= .consistent, let revision = snapshot.record.revision else { return nil }
        let compactRevision = snapshot.record.compactRevision ?? -1
        let source = snapshot.source
        return Task {
            try await MemberHash.ask(target, source: source, revision: revision, compactRevision: compactRevision)
        }
    }

    /// Checks what was stored of one etcd.
    ///
    /// - Parameters:
    ///   - index: which of the backup's etcds it is.
    ///   - comparison: the members' own hashes where they were asked for already.
    /// - Throws: ``SourceError`` if the snapshot is damaged or not what the member itself has, ``SinkError`` if it can't be
    ///   read back.
    func check(
        _ stored: StoredArchive, _ snapshot: StreamedSnapshot, of target: EtcdTarget, index: Int,
        comparison: Task<[MemberHash], any Error>?
    ) async throws -> SnapshotCheck {
        var check = SnapshotCheck(level: .streamed)
        guard level >= .structural else { return check }
        guard let verified = try verified(snapshot, stored, index) else {
            if snapshot.verifier != nil { check.findings.append(stored.finding(for: snapshot.record.name)) }
            return check
        }
        let contents = try await fromSource(index) { try verified.report.requireSound(trailer: .ignored) }
        check.level = .structural
        check.contents = contents
        if snapshot.encryptionKeys == nil { check.findings += SnapshotCheck.late(contents, of: snapshot.record.name) }
        guard level >= .consistent else { return check }
        let hashes = try await fromSource(index) {
            guard let comparison else {
                return try await MemberHash.ask(
                    target, source: snapshot.source, revision: contents.currentRevision,
                    compactRevision: contents.compactRevision)
            }
            return try await withTaskCancellationHandler {
                try await comparison.value
            } onCancel: {
                comparison.cancel()
            }
        }
        let source = hashes.first { $0.memberID == snapshot.source.memberID }
        // A member that has compacted since then leaves out more rows: compare under its compaction.
        let compacted = (try? source?.result.get().compactRevision) ?? contents.compactRevision
        let compactRevision = max(compacted, contents.compactRevision)
        let own: KeyValueHash? =
            if let known = contents.hashKV, known.compactRevision == compactRevision {
                known
            } else {
                try stored.reader().flatMap { reader in
                    let bytes = try toSink { try reader.bytes(of: snapshot.entry) }
                    return try rereading(index) {
                        try verified.survey(rereading: bytes, compactRevision: compactRevision).hashKV
                    }
                }
            }
        if own == nil, stored.denial != nil {
            check.findings.append(stored.finding(for: snapshot.record.name))
            return check
        }
        try await fromSource(index) { try compare(own, hashes, target, snapshot, &check) }
        return check
    }

    /// The verified pages of a snapshot, some of which may have to be read again; nil where that can't be done.
    private func verified(
        _ snapshot: StreamedSnapshot, _ stored: StoredArchive, _ index: Int
    ) throws -> VerifiedSnapshot? {
        if let verified = snapshot.verified { return verified }
        guard snapshot.verifier != nil, let reader = try stored.reader() else { return nil }
        let bytes = try toSink { try reader.bytes(of: snapshot.entry) }
        return try rereading(index) { try snapshot.verified(rereading: bytes) }
    }

    /// Reads everything back that was stored, if the plan says so.
    ///
    /// - Returns: that it could not be read.
    func checkStored(_ stored: StoredArchive, _ checks: inout [SnapshotCheck]) throws -> Finding? {
        guard level >= .stored else { return nil }
        guard let reader = try stored.reader() else {
            // It is said once.
            return checks.contains { $0.findings.contains { $0.code == "not-read-back" } }
                ? nil : stored.finding(for: "archive")
        }
        _ = try toSink { try VerifyOperation.checkMembers(reader, observer: observer) }
        for index in checks.indices where checks[index].level == .consistent { checks[index].level = .stored }
        return nil
    }

    /// Runs what reads a stored snapshot again: what is wrong with its pages is the etcd's, what can't be read the store's.
    private func rereading<Result>(_ index: Int, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as StorageError {
            throw SourceError(index: index, cause: error)
        } catch  where !(error is CancellationError) {
            throw SinkError(cause: error)
        }
    }

    /// Compares the stored snapshot's HashKV with the members' own: it is the cluster's if a majority of the members with a
    /// vote has it, the snapshot's own among them.
    private func compare(
        _ own: KeyValueHash?, _ hashes: [MemberHash], _ target: EtcdTarget, _ snapshot: StreamedSnapshot,
        _ check: inout SnapshotCheck
    ) throws {
        guard let own else {
            return report(["more keys were written since its compaction than fit into memory"], snapshot, &check)
        }
        check.hashKV = own
        var problems: [String] = []
        var equalIDs: Set<UInt64> = []
        for member in hashes {
            switch member.result {
            case .failure(let error): problems.append("\(member.endpoint): \(Failure(wrapping: error).message)")
            case .success(let theirs) where theirs.compactRevision != own.compactRevision:
                problems.append(
                    theirs.compactRevision > own.compactRevision
                        ? "\(member.endpoint) has compacted to \(theirs.compactRevision) meanwhile"
                        : "\(member.endpoint) answers with a hash that it stored at revision \(theirs.compactRevision)")
            case .success(let theirs) where theirs.hash == own.hash: equalIDs.insert(member.memberID)
            case .success(let theirs):
                try disagree(member, theirs, own, isSource: member.memberID == snapshot.source.memberID, &check)
            }
        }
        problems += target.survey.answers.filter { !$0.member.isLearner }.compactMap { answer in
            answer.problem.map { "member \(hexadecimal(answer.member.id)): \($0)" }
        }
        let voterCount = max(1, target.survey.voterCount)
        if equalIDs.contains(snapshot.source.memberID), equalIDs.count > voterCount / 2 {
            check.level = .consistent
        } else if equalIDs.contains(snapshot.source.memberID) {
            problems.insert("of \(voterCount) voting members only \(equalIDs.count) answered with it", at: 0)
        }
        report(problems, snapshot, &check)
    }

    /// Says which members were not compared: a finding if that leaves too few, a note otherwise.
    private func report(_ problems: [String], _ snapshot: StreamedSnapshot, _ check: inout SnapshotCheck) {
        guard check.level < .consistent else {
            for problem in problems { observer.warn("not compared: \(problem)") }
            return
        }
        let reasons = problems.isEmpty ? "no member answered" : problems.joined(separator: "; ")
        check.findings.append(
            Finding(
                .warning, code: "hashkv-not-compared", subject: snapshot.record.name,
                message: "the snapshot could not be compared with the cluster's own hash: \(reasons)",
                advice: "its structure and digest are sound; HashKV needs the root role where authentication is on"))
    }

    private func disagree(
        _ member: MemberHash, _ theirs: HashKV, _ own: KeyValueHash, isSource: Bool, _ check: inout SnapshotCheck
    ) throws {
        let numbers =
            "\(theirs.hash) at \(member.endpoint), \(own.hash) in the snapshot, both at revision \(own.revision)"
        if isSource { throw DivergedMember(numbers: numbers) }
        check.findings.append(
            Finding(
                .error, code: "members-disagree", subject: "\(member.endpoint)",
                message: "a member's data differs from that of the snapshot's source: HashKV is \(numbers)",
                advice: "find out which member is right before you restore: see etcd's documentation on data corruption"
            ))
    }
}
