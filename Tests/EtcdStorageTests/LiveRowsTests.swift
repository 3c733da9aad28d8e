import HostIO
import TestSupport
import Testing

@testable import EtcdStorage

/// What is kept of keys that exist, whatever lies on free pages and in which order the pages come.
@Suite struct LiveRowsTests {
    private func live(
        _ bytes: [UInt8], _ isWanted: @escaping @Sendable (String) -> Bool = { _ in true }
    ) throws -> LiveRows<String> {
        let source = MemoryBytes(bytes)
        return try SnapshotStatus.verify(source, checksTrailer: false).liveRows(rereading: source) { _, value in
            let text = String(decoding: value, as: UTF8.self)
            return isWanted(text) ? text : nil
        }
    }

    private static func put(_ key: String, _ value: String, _ revision: Int64) -> PageBuilder.Row {
        SyntheticDatabase.put(key, value: Array(value.utf8), revision: revision, create: revision, version: 1)
    }

    @Test func onlyTheNewestOfWhatExists() throws {
        var database = SyntheticDatabase(pageByteCount: 4096)
        database.addStale([Self.put("/a", "old page", 99), SyntheticDatabase.tombstone("/b", revision: 98)])
        database.add(
            [
                Self.put("/a", "old", 2), Self.put("/b", "old", 3), Self.put("/gone", "old", 4),
                Self.put("/a", "new", 5),
                SyntheticDatabase.tombstone("/gone", revision: 6), Self.put("/again", "old", 7),
                SyntheticDatabase.tombstone("/again", revision: 8), Self.put("/again", "old", 9),
            ], compactedAt: 0, fanOut: 2)
        let bytes = database.finish()
        func described(_ rows: LiveRows<String>) -> [String] {
            rows.rows.map { "\(String(decoding: $0.key, as: UTF8.self))=\($0.kept)@\($0.revision)" }
        }
        let all = try live(bytes)
        #expect(described(all) == ["/a=new@5", "/again=old@9", "/b=old@3"])
        #expect(all.liveKeyCount == 3 && all.isComplete)
        // A revision that nobody wants still hides the older one that is wanted.
        #expect(described(try live(bytes) { $0 == "old" }) == ["/again=old@9", "/b=old@3"])
        #expect(try live(bytes) { _ in false }.rows.isEmpty)
    }

    @Test(arguments: [1024, 4096, 65536]) func asASurveyCounts(pageByteCount: Int) throws {
        var generator = SeededGenerator(seed: 17)
        for (rowCount, keyCount) in [(2, 1), (3, 2), (500, 40), (3000, 900)] {
            var database = SyntheticDatabase(pageByteCount: pageByteCount)
            database.addHistory(
                rowCount: rowCount, keyCount: keyCount, maximumValue: 300, fanOut: 7, using: &generator)
            let bytes = database.finish()
            let rows = try live(bytes)
            let survey = try readStatus(MemoryBytes(bytes)).survey
            #expect(rows.liveKeyCount == survey.liveKeyCount)
            #expect(rows.liveKeyCount == rows.rows.count && rows.isComplete)
        }
    }
}
