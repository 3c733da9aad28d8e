import HostIO
import Logging

/// What the members of a cluster say of themselves just before a snapshot: whose is worth taking, and whether it is current.
public struct ClusterSurvey: Sendable {
    /// What one member answered.
    public struct Answer: Sendable {
        /// The member as the list has it.
        public var member: Member
        /// Where it answered, or was last asked; nil where nothing leads to it.
        public var endpoint: Endpoint?
        /// Its status; nil without an answer.
        public var status: MemberStatus?
        /// Why there is no answer.
        public var problem: String?
    }

    /// The members that the endpoints reach, the best source of a snapshot first, and at the end those that can't be one.
    public var candidates: [SnapshotCandidate]
    /// The member list, as the freshest member that answered tells it; nil if it can't be had.
    public var members: MemberList?
    /// What every member of that list answered, in its order.
    public var answers: [Answer]
    /// The alarms that are raised; nil if that is not known.
    public var alarms: [Alarm]?
    /// Why the alarms are not known.
    public var alarmProblem: String?

    /// The cluster that the first endpoint with an answer belongs to.
    public var clusterID: UInt64?

    /// The statuses of the cluster's members, each once.
    public var statuses: [MemberStatus] {
        var seen: Set<UInt64> = []
        return (answers.compactMap(\.status) + candidates.compactMap(\.status))
            .filter { $0.clusterID == clusterID && seen.insert($0.memberID).inserted }
    }

    /// The last raft entry that any of them knew to be committed.
    public var committedIndex: UInt64 { statuses.map { max($0.raftIndex, $0.raftAppliedIndex) }.max() ?? 0 }

    /// How many members have a vote, started or not.
    public var voterCount: Int { members?.members.count { !$0.isLearner } ?? 0 }
}

extension Client {
    /// The most endpoints besides the configured ones that are asked.
    private static let maxWitnessCount = 64
    /// How long a member that is behind may take to catch up: on a busy cluster every follower is a few entries behind.
    private static let catchUpTime = Duration.seconds(3)

    /// Asks the endpoints, and all other members of the list by the URLs that they advertise, for their status.
    ///
    /// All are asked at once, with the credentials of this client; the whole takes a few dial time-outs at most. A member
    /// that is behind the others is asked again for a moment.
    ///
    /// - Throws: `CancellationError`.
    public func survey() async throws -> ClusterSurvey {
        var health = await reachableHealth()
        try Task.checkCancellation()
        let clusterID = health.lazy.compactMap { try? $0.status.get() }.first?.clusterID
        var (list, answers): (MemberList?, [ClusterSurvey.Answer]) = (nil, [])
        // The freshest member may know of some that the first does not.
        var asked = Set(health.map(\.endpoint))
        for _ in 0..<2 {
            guard let found = await memberList(health, answers, clusterID) else { break }
            let isKnown = list?.members == found.members
            list = found
            guard !isKnown else { break }
            answers = await witnesses(found, health, answers, &asked)
            try Task.checkCancellation()
        }
        var survey = ClusterSurvey(candidates: [], members: list, answers: answers, clusterID: clusterID)
        survey.candidates = SnapshotCandidate.ranked(health, alarms: [], committedIndex: 0)
        let committedIndex = survey.committedIndex
        health = await settled(health, clusterID, committedIndex)
        try Task.checkCancellation()
        await fillAlarms(&survey)
        survey.candidates = SnapshotCandidate.ranked(
            health, alarms: survey.alarms ?? [], committedIndex: committedIndex)
        survey.takeOver(health)
        return survey
    }

    /// The status at the endpoints; where none gives one also at those to fall back on.
    private func reachableHealth() async -> [EndpointHealth] {
        let first = await withOwnNames(await health())
        guard !first.contains(where: { (try? $0.status.get()) != nil }), !configuration.fallbackEndpoints.isEmpty else {
            return first
        }
        return first + (await withOwnNames(await health(of: configuration.fallbackEndpoints)))
    }

