import EtcdSnap
import HostIO

/// A member's own hash over its key space.
struct MemberHash: Sendable {
    /// The most time for one answer: the member reads its whole database for it.
    private static let timeout = Duration.seconds(120)
    /// How many connections are made to find the snapshot's member where several stand behind one address.
    private static let maxConnectionCount = 8

    /// The member that answered; where none did, the one that was asked.
    var memberID: UInt64
    var endpoint: Endpoint
    var result: Result<HashKV, any Error>

    /// Asks the source of a snapshot and all other members with a vote that answered before.
    ///
    /// - Returns: each member once. Learners answer no such question.
    static func ask(
        _ target: EtcdTarget, source: MemberStatus, revision: Int64, compactRevision: Int64
    ) async throws -> [MemberHash] {
        let patient = try target.client.with { $0.commandTimeout = timeout }
        var places = [source.memberID: target.candidate.endpoint]
        for answer in target.survey.answers where answer.status != nil && !answer.member.isLearner {
            // The source by its own URL where it has one that leads to it: there can be no other behind that.
            if let endpoint = answer.endpoint { places[answer.member.id] = endpoint }
        }
        let asked = await withTaskGroup(of: MemberHash.self) { group in
            for (memberID, endpoint) in places {
                group.addTask { await ask(patient, memberID, endpoint, revision, compactRevision) }
            }
            return await group.reduce(into: [MemberHash]()) { $0.append($1) }
        }
        try Task.checkCancellation()
        var hashes: [UInt64: MemberHash] = [:]
        for hash in asked {
            // Of a member that was asked twice the answer counts.
            if let known = hashes[hash.memberID], case .success = known.result { continue }
            hashes[hash.memberID] = hash
        }
        for _ in 0..<maxConnectionCount where hashes[source.memberID] == nil {
            let other = try target.client.with { $0.commandTimeout = timeout }
            let hash = await ask(other, source.memberID, target.candidate.endpoint, revision, compactRevision)
            try Task.checkCancellation()
            if hashes[hash.memberID] == nil { hashes[hash.memberID] = hash }
        }
        return hashes.values.sorted { $0.memberID < $1.memberID }
    }

    private static func ask(
        _ client: Client, _ memberID: UInt64, _ endpoint: Endpoint, _ revision: Int64, _ compactRevision: Int64
    ) async -> MemberHash {
        do {
            let hash = try await client.freshHashKV(
                endpoint: endpoint, revision: revision, compactRevision: compactRevision)
            return MemberHash(memberID: hash.memberID, endpoint: endpoint, result: .success(hash))
        } catch {
            return MemberHash(memberID: memberID, endpoint: endpoint, result: .failure(error))
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
        return current.currentRevision == revision && current.memberID == hash.memberID ? current : hash
    }
}
