import ArchiveStore
import EtcdSnap
import HostIO
import SealedArchive

/// A member that a snapshot can be taken from, with its status.
struct Candidate: Sendable {
    var member: SnapshotCandidate
    var status: MemberStatus
    var endpoint: Endpoint { member.endpoint }
    var reason: String { member.reason }
}

/// An etcd that is about to be snapshotted, with what the members of its cluster said of themselves.
struct EtcdTarget: Sendable {
    let source: EtcdSource
    let client: Client
    let survey: ClusterSurvey
    /// The members that a snapshot can be taken from and were not tried yet, the best first; at least one.
    private(set) var candidates: [Candidate]
    let members: [EtcdMemberRecord]
    /// The newest backup in the store with a snapshot of this etcd, where another node's counts as this one's.
    var previous: StoredBackup?

    var name: String { source.name }
    /// The member to take the snapshot from.
    var candidate: Candidate { candidates[0] }
    /// The path of the snapshot in the archive.
    var path: String { EtcdSnapshotRecord.path(name: name) }

    /// Asks all members of the cluster, and says which can't give a snapshot and which don't answer.
    ///
    /// - Throws: what is wrong with the TLS files; why no member can.
    init(connectingTo source: EtcdSource, observer: Observer) async throws {
        self.source = source
        client = try Client(source.client)
        survey = try await client.survey()
        for rejected in survey.candidates where !rejected.isUsable {
            observer.warn("no snapshot from \(rejected.endpoint): \(rejected.reason)")
        }
        candidates = survey.candidates.compactMap { candidate in
            candidate.isUsable ? candidate.status.map { Candidate(member: candidate, status: $0) } : nil
        }
        if candidates.isEmpty { throw Self.noCandidate(survey.candidates) }
        for answer in survey.answers {
            guard let problem = answer.problem else { continue }
            observer.warn("member \(hexadecimal(answer.member.id)) of \(source.name) was not asked: \(problem)")
        }
        if let problem = survey.alarmProblem { observer.warn("the alarms of \(source.name) are not known: \(problem)") }
        // Asked once more where it could not be had: then for the reason.
        let list = if let list = survey.members { list } else { try await client.members(linearizable: false) }
        members = list.members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
    }

    /// The target without the member that was tried; nil if that was the last.
    var withNextCandidate: EtcdTarget? {
        guard candidates.count > 1 else { return nil }
        var next = self
        next.candidates.removeFirst()
        return next
    }

    /// The alarms that are raised; nil if that is not known.
    var alarms: [String]? {
        survey.alarms.map { $0.map { "\($0.kind.name) of member \(hexadecimal($0.memberID))" } }
    }

    /// What is to be said of the cluster, whichever member gives the snapshot.
    var clusterFindings: [Finding] { foreignEndpoints + raisedAlarms }

    /// A restore brings NOSPACE back, and corruption besides.
    private var raisedAlarms: [Finding] {
        (alarms ?? []).map {
            Finding(
                .warning, code: "etcd-alarm", subject: name, message: "alarm \($0) is raised",
                advice: "see `etcdctl alarm list`")
        }
    }

    /// One snapshot is of one cluster: what another endpoint leads to is not in the backup.
    private var foreignEndpoints: [Finding] {
        guard let own = survey.clusterID else { return [] }
        return survey.candidates.compactMap { candidate in
            guard let status = candidate.status, status.clusterID != own else { return nil }
            return Finding(
                .error, code: "etcd-of-another-cluster", subject: name,
                message:
                    "\(candidate.endpoint) belongs to the cluster \(hexadecimal(status.clusterID)), and the endpoint "
                    + "before it to \(hexadecimal(own)): the other one is not in the backup",
                advice:
                    "name the endpoints of one cluster together, and another cluster in otherEtcds of the configuration"
            )
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
}

extension Alarm.Kind {
    /// The name that etcdctl prints (`etcdserverpb.AlarmType`).
    fileprivate var name: String {
        switch self {
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        case .unknown(let number): "\(number)"
        }
    }
}

/// An ID as etcdctl prints it.
func hexadecimal(_ id: UInt64) -> String { String(id, radix: 16) }
