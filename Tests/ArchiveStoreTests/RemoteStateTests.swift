import Foundation
import HostIO
import SealedArchive
import Synchronization
import TestSupport
import Testing

@testable import ArchiveStore

@Suite struct RetryPolicyTests {
    private struct Broken: Error {}

    private let policy = RetryPolicy(
        patience: .milliseconds(400), firstWait: .milliseconds(1), longestWait: .milliseconds(8))

    @Test func triesUntilItSucceeds() throws {
        let attempts = try policy.run(retry: { _ in .later }) { attempt in
            if attempt < 5 { throw Broken() }
            return attempt
        }
        #expect(attempts == 5)
    }

    @Test func whatCannotPassIsTriedOnce() {
        var count = 0
        #expect(throws: Broken.self) {
            try policy.run(retry: { _ in .never }) { _ in
                count += 1
                throw Broken()
            }
        }
        #expect(count == 1)
    }

    @Test func patienceEnds() {
        let start = ContinuousClock.now
        #expect(throws: Broken.self) { try policy.run(retry: { _ in .later }) { _ in throw Broken() } }
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test func whatTheServerAsksForIsWaited() throws {
        let waits = Mutex<[Duration]>([])
        var policy = RetryPolicy(patience: .seconds(10), firstWait: .milliseconds(1)) { _, wait in
            waits.withLock { $0.append(wait) }
        }
        let start = ContinuousClock.now
        try policy.run(retry: { _ in .afterSeconds(1) }) { if $0 < 1 { throw Broken() } }
        #expect(ContinuousClock.now - start >= .seconds(1))
        #expect(waits.withLock { $0.count == 1 && $0[0] >= .seconds(1) })
        // Longer than patience lasts is not waited at all.
        policy.patience = .seconds(2)
        #expect(throws: Broken.self) { try policy.run(retry: { _ in .afterSeconds(30) }) { _ in throw Broken() } }
        #expect(ContinuousClock.now - start < .seconds(20))
    }

    @Test func waitingCanBeEnded() {
        let policy = RetryPolicy(patience: .seconds(60), firstWait: .seconds(30), longestWait: .seconds(30))
        let start = ContinuousClock.now
        #expect(throws: CancellationError.self) {
            try policy.run(isStopped: { true }, retry: { _ in .later }) { _ in throw Broken() }
        }
        #expect(ContinuousClock.now - start < .seconds(10))
    }
}

@Suite struct RemovalRecordTests {
    private func run(_ first: Int, _ last: Int, _ digest: String? = nil) -> ChainRecord.RemovedRun {
        .init(firstSequence: first, lastSequence: last, sidecarSHA256: digest)
    }

    private func id(_ second: Int) -> BackupID {
        BackupID(time: Date(timeIntervalSince1970: 1_795_402_800 + Double(second)))
    }

    @Test func severalSayTogetherWhatEachSays() {
        let ids = (0..<3).map(id)
        var record = RemovalRecord(removed: [run(1, 3), run(7, 7, "d")], removing: [ids[0]])
        record.merge(RemovalRecord(removed: [run(2, 5)], removing: [ids[0], ids[1]]))
        record.merge(RemovalRecord(removed: [run(1, 3), run(9, 9)], removing: [ids[2]]))
        #expect(record.removed.map { [$0.firstSequence, $0.lastSequence] } == [[1, 5], [7, 7], [9, 9]])
        #expect(record.removed[1].sidecarSHA256 == "d")
        #expect(record.removing == ids.sorted())
    }

    @Test func merginAgainChangesNothing() {
        var record = RemovalRecord(removed: [run(1, 3), run(7, 9, "d")], removing: [id(0)])
        let once = record
        record.merge(once)
        #expect(record == once)
    }

    @Test func damageIsSaid() throws {
        let bytes = try DocumentCoding.encode(RemovalRecord(removed: [run(1, 3)], removing: [id(0)]))
        #expect(try RemovalRecord.decode(bytes, name: "r").removed.count == 1)
        let end = bytes.lastIndex(of: 0x7D) ?? 0
        for count in 0..<end {
            #expect { _ = try RemovalRecord.decode(Array(bytes.prefix(count)), name: "r") } throws: {
                ($0 as? Failure)?.code == .integrity
            }
        }
        for text in [
            #"{"formatVersion": 1, "removed": [{"firstSequence": 5, "lastSequence": 2}], "removing": []}"#,
            #"{"formatVersion": 1, "removed": [{"firstSequence": 0, "lastSequence": 2}], "removing": []}"#,
            #"{"formatVersion": 1, "removed": [], "removing": ["../../etc/passwd"]}"#,
        ] {
            #expect(throws: Failure.self) { try RemovalRecord.decode(Array(text.utf8), name: "r") }
        }
        let later = #"{"formatVersion": 2, "removed": [], "removing": []}"#
        #expect { _ = try RemovalRecord.decode(Array(later.utf8), name: "r") } throws: {
            ($0 as? Failure)?.code == .failed
        }
    }

    @Test func namesAreNoneOfArchives() {
        let name = RemovalRecord.newName()
        #expect(RemovalRecord.isName(name) && !RemovalRecord.isName("20261123T030000Z-abcdef.json"))
        #expect(BackupID(name.dropLast(5)) == nil)
    }
}

