import EtcdSnap
import HostIO
import SealedArchive

/// Whether a member's snapshot holds what its cluster had committed.
///
/// What a member says is compared with what the others say that they know, of whom a majority includes everybody who can
/// have committed anything. Where they can't be asked the cluster itself is, by a read that needs a majority.
struct SnapshotAge {
    /// The status of the snapshot's member, over the connection of the snapshot.
    let status: MemberStatus
    let survey: ClusterSurvey
    /// What was known to be committed when the member was first asked; it was then given time to apply it.
    let committedIndex: UInt64
    /// Whether a majority of the cluster has confirmed what the member has.
    let isConfirmed: Bool

    /// The members with a vote that answered, the snapshot's own among them.
    private var answeringVoterIDs: Set<UInt64> {
        let own: Set<UInt64> = [status.memberID]
        return own.union(survey.answers.filter { !$0.member.isLearner && $0.status != nil }.map(\.member.id))
    }

    /// Whether a majority of the voting members answered, so that nothing can be committed which none of them knows.
    static func hasMajority(_ survey: ClusterSurvey, source: UInt64) -> Bool {
        let voters = survey.answers.filter { !$0.member.isLearner }
        guard !voters.isEmpty else { return false }
        return voters.count { $0.status != nil || $0.member.id == source } > voters.count / 2
    }

    /// The finding that the snapshot may be old; nil if it is current.
    func finding(of name: String) -> Finding? {
        let reasons = [behind, leaderless].compactMap(\.self)
        if !reasons.isEmpty {
            return Finding(
                .error, code: "snapshot-may-be-old", subject: name,
                message:
                    "member \(hexadecimal(status.memberID)), whose snapshot this is, \(reasons.joined(separator: ", and "))",
                advice: "compare `etcdctl endpoint status` of all members, and back up from one that keeps up")
        }
        guard !isConfirmed, !Self.hasMajority(survey, source: status.memberID) else { return nil }
        let voterCount = max(survey.voterCount, 1)
        let problems = survey.answers.compactMap { answer in
            answer.problem.map { "\(hexadecimal(answer.member.id)): \($0)" }
        }
        return Finding(
            .warning, code: "snapshot-may-be-old", subject: name,
            message: "it is not known whether the snapshot is current: of \(voterCount) voting members only "
                + "\(answeringVoterIDs.count) answered"
                + (problems.isEmpty ? "" : " (\(problems.joined(separator: "; ")))"),
            advice: "see that this host reaches the client URLs of all members")
    }

    private var behind: String? {
        let others = survey.statuses.filter { $0.memberID != status.memberID }
        guard committedIndex > status.raftAppliedIndex else { return nil }
        let entries = committedIndex - status.raftAppliedIndex
        let newest = others.map(\.revision).max() ?? status.revision
        let revisions = max(0, newest - status.revision)
        return
            "is \(revisions) revisions and \(entries) raft entries behind: it has revision \(status.revision) and entry "
            + "\(status.raftAppliedIndex), the cluster \(max(newest, status.revision)) and \(committedIndex)"
    }

    private var leaderless: String? {
        status.leaderID == 0 ? "sees no leader, so nobody confirms that its data is current" : nil
    }
}

extension ClusterSurvey {
    /// What the members answered, as the run's record has it.
    func records(of name: String, source: MemberStatus) -> [RunRecord.AskedMember] {
        answers.map { answer in
            var record = RunRecord.AskedMember(
                etcd: name, id: hexadecimal(answer.member.id), name: answer.member.name,
                isLearner: answer.member.isLearner, isSource: answer.member.id == source.memberID,
                endpoint: answer.endpoint?.description, problem: answer.problem)
            guard let status = record.isSource ? source : answer.status else { return record }
            record.problem = nil
            record.serverVersion = status.version
            record.leaderID = hexadecimal(status.leaderID)
            record.revision = status.revision
            record.raftTerm = status.raftTerm
            record.raftIndex = status.raftIndex
            record.raftAppliedIndex = status.raftAppliedIndex
            return record
        }
    }
}