    /// Asks again, expecting another name, where a member of this host is not certified for its loopback address.
    private func withOwnNames(_ health: [EndpointHealth]) async -> [EndpointHealth] {
        var health = health
        for (index, entry) in health.enumerated() {
            guard case .failure(let error) = entry.status, case .serverNameMismatch = error.reason,
                entry.endpoint.isLoopback
            else { continue }
            let named = configuration.ownNames.map { Endpoint(entry.endpoint, expecting: $0) }
            if let found = await self.health(of: named).first(where: { (try? $0.status.get()) != nil }) {
                health[index] = found
            }
        }
        return health
    }

    /// The list as the freshest member that answered tells it; without a quorum too, for then the last backup matters most.
    private func memberList(
        _ health: [EndpointHealth], _ answers: [ClusterSurvey.Answer], _ clusterID: UInt64?
    ) async -> MemberList? {
        let reached =
            health.compactMap { entry in (try? entry.status.get()).map { (entry.endpoint, $0) } }
            + answers.compactMap { answer in answer.status.flatMap { status in answer.endpoint.map { ($0, status) } } }
        let freshestFirst = reached.filter { $0.1.clusterID == clusterID }
            .sorted { $0.1.raftAppliedIndex > $1.1.raftAppliedIndex }
        for (endpoint, _) in freshestFirst.prefix(3) {
            do {
                return try await members(at: endpoint, linearizable: false)
            } catch {
                logger.debug("\(error)", metadata: ["endpoint": "\(endpoint)"])
            }
        }
        return nil
    }

