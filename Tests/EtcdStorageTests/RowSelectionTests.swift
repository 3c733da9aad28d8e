import EncryptionAtRest
@testable import EtcdStorage
import HostIO
import TestSupport
import Testing

/// Rows and keys that are collected while a snapshot streams.
@Suite struct RowSelectionTests {
    private static let selection = RowSelection(resources: ["persistentvolumes", "minions"])

    private static func put(_ key: String, _ value: String, _ revision: Int64) -> PageBuilder.Row {
        SyntheticDatabase.put(key, value: Array(value.utf8), revision: revision, create: revision, version: 1)
    }

    private static func verify(
        _ bytes: [UInt8], _ selection: RowSelection?, pieceByteCount: Int = 5000
    ) throws -> SnapshotContents {
        let verifier = SnapshotVerifier(name: "memory", selecting: selection)
        for start in stride(from: 0, to: bytes.count, by: pieceByteCount) {
            try verifier.consume(Array(bytes[start..<min(bytes.count, start + pieceByteCount)]))
        }
        return try verifier.finish().requireSound(trailer: .optional)
    }

    private static func described(_ rows: [SelectedRow]) -> [String] {
        rows.map {
            "\(String(decoding: $0.key, as: UTF8.self))=\(String(decoding: $0.value.prefix(20), as: UTF8.self))@\($0.revision)"
        }
    }

    private static let long = String(repeating: "v", count: 20_000)

    /// Free pages before and behind the tree hold deleted rows, copies of live rows and older revisions.
    private static func history() -> [UInt8] {
        var database = SyntheticDatabase(pageByteCount: 4096)
        database.addStale([
            put("/registry/persistentvolumes/a", "a1", 2), put("/registry/persistentvolumes/gone", "g", 3),
            put("/registry/persistentvolumes/b", "b1", 4),
        ])
        database.add(
            [
                put("/registry/persistentvolumes/b", "b1", 4), put("/registry/persistentvolumeclaims/n/x", "x", 5),
                put("/kubernetes.io/persistentvolumes/other", "o", 6), put("/registry/minions/node", long, 7),
                put("/registry/persistentvolumes/a", "a2", 8), put("/persistentvolumes/a", "no prefix", 9),
                put("/registry/persistentvolumes/deleted", "d", 10), put("/registry/persistentvolumes/a", "a3", 11),
                SyntheticDatabase.tombstone("/registry/persistentvolumes/deleted", revision: 12),
                put("/registry/persistentvolumes", "no name", 13), put("/registry/persistentvolumes/", "", 14),
            ], compactedAt: 4, fanOut: 3)
        database.addStale([put("/registry/persistentvolumes/a", "a2", 8), put("/registry/minions/late", "l", 99)])
        return database.finish()
    }

