import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

@Suite(.serialized) struct CallTests {
    @Test(arguments: EtcdVersion.installed)
    func everyCallOverMutualTLS(version: EtcdVersion) async throws {
        let server = try EtcdServer.start(version, pki: try TestPKI())
        try server.etcdctl("put", "a", "1")
        try server.etcdctl("put", "a", "2")
        let client = try Client(server.configuration)

        let health = await client.health()
        let status = try #require(health.first).status.get()
        #expect(health.count == 1)
        #expect(status.version.hasPrefix(version.rawValue + "."))
        #expect(status.isLeader && !status.isLearner && status.errors.isEmpty)
        #expect(status.databaseByteCount >= status.databaseInUseByteCount && status.databaseInUseByteCount > 0)

        let members = try await client.members()
        #expect(members.clusterID == status.clusterID)
        #expect(members.members.map(\.id) == [status.memberID])
        #expect(members.members.first?.name == "m0")
        #expect(members.members.first?.clientURLs == [server.clientURL])
        #expect(members.members.first?.peerURLs == ["http://127.0.0.1:\(server.peerPort)"])
        #expect(try await client.alarms().isEmpty)

        let hash = try await client.hashKV(endpoint: server.endpoint, revision: 0)
        #expect(hash.currentRevision == 3 && hash.hashRevision == 3 && hash.memberID == status.memberID)
        let expected = try server.etcdctl("endpoint", "hashkv", "-w", "json")
        #expect(expected.contains("\"hash\":\(hash.hash),"))
        #expect(try await client.hashKV(endpoint: server.endpoint, revision: 2).hash != hash.hash)

        try server.etcdctl("compact", "3")
        let compacted = await etcdError { try await client.hashKV(endpoint: server.endpoint, revision: 2) }
        #expect(compacted?.reason == .compacted)
        #expect(compacted?.failure.code == .notFound)

        if version == .v3_4 {
            #expect(await etcdError { try await client.authStatus() }?.reason == .unimplemented)
        } else {
            #expect(try await client.authStatus().isEnabled == false)
        }
    }

    @Test func noSpaceAlarm() async throws {
        let server = try EtcdServer.start(.v3_4, flags: ["--quota-backend-bytes=1048576"])
        #expect(throws: (any Error).self) { try server.fill(mebibytes: 4) }
        let client = try Client(server.configuration)
        let status = try await client.status(of: server.endpoint)
        #expect(try await client.alarms() == [Alarm(memberID: status.memberID, kind: .noSpace)])
        #expect(!status.errors.isEmpty)
        // A full database is a reason to take a snapshot, not against it.
        #expect(try await client.snapshotCandidates().first?.isUsable == true)
    }

    @Test func theNextEndpointAnswers() async throws {
        let server = try EtcdServer.start(.v3_4)
        let dead = Endpoint(transport: .plaintext, host: "127.0.0.1", port: try EtcdServer.freePorts(1)[0])
        var configuration = server.configuration
        configuration.endpoints = [dead, server.endpoint]
        let client = try Client(configuration)
        #expect(try await client.members().members.count == 1)
        let candidates = try await client.snapshotCandidates()
        #expect(candidates.map(\.endpoint) == [server.endpoint, dead])
        #expect(candidates.map(\.rank) == [.leader, .rejected])
    }

    @Test func aMemberComesBack() async throws {
        let server = try EtcdServer.start(.v3_4)
        var configuration = server.configuration
        configuration.commandTimeout = .milliseconds(700)
        let client = try Client(configuration)
        _ = try await client.status(of: server.endpoint)
        try server.pause()
        #expect(await etcdError { try await client.status(of: server.endpoint) }?.reason == .deadlineExceeded)
        server.resume()
        #expect(try await client.status(of: server.endpoint).isLeader)
    }

    @Test func aCancelledCallEndsEarly() async throws {
        let server = try EtcdServer.start(.v3_4)
        var configuration = server.configuration
        configuration.commandTimeout = .seconds(600)
        let client = try Client(configuration)
        _ = try await client.status(of: server.endpoint)
        try server.pause()
        let call = Task { try await client.status(of: server.endpoint) }
        try await Task.sleep(for: .milliseconds(200))
        call.cancel()
        await #expect(throws: CancellationError.self) { try await call.value }
        server.resume()
    }

    @Test func aConnectionAttemptEndsInTime() async throws {
        let server = try EtcdServer.start(.v3_4)
        try server.pause()
        var configuration = server.configuration
        configuration.dialTimeout = .milliseconds(300)
        let client = try Client(configuration)
        #expect(await etcdError { try await client.status(of: server.endpoint) }?.reason == .connectTimedOut)
        server.resume()
    }

    @Test func withoutEndpoints() {
        #expect { try Client(ClientConfiguration(endpoints: [])) } throws: { ($0 as? Failure)?.code == .usage }
    }
}
