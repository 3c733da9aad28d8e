import Foundation
import TestSupport
import Testing

@testable import EtcdSnap

/// What is found out about a cluster before a snapshot, from real ones.
@Suite(.serialized) struct SurveyTests {
    private func survey(_ server: EtcdServer, dialTimeout: Duration = .seconds(5)) async throws -> ClusterSurvey {
        var configuration = server.configuration
        configuration.dialTimeout = dialTimeout
        return try await Client(configuration).survey()
    }

    @Test(arguments: EtcdVersion.installed)
    func everyMemberOfTheListIsAsked(version: EtcdVersion) async throws {
        let servers = try EtcdServer.startCluster(version, memberCount: 3, pki: try TestPKI())
        let survey = try await survey(servers[0])
        #expect(survey.candidates.map(\.endpoint) == [servers[0].endpoint])
        #expect(survey.answers.map(\.member.name).sorted() == ["m0", "m1", "m2"])
        #expect(survey.answers.allSatisfy { $0.status?.memberID == $0.member.id && $0.problem == nil })
        #expect(survey.voterCount == 3 && survey.alarms == [])
        #expect(survey.candidates[0].rank <= .leader, "\(survey.candidates[0].reason)")
    }

    /// A learner answers and has no vote; a member that has not started says why it does not answer.
    @Test(arguments: EtcdVersion.installed)
    func learnersAndMembersThatHaveNotStarted(version: EtcdVersion) async throws {
        let servers = try EtcdServer.startCluster(version, memberCount: 3)
        let learner = try servers[0].startLearner(cluster: servers)
        try servers[0].etcdctl("member", "add", "later", "--peer-urls=http://127.0.0.1:1")
        let survey = try await survey(servers[0])
        #expect(survey.answers.count == 5 && survey.voterCount == 4)
        let first = try #require(survey.answers.first { $0.member.isLearner })
        #expect(first.endpoint == learner.endpoint && first.status?.isLearner == true)
        let later = try #require(survey.answers.first { $0.member.name.isEmpty })
        #expect(later.status == nil && later.problem?.contains("not started") == true)
    }

