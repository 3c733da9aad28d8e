import Foundation
import SealedArchive
import Testing

@testable import ArchiveStore

/// What the floor of a cluster keeps, where its masters take turns.
@Suite struct ClusterRetentionTests {
    private static let now = Date(timeIntervalSince1970: 1_795_694_400)

    private func candidate(
        _ hoursAgo: Int, hasSnapshot: Bool = true, level: VerificationLevel? = .structural
    ) -> RetentionCandidate {
        RetentionCandidate(
            createdAt: Self.now - Double(hoursAgo) * 3600, hasSnapshot: hasSnapshot, level: level)
    }

    private func reasons(_ nodes: [[RetentionCandidate]], floor: Int) -> [[[String]]] {
        var rules = RetentionRules()
        rules.last = 1
        rules.floor.count = floor
        return ClusterRetention(nodes, rules: rules, now: Self.now).nodes.map(\.reasons)
    }

    /// A node whose clock was behind when it made its newest has an older one that is the newest of the cluster.
    @Test func theNewestOfTheClusterStayWhateverTheOrderOfANode() {
        let first = [candidate(1), candidate(20), candidate(19), candidate(18)]
        let reasons = reasons([first, [candidate(30), candidate(29)]], floor: 2)
        #expect(
            reasons[0] == [
                ["floor of 2 of the cluster"], [], ["floor of 2"], ["last", "floor of 2", "floor of 2 of the cluster"],
            ])
        #expect(reasons[1] == [["floor of 2"], ["last", "floor of 2"]])
    }

    @Test func filesAloneDoNotCount() {
        let snapshots = [candidate(50), candidate(49), candidate(48)]
        let files = (1...20).reversed().map { candidate($0, hasSnapshot: false, level: .stored) }
        let reasons = reasons([snapshots, files], floor: 3)
        #expect(reasons[0].allSatisfy { $0.contains("floor of 3 of the cluster") })
        #expect(reasons[1].allSatisfy { !$0.contains("floor of 3 of the cluster") })
        #expect(reasons[1].count { !$0.isEmpty } == 3)
    }

    /// What failed or is from the future takes no place; where too few are proven the newest of the others stay besides.
    @Test func onlyProvenOnesCount() {
        let future = candidate(-5)
        let failed = [candidate(3, level: nil), candidate(2, level: nil), candidate(1, level: nil)]
        let reasons = reasons([[candidate(9), candidate(8), future], failed], floor: 3)
        #expect(reasons[0].prefix(2).allSatisfy { $0.contains("floor of 3 of the cluster") })
        #expect(reasons[0][2] == ["from the future"])
        #expect(reasons[1].map { $0.contains("floor of 3 of the cluster") } == [false, false, true])
    }
}
