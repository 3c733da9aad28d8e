import Crypto
import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

@Suite(.serialized) struct SnapshotTests {
    /// What bbolt pages are here: the systems that tests run on have pages of 4 KiB.
    private static let pageByteCount = 4096

    @Test(arguments: EtcdVersion.installed)
    func equalsWhatEtcdctlSaves(version: EtcdVersion) async throws {
        let server = try EtcdServer.start(version, pki: try TestPKI())
        try server.fill(mebibytes: 5)
        let scratch = try TemporaryDirectory()
        let client = try Client(server.configuration)
        let candidate = try #require(try await client.snapshotCandidates().first)
        let stream = try await client.snapshot(from: candidate.endpoint)
        // Beginning a snapshot commits what is pending, by which the database may grow after the status was taken.
        #expect(stream.header.databaseByteCount >= UInt64(candidate.status?.databaseByteCount ?? .max))
        #expect(stream.summary == nil)
        let bytes = try await collect(stream)
        #expect(bytes.count == Int(stream.header.totalByteCount))

        let summary = try #require(stream.summary)
        #expect(summary.sha256 == Array(SHA256.hash(data: bytes.dropLast(32))))
        #expect(summary.sha256 == Array(bytes.suffix(32)))
        #expect(summary.databaseByteCount == UInt64(bytes.count - 32))
        #expect(summary.endpoint == server.endpoint)

        // Beginning a snapshot commits, which rewrites the meta pages 0 and 1; the rest is equal on an idle server.
        try server.etcdctl("snapshot", "save", scratch.file("theirs"))
        let theirs = [UInt8](try Data(contentsOf: URL(fileURLWithPath: scratch.file("theirs"))))
        let compared = (2 * Self.pageByteCount)..<(bytes.count - 32)
        #expect(theirs.count == bytes.count && theirs[compared] == bytes[compared])

        try Data(bytes).write(to: URL(fileURLWithPath: scratch.file("ours")))
        let ours = try run(
            version.path(of: "etcdctl"), ["snapshot", "status", scratch.file("ours"), "-w", "json"],
            environment: ["ETCDCTL_API": "3"])
        let status = try run(
            version.path(of: "etcdctl"), ["snapshot", "status", scratch.file("theirs"), "-w", "json"],
            environment: ["ETCDCTL_API": "3"])
        #expect(ours.text == status.text && ours.text.contains("totalKey"))
    }

