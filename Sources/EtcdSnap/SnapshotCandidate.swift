/// A member and how well it suits as the source of a snapshot.
public struct SnapshotCandidate: Sendable {
    /// How well a member suits, the best first.
    public enum Rank: Int, Sendable, Comparable {
        /// A follower that keeps up: reading from it costs the cluster least.
        case follower
        /// The leader.
        case leader
        /// A member whose snapshot may be old: it lags, or sees no leader.
        case reserve
        /// A member that can't or must not be used.
        case rejected

        /// Orders by suitability, the best first.
        public static func < (first: Rank, second: Rank) -> Bool { first.rawValue < second.rawValue }
    }

    /// The first endpoint that reaches the member.
    public var endpoint: Endpoint
    /// Further endpoints that reach the same member.
    public var otherEndpoints: [Endpoint]
    /// The member's status; nil if it didn't answer.
    public var status: MemberStatus?
    /// Why the member didn't answer; nil if it did.
    public var error: EtcdError?
    /// How well the member suits.
    public var rank: Rank
    /// Why, in a few words.
    public var reason: String

    /// Whether a snapshot may be taken from the member.
    public var isUsable: Bool { rank != .rejected }
}

extension SnapshotCandidate {
    /// Ranks the members that the endpoints reach, the best first; among equals the endpoints' order counts, and among
    /// members that are behind the freshest comes first.
    ///
    /// - Parameter committedIndex: the raft entry that a member must have applied to be current.
    static func ranked(
        _ health: [EndpointHealth], alarms: [Alarm], committedIndex: UInt64
    ) -> [SnapshotCandidate] {
        let clusterID = health.lazy.compactMap { try? $0.status.get() }.first?.clusterID
        var candidates: [SnapshotCandidate] = []
        for entry in health {
            switch entry.status {
            case .failure(let error):
                candidates.append(
                    .init(
                        endpoint: entry.endpoint, otherEndpoints: [], error: error, rank: .rejected,
                        reason: error.description))
            case .success(let status):
                let known = candidates.firstIndex {
                    $0.status?.memberID == status.memberID && $0.status?.clusterID == status.clusterID
                }
                if let known {
                    candidates[known].otherEndpoints.append(entry.endpoint)
                    continue
                }
                let (rank, reason) = judge(
                    status, clusterID: clusterID, committedIndex: committedIndex, alarms: alarms)
                candidates.append(
                    .init(
                        endpoint: entry.endpoint, otherEndpoints: [], status: status, rank: rank, reason: reason))
            }
        }
        func age(_ candidate: SnapshotCandidate) -> UInt64 {
            candidate.rank == .reserve ? .max - (candidate.status?.raftAppliedIndex ?? 0) : 0
        }
        // A sort that keeps the order among equals.
        return candidates.enumerated()
            .sorted { ($0.element.rank, age($0.element), $0.offset) < ($1.element.rank, age($1.element), $1.offset) }
            .map(\.element)
    }

    /// How well a member suits by its status, and why.
    static func judge(
        _ status: MemberStatus, clusterID: UInt64?, committedIndex: UInt64, alarms: [Alarm]
    ) -> (Rank, String) {
        if status.clusterID != clusterID { return (.rejected, "it belongs to another cluster than the first endpoint") }
        if status.isLearner { return (.rejected, "it is a learner") }
        if alarms.contains(where: { $0.memberID == status.memberID && $0.kind == .corrupt }) {
            return (.rejected, "it has the alarm CORRUPT")
        }
        if status.leaderID == 0 { return (.reserve, "it sees no leader, so its data may be old") }
        let lag = committedIndex - min(committedIndex, status.raftAppliedIndex)
        if lag > 0 { return (.reserve, "it is \(lag) raft entries behind") }
        return status.isLeader ? (.leader, "it is the leader") : (.follower, "it is a follower that keeps up")
    }
}

extension Client {
    /// The members that a snapshot could be taken from, the best first, and at the end those that can't be used.
    ///
    /// The list is never empty, but may have no usable member; the reasons say why.
    /// - Throws: `CancellationError`.
    public func snapshotCandidates() async throws -> [SnapshotCandidate] { try await survey().candidates }
}
