import EtcdStorage
import Foundation
import HostIO
import Testing

/// Real servers boot what ``Restore`` writes.
@Suite(.serialized)
struct BootTests {
    /// A snapshot of a real server with history, deletes, a compaction, a lease; and its HashKV.
    struct Source {
        var path: String
        var revision: Int64
        var hash: UInt32
        var keyCount: Int
    }

    private func makeSource(_ release: EtcdRelease, in directory: String) async throws -> Source {
        let server = try TestServer(release, name: "src", directory: directory + "/src")
        try server.start(initialCluster: "src=\(server.peerURL)")
        try await server.waitUntilWritable()
        for index in 0..<120 { try await server.put("/registry/things/ns/k\(index % 40)", "value \(index)") }
        for index in 0..<5 {
            _ = try await server.call("/v3/kv/deleterange", ["key": server.base64("/registry/things/ns/k\(index)")])
        }
        let lease = try await server.call("/v3/lease/grant", ["TTL": "3600"])
        _ = try await server.call(
            "/v3/kv/put", ["key": server.base64("/leased"), "value": "eA==", "lease": lease["ID"] as? String ?? "0"])
        _ = try await server.call("/v3/kv/compaction", ["revision": "100", "physical": true])
        for index in 0..<10 { try await server.put("/registry/things/ns/k\(index + 10)", "after") }
        let path = directory + "/source.db"
        guard let etcdctl = release.tool("etcdctl") else { throw TestServerError(what: "no etcdctl") }
        try runTool(etcdctl, ["--endpoints", server.clientURL, "snapshot", "save", path])
        let survey = try readStatus(RandomAccessFile(path: path)).survey
        let own = try #require(survey.hashKV)
        let hash = try server.hashKV(revision: own.revision)
        #expect(own.hash == hash)
        let keyCount = try await server.keyCount()
        #expect(survey.liveKeyCount == keyCount)
        server.stop()
        return Source(path: path, revision: own.revision, hash: hash, keyCount: keyCount)
    }

    @Test(arguments: EtcdRelease.allCases, EtcdRelease.allCases)
    func oneMember(from source: EtcdRelease, to target: EtcdRelease) async throws {
        try await withTemporaryDirectory { directory in
            let source = try await makeSource(source, in: directory)
            let server = try TestServer(target, name: "m1", directory: directory + "/data")
            let token = "fresh-\(UInt32.random(in: 0...UInt32.max))"
            let initial = "m1=\(server.peerURL)"
            let plan = RestorePlan(cluster: try PlannedCluster(initialCluster: initial, token: token))
            let restored = [RestoreTarget(memberName: "m1", dataDirectory: server.directory)]
            _ = try Restore.run(from: RandomAccessFile(path: source.path), plan: plan, to: restored)
            try expectToolAgrees(server.directory + "/member/snap/db")
            try server.start(initialCluster: initial, token: token)
            try await server.waitUntilWritable()
            #expect(try server.hashKV(revision: source.revision) == source.hash)
            #expect(try await server.keyCount() == source.keyCount)
            try await server.put("/written", "1")
            server.stop()
            try server.start(initialCluster: initial, token: token)
            try await server.waitUntilWritable()
            #expect(try await server.get("/written") == "1")
            #expect(try server.hashKV(revision: source.revision) == source.hash)
            try await expectAddedMemberHasEverything(target, server, initial, directory)
            server.stop()
        }
    }

    private func expectToolAgrees(_ database: String) throws {
        guard let etcdutl = EtcdRelease.v35.tool("etcdutl") else { throw TestServerError(what: "no etcdutl") }
        let output = try runTool(etcdutl, ["snapshot", "status", database, "-w", "json"])
        let status = try JSONDecoder().decode(Fixtures.Expected.Status.self, from: Data(output.utf8))
        let report = try readStatus(RandomAccessFile(path: database)).report
        #expect(report.contents?.hash == status.hash)
        #expect(report.contents?.totalRowCount == status.totalKey)
        #expect(report.contents?.revision == status.revision)
        #expect(report.databaseByteCount == status.totalSize)
    }

    private func expectAddedMemberHasEverything(
        _ release: EtcdRelease, _ server: TestServer, _ initial: String, _ directory: String
    ) async throws {
        let added = try TestServer(release, name: "m9", directory: directory + "/added")
        _ = try await server.call("/v3/cluster/member/add", ["peerURLs": [added.peerURL]])
        try added.start(initialCluster: "\(initial),m9=\(added.peerURL)", existing: true)
        try await added.waitUntilWritable()
        #expect(try await added.keyCount() == server.keyCount())
        #expect(try await added.get("/registry/things/ns/k30") == server.get("/registry/things/ns/k30"))
        #expect(try await added.get("/registry/things/ns/k30") != nil)
        added.stop()
    }

    @Test(arguments: EtcdRelease.allCases, EtcdRelease.allCases)
    func threeMembersWithBump(from source: EtcdRelease, to target: EtcdRelease) async throws {
        try await withTemporaryDirectory { directory in
            let source = try await makeSource(source, in: directory)
            let servers = try (1...3).map { try TestServer(target, name: "m\($0)", directory: "\(directory)/m\($0)") }
            let initial = servers.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
            var plan = RestorePlan(cluster: try PlannedCluster(initialCluster: initial, token: "three"))
            plan.revisionBump = 1_000_000
            plan.marksCompacted = true
            let targets = servers.map { RestoreTarget(memberName: $0.name, dataDirectory: $0.directory) }
            let report = try Restore.run(from: RandomAccessFile(path: source.path), plan: plan, to: targets)
            for server in servers { try server.start(initialCluster: initial, token: "three") }
            for server in servers { try await server.waitUntilWritable() }
            let answer = try await servers[0].call("/v3/kv/range", ["key": servers[0].base64("/leased")])
            let revision = Int64((answer["header"] as? [String: Any])?["revision"] as? String ?? "0") ?? 0
            #expect(revision > report.revision && report.revision >= source.revision + 1_000_000)
            #expect((answer["kvs"] as? [[String: Any]])?.first?["lease"] != nil)
            try await servers[1].put("/written", "3")
            #expect(try await servers[2].get("/written") == "3")
            // Everything before the bump counts as compacted.
            #expect(throws: TestServerError.self) { try servers[0].hashKV(revision: source.revision) }
            let hashes = try servers.map { try $0.hashKV(revision: revision) }
            #expect(Set(hashes).count == 1)
            #expect(try await servers[2].keyCount() >= source.keyCount)
            for server in servers { server.stop() }
        }
    }
}
