import Testing

@testable import EtcdSnap

@Suite struct SnapshotCandidateTests {
    private func endpoint(_ index: Int) -> Endpoint {
        Endpoint(transport: .tls, host: "10.0.0.\(index)")
    }

    private func healthy(
        _ index: Int, member: UInt64? = nil, leader: UInt64 = 1, applied: UInt64 = 100_000, isLearner: Bool = false,
        cluster: UInt64 = 7
    ) -> EndpointHealth {
        let status = MemberStatus(
            clusterID: cluster, memberID: member ?? UInt64(index), revision: 5, raftTerm: 2, version: "3.5.1",
            databaseByteCount: 1 << 20, databaseInUseByteCount: 1 << 19, leaderID: leader, raftIndex: applied,
            raftAppliedIndex: applied, isLearner: isLearner, storageVersion: nil, databaseQuotaByteCount: nil,
            errors: [])
        return EndpointHealth(endpoint: endpoint(index), status: .success(status), latency: .zero)
    }

    private func down(_ index: Int) -> EndpointHealth {
        let error = EtcdError(.unreachable, endpoint: endpoint(index), message: "Connection refused")
        return EndpointHealth(endpoint: endpoint(index), status: .failure(error), latency: .zero)
    }

    private func ranks(_ health: [EndpointHealth], _ alarms: [Alarm] = []) -> [(String, SnapshotCandidate.Rank)] {
        SnapshotCandidate.ranked(health, alarms: alarms, committedIndex: 100_000).map { ($0.endpoint.host, $0.rank) }
    }

    private func expect(_ found: [(String, SnapshotCandidate.Rank)], _ expected: [(Int, SnapshotCandidate.Rank)]) {
        #expect(found.map(\.0) == expected.map { "10.0.0.\($0.0)" })
        #expect(found.map(\.1) == expected.map(\.1))
    }

    @Test func followersInTheirOrderThenTheLeader() {
        expect(ranks([healthy(1), healthy(3), healthy(2)]), [(3, .follower), (2, .follower), (1, .leader)])
    }

    @Test func theUnusableComeLastAndSayWhy() {
        let all = [
            down(1), healthy(2, isLearner: true), healthy(3, cluster: 8), healthy(4), healthy(5, leader: 5),
        ]
        let alarms = [Alarm(memberID: 4, kind: .corrupt), Alarm(memberID: 5, kind: .noSpace)]
        let candidates = SnapshotCandidate.ranked(all, alarms: alarms, committedIndex: 100_000)
        // The first that answers says which cluster is meant.
        #expect(candidates.map(\.endpoint.host) == ["10.0.0.5", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"])
        #expect(candidates.map(\.isUsable) == [true, false, false, false, false])
        #expect(candidates[1].reason.contains("Connection refused"))
        #expect(candidates[2].reason.contains("learner"))
        #expect(candidates[3].reason.contains("another cluster"))
        #expect(candidates[4].reason.contains("CORRUPT"))
    }

    /// Of those that are behind the freshest comes first, whether it sees a leader or not.
    @Test func lagAndLackOfALeaderComeAfterTheLeader() {
        let found = ranks([
            healthy(2, applied: 94_999), healthy(3, leader: 0, applied: 99_000), healthy(1, applied: 100_000),
            healthy(4, applied: 100_001), healthy(5, applied: 99_999),
        ])
        expect(found, [(4, .follower), (1, .leader), (5, .reserve), (3, .reserve), (2, .reserve)])
    }

    @Test func endpointsOfOneMemberAreOneCandidate() {
        let candidates = SnapshotCandidate.ranked(
            [healthy(1), healthy(9, member: 1), healthy(2)], alarms: [], committedIndex: 100_000)
        #expect(candidates.map(\.endpoint.host) == ["10.0.0.2", "10.0.0.1"])
        #expect(candidates[1].otherEndpoints.map(\.host) == ["10.0.0.9"])
    }

    @Test func nobodyAnswers() {
        #expect(
            SnapshotCandidate.ranked([down(1), down(2)], alarms: [], committedIndex: 100_000).allSatisfy {
                !$0.isUsable
            })
    }
}