    @Test(arguments: EtcdVersion.installed)
    func aKilledMemberIsAnError(version: EtcdVersion) async throws {
        let server = try EtcdServer.start(version, pki: try TestPKI())
        try server.fill(mebibytes: 40)
        let stream = try await Client(server.configuration).snapshot(from: server.endpoint)
        var iterator = stream.makeAsyncIterator()
        _ = try await iterator.next()
        server.kill()
        do {
            while try await iterator.next() != nil {}
            Issue.record("the snapshot of a killed member was complete")
        } catch let error as SnapshotError {
            guard case .serverGone(_, let received, _) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.isRetryableElsewhere && error.failure.code == .failed)
            #expect(received >= UInt64(SnapshotStream.blockByteCount) && received < stream.header.totalByteCount)
        }
        #expect(stream.summary == nil)
    }

    @Test(arguments: EtcdVersion.installed)
    func aPausedMemberStalls(version: EtcdVersion) async throws {
        let server = try EtcdServer.start(version)
        try server.fill(mebibytes: 40)
        var configuration = server.configuration
        configuration.stallTimeout = .milliseconds(500)
        let stream = try await Client(configuration).snapshot(from: server.endpoint)
        var iterator = stream.makeAsyncIterator()
        _ = try await iterator.next()
        try server.pause()
        do {
            while try await iterator.next() != nil {}
            Issue.record("the snapshot of a paused member was complete")
        } catch let error as SnapshotError {
            guard case .stalled = error else {
                Issue.record("\(error)")
                return
            }
            #expect(error.isRetryableElsewhere)
        }
        server.resume()
    }

    @Test func theTotalTimeIsBounded() async throws {
        let server = try EtcdServer.start(.v3_4)
        try server.fill(mebibytes: 40)
        var configuration = server.configuration
        configuration.totalTimeout = .milliseconds(800)
        let stream = try await Client(configuration).snapshot(from: server.endpoint)
        var iterator = stream.makeAsyncIterator()
        _ = try await iterator.next()
        try await Task.sleep(for: .seconds(1))
        do {
            while try await iterator.next() != nil {}
            Issue.record("the deadline passed unnoticed")
        } catch let error as SnapshotError {
            guard case .deadlineExceeded = error else {
                Issue.record("\(error)")
                return
            }
            #expect(!error.isRetryableElsewhere)
        }
    }

    @Test func cancellationEndsTheIteration() async throws {
        let server = try EtcdServer.start(.v3_4)
        try server.fill(mebibytes: 20)
        let client = try Client(server.configuration)
        let stream = try await client.snapshot(from: server.endpoint)
        try server.pause()
        let reading = Task { try await collect(stream).count }
        try await Task.sleep(for: .milliseconds(200))
        reading.cancel()
        await #expect(throws: CancellationError.self) { try await reading.value }
        server.resume()

        let abandoned = try await client.snapshot(from: server.endpoint)
        abandoned.cancel()
        await #expect(throws: CancellationError.self) { try await collect(abandoned) }
    }

    /// A stream that is dropped in the middle ends its call, and the next is not disturbed.
    @Test func abandonedStreams() async throws {
        let server = try EtcdServer.start(.v3_4)
        try server.fill(mebibytes: 10)
        let client = try Client(server.configuration)
        for _ in 0..<10 {
            for try await block in try await client.snapshot(from: server.endpoint) {
                #expect(block.count == SnapshotStream.blockByteCount)
                break
            }
        }
        let stream = try await client.snapshot(from: server.endpoint)
        #expect(try await collect(stream).count == Int(stream.header.totalByteCount))
    }

    @Test func aSlowReaderHoldsTheServerBack() async throws {
        let server = try EtcdServer.start(.v3_4)
        try server.fill(mebibytes: 120)
        let stream = try await Client(server.configuration).snapshot(from: server.endpoint)
        let before = try residentByteCount()
        var highest = 0
        for try await _ in stream {
            try await Task.sleep(for: .milliseconds(10))
            highest = max(highest, try residentByteCount())
        }
        #expect(stream.summary != nil)
        #expect(highest - before < 48 << 20)
    }

    @Test(arguments: EtcdVersion.installed)
    func followersComeFirst(version: EtcdVersion) async throws {
        let servers = try EtcdServer.startCluster(version, memberCount: 3)
        let learner = try servers[0].startLearner(cluster: servers)
        var configuration = servers[0].configuration
        let alias = Endpoint(transport: .plaintext, host: "localhost", port: servers[0].clientPort)
        configuration.endpoints = servers.map(\.endpoint) + [learner.endpoint, alias]
        let client = try Client(configuration)
        let candidates = try await client.snapshotCandidates()
        #expect(candidates.map(\.rank) == [.follower, .follower, .leader, .rejected])
        #expect(candidates.last?.endpoint == learner.endpoint)
        #expect(candidates.last?.reason.contains("learner") == true)
        #expect(candidates.first { $0.endpoint == servers[0].endpoint }?.otherEndpoints == [alias])

        let best = try #require(candidates.first)
        for server in servers where server.endpoint == best.endpoint { server.kill() }
        let remaining = try await client.snapshotCandidates()
        #expect(remaining.map(\.rank).prefix(3) == [.follower, .leader, .rejected])
        let stream = try await client.snapshot(from: remaining[0].endpoint)
        #expect(try await collect(stream).count == Int(stream.header.totalByteCount))
    }
}

private func residentByteCount() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    return (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE))
}
