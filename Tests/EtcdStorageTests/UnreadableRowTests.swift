import HostIO
import TestSupport
import Testing

@testable import EtcdStorage

/// Rows that are not what etcd writes are said, and never passed over.
@Suite struct UnreadableRowTests {
    private func database(
        _ rows: [PageBuilder.Row] = [Self.put(2)], extra: [String: [PageBuilder.Row]] = [:]
    ) -> [UInt8] {
        var database = SyntheticDatabase(pageByteCount: 4096)
        database.add(rows, compactedAt: 0, fanOut: 4)
        return database.finish(extra: extra)
    }

    private static func put(_ revision: Int64) -> PageBuilder.Row {
        SyntheticDatabase.put("/registry/a/b", value: [1], revision: revision, create: revision, version: 1)
    }

    @Test(
        arguments: [
            ("members", "8e9e05c52164694d", Array("{\"id\":".utf8)), ("members", "1", []),
            ("alarm", "\u{8}", []), ("auth", "authEnabled", [2]), ("auth", "authRevision", [1, 2]),
            ("cluster", "clusterVersion", Array("new".utf8)), ("meta", "consistent_index", [1]), ("meta", "term", []),
            ("meta", "scheduledCompactRev", [1, 2]), ("meta", "finishedCompactRev", revisionKey(main: -5)),
            ("meta", "storageVersion", Array("?".utf8)),
        ] as [(String, String, [UInt8])])
    func rowsOfSmallBuckets(_ bucket: String, _ key: String, _ value: [UInt8]) throws {
        let bytes = database(extra: [bucket: [PageBuilder.Row(key: Array(key.utf8), value: value)]])
        let contents = try verify(bytes, checksTrailer: false).requireSound(trailer: .ignored)
        #expect(contents.store.unreadableRows.count == 1)
        #expect(contents.store.unreadableRows[0].hasPrefix("\(bucket)/"))
    }

    @Test func fixturesHaveNone() throws {
        for expected in Fixtures.expected {
            let contents = try verify(Fixtures.bytes(expected.file)).requireSound(trailer: .optional)
            #expect(contents.store.unreadableRows == [], "\(expected.file)")
        }
    }

    /// A tombstone's value holds its key; etcd ends on one that it can't read.
    @Test func tombstonesWithoutAKeyValueAreDamage() throws {
        var tombstone = SyntheticDatabase.tombstone("/registry/a/b", revision: 3)
        tombstone.value = [0x0A, 0x7F]
        let report = try verify(database([Self.put(2), tombstone]), checksTrailer: false)
        #expect(report.findings.count == 1 && report.findings[0].problem.contains("tombstone at revision 3"))
    }

    /// In another bucket keys may look like revisions, or like words, by chance.
    @Test func otherBucketsMayHaveAnyKeys() throws {
        let rows = (0..<200).map { index in
            PageBuilder.Row(
                key: revisionKey(main: Int64(index)) + (index % 2 == 0 ? [] : [0x74]), value: Array("v".utf8))
        }
        let report = try verify(database(extra: ["custom": rows]), checksTrailer: false)
        #expect(report.findings == [])
        #expect(report.contents?.buckets.first { $0.name == "custom" }?.rowCount == 200)
    }

    /// Keys of bucket `key` that are no revisions, in a leaf that is kept whole.
    @Test(arguments: [[UInt8]("junk".utf8), revisionKey(main: -1), revisionKey(main: 5) + [0x75]])
    func keysThatAreNoRevisionsAreDamage(_ key: [UInt8]) throws {
        let rows = [Self.put(2), PageBuilder.Row(key: key, value: [])].sorted {
            $0.key.lexicographicallyPrecedes($1.key)
        }
        #expect {
            try verify(database(rows), checksTrailer: false)
        } throws: { ($0 as? StorageError)?.failure.code == .integrity && "\($0)".contains("is not a revision") }
    }

    /// A range delete of more than a million keys: sub revisions that no digest holds.
    @Test func largeSubRevisionsAreSound() throws {
        let rows = (0..<30).map { index in
            var row = SyntheticDatabase.tombstone("/registry/minions/\(index)", revision: 7)
            row.key = revisionKey(main: 7, sub: (1 << 20) - 15 + Int64(index)) + [0x74]
            return row
        }
        let puts = (0..<30).map { index in
            SyntheticDatabase.put(
                "/registry/minions/\(index)", value: [1], revision: Int64(index) + 2, create: Int64(index) + 2,
                version: 1)
        }
        let all = puts.prefix(5) + rows
        let bytes = database(Array(all))
        let (report, survey) = try readStatus(MemoryBytes(bytes))
        #expect(report.findings.isEmpty)
        #expect(survey.liveKeyCount == 0)
        let naive = try NaiveHashKV(MemoryBytes(bytes))
        #expect(survey.hashKV?.hash == naive.hash(revision: 7, compactRevision: 0))
    }
}