    @Test func deadMembersAreNamed() async throws {
        let servers = try EtcdServer.startCluster(.v3_5, memberCount: 3)
        servers[2].kill()
        let survey = try await survey(servers[0])
        let dead = try #require(survey.answers.first { $0.member.name == "m2" })
        #expect(dead.status == nil && dead.problem?.contains("Connection refused") == true)
        #expect(survey.alarms == [])
        servers[1].kill()
        // Without a leader the alarms can't be had, and nobody waits for them.
        try await Task.sleep(for: .seconds(3))
        let start = ContinuousClock.now
        let alone = try await self.survey(servers[0])
        #expect(alone.candidates[0].rank == .reserve && alone.alarms == nil && alone.alarmProblem != nil)
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    /// Members that are paused take connections and say nothing.
    @Test func silentMembersTakeBoundedTime() async throws {
        let servers = try EtcdServer.startCluster(.v3_4, memberCount: 3)
        try servers[2].pause()
        defer { servers[2].resume() }
        var configuration = servers[0].configuration
        configuration.endpoints = servers.reversed().map(\.endpoint)
        configuration.dialTimeout = .seconds(2)
        let start = ContinuousClock.now
        let survey = try await Client(configuration).survey()
        #expect(ContinuousClock.now - start < .seconds(30))
        #expect(survey.candidates.filter(\.isUsable).count == 2 && survey.alarms != nil)
    }

    /// Members that all advertise one address, as by etcd's default, are not taken for each other.
    @Test func anAdvertisedURLMayLeadToAnotherMember() async throws {
        let server = try EtcdServer.start(.v3_5)
        try server.etcdctl("member", "add", "other", "--peer-urls=http://127.0.0.1:1")
        let survey = try await survey(server)
        #expect(survey.answers.filter { $0.status != nil }.count == 1)
        let own = try #require(survey.members?.members.first { $0.name == "m0" })
        let twin = Member(
            id: own.id ^ 1, name: "twin", peerURLs: [], clientURLs: [server.clientURL], isLearner: false)
        let list = MemberList(clusterID: try #require(survey.clusterID), members: [own, twin])
        let client = try Client(server.configuration)
        var asked: Set<Endpoint> = [server.endpoint]
        let answers = await client.witnesses(list, await client.health(), [], &asked)
        #expect(answers[0].status != nil && answers[1].status == nil)
        #expect(answers[1].problem?.contains("another member") == true)
    }

    /// A listener whose certificate has only the host's name, asked at its loopback address.
    @Test(arguments: EtcdVersion.installed)
    func theAdvertisedNameIsExpectedAtTheLoopbackAddress(version: EtcdVersion) async throws {
        let pki = try TestPKI()
        let pair = try pki.issue(
            "named", commonName: "server", usage: "serverAuth,clientAuth", alternativeNames: "DNS:cp1.example")
        let server = try EtcdServer.startForName(version, pki: pki, pair: pair)
        var configuration = server.configuration
        let refused = try await Client(configuration).survey().candidates[0]
        #expect(refused.error?.reason == .serverNameMismatch(expected: "127.0.0.1", names: ["cp1.example"]))
        configuration.ownNames = ["other.example", "cp1.example"]
        let survey = try await Client(configuration).survey()
        #expect(survey.candidates.map(\.rank) == [.leader])
        let session = try await Client(configuration).session(at: survey.candidates[0].endpoint)
        let bytes = try await collect(session.begin())
        #expect(bytes.count > 10_000)
    }

    @Test func fallbacksAreAskedWhereNothingElseAnswers() async throws {
        let server = try EtcdServer.start(.v3_4)
        var configuration = server.configuration
        let dead = Endpoint(transport: .plaintext, host: "127.0.0.1", port: try EtcdServer.freePorts(1)[0])
        configuration.endpoints = [dead]
        configuration.fallbackEndpoints = [server.endpoint]
        let survey = try await Client(configuration).survey()
        #expect(survey.candidates.map(\.endpoint) == [server.endpoint, dead])
    }
}

/// One address for several members.
@Suite(.serialized) struct BalancerTests {
    @Test(arguments: EtcdVersion.installed)
    func theStatusIsThatOfTheMemberThatStreams(version: EtcdVersion) async throws {
        let servers = try EtcdServer.startCluster(version, memberCount: 3)
        try servers[0].fill(mebibytes: 3)
        var ids: [UInt64] = []
        for server in servers {
            ids.append(try await Client(server.configuration).status(of: server.endpoint).memberID)
        }
        for first in 0..<3 {
            let balancer = try Balancer(over: servers.map(\.clientPort), first: first)
            defer { balancer.close() }
            let endpoint = Endpoint(transport: .plaintext, host: "127.0.0.1", port: balancer.port)
            let client = try Client(ClientConfiguration(endpoints: [endpoint]))
            _ = try await client.survey()
            let session = try await client.session(at: endpoint)
            _ = try await collect(session.begin())
            let counts = balancer.answeredByteCounts
            let streaming = try #require(counts.indices.max { counts[$0] < counts[$1] })
            #expect(counts[streaming] > 3 << 20)
            #expect(session.status.memberID == ids[streaming])
        }
    }

    /// Broken between question and snapshot, the connection may lead elsewhere the next time.
    @Test func aConnectionThatWasMadeAnewIsNotTrusted() async throws {
        let server = try EtcdServer.start(.v3_5)
        let valve = try Valve(to: server.clientPort)
        let endpoint = Endpoint(transport: .plaintext, host: "127.0.0.1", port: valve.port)
        let session = try await Client(ClientConfiguration(endpoints: [endpoint])).session(at: endpoint)
        valve.breakConnections()
        try await Task.sleep(for: .milliseconds(1500))
        await #expect(throws: (any Error).self) { try await session.begin() }
    }
}

/// Hosts with several addresses (RFC 8305).
@Suite(.serialized) struct AddressRaceTests {
    private func address(_ text: String, _ port: UInt16) -> HostAddresses {
        HostAddresses(addresses: [text], port: port)
    }

    @Test func familiesTakeTurns() {
        let all = HostAddresses(addresses: ["fd00::1", "fd00::2", "10.0.0.1", "fd00::3", "10.0.0.2"], port: 1)
        #expect(
            all.interleaved.flatMap(\.addresses) == ["fd00::1", "10.0.0.1", "fd00::2", "10.0.0.2", "fd00::3"])
    }

    /// Addresses that refuse, that are silent after the connection, and one of IPv6 on which nothing listens.
    @Test func aDeadAddressCostsAMoment() async throws {
        let server = try EtcdServer.start(.v3_5, pki: try TestPKI())
        let silent = try Valve(to: server.clientPort, limit: 0)
        defer { silent.close() }
        let dead = try EtcdServer.freePorts(1)[0]
        // Far above what a busy machine takes: a dead address must not cost a time-out of its own.
        var configuration = server.configuration
        configuration.dialTimeout = .seconds(60)
        let client = try Client(configuration)
        let good = address("127.0.0.1", server.clientPort)
        for others in [[address("127.0.0.1", silent.port)], [address("::1", dead), address("127.0.0.1", dead)]] {
            let start = ContinuousClock.now
            let connection = try await client.newConnection(to: server.endpoint, at: others + [good])
            #expect(connection.channel.addresses == good)
            #expect(ContinuousClock.now - start < .seconds(50))
        }
    }

    @Test func allTogetherTakeOneDialTimeout() async throws {
        let server = try EtcdServer.start(.v3_4)
        let silent = try Valve(to: server.clientPort, limit: 0)
        defer { silent.close() }
        var configuration = server.configuration
        configuration.dialTimeout = .seconds(2)
        let client = try Client(configuration)
        let start = ContinuousClock.now
        let addresses = Array(repeating: address("127.0.0.1", silent.port), count: 48)
        let late = await etcdError { try await client.newConnection(to: server.endpoint, at: addresses) }
        #expect(late?.reason == .connectTimedOut)
        // One after the other they would take 96 s, and a busy machine takes its time for all together.
        #expect(ContinuousClock.now - start < .seconds(90))
        let dead = address("127.0.0.1", try EtcdServer.freePorts(1)[0])
        let refused = await etcdError { try await client.newConnection(to: server.endpoint, at: [dead, dead]) }
        #expect(refused?.reason == .unreachable)
    }
}
