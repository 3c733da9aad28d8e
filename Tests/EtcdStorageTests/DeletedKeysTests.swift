import Foundation
import HostIO
import Testing

@testable import EtcdStorage

/// Keys that a restore deletes: rows as a server would have written them, at the end of any tree.
@Suite struct DeletedKeysTests {
    private func restore(
        _ bytes: some RandomAccessBytes, deleting keys: Set<[UInt8]>, bump: Int64 = 0, _ directory: String
    ) throws -> (report: MemberRestoreReport, bytes: [UInt8]) {
        var plan = RestorePlan(cluster: try RestoreFormatTests.example())
        plan.trailerPolicy = .ignored
        plan.revisionBump = bump
        plan.marksCompacted = bump > 0
        plan.deletedKeys = keys
        let target = RestoreTarget(memberName: "m2", dataDirectory: directory + "/data")
        let report = try Restore.run(from: bytes, plan: plan, to: [target])
        return (report, [UInt8](try Data(contentsOf: URL(filePath: directory + "/data/member/snap/db"))))
    }

    private func key(_ index: Int) -> [UInt8] { Array("/registry/a/\(index)".utf8) }

    private func database(rowCount: Int, pageByteCount: Int, fanOut: Int) -> [UInt8] {
        var database = SyntheticDatabase(pageByteCount: pageByteCount)
        let rows = (0..<rowCount).map { index in
            SyntheticDatabase.put(
                "/registry/a/\(index)", value: [7], revision: Int64(index + 2), create: Int64(index + 2), version: 1)
        }
        database.add(rows, compactedAt: 0, fanOut: fanOut)
        return database.finish()
    }

    private static let shapes = [(1, 2), (2, 2), (3, 2), (33, 2), (100, 3), (700, 5), (4000, 40), (4000, 2)]

    /// One key and hundreds, so that leaves and branches have to be split, with and without the marker behind them.
    @Test(arguments: [1024, 4096, 16384, 65536], [0, 1_000_000_000] as [Int64])
    func trees(pageByteCount: Int, bump: Int64) async throws {
        for (rowCount, fanOut) in Self.shapes {
            let bytes = database(rowCount: rowCount, pageByteCount: pageByteCount, fanOut: fanOut)
            for deletedCount in Set([1, min(5, rowCount), min(500, rowCount), rowCount]) {
                let deleted = Set((0..<deletedCount).map { key($0) })
                try await withTemporaryDirectory { directory in
                    let (report, restored) = try restore(MemoryBytes(bytes), deleting: deleted, bump: bump, directory)
                    let newest = Int64(rowCount + 1)
                    #expect(report.revision == newest + 1 + bump && report.deletedKeyCount == deletedCount)
                    #expect(try BranchKeys(restored).differences == [])
                    let rows = try Self.rows(restored)
                    let tombstones = rows.dropFirst(rowCount).prefix(deletedCount)
                    let sorted = deleted.sorted { $0.lexicographicallyPrecedes($1) }
                    #expect(
                        tombstones.map(\.key)
                            == (0..<deletedCount).map { revisionKey(main: newest + 1, sub: Int64($0)) + [0x74] })
                    #expect(tombstones.map { Array($0.value.dropFirst(2)) } == sorted)
                    #expect(rows.count == rowCount + deletedCount + (bump > 0 ? 1 : 0))
                    if bump > 0 { #expect(rows.last?.key == revisionKey(main: newest + 1 + bump)) }
                    let (status, survey) = try readStatus(MemoryBytes(restored))
                    #expect(
                        status.findings.isEmpty && survey.liveKeyCount == rowCount - deletedCount + (bump > 0 ? 1 : 0))
                }
            }
        }
    }

    private static func rows(_ bytes: [UInt8]) throws -> [BoltRow] {
        let file = try BoltFile(MemoryBytes(bytes))
        let bucket = try #require(try file.buckets().first { $0.title == "key" })
        return try file.rows(in: bucket)
    }

    /// A key that is not there any more, one that never was, and one that was deleted and written again.
    @Test func onlyKeysThatExist() async throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        func put(_ key: String, _ revision: Int64) -> PageBuilder.Row {
            SyntheticDatabase.put(key, value: [1], revision: revision, create: revision, version: 1)
        }
        database.addStale([put("/gone", 3)])
        database.add(
            [
                put("/a", 2), put("/gone", 3), put("/again", 4), SyntheticDatabase.tombstone("/gone", revision: 5),
                SyntheticDatabase.tombstone("/again", revision: 6), put("/again", 7),
            ], compactedAt: 0, fanOut: 2)
        database.addStale([SyntheticDatabase.tombstone("/a", revision: 9), put("/gone", 9)])
        let bytes = MemoryBytes(database.finish())
        for (keys, missing) in [
            (["/gone"], "\"/gone\""), (["/never", "/a"], "1 of 2 keys"), (["/"], "\"/\""), (["/a/b"], "\"/a/b\""),
        ] {
            try await withTemporaryDirectory { directory in
                #expect {
                    _ = try restore(bytes, deleting: Set(keys.map { Array($0.utf8) }), directory)
                } throws: { error in
                    let failure = (error as? StorageError)?.failure
                    return failure?.code == .usage && failure?.message.contains(missing) == true
                }
                let left = try FileManager.default.contentsOfDirectory(atPath: directory)
                #expect(left.isEmpty)
            }
        }
        try await withTemporaryDirectory { directory in
            let (_, restored) = try restore(bytes, deleting: [Array("/again".utf8), Array("/a".utf8)], directory)
            #expect(try readStatus(MemoryBytes(restored)).survey.liveKeyCount == 0)
        }
    }
}

