import EtcdSnap
import EtcdStorage
import HostIO
import SealedArchive

/// A member that a snapshot can be taken from, with its status.
struct Candidate: Sendable {
    var member: SnapshotCandidate
    var status: MemberStatus
    var endpoint: Endpoint { member.endpoint }
    var reason: String { member.reason }
}

/// An etcd that is about to be snapshotted, with what its cluster said of itself.
struct EtcdTarget: Sendable {
    let source: EtcdSource
    let client: Client
    /// The members that a snapshot can be taken from and were not tried yet, the best first; at least one.
    private(set) var candidates: [Candidate]
    private(set) var members: [EtcdMemberRecord] = []
    private(set) var alarms: [String] = []

    var name: String { source.name }
    /// The member to take the snapshot from.
    var candidate: Candidate { candidates[0] }
    /// The path of the snapshot in the archive.
    var path: String { EtcdSnapshotRecord.path(name: name) }

    /// Asks which members can give a snapshot, and says which can't.
    ///
    /// - Throws: what is wrong with the TLS files; why no member can.
    init(connectingTo source: EtcdSource, observer: Observer) async throws {
        self.source = source
        client = try Client(source.client)
        let all = try await client.snapshotCandidates()
        for rejected in all where !rejected.isUsable {
            observer.warn("no snapshot from \(rejected.endpoint): \(rejected.reason)")
        }
        candidates = all.compactMap { candidate in
            candidate.isUsable ? candidate.status.map { Candidate(member: candidate, status: $0) } : nil
        }
        if candidates.isEmpty { throw Self.noCandidate(all) }
    }

    /// The target with the cluster's members and alarms.
    func asked(observer: Observer) async throws -> EtcdTarget {
        var target = self
        // Without a quorum too: then the last backup matters most.
        target.members = try await client.members(linearizable: false).members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
        do {
            target.alarms = try await client.alarms().map { "\($0.kind) of member \(hexadecimal($0.memberID))" }
        } catch let error as EtcdError {
            observer.warn("the alarms of \(name) are not known: \(error)")
        }
        return target
    }

    /// The target for another attempt after an error; nil if none would do better.
    func retrying(after error: any Error, observer: Observer) -> EtcdTarget? {
        guard candidates.count > 1, Self.mayWorkElsewhere(error) else { return nil }
        observer.warn("\(Failure(wrapping: error).message); trying the next endpoint")
        var next = self
        next.candidates.removeFirst()
        return next
    }

    /// Whether another member could give what this one did not: it died, or what it gave is damaged.
    private static func mayWorkElsewhere(_ error: any Error) -> Bool {
        switch error {
        case let error as SnapshotError: error.isRetryableElsewhere
        case let error as EtcdError: error.isRetryableElsewhere
        case is StorageError, is DivergedMember: true
        default: false
        }
    }

    /// The reason of the one member, or of all.
    private static func noCandidate(_ rejected: [SnapshotCandidate]) -> Failure {
        let errors = rejected.compactMap(\.error).map { Failure(wrapping: $0) }
        if let error = errors.first(where: { $0.code == .untrusted }) ?? errors.first { return error }
        return Failure(
            .failed, "no member can give a snapshot: \(rejected.map(\.reason).joined(separator: "; "))",
            hint: "see `etcdctl endpoint status` and `etcdctl alarm list`")
    }

    /// What the manifest says of alarms: a restore brings NOSPACE back, and corruption besides.
    var alarmFindings: [Finding] {
        alarms.map {
            Finding(
                .warning, code: "etcd-alarm", subject: name, message: "alarm \($0) is raised",
                advice: "see `etcdctl alarm list`")
        }
    }
}

/// An ID as etcdctl prints it.
func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