@Suite struct DocumentCacheTests {
    private let scratch: TemporaryDirectory
    private let documents = [
        StoredObject(key: "a/b/1.json", byteCount: 5, tag: "\"x\""),
        StoredObject(key: "a/b/2.json", byteCount: 0, tag: "y"),
        StoredObject(key: "a/b/3.json", byteCount: 3, tag: nil),
    ]

    init() throws {
        scratch = try TemporaryDirectory()
        var cache = DocumentCache(path: scratch.path)
        cache.keep([1, 10, 3, 9, 5], of: documents[0])
        cache.keep([], of: documents[1])
        cache.keep([1, 2, 3], of: documents[2])
        cache.write(path: scratch.path, only: documents)
    }

    @Test func keepsWhatCanBeToldApart() {
        let cache = DocumentCache(path: scratch.path)
        #expect(cache.bytes(of: documents[0]) == [1, 10, 3, 9, 5])
        #expect(cache.bytes(of: documents[1]) == [])
        #expect(cache.bytes(of: documents[2]) == nil)
        var other = documents[0]
        other.tag = "\"z\""
        #expect(cache.bytes(of: other) == nil)
        other = documents[0]
        other.byteCount = 6
        #expect(cache.bytes(of: other) == nil)
    }

    @Test func forgetsWhatIsGone() {
        var cache = DocumentCache(path: scratch.path)
        cache.write(path: scratch.path, only: [documents[1]])
        let after = DocumentCache(path: scratch.path)
        #expect(after.bytes(of: documents[0]) == nil && after.bytes(of: documents[1]) == [])
    }

    /// What is cut short loses documents, and gives none that is another.
    @Test func damageLosesDocumentsOnly() throws {
        let path = scratch.file("documents")
        let bytes = try Data(contentsOf: URL(filePath: path))
        for count in 0..<bytes.count {
            try bytes.prefix(count).write(to: URL(filePath: path))
            let cache = DocumentCache(path: scratch.path)
            #expect([nil, [1, 10, 3, 9, 5]].contains(cache.bytes(of: documents[0])))
            #expect([nil, []].contains(cache.bytes(of: documents[1])))
        }
    }
}

@Suite struct StoreHomeTests {
    @Test func followsSystemdThenTheSystemThenTheUser() {
        let unit = StoreHome(
            variables: [
                "STATE_DIRECTORY": "/var/lib/x:/var/lib/y", "CACHE_DIRECTORY": "/var/cache/x", "HOME": "/root",
            ],
            isRoot: true)
        #expect(unit.stateDirectory == "/var/lib/x" && unit.cacheDirectory == "/var/cache/x")
        let root = StoreHome(variables: ["HOME": "/root"], isRoot: true)
        #expect(root.stateDirectory == "/var/lib/etcd-snap" && root.cacheDirectory == "/var/cache/etcd-snap")
        let user = StoreHome(variables: ["HOME": "/home/u", "XDG_CACHE_HOME": "/tmp/c"], isRoot: false)
        #expect(user.stateDirectory == "/home/u/.local/state/etcd-snap" && user.cacheDirectory == "/tmp/c/etcd-snap")
    }

    /// Each store has a directory of its own, that is no cluster of a local store in the same place.
    @Test func storesAreKeptApart() throws {
        let home = StoreHome(stateDirectory: "/s", cacheDirectory: "/c")
        let scope = try StoreScope(cluster: "prod", node: "cp-0")
        let paths = ["s3://a/b", "s3://a-b", "s3://a/b/", "s3://" + String(repeating: "x", count: 300)].map {
            home.statePath(of: $0, scope)
        }
        #expect(Set(paths).count == paths.count)
        for path in paths {
            #expect(path.hasPrefix("/s/.remote/s3---") && path.hasSuffix("/prod/cp-0"))
            #expect(path.split(separator: "/").allSatisfy { $0.utf8.count < 100 })
        }
    }
}