/// Real servers on data from which keys were deleted before their first start.
@Suite(.serialized) struct DeletedKeysBootTests {
    private struct Source {
        var before: String
        var after: String
        var revision: Int64
        /// HashKV behind the deletion by the server itself.
        var hash: UInt32
        var keyCount: Int
    }

    private static let count = 500

    /// Snapshots of a server before and after it deletes all keys below a prefix at once, one of them with a lease.
    private func makeSource(_ release: EtcdRelease, in directory: String) async throws -> Source {
        let server = try TestServer(release, name: "src", directory: directory + "/src")
        try server.start(initialCluster: "src=\(server.peerURL)")
        try await server.waitUntilWritable()
        for index in 0..<Self.count { try await server.put("/registry/leases/lost/k\(index)", "lost \(index)") }
        for index in 0..<90 { try await server.put("/registry/things/ns/k\(index % 30)", "value \(index)") }
        for index in 0..<5 {
            _ = try await server.call("/v3/kv/deleterange", ["key": server.base64("/registry/things/ns/k\(index)")])
        }
        let lease = try await server.call("/v3/lease/grant", ["TTL": "3600"])
        let leased = server.base64("/registry/leases/lost/leased")
        _ = try await server.call(
            "/v3/kv/put", ["key": leased, "value": "eA==", "lease": lease["ID"] as? String ?? "0"])
        _ = try await server.call("/v3/kv/compaction", ["revision": "400", "physical": true])
        guard let etcdctl = release.tool("etcdctl") else { throw TestServerError(what: "no etcdctl") }
        let paths = (before: directory + "/before.db", after: directory + "/after.db")
        try runTool(etcdctl, ["--endpoints", server.clientURL, "snapshot", "save", paths.before])
        let revision = try #require(try readStatus(RandomAccessFile(path: paths.before)).report.contents?.revision)
        _ = try await server.call(
            "/v3/kv/deleterange",
            ["key": server.base64("/registry/leases/lost/"), "range_end": server.base64("/registry/leases/lost0")])
        try runTool(etcdctl, ["--endpoints", server.clientURL, "snapshot", "save", paths.after])
        let hash = try server.hashKV(revision: revision + 1)
        let keyCount = try await server.keyCount()
        server.stop()
        return Source(before: paths.before, after: paths.after, revision: revision, hash: hash, keyCount: keyCount)
    }

    private static let lost = Set(
        ((0..<count).map { "/registry/leases/lost/k\($0)" } + ["/registry/leases/lost/leased"]).map { Array($0.utf8) })

    private func rows(_ path: String, from revision: Int64) throws -> [BoltRow] {
        let file = try BoltFile(try RandomAccessFile(path: path))
        let bucket = try #require(try file.buckets().first { $0.title == "key" })
        return try file.rows(in: bucket).filter { !$0.key.lexicographicallyPrecedes(revisionKey(main: revision)) }
    }