    /// What the members of a list answer, by the configured endpoints or by the URLs that they advertise.
    func witnesses(
        _ list: MemberList, _ health: [EndpointHealth], _ earlier: [ClusterSurvey.Answer], _ asked: inout Set<Endpoint>
    ) async -> [ClusterSurvey.Answer] {
        var answers = list.members.map { member in
            let known = health.first { (try? $0.status.get())?.isOf(member, in: list) == true }
            return ClusterSurvey.Answer(
                member: member, endpoint: known?.endpoint, status: try? known?.status.get())
        }
        for index in answers.indices where answers[index].status == nil {
            if let answer = earlier.first(where: { $0.member.id == answers[index].member.id }) {
                answers[index] = answer
            }
        }
        let found = await withTaskGroup(of: (Int, ClusterSurvey.Answer).self) { group in
            for index in answers.indices where answers[index].status == nil && answers[index].problem == nil {
                let (usable, problem) = witnessEndpoints(of: answers[index].member)
                let fresh = usable.filter { !asked.contains($0) }.prefix(max(0, Self.maxWitnessCount - asked.count))
                asked.formUnion(fresh)
                answers[index].endpoint = usable.first
                answers[index].problem = problem ?? Self.problem(usable, health)
                guard !fresh.isEmpty else { continue }
                let answer = answers[index]
                group.addTask { (index, await self.asking(answer, at: Array(fresh), in: list)) }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for (index, answer) in found { answers[index] = answer }
        return answers
    }

    /// Where a member can be asked with what this client has; or why it can't.
    private func witnessEndpoints(of member: Member) -> (endpoints: [Endpoint], problem: String?) {
        guard !member.clientURLs.isEmpty else {
            return ([], member.name.isEmpty ? "it has not started" : "it advertises no client URL")
        }
        let parsed = member.clientURLs.compactMap { try? Endpoint(parsing: $0) }
        let usable = parsed.filter { endpoint in
            // A password is for no connection that anybody can read, unless the user has chosen such.
            endpoint.transport == .tls
                ? tls != nil : configuration.credentials == nil || endpoints.contains { $0.transport == .plaintext }
        }
        if usable.isEmpty {
            let why = parsed.isEmpty ? "are none that a client can use" : "need TLS files that are not there, or none"
            return ([], "its URLs \(why): \(printable(member.clientURLs.joined(separator: ", ")))")
        }
        // A name that was configured is for the configured endpoints; others may have certificates for their own.
        let ownNames = tls?.serverName == nil ? [] : usable.map { Endpoint($0, expecting: $0.host) }
        return (usable + ownNames, nil)
    }

    /// Why endpoints that were asked already are no way to the member.
    private static func problem(_ endpoints: [Endpoint], _ health: [EndpointHealth]) -> String {
        for entry in health where endpoints.contains(entry.endpoint) {
            if case .failure(let error) = entry.status { return error.description }
        }
        return "its URLs \(endpoints.map(\.description).joined(separator: ", ")) lead to another member"
    }

    /// Asks one member at all of its URLs at once.
    private func asking(
        _ unanswered: ClusterSurvey.Answer, at endpoints: [Endpoint], in list: MemberList
    ) async -> ClusterSurvey.Answer {
        var answer = unanswered
        let health = await health(of: endpoints)
        for entry in health {
            switch entry.status {
            case .success(let status) where status.isOf(answer.member, in: list):
                return .init(member: answer.member, endpoint: entry.endpoint, status: status)
            case .success(let status):
                answer.problem =
                    status.clusterID == list.clusterID
                    ? "its URL \(entry.endpoint) leads to another member"
                    : "its URL \(entry.endpoint) leads to another cluster"
            case .failure(let error): answer.problem = error.description
            }
        }
        return answer
    }

    /// Asks members again that are behind, until they have caught up or clearly don't.
    private func settled(
        _ health: [EndpointHealth], _ clusterID: UInt64?, _ committedIndex: UInt64
    ) async -> [EndpointHealth] {
        var health = health
        let end = ContinuousClock.now + Self.catchUpTime
        while true {
            let late = health.filter { entry in
                guard let status = try? entry.status.get(), status.clusterID == clusterID else { return false }
                return status.leaderID != 0 && status.raftAppliedIndex < committedIndex
            }
            guard !late.isEmpty, ContinuousClock.now < end, !Task.isCancelled else { return health }
            try? await Task.sleep(for: .milliseconds(100))
            for entry in await self.health(of: late.map(\.endpoint)) {
                guard case .success = entry.status,
                    let index = health.firstIndex(where: { $0.endpoint == entry.endpoint })
                else { continue }
                health[index] = entry
            }
        }
    }

    /// The alarms, which the cluster as a whole has to be asked for: without a leader nobody can answer.
    private func fillAlarms(_ survey: inout ClusterSurvey) async {
        let reached =
            survey.candidates.compactMap { candidate in candidate.status.map { (candidate.endpoint, $0) } }
            + survey.answers.compactMap { answer in
                answer.status.flatMap { status in answer.endpoint.map { ($0, status) } }
            }
        let able = reached.filter { $0.1.leaderID != 0 && !$0.1.isLearner && $0.1.clusterID == survey.clusterID }
        survey.alarmProblem = reached.isEmpty ? "no member answers" : "the cluster has no leader"
        for (endpoint, _) in able.prefix(2) {
            do {
                survey.alarms = try await alarms(at: endpoint)
                survey.alarmProblem = nil
                return
            } catch {
                survey.alarmProblem = (error as? EtcdError)?.description ?? "\(error)"
            }
        }
    }
}

extension ClusterSurvey {
    /// Later answers at the endpoints.
    fileprivate mutating func takeOver(_ health: [EndpointHealth]) {
        for entry in health {
            guard let status = try? entry.status.get(),
                let index = answers.firstIndex(where: { $0.member.id == status.memberID && $0.status != nil })
            else { continue }
            answers[index].status = status
        }
    }
}

extension MemberStatus {
    /// Whether it is the status of a member of that cluster.
    fileprivate func isOf(_ member: Member, in list: MemberList) -> Bool {
        memberID == member.id && clusterID == list.clusterID
    }
}