    @Test(arguments: [1, 4096, 1 << 20]) func newestReachableRowsWin(_ pieceByteCount: Int) throws {
        let rows = try #require(
            try Self.verify(Self.history(), Self.selection, pieceByteCount: pieceByteCount).selectedRows)
        #expect(
            Self.described(rows.rows) == [
                "/kubernetes.io/persistentvolumes/other=o@6", "/registry/minions/node=\(Self.long.prefix(20))@7",
                "/registry/persistentvolumes/=@14", "/registry/persistentvolumes/a=a3@11",
                "/registry/persistentvolumes/b=b1@4",
            ])
        #expect(rows.rows[1].value == Array(Self.long.utf8))
        #expect(rows.isComplete && rows.omittedCount == 0)
    }

    @Test func filesGiveTheSameAsStreams() throws {
        let bytes = MemoryBytes(Self.history())
        let report = try SnapshotStatus.verify(bytes, selecting: Self.selection).report
        #expect(report.contents?.selectedRows == (try Self.verify(Self.history(), Self.selection).selectedRows))
        #expect(try SnapshotStatus.verify(bytes).report.contents?.selectedRows == nil)
    }

    @Test func valuesAreReducedBeforeTheyAreKept() throws {
        var selection = Self.selection
        selection.reduce = { $0.count > 100 ? Array("short".utf8) : nil }
        let rows = try #require(try Self.verify(Self.history(), selection).selectedRows).rows
        #expect(Self.described(rows).contains("/registry/minions/node=short@7"))
        #expect(Self.described(rows).contains("/registry/persistentvolumes/a=a3@11"))
    }

    /// Less and less memory: first values of old revisions go, then of new ones, and it is always said.
    @Test func littleMemoryIsSaid() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        let value = String(repeating: "x", count: 500)
        let rows = (0..<400).map { Self.put("/registry/minions/\($0 % 100)", "\($0)" + value, Int64($0 + 2)) }
        database.add(rows, compactedAt: 1, fanOut: 5)
        let bytes = database.finish()
        var sawOmission = false
        for limit in [1 << 20, 150_000, 100_000, 40_000, 1000, 0] {
            var selection = Self.selection
            selection.byteLimit = limit
            let selected = try #require(try Self.verify(bytes, selection).selectedRows)
            if !selected.isComplete { continue }
            #expect(selected.rows.count + selected.omittedCount == 100)
            #expect(selected.rows.allSatisfy { $0.revision >= 302 }, "\(limit)")
            #expect(limit < 1 << 20 || selected.rows.count == 100)
            sawOmission = sawOmission || selected.omittedCount > 0
        }
        #expect(sawOmission)
        var selection = Self.selection
        selection.byteLimit = 0
        #expect(try Self.verify(bytes, selection).selectedRows?.isComplete == false)
    }

    @Test func inlineBuckets() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        database.add([Self.put("/registry/minions/a", "k8s:enc:aesgcm:v1:k:xxx", 2)], compactedAt: 1, fanOut: 3)
        let rows = [Self.put("/registry/minions/a", "k8s:enc:aesgcm:v1:k:xxx", 2)]
        let bytes = database.finish(extra: ["key": rows])
        let contents = try Self.verify(bytes, Self.selection)
        #expect(contents.selectedRows?.rows.map(\.revision) == [2])
        #expect(contents.encryptionKeys == EncryptionKeysInUse([EncryptionKeyInUse(name: "aesgcm:v1:k")]))
    }

    // MARK: - Encryption keys

    @Test func onlyReachableRowsNameKeys() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        database.addStale([Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:old:x", 2)])
        database.add(
            [
                Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:new:x", 4),
                Self.put("/registry/secrets/b", "k8s:enc:kms:v2:plug in:" + Self.long, 5),
                Self.put("/registry/secrets/c", "k8s:enc:no name", 6), Self.put("/registry/secrets/d", "k8s:enc:", 7),
                Self.put("/registry/secrets/e", "xk8s:enc:aescbc:v1:inside:x", 8),
            ], compactedAt: 3, fanOut: 2)
        let bytes = database.finish()
        let keys = try Self.verify(bytes, nil).encryptionKeys
        #expect(keys.names == ["aescbc:v1:new", "kms:v2:plug in"] && keys.isComplete)
        #expect(try readStatus(MemoryBytes(bytes)).survey.encryptionKeys.map(\.provider) == keys.names)
    }

    @Test func manyMixturesAreKeptApart() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        let rows = (0..<600).map { index in
            Self.put("/registry/secrets/\(index)", "k8s:enc:aescbc:v1:key\(index / 7 % 50):x", Int64(index + 2))
        }
        database.add(rows, compactedAt: 1, fanOut: 3)
        let keys = try Self.verify(database.finish(), nil).encryptionKeys
        #expect(keys.names == (0..<50).map { "aescbc:v1:key\($0)" }.sorted())
        #expect(keys.isComplete)
    }

    @Test func tooManyKeysAreSaid() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        let rows = (0..<100).map { Self.put("/registry/secrets/\($0)", "k8s:enc:aescbc:v1:key\($0):x", Int64($0 + 2)) }
        database.add(rows, compactedAt: 1, fanOut: 3)
        let keys = try Self.verify(database.finish(), nil).encryptionKeys
        #expect(keys.names.count == 63)
        #expect(!keys.isComplete)
    }

    /// A survey keeps the first 1023 names, whichever core meets which, and counts all rows.
    @Test(arguments: [1023, 1024, 3000]) func surveyCountsOtherKeysTogether(_ count: Int) throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        let rows = (0..<count).map { Self.put("/registry/secrets/\($0)", "k8s:enc:kms:v2:\($0):x", Int64($0 + 2)) }
        database.add(rows, compactedAt: 1, fanOut: 20)
        let keys = try readStatus(MemoryBytes(database.finish())).survey.encryptionKeys
        #expect(keys.count == min(count, 1024))
        #expect(keys.reduce(0) { $0 + $1.rowCount } == count)
        #expect(keys.first { $0.provider.isEmpty }?.rowCount == (count > 1023 ? count - 1023 : nil))
    }

    @Test(arguments: [1, 4096, 1 << 22]) func fixtureNamesItsKeys(_ pieceByteCount: Int) throws {
        let contents = try Self.verify(
            Fixtures.bytes("k8s-1.36-on-3.6.14.db"), RowSelection(resources: ["namespaces", "secrets"]),
            pieceByteCount: pieceByteCount)
        #expect(contents.encryptionKeys.names == ["aescbc:v1:key1", "aesgcm:v1:g1", "secretbox:v1:sb1"])
        let names = try #require(contents.selectedRows).rows.map { String(decoding: $0.key, as: UTF8.self) }
        #expect(names.contains("/registry/namespaces/kube-system"))
        #expect(names.contains { $0.hasPrefix("/registry/secrets/") })
    }

    /// What is collected must equal what the rows say, over random histories with old copies between.
    @Test func equalsTheRows() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var database = SyntheticDatabase(pageByteCount: 1024)
            database.addHistory(
                rowCount: 400, keyCount: 50, maximumValue: 600, fanOut: 2 + Int(seed % 6), using: &generator)
            let stale = (0..<5).map { _ in database.rows[Int.random(in: 0..<database.rows.count, using: &generator)] }
            for row in stale { database.addStale([row]) }
            let bytes = database.finish()
            let selected = try #require(
                try Self.verify(bytes, RowSelection(resources: ["things"])).selectedRows)
            let naive = try NaiveHashKV(MemoryBytes(bytes))
            #expect(selected.rows.count == naive.liveKeyCount(revision: 401))
            #expect(selected.rows.map(\.key) == selected.rows.map(\.key).sorted { $0.lexicographicallyPrecedes($1) })
        }
    }
}