    /// Without a bump the data is what it would be had the server deleted the keys itself: rows, HashKV, history, watches.
    @Test(arguments: EtcdRelease.allCases, EtcdRelease.allCases)
    func asIfTheServerHadDeletedThem(from source: EtcdRelease, to target: EtcdRelease) async throws {
        try await withTemporaryDirectory { directory in
            let source = try await makeSource(source, in: directory)
            let server = try TestServer(target, name: "m1", directory: directory + "/data")
            let initial = "m1=\(server.peerURL)"
            var plan = RestorePlan(cluster: try PlannedCluster(initialCluster: initial, token: "t"))
            plan.deletedKeys = Self.lost
            let report = try Restore.run(
                from: RandomAccessFile(path: source.before), plan: plan,
                to: [RestoreTarget(memberName: "m1", dataDirectory: server.directory)])
            #expect(report.revision == source.revision + 1)
            let database = server.directory + "/member/snap/db"
            let own = try rows(database, from: source.revision + 1)
            let theirs = try rows(source.after, from: source.revision + 1)
            #expect(own.count == Self.count + 1 && own == theirs)
            #expect(try BranchKeys([UInt8](Data(contentsOf: URL(filePath: database)))).differences == [])
            try server.start(initialCluster: initial, token: "t")
            try await server.waitUntilWritable()
            #expect(try server.hashKV(revision: source.revision + 1) == source.hash)
            #expect(try await server.keyCount() == source.keyCount)
            let key = server.base64("/registry/leases/lost/k499")
            let now = try await server.call("/v3/kv/range", ["key": key])
            #expect(now["kvs"] == nil && now["count"] == nil)
            let then = try await server.call("/v3/kv/range", ["key": key, "revision": "\(source.revision)"])
            let old = (then["kvs"] as? [[String: Any]])?.first?["value"] as? String
            #expect(old == server.base64("lost 499"))
            guard let etcdctl = target.tool("etcdctl") else { throw TestServerError(what: "no etcdctl") }
            let watched = try runTool(
                "/bin/sh",
                [
                    "-c",
                    "timeout 4 \"$0\" --endpoints \"$1\" watch /registry/leases/lost/k499 --rev \(source.revision - 9) -w json; true",
                    etcdctl, server.clientURL,
                ])
            #expect(watched.contains("\"type\":1") && watched.contains("\"mod_revision\":\(source.revision + 1)"))
            server.stop()
        }
    }

    /// With a bump, on three members, behind the compaction that it schedules and one more.
    @Test(arguments: EtcdRelease.allCases)
    func threeMembersWithBump(release: EtcdRelease) async throws {
        try await withTemporaryDirectory { directory in
            let source = try await makeSource(release, in: directory)
            let servers = try (1...3).map { try TestServer(release, name: "m\($0)", directory: "\(directory)/m\($0)") }
            let initial = servers.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
            var plan = RestorePlan(cluster: try PlannedCluster(initialCluster: initial, token: "three"))
            plan.revisionBump = 1_000_000
            plan.marksCompacted = true
            plan.deletedKeys = Self.lost
            let targets = servers.map { RestoreTarget(memberName: $0.name, dataDirectory: $0.directory) }
            let report = try Restore.run(from: RandomAccessFile(path: source.before), plan: plan, to: targets)
            #expect(report.revision == source.revision + 1_000_001)
            for server in servers { try server.start(initialCluster: initial, token: "three") }
            for server in servers { try await server.waitUntilWritable() }
            for server in servers { #expect(try await server.get("/registry/leases/lost/k0") == nil) }
            #expect(try await servers[0].get("/registry/things/ns/k29") == "value 89")
            try await servers[1].put("/registry/leases/lost/k0", "new")
            let answer = try await servers[0].call("/v3/kv/range", ["key": servers[0].base64("/ready")])
            let revision = Int64((answer["header"] as? [String: Any])?["revision"] as? String ?? "0") ?? 0
            _ = try await servers[2].call("/v3/kv/compaction", ["revision": "\(revision)", "physical": true])
            try await servers[1].put("/written", "after")
            try await Task.sleep(for: .seconds(1))
            #expect(Set(try servers.map { try $0.hashKV(revision: revision + 1) }).count == 1)
            for server in servers { #expect(try await server.get("/registry/leases/lost/k0") == "new") }
            for server in servers { server.stop() }
            for server in servers {
                let status = try readStatus(RandomAccessFile(path: server.directory + "/member/snap/db"))
                #expect(status.report.findings.isEmpty)
            }
        }
    }
}
