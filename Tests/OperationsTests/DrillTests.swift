import EtcdStorage
import Foundation
import HostIO
import SealedArchive
import Testing

@testable import Operations

/// What a drill takes, and what its record claims.
@Suite struct DrillTests {
    @Test func memoryIsLeftToOthers() throws {
        let gibibyte = 1 << 30
        #expect(DrillMemory.need(databaseByteCount: 0) == 500_000_000)
        #expect(DrillMemory.need(databaseByteCount: 5 * gibibyte) == 6 * gibibyte + 500_000_000)
        let need = DrillMemory.need(databaseByteCount: gibibyte)
        try DrillMemory.check(databaseByteCount: gibibyte, available: need)
        try DrillMemory.check(databaseByteCount: gibibyte, available: nil)
        let failure = try #require(throws: Failure.self) {
            try DrillMemory.check(databaseByteCount: gibibyte, available: need - 1)
        }
        #expect(failure.code == .noSpace && failure.message.contains("\(need)") && failure.hint != nil)
        #expect(try #require(availableMemoryByteCount()) > 1 << 20)
    }

    private func record(_ databases: [String]) -> DrillRecord {
        let archive = ArchiveHeader(
            id: BackupID(time: Date()), cluster: "prod", node: "<b>&", createdAt: Date(timeIntervalSince1970: 0))
        var record = DrillRecord(
            of: archive, manifestSHA256: "00", startedAt: Date(timeIntervalSince1970: 1),
            host: .init(coreCount: 2, availableMemory: nil, isScratchInMemory: true))
        for name in databases {
            record.databases.append(.init(name: name, size: 1, revision: 1, serverVersion: nil))
        }
        return record
    }

    private func stage(_ name: String, _ etcd: String?, _ outcome: DrillRecord.Outcome) -> DrillRecord.Stage {
        DrillRecord.Stage(name: name, etcd: etcd, outcome: outcome, detail: "<script>\"'&", durationSeconds: 0)
    }

    /// A proof that was not made is never claimed.
    @Test func everyRequiredStageIsRequired() {
        let all =
            DrillRecord.requiredStages.map { ($0, nil as String?) }
            + ["etcd", "events"].flatMap { etcd in DrillRecord.requiredStagesOfDatabases.map { ($0, etcd) } }
        #expect(all.count == 14)
        var whole = record(["etcd", "events"])
        whole.stages = all.map { stage($0.0, $0.1, .passed) } + [stage("kube-apiserver", nil, .notMade)]
        #expect(whole.isDrilled && !whole.hasFailed)
        for index in all.indices {
            var part = whole
            part.stages.remove(at: index)
            #expect(!part.isDrilled && !part.hasFailed)
            part.stages.append(stage(all[index].0, all[index].1, .notMade))
            #expect(!part.isDrilled && !part.hasFailed)
            part = whole
            part.stages[index] = stage(all[index].0, all[index].1, .failed)
            #expect(!part.isDrilled && part.hasFailed)
            part.stages[index].outcome = OpenValue(rawValue: "later")
            #expect(!part.isDrilled)
        }
        #expect(!record([]).isDrilled)
        var besides = whole
        besides.stages.append(stage("keys", "etcd", .failed))
        #expect(!besides.isDrilled)
    }

    @Test func recordsAreReadAndShown() throws {
        var written = record(["etcd"])
        written.stages = [stage("verify", nil, .failed)]
        let bytes = try DocumentCoding.encode(written)
        let read = try DrillRecord.decode(bytes, name: "r")
        #expect(read.archive == written.archive && read.stages == written.stages && read.hasFailed)
        let later = String(decoding: bytes, as: UTF8.self).replacing(
            "\"formatVersion\" : 1,\n  \"host\"", with: "\"formatVersion\" : 2,\n  \"host\"")
        let failure = try #require(throws: Failure.self) { try DrillRecord.decode(Array(later.utf8), name: "r") }
        #expect(failure.code == .failed)
        let page = String(decoding: DrillPage.bytes(written), as: UTF8.self)
        #expect(page.contains("&lt;script&gt;&quot;&#39;&amp;") && page.contains("prod/&lt;b&gt;&amp;/"))
        #expect(!page.contains("<script>") && !page.contains("<b>"))
    }

    @Test func digestsOfKeysDoNotDependOnTheirOrder() {
        func digest(_ rows: [(String, String, Int64)]) -> KeySpaceDigest {
            var digest = KeySpaceDigest()
            for (key, value, lease) in rows {
                Array(key.utf8).withUnsafeBytes { key in
                    Array(value.utf8).withUnsafeBytes { value in
                        digest.add(
                            key: key, value: value, createRevision: 2, modRevision: 3, version: 1, lease: lease)
                    }
                }
            }
            return digest
        }
        let rows: [(String, String, Int64)] = [("/a", "1", 0), ("/b", "2", 7), ("/ab", "", 0)]
        #expect(digest(rows) == digest(rows.reversed()) && digest(rows).keyCount == 3)
        #expect(digest(rows + [("", "x", 0)]) == digest(rows))
        var parts = digest([rows[0]])
        parts.merge(digest([rows[1], rows[2]]))
        #expect(parts == digest(rows))
        for changed in [("/a", "2", 0), ("/a1", "", 0), ("/a", "1", 1)] as [(String, String, Int64)] {
            #expect(digest([changed, rows[1], rows[2]]) != digest(rows))
        }
        #expect(digest([]).description.count == 32)
    }
}