/// Keys with very many revisions.
@Suite struct KeyHistoryTests {
    private static func value(_ index: Int) -> [UInt8] { Array("value \(index)".utf8) }

    /// Notes revisions of one key, each on the page of its number.
    private static func collector(_ revisions: some Sequence<Int>) -> RowCollector {
        let collector = RowCollector(RowSelection(resources: ["minions"]))
        for revision in revisions { note(revision, on: UInt64(revision), in: collector) }
        return collector
    }

    private static func note(_ revision: Int, on page: UInt64, in collector: RowCollector) {
        Array("/registry/minions/a".utf8).withUnsafeBytes { key in
            value(revision).withUnsafeBytes { value in
                let digest = revisionKey(main: Int64(revision)).lend(KeyDigest.revision)
                collector.note(key: key, value: value, digest: digest ?? 0, isTombstone: false, page: page)
            }
        }
    }

    private static let orders: [[Int]] = {
        var generator = SeededGenerator(seed: 5)
        return [Array(1...200_000), Array((1...200_000).reversed()), (1...200_000).shuffled(using: &generator)]
    }()

    @Test(arguments: 0..<3) func keepsTheNewest(_ order: Int) {
        var history = KeyHistory()
        var byteCount = 0
        for revision in Self.orders[order] {
            byteCount += history.note(
                digest: UInt64(revision), fingerprint: 1, value: Self.value(revision), page: 7, keyByteCount: 10)
        }
        #expect((512...1024).contains(history.versions.count))
        #expect(
            history.versions.map(\.digest)
                == Array((200_001 - UInt64(history.versions.count))...200_000))
        #expect(byteCount > 0 && byteCount < 1 << 18)
        #expect(history.hasForgotten { $0 == 7 })
    }

    /// More revisions than are kept, in any order: right where a kept one exists, and said where only a lost one does.
    @Test(arguments: 0..<3) func forgottenRevisionsAreSaid(_ order: Int) {
        let collector = Self.collector(Self.orders[order])
        let newest = collector.rows { _ in true }
        #expect(
            newest.rows == [
                SelectedRow(key: Array("/registry/minions/a".utf8), value: Self.value(200_000), revision: 200_000)
            ])
        #expect(newest.isComplete)
        #expect(collector.rows { $0 < 199_900 }.rows.map(\.revision) == [199_899])
        let lost = collector.rows { $0 == 5 }
        #expect(lost.rows.isEmpty && !lost.isComplete)
        let gone = collector.rows { $0 > 200_000 }
        #expect(gone.rows.isEmpty && gone.isComplete)
    }

    /// A page may be examined twice and a row lie on many pages, in any order.
    @Test func copiesOfOneRow() {
        let collector = Self.collector([3])
        for page in [9, 2, 5, 9, 2, 70_000, 4] as [UInt64] { Self.note(3, on: page, in: collector) }
        for page in [2, 4, 5, 9, 70_000] as [UInt64] { #expect(collector.rows { $0 == page }.rows.count == 1) }
        #expect(collector.rows { $0 == 6 }.rows.isEmpty)
    }

    /// etcd may use a revision twice after a crash: the values stay apart, also once they found no room.
    @Test func oneRevisionTwice() {
        var history = KeyHistory()
        for (fingerprint, page) in [(8, 1), (9, 2), (0, 3), (8, 4)] as [(UInt64, UInt64)] {
            let value: [UInt8]? = fingerprint == 0 ? nil : [UInt8(fingerprint)]
            _ = history.note(digest: 5, fingerprint: fingerprint, value: value, page: page, keyByteCount: 1)
        }
        #expect(history.versions.map(\.pages) == [[3], [1, 4], [2]])
        #expect(history.dropOldValues() == 0)
        _ = history.note(digest: 6, fingerprint: 1, value: [1, 2], page: 5, keyByteCount: 1)
        #expect(history.dropOldValues() == 2)
        _ = history.note(digest: 5, fingerprint: 9, value: nil, page: 6, keyByteCount: 1)
        #expect(history.versions.map(\.pages) == [[3], [1, 4], [2, 6], [5]])
        #expect(history.newest { $0 == 4 }?.fingerprint == 8)
        #expect(history.newest { $0 == 3 }?.isTombstone == true)
    }
}

/// The bound of a survey's memory.
@Suite struct FingerprintMapTests {
    @Test func fullMapSaysSo() {
        var map = FingerprintMap(slotLimit: 2048)
        for key in 1...1920 as ClosedRange<UInt64> { map.raise(key &* 0x9E37_79B9_7F4A_7C15, to: key) }
        #expect(!map.isOverfull && map.count == 1920)
        map.raise(1 &* 0x9E37_79B9_7F4A_7C15, to: 5000)
        #expect(!map.isOverfull && map.digest(of: 0x9E37_79B9_7F4A_7C15) == 5000)
        map.raise(7, to: 1)
        #expect(map.isOverfull && map.count == 1920)
    }

    @Test func limitLeavesRoomForTheLedger() {
        let pageCount = UInt64(8 << 30) / 4096
        #expect(FingerprintMap.slotLimit(pageCount: 1000) == 1 << 20)
        #expect(FingerprintMap.slotLimit(pageCount: pageCount) == 1 << 18)
        #expect(FingerprintMap.slotLimit(pageCount: .max) == 1 << 18)
    }
}
