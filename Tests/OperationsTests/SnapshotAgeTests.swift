import HostIO
import SealedArchive
import Testing

@testable import EtcdSnap
@testable import Operations

@Suite struct SnapshotAgeTests {
    private func status(
        _ member: UInt64, leader: UInt64 = 1, revision: Int64 = 500, committed: UInt64 = 1000, applied: UInt64 = 1000,
        isLearner: Bool = false
    ) -> MemberStatus {
        MemberStatus(
            clusterID: 7, memberID: member, revision: revision, raftTerm: 2, version: "3.5.1",
            databaseByteCount: 1 << 20,
            databaseInUseByteCount: 1 << 19, leaderID: leader, raftIndex: committed, raftAppliedIndex: applied,
            isLearner: isLearner, storageVersion: nil, databaseQuotaByteCount: nil, errors: [])
    }

    /// A cluster whose members have these statuses; nil of one that does not answer.
    private func survey(_ statuses: [MemberStatus?], learners: Int = 0) -> ClusterSurvey {
        let members = statuses.indices.map { index in
            Member(
                id: UInt64(index + 1), name: "m\(index)", peerURLs: [], clientURLs: [],
                isLearner: index >= statuses.count - learners)
        }
        let answers = zip(members, statuses).map { member, status in
            ClusterSurvey.Answer(
                member: member, endpoint: nil, status: status, problem: status == nil ? "it is down" : nil)
        }
        return ClusterSurvey(
            candidates: [], members: MemberList(clusterID: 7, members: members), answers: answers, alarms: [],
            clusterID: 7)
    }

    private func finding(
        _ own: MemberStatus, _ others: [MemberStatus?], learners: Int = 0, confirmed: Bool = false
    )
        -> Finding?
    {
        let survey = survey([own] + others, learners: learners)
        return SnapshotAge(
            status: own, survey: survey, committedIndex: survey.committedIndex, isConfirmed: confirmed
        ).finding(of: "etcd")
    }

    @Test func aMemberThatKeepsUpIsNoFinding() {
        #expect(finding(status(1), [status(2), status(3)]) == nil)
        #expect(finding(status(1), []) == nil)
        // A majority knows of everything that was committed.
        #expect(finding(status(1), [status(2), nil]) == nil)
        // A learner has no vote, whether it answers or not.
        #expect(finding(status(1), [status(2), status(3), nil], learners: 1) == nil)
    }

    @Test func theGapIsNamed() throws {
        let found = try #require(
            finding(status(1, revision: 400, applied: 880), [status(2), status(3, committed: 1003, applied: 1003)]))
        #expect(found.code == "snapshot-may-be-old" && found.severity == .error)
        #expect(found.message.contains("100 revisions and 123 raft entries behind"), "\(found.message)")
        // It need not be the others who know more: an apply that is stuck.
        #expect(finding(status(1, committed: 1000, applied: 999), [])?.message.contains("1 raft entries") == true)
    }

    @Test func withoutALeaderNobodyConfirmsIt() {
        let found = finding(status(1, leader: 0), [nil, nil])
        #expect(found?.severity == .error && found?.message.contains("no leader") == true)
    }

    /// What could not be proved is said, unless the cluster itself confirms it.
    @Test func aMinorityProvesNothing() {
        let found = finding(status(1), [nil, nil])
        #expect(found?.severity == .warning && found?.message.contains("of 3 voting members only 1") == true)
        #expect(finding(status(1), [nil, nil], confirmed: true) == nil)
        #expect(finding(status(1), [status(2, isLearner: true), nil, nil].reversed(), learners: 1) != nil)
    }
}

@Suite struct FindingJoinTests {
    private func alarm(_ message: String) -> Finding {
        Finding(.warning, code: "etcd-alarm", subject: "etcd", message: message)
    }

    @Test func twoAlarmsOfOneEtcdAreTwo() {
        let alarms = [alarm("NOSPACE of member 1"), alarm("CORRUPT of member 2"), alarm("NOSPACE of member 1")]
        #expect(alarms.joined(with: []).map(\.message) == ["NOSPACE of member 1", "CORRUPT of member 2"])
        #expect([Finding]().joined(with: alarms).count == 2)
    }

    @Test func whatBothSidesFindIsSaidOnce() {
        let captured = [Finding(.error, code: "file-empty", subject: "/a", message: "captured")]
        let analysed = [Finding(.error, code: "file-empty", subject: "/a", message: "analysed")]
        #expect(captured.joined(with: analysed).map(\.message) == ["captured"])
    }
}
