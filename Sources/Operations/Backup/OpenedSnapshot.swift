import EtcdSnap
import HostIO
import SealedArchive

/// A connection that a snapshot is going to come over, and what was found out about the member at its end.
struct OpenedSnapshot: Sendable {
    let session: SnapshotSession
    /// Why the snapshot is taken there.
    let reason: String
    /// That it may be old, if so.
    let ageFinding: Finding?

    var status: MemberStatus { session.status }
}

extension EtcdTarget {
    /// How often to connect where another member answers each time, as behind a balancer.
    private static let maxConnectionCount = 5
    /// How long a member may take to catch up with what the others had when they were asked.
    private static let catchUpTime = Duration.seconds(3)

    /// Connects to the candidate and asks whoever answers there how it is.
    ///
    /// - Throws: ``UnsuitableMember``; `EtcdError`, `CancellationError`, what the source of the password throws.
    func open(observer: Observer) async throws -> OpenedSnapshot {
        var best: (session: SnapshotSession, rank: SnapshotCandidate.Rank, reason: String)?
        var committedIndex = survey.committedIndex
        var refusal: UnsuitableMember?
        for _ in 0..<Self.maxConnectionCount {
            var session = try await client.session(at: candidate.endpoint)
            // What is committed in the very moment is applied in the next: only what stays behind is.
            committedIndex = max(committedIndex, session.status.raftIndex)
            session = try await caughtUp(session, with: committedIndex)
            let (rank, reason) = session.judge(by: survey)
            if rank == .rejected {
                refusal = UnsuitableMember(endpoint: candidate.endpoint, reason: reason)
            } else if best.map({ rank < $0.rank }) ?? true {
                best = (session, rank, reason)
            }
            // A member that is no better than it was before will not be so the next time; another one may.
            if let best, best.rank < .reserve || session.status.memberID == candidate.status.memberID { break }
        }
        guard let best else {
            throw refusal ?? UnsuitableMember(endpoint: candidate.endpoint, reason: "nobody answers")
        }
        let status = best.session.status
        if status.memberID != candidate.status.memberID {
            observer.note(
                "\(candidate.endpoint) leads to member \(hexadecimal(status.memberID)) this time: \(best.reason)")
        }
        let age = SnapshotAge(
            status: status, survey: survey, committedIndex: committedIndex,
            isConfirmed: try await isConfirmed(best.session))
        return OpenedSnapshot(session: best.session, reason: best.reason, ageFinding: age.finding(of: name))
    }

    /// What can be told of the age of a snapshot before there is a connection for it.
    var likelyAgeFinding: Finding? {
        let others = survey.statuses.filter { $0.memberID != candidate.status.memberID }
        return SnapshotAge(
            status: candidate.status, survey: survey, committedIndex: others.map(\.raftIndex).max() ?? 0,
            isConfirmed: true
        ).finding(of: name)
    }

    /// Whether the cluster confirms what the member has, where too few others could be asked.
    private func isConfirmed(_ session: SnapshotSession) async throws -> Bool {
        guard !SnapshotAge.hasMajority(survey, source: session.status.memberID) else { return false }
        return try await session.isConfirmedByQuorum()
    }

    private func caughtUp(_ session: SnapshotSession, with committedIndex: UInt64) async throws -> SnapshotSession {
        var session = session
        let end = ContinuousClock.now + Self.catchUpTime
        while session.status.leaderID != 0, session.status.clusterID == survey.clusterID,
            session.status.raftAppliedIndex < committedIndex, ContinuousClock.now < end
        {
            try await Task.sleep(for: .milliseconds(100))
            session = try await session.refreshed()
        }
        return session
    }
}
