import Crypto
import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import EtcdStorage

@Suite struct RestoreTests {
    private static let streams = Fixtures.expected.filter { !$0.file.hasPrefix("restored") }

    private func plan(_ change: (inout RestorePlan) -> Void = { _ in }) throws -> RestorePlan {
        var plan = RestorePlan(cluster: try RestoreFormatTests.example())
        change(&plan)
        return plan
    }

    private func entries(of directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory)
    }

    private func restore(
        _ source: any RandomAccessBytes, _ plan: RestorePlan, in directory: String
    ) throws -> (report: MemberRestoreReport, database: RandomAccessFile) {
        let target = RestoreTarget(memberName: "m2", dataDirectory: directory + "/data")
        let report = try Restore.run(from: source, plan: plan, to: [target])
        return (report, try RandomAccessFile(path: directory + "/data/member/snap/db"))
    }

    @Test(arguments: streams) func keepsTheRowsAndRewritesTheMembership(_ expected: Fixtures.Expected) async throws {
        try await withTemporaryDirectory { directory in
            let (report, database) = try restore(Fixtures.file(expected.file), plan(), in: directory)
            let (status, survey) = try readStatus(database)
            let contents = try status.requireSound(trailer: .ignored)
            #expect(survey.hashKV?.hash == expected.hashkv.hash)
            #expect(survey.liveKeyCount == expected.status37.totalKey)
            #expect(contents.store.members.map(\.id) == report.cluster.members.map(\.id))
            #expect(contents.store.members.map(\.name) == ["m3", "m2", "m1"])
            #expect(contents.store.removedMemberCount == 0)
            #expect(contents.store.alarms.isEmpty)
            #expect(contents.store.consistentIndex == 3)
            #expect(contents.store.term == 1)
            #expect(contents.store.storageVersion == nil && contents.store.clusterVersion == nil)
            #expect(contents.store.isAuthEnabled == report.source.contents?.store.isAuthEnabled)
            #expect(contents.store.leaseCount == report.source.contents?.store.leaseCount)
            #expect(status.transaction % 2 == 0)
            #expect(status.fileByteCount == status.databaseByteCount)
            #expect(report.databaseByteCount == status.databaseByteCount)
            try expectFreePagesAreZero(database)
        }
    }

    /// Pages that carry anything are reachable: the walk of an independent reader must come to each of them.
    private func expectFreePagesAreZero(_ database: RandomAccessFile) throws {
        let bytes = try database.bytes(at: 0, count: database.byteCount)
        let file = try BoltFile(database)
        var data = Set<[UInt8]>()
        for bucket in try file.buckets() { for row in try file.rows(in: bucket) { data.insert(row.value) } }
        let pages = stride(from: 0, to: bytes.count, by: 4096).map { bytes[$0..<($0 + 4096)] }
        let used = pages.filter { page in page.contains { $0 != 0 } }.count
        let status = try verify(bytes, checksTrailer: false)
        #expect(used == status.pageCount - status.freePageCount)
    }

    @Test func filesAreThoseOfTheRealTool() async throws {
        try await withTemporaryDirectory { directory in
            _ = try restore(Fixtures.file("snap-3.5.30.db"), plan(), in: directory)
            let base = URL(filePath: directory + "/data/member")
            let snap = base.appending(path: "snap/0000000000000001-0000000000000003.snap")
            #expect(
                [UInt8](try Data(contentsOf: snap)) == (try Fixtures.bytes("restored-etcdutl-3.5.30-from-3.5.30.snap")))
            let wal = try Data(contentsOf: base.appending(path: "wal/0000000000000000-0000000000000000.wal"))
            #expect(wal.count == 64_000_000)
            #expect([UInt8](wal.prefix(560)) == (try Fixtures.bytes("restored-etcdutl-3.5.30-from-3.5.30.wal.head560")))
            #expect(wal.dropFirst(560).allSatisfy { $0 == 0 })
            for (path, mode) in [
                ("", 0o700), ("/member/wal", 0o700), ("/member/snap", 0o700), ("/member/snap/db", 0o600),
            ] {
                let attributes = try FileManager.default.attributesOfItem(atPath: directory + "/data" + path)
                #expect(attributes[.posixPermissions] as? Int == mode)
            }
            let names = try entries(of: directory)
            #expect(names == ["data"])
        }
    }

    /// The rows must be those of the real tool, except that ours also rewrites `confState` and leaves versions out.
    @Test func databaseDiffersFromTheRealToolsOnlyWhereItShould() async throws {
        try await withTemporaryDirectory { directory in
            let plan = try plan { $0.targetVersion = MinorVersion(major: 3, minor: 5) }
            let ours = try rows(restore(Fixtures.file("snap-3.5.30.db"), plan, in: directory).database)
            let theirs = try rows(Fixtures.file("restored-etcdutl-3.5.30-from-3.5.30.db"))
            #expect(Set(ours.keys) == Set(theirs.keys))
            #expect(Set(ours.filter { theirs[$0.key] != $0.value }.keys) == ["meta/confState"])
        }
    }

    private func rows(_ source: any RandomAccessBytes) throws -> [String: [UInt8]] {
        let file = try BoltFile(source)
        var result: [String: [UInt8]] = [:]
        for bucket in try file.buckets() {
            for row in try file.rows(in: bucket) {
                let key = String(decoding: row.key, as: UTF8.self)
                result["\(bucket.title)/\(bucket.title == "key" ? "\(row.key)" : key)"] = row.value
            }
        }
        return result
    }

    @Test func bumpEqualsTheRealTool() async throws {
        try await withTemporaryDirectory { directory in
            let plan = try plan {
                $0.targetVersion = MinorVersion(major: 3, minor: 5)
                $0.revisionBump = 1_000_000_000
                $0.marksCompacted = true
            }
            let (report, database) = try restore(Fixtures.file("snap-3.5.30.db"), plan, in: directory)
            #expect(report.revision == 1_000_000_069)
            let survey = try readStatus(database).survey
            #expect(
                survey.hashKV
                    == KeyValueHash(hash: 1_515_227_926, revision: 1_000_000_069, compactRevision: 1_000_000_069))
            #expect(survey.liveKeyCount == 64)
            let theirs = try rows(Fixtures.file("restored-etcdutl-3.5.30-bump.db"))
            let ours = try rows(database)
            #expect(Set(ours.filter { theirs[$0.key] != $0.value }.keys) == ["meta/confState"])
        }
    }

    @Test func bumpNeedsItsMark() async throws {
        try await withTemporaryDirectory { directory in
            for change in [{ $0.revisionBump = 5 }, { $0.marksCompacted = true }, { $0.revisionBump = -5 }]
                as [(inout RestorePlan) -> Void]
            {
                #expect(throws: StorageError.self) {
                    try restore(Fixtures.file("snap-3.5.1.db"), plan(change), in: directory)
                }
            }
            let left = try entries(of: directory)
            #expect(left.isEmpty)
        }
    }

    @Test func olderTargetIsRefusedUnlessAllowed() async throws {
        try await withTemporaryDirectory { directory in
            var plan = try plan { $0.targetVersion = MinorVersion(major: 3, minor: 6) }
            #expect {
                try restore(Fixtures.file("snap-3.7.1.db"), plan, in: directory)
            } throws: { "\($0)".contains("etcd 3.7") && "\($0)".contains("3.6") }
            plan.allowsDowngrade = true
            let (report, database) = try restore(Fixtures.file("snap-3.7.1.db"), plan, in: directory)
            #expect(report.droppedVersions)
            #expect(try readStatus(database).report.contents?.store.sourceVersion == nil)
        }
    }

    @Test func sameVersionKeepsTheVersionRows() async throws {
        try await withTemporaryDirectory { directory in
            let plan = try plan { $0.targetVersion = MinorVersion(major: 3, minor: 7) }
            let (report, database) = try restore(Fixtures.file("snap-3.7.1.db"), plan, in: directory)
            #expect(!report.droppedVersions)
            #expect(try readStatus(database).report.contents?.store.storageVersion == "3.7.0")
        }
    }

    @Test func alarmsAreReported() async throws {
        try await withTemporaryDirectory { directory in
            let report = try restore(Fixtures.file("nospace-alarm-3.5.30.db"), plan(), in: directory).report
            #expect(report.droppedAlarms.map(\.kind) == [.noSpace])
        }
    }

    @Test func badInputLeavesNothing() async throws {
        try await withTemporaryDirectory { directory in
            let good = try Fixtures.bytes("snap-3.5.30.db")
            var flipped = good
            flipped[30_000] ^= 4
            let withoutTrailer = Array(good.dropLast(32))
            for bytes in [flipped, withoutTrailer, Array(good.prefix(20_000)), []] {
                #expect(throws: StorageError.self) { try restore(MemoryBytes(bytes), plan(), in: directory) }
            }
            let left = try entries(of: directory)
            #expect(left.isEmpty)
            _ = try restore(MemoryBytes(withoutTrailer), plan { $0.trailerPolicy = .optional }, in: directory)
        }
    }

    /// A large snapshot on a slow disk must not be read twice: only branches and small buckets are.
    @Test func readsTheSnapshotOnce() async throws {
        final class Metered: RandomAccessBytes {
            let inner: MemoryBytes
            let readByteCount = Atomic(0)
            init(inner: MemoryBytes) { self.inner = inner }
            var name: String { inner.name }
            var byteCount: Int { inner.byteCount }
            func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
                readByteCount.add(buffer.count, ordering: .relaxed)
                return try inner.read(at: offset, into: buffer)
            }
        }
        try await withTemporaryDirectory { directory in
            var generator = SeededGenerator(seed: 11)
            var synthetic = SyntheticDatabase(pageByteCount: 4096)
            synthetic.addHistory(
                rowCount: 4000, keyCount: 500, maximumValue: 6000, fanOut: 30, using: &generator)
            let bytes = MemoryBytes(synthetic.finish())
            let source = Metered(inner: bytes)
            let database = try restore(source, plan { $0.trailerPolicy = .ignored }, in: directory).database
            let readByteCount = source.readByteCount.load(ordering: .relaxed)
            #expect(readByteCount < source.byteCount * 5 / 4, "\(readByteCount) of \(source.byteCount)")
            let kept = try rows(database).filter { $0.key.hasPrefix("key/") }
            #expect(try kept == rows(bytes).filter { $0.key.hasPrefix("key/") } && kept.count > 3000)
            try expectFreePagesAreZero(database)
        }
    }

    /// What the branches lead to expect is not all that is in use: the rest must not be missing.
    @Test func treesOfUnevenDepth() async throws {
        var synthetic = SyntheticDatabase(pageByteCount: 4096)
        synthetic.addUnbalanced(
            (2..<200).map {
                SyntheticDatabase.put(
                    "/registry/things/\($0)", value: Array("value \($0)".utf8), revision: $0, create: $0, version: 1)
            })
        let database = synthetic.finish()
        for (bytes, policy) in [
            (database, SnapshotReport.TrailerPolicy.ignored), (database, .optional),
            (database + SHA256.hash(data: database), .required),
        ] {
            try await withTemporaryDirectory { directory in
                let restored = try restore(MemoryBytes(bytes), plan { $0.trailerPolicy = policy }, in: directory)
                    .database
                let kept = try rows(restored).filter { $0.key.hasPrefix("key/") }
                #expect(try kept == rows(MemoryBytes(bytes)).filter { $0.key.hasPrefix("key/") } && kept.count == 198)
                try expectFreePagesAreZero(restored)
            }
        }
        var damaged = database + SHA256.hash(data: database)
        damaged[database.count - 9] ^= 1
        try await withTemporaryDirectory { directory in
            #expect(throws: StorageError.self) { try restore(MemoryBytes(damaged), plan(), in: directory) }
            let left = try entries(of: directory)
            #expect(left.isEmpty)
        }
    }

    /// A tree that is made up to be deep must not cost the stack.
    @Test func chainsOfBranches() async throws {
        for length in [40, 47, 60, 20_000] {
            var synthetic = SyntheticDatabase(pageByteCount: 1024)
            synthetic.addChain(length: length)
            let bytes = MemoryBytes(synthetic.finish())
            try await withTemporaryDirectory { directory in
                let plan = try plan { $0.trailerPolicy = .ignored }
                if length <= 40 {
                    _ = try restore(bytes, plan, in: directory)
                } else if length > 48 {
                    #expect(throws: StorageError.self) { try restore(bytes, plan, in: directory) }
                    let left = try entries(of: directory)
                    #expect(left.isEmpty)
                }
            }
        }
    }

    /// A leaf that claims to be longer than any must not have everything behind it copied.
    @Test func runsThatClaimTooMuch() async throws {
        var generator = SeededGenerator(seed: 3)
        var synthetic = SyntheticDatabase(pageByteCount: 4096)
        synthetic.addHistory(rowCount: 600, keyCount: 50, maximumValue: 900, fanOut: 20, using: &generator)
        let leaf = Int(synthetic.leafPages[3])
        let bytes = synthetic.finish()
        for overflow in [1, 7, 1 << 20, 0xFFFF_FFFF] as [UInt32] {
            var edited = bytes
            withUnsafeBytes(of: overflow.littleEndian) {
                edited.replaceSubrange((leaf * 4096 + 12)..<(leaf * 4096 + 16), with: $0)
            }
            try await withTemporaryDirectory { directory in
                #expect(throws: StorageError.self) {
                    try restore(MemoryBytes(edited), plan { $0.trailerPolicy = .ignored }, in: directory)
                }
                let left = try entries(of: directory)
                #expect(left.isEmpty)
            }
        }
    }

    /// The first reads find the pages that are copied; files exist from the second on.
    @Test func failureHalfWayLeavesNothing() async throws {
        struct Failing: RandomAccessBytes {
            let inner: MemoryBytes
            let reads: Counter
            var name: String { inner.name }
            var byteCount: Int { inner.byteCount }
            func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
                if reads.increment() > reads.limit { throw Failure(.failed, "the store is gone") }
                return try inner.read(at: offset, into: buffer)
            }
        }
        let bytes = try Fixtures.bytes("snap-3.5.30.db")
        var sawFailureAfterVerification = false
        for limit in 0..<12 {
            try await withTemporaryDirectory { directory in
                let source = Failing(inner: MemoryBytes(bytes), reads: Counter(limit: limit))
                do {
                    _ = try restore(source, plan(), in: directory)
                } catch {
                    #expect("\(error)".contains("the store is gone"))
                    let left = try entries(of: directory)
                    #expect(left.isEmpty)
                    sawFailureAfterVerification = sawFailureAfterVerification || limit > 1
                }
            }
        }
        #expect(sawFailureAfterVerification)
    }

    @Test func existingDirectoryIsNotTouched() async throws {
        try await withTemporaryDirectory { directory in
            try FileManager.default.createDirectory(
                atPath: directory + "/data/mine", withIntermediateDirectories: true)
            #expect {
                try restore(Fixtures.file("snap-3.5.30.db"), plan(), in: directory)
            } throws: { error in
                guard case .inputOutput(let failure) = error as? StorageError else { return false }
                return failure.code == .failed && failure.message.contains("\"mine\"")
            }
            let left = try entries(of: directory + "/data")
            #expect(left == ["mine"])
            let names = try entries(of: directory)
            #expect(names == ["data"])
        }
    }

    @Test func allMembersAndSeparateLogs() async throws {
        try await withTemporaryDirectory { directory in
            let targets = ["m1", "m2", "m3"].map {
                RestoreTarget(
                    memberName: $0, dataDirectory: "\(directory)/\($0)", walDirectory: "\(directory)/\($0)-wal/")
            }
            _ = try Restore.run(from: Fixtures.file("snap-3.6.14.db"), plan: plan(), to: targets)
            let databases = try targets.map {
                try Data(contentsOf: URL(filePath: $0.dataDirectory + "/member/snap/db"))
            }
            #expect(Set(databases).count == 1)
            let logs = try targets.map {
                try Data(contentsOf: URL(filePath: ($0.walDirectory ?? "") + "/0000000000000000-0000000000000000.wal"))
                    .prefix(600)
            }
            #expect(Set(logs).count == 3)
            #expect(throws: StorageError.self) {
                try Restore.run(
                    from: Fixtures.file("snap-3.6.14.db"), plan: plan(),
                    to: [RestoreTarget(memberName: "nobody", dataDirectory: directory + "/x")])
            }
        }
    }
}

/// Counts calls from several threads.
final class Counter: @unchecked Sendable {
    // `count` is only touched under the lock.
    let limit: Int
    private var count = 0
    private let lock = NSLock()

    init(limit: Int) { self.limit = limit }

    func increment() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }
}
