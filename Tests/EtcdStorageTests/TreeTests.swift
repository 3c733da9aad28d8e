@testable import EtcdStorage
import Foundation
import HostIO
import TestSupport
import Testing

/// Trees of every shape, sound and not.
@Suite struct TreeTests {
    private func database(
        pageByteCount: Int = 4096, rowCount: Int = 600, fanOut: Int = 4, maximumValue: Int = 40, seed: UInt64 = 5
    ) -> SyntheticDatabase {
        var generator = SeededGenerator(seed: seed)
        var database = SyntheticDatabase(pageByteCount: pageByteCount)
        database.addHistory(
            rowCount: rowCount, keyCount: 60, maximumValue: maximumValue, fanOut: fanOut, using: &generator)
        return database
    }

    /// The counts from the definition, with everything in memory.
    private func expectRight(_ bytes: [UInt8], rows: [PageBuilder.Row], compact: Int64) throws {
        let source = MemoryBytes(bytes)
        let (report, survey) = try readStatus(source)
        let streamed = try verify(bytes, pieceByteCount: 5000).requireSound(trailer: .optional)
        #expect(streamed.hash == report.contents?.hash)
        #expect(streamed.revisionRowCount == rows.count)
        let last = rows.last.map { $0.key.prefix(8).reduce(0) { $0 << 8 | Int64($1) } }
        #expect(streamed.revision == last)
        let naive = try NaiveHashKV(source)
        #expect(survey.hashKV?.hash == naive.hash(revision: last ?? 1, compactRevision: compact))
        #expect(survey.liveKeyCount == naive.liveKeyCount(revision: last ?? 1))
        if let streamedCount = streamed.liveKeyCount { #expect(streamedCount == survey.liveKeyCount) }
        for revision in [compact, compact + 3, (compact + (last ?? 1)) / 2] {
            let value = try hashKV(of: source, revision: revision).hash
            #expect(value == naive.hash(revision: revision, compactRevision: compact))
        }
    }

    @Test(arguments: [1024, 2048, 4096, 8192, 16384, 32768, 65536], [2, 3, 17, 300])
    func everyPageSizeAndDepth(_ pageByteCount: Int, _ fanOut: Int) throws {
        var database = database(pageByteCount: pageByteCount, rowCount: 500, fanOut: fanOut)
        try expectRight(database.finish(), rows: database.rows, compact: 100)
    }

    @Test func valuesOverManyPages() throws {
        var database = database(rowCount: 60, fanOut: 3, maximumValue: 200_000)
        try expectRight(database.finish(), rows: database.rows, compact: 12)
    }

    @Test func manySeeds() throws {
        for seed in 100..<140 as Range<UInt64> {
            var database = database(rowCount: 300, fanOut: 1 + Int(seed % 9) + 1, seed: seed)
            try expectRight(database.finish(), rows: database.rows, compact: 60)
        }
    }

    @Test(arguments: [0, 10, 66_000]) func storedFreelist(_ padding: Int) throws {
        var database = database(pageByteCount: 1024, rowCount: 50)
        let bytes = database.finish(storesFreelist: true, freelistPadding: padding)
        let report = try verify(bytes)
        #expect(report.findings.isEmpty)
        #expect(report.freePageCount >= padding)
    }

    @Test func freelistMustFit() throws {
        var database = database(rowCount: 50)
        let bytes = database.finish(storesFreelist: true, freelistPadding: 3)
        let meta = try BoltFile(MemoryBytes(bytes)).meta
        let list = Int(meta.freelistPage) * 4096
        let count = Int(bytes[list + 10])
        let used = UInt8(database.leafPages[1])
        let cases = [
            BrokenTree("twice", nil, [list + 16: bytes[list + 24]]),
            BrokenTree("outside of the file", nil, [list + 20: 9]),
            BrokenTree("in use and in the free list", nil, [list + 16: used]),
            BrokenTree("neither in use nor in the free list", nil, [list + 10: UInt8(count - 1)]),
            BrokenTree("does not fit", nil, [list + 10: 0xF0, list + 11: 0xF0]),
            BrokenTree("does not fit", nil, [list + 10: 0xFF, list + 11: 0xFF, list + 22: 0xFF]),
        ]
        for (what, changes) in cases.map({ ($0.what, $0.changes) }) {
            var damaged = bytes
            for (offset, byte) in changes { damaged[offset] = byte }
            let findings = try verify(damaged).findings
            #expect(findings.contains { $0.problem.contains(what) }, "\(what): \(findings)")
        }
    }

    /// Each edit breaks one rule of the tree; the finding names it and the page.
    @Test func brokenTrees() throws {
        var database = database(rowCount: 600, fanOut: 4)
        let bytes = database.finish()
        let leaf = database.leafPages[7]
        let branch = database.branchPages[2]
        let top = database.rootPage
        let at = Int(leaf) * 4096
        let branchAt = Int(branch) * 4096
        let topAt = Int(top) * 4096
        var cases: [BrokenTree] = []
        cases.append(BrokenTree("stored id", leaf, [at + 1: bytes[at + 1] ^ 1]))
        cases.append(BrokenTree("flags 0x3", leaf, [at + 8: 3]))
        cases.append(BrokenTree("flags", leaf, [at + 8: 0x10]))
        cases.append(BrokenTree("elements don't fit", leaf, [at + 11: 0xFF]))
        cases.append(BrokenTree("has flags", leaf, [at + 17: 1]))
        cases.append(BrokenTree("key of 0 bytes", leaf, [at + 24: 0]))
        cases.append(BrokenTree("past the end", leaf, [at + 31: 0x7F]))
        cases.append(BrokenTree("begin at", leaf, [at + 20: bytes[at + 20] + 1]))
        // The second row's key becomes lower than the first one's; the first row's belongs to another value.
        let secondKey = at + 32 + Int(bytes[at + 36]) + 256 * Int(bytes[at + 37])
        cases.append(BrokenTree("does not follow", leaf, [secondKey + 6: 0, secondKey + 7: 1]))
        let firstKey = at + 16 + 4 * 16
        cases.append(BrokenTree("not a key-value", leaf, [firstKey + 7: bytes[firstKey + 7] ^ 1]))
        cases.append(BrokenTree("not possible", leaf, [at + 15: 0x7F]))
        cases.append(
            BrokenTree(
                "more than once", nil, [branchAt + 24: bytes[branchAt + 40], branchAt + 25: bytes[branchAt + 41]]))
        cases.append(BrokenTree("outside of pages", branch, [branchAt + 28: 1]))
        cases.append(BrokenTree("without children", branch, [branchAt + 10: 0]))
        cases.append(
            BrokenTree(
                "more than once", nil,
                [topAt + 24: UInt8(truncatingIfNeeded: top), topAt + 25: UInt8(truncatingIfNeeded: top >> 8)]))
        cases.append(BrokenTree("key", nil, [branchAt + 16 + 4 * 16 + 7: bytes[branchAt + 16 + 4 * 16 + 7] &- 1]))
        for (what, page, changes) in cases.map({ ($0.what, $0.page, $0.changes) }) {
            var damaged = bytes
            for (offset, byte) in changes { damaged[offset] = byte }
            for findings in [
                try verify(damaged).findings, try SnapshotStatus.verify(MemoryBytes(damaged)).report.findings,
            ] {
                #expect(
                    findings.contains { $0.problem.contains(what) && (page == nil || $0.page == page) },
                    "\(what): \(findings)")
            }
            #expect(throws: StorageError.self) { try hashKV(of: MemoryBytes(damaged)) }
        }
    }

    @Test func readerDoesNotFollowCircles() throws {
        var database = database(rowCount: 600, fanOut: 4)
        var bytes = database.finish()
        let top = database.rootPage
        let child = Int(top) * 4096 + 24
        for index in 0..<8 { bytes[child + index] = UInt8(truncatingIfNeeded: top >> (8 * UInt64(index))) }
        let file = try BoltFile(MemoryBytes(bytes))
        let key = try #require(try file.buckets().first { $0.title == "key" })
        #expect { try file.rows(in: key) } throws: { "\($0)".contains("circle") }
    }

    /// An old page lies where a run begins that seems to cover live pages, which carry their own numbers.
    @Test func stalePageAcrossLiveOnes() throws {
        var database = database(rowCount: 100, fanOut: 4)
        let bytes = database.finish()
        // The first free page lies behind the first leaf and before the second.
        let stale = database.leafPages[0] + 1
        #expect(stale < database.leafPages[1])
        let damaged = database.finishedCopy(bytes, announcing: 2, at: stale)
        let report = try verify(damaged)
        #expect(report.findings.isEmpty)
        #expect(report.contents?.hash == (try verify(bytes).contents?.hash))
        #expect(report.contents?.revisionRowCount == database.rows.count)
    }

    /// A run that seems to end within a live one: the stream alone can't tell, a second reading can.
    @Test func stalePageAcrossPartOfLiveRun() throws {
        var database = database(pageByteCount: 1024, rowCount: 60, fanOut: 4, maximumValue: 3000)
        let bytes = database.finish()
        let stale = database.leafPages[0] + UInt64(try overflow(bytes, database.leafPages[0])) + 1
        let next = database.leafPages[1]
        let nextOverflow = try overflow(bytes, next)
        #expect(stale == next - 1 && nextOverflow > 2)
        let damaged = database.finishedCopy(bytes, announcing: 1, at: stale)
        let verifier = SnapshotVerifier(name: "memory")
        try verifier.consume(damaged)
        #expect {
            try verifier.finish()
        } throws: { error in
            guard case .needsRereading(_, next) = error as? StorageError else { return false }
            return true
        }
        #expect(verifier.newestRevisionSeen == 61)
        for report in [
            try verifier.finish(rereading: MemoryBytes(damaged)),
            try SnapshotStatus.verify(MemoryBytes(damaged)).report,
        ] {
            #expect(report.findings.isEmpty)
            #expect(report.contents?.hash == (try verify(bytes).contents?.hash))
        }
    }

    private func overflow(_ bytes: [UInt8], _ page: UInt64) throws -> Int {
        try BoltFile(MemoryBytes(bytes)).run(page).header.overflow
    }

    /// A value that holds a page of its own, which the tree refers to besides: neither order of the two may crash.
    @Test(arguments: [true, false], [0, 3]) func pageWithinLiveRun(_ isStreamed: Bool, _ child: Int) throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            var database = database(pageByteCount: 1024, rowCount: 60, fanOut: 4, maximumValue: 30_000, seed: seed)
            var damaged = database.finish()
            let inner = database.leafPages[1] + UInt64(try overflow(damaged, database.leafPages[1]) / 2)
            let row = SyntheticDatabase.put("/registry/x", value: [], revision: 900, create: 900, version: 1)
            let page = PageBuilder.leaf([row], id: inner, pageByteCount: 1024)
            damaged.replaceSubrange(Int(inner) * 1024..<Int(inner + 1) * 1024, with: page)
            // The branch above names the inner page instead of another leaf, before or behind the run.
            let branch = Int(database.branchPages[0]) * 1024 + 16 + child * 16 + 8
            withUnsafeBytes(of: inner.littleEndian) { damaged.replaceSubrange(branch..<(branch + 8), with: $0) }
            let report =
                isStreamed ? try verify(damaged) : try SnapshotStatus.verify(MemoryBytes(damaged)).report
            #expect(!report.findings.isEmpty)
            #expect(report.contents == nil)
        }
    }

    @Test(arguments: [1024, 4096, 65536], [2, 5, 200]) func restoresEveryShape(
        _ pageByteCount: Int, _ fanOut: Int
    ) async throws {
        var database = database(pageByteCount: pageByteCount, rowCount: 200, fanOut: fanOut, maximumValue: 3000)
        let members = (0..<40).map { index in
            PageBuilder.Row(key: Array("aaaaaaaaaaaaa\(100 + index)".utf8), value: Array("{\"id\":\(index)}".utf8))
        }
        let bytes = database.finish(
            storesFreelist: fanOut == 5, extra: ["members": members, "members_removed": members])
        try await withTemporaryDirectory { directory in
            var plan = RestorePlan(cluster: try RestoreFormatTests.example())
            plan.trailerPolicy = .optional
            for bump in [Int64(0), 1000] {
                plan.revisionBump = bump
                plan.marksCompacted = bump > 0
                let target = RestoreTarget(memberName: "m1", dataDirectory: "\(directory)/\(bump)")
                let report = try Restore.run(from: MemoryBytes(bytes), plan: plan, to: [target])
                let database = try RandomAccessFile(path: "\(directory)/\(bump)/member/snap/db")
                let (status, survey) = try readStatus(database)
                let source = try readStatus(MemoryBytes(bytes)).survey
                let sourceRevision = try #require(source.hashKV).revision
                #expect(status.contents?.store.members.count == 3)
                #expect(status.contents?.store.removedMemberCount == 0)
                #expect(status.contents?.currentRevision == sourceRevision + bump)
                #expect(report.revision == sourceRevision + bump)
                #expect(survey.liveKeyCount == (try #require(source.liveKeyCount)) + (bump > 0 ? 1 : 0))
                if bump == 0 { #expect(survey.hashKV == source.hashKV) }
                let free = try expectFreePagesAreZero(database)
                #expect(free == status.freePageCount)
            }
        }
    }

    /// Counts the pages of zeros: every free one must be, and no used one can be.
    private func expectFreePagesAreZero(_ database: RandomAccessFile) throws -> Int {
        let bytes = try database.bytes(at: 0, count: database.byteCount)
        let file = try BoltFile(database)
        // Continuation pages of a long value may be all zeros, but values here count upwards.
        return stride(from: 0, to: bytes.count, by: file.pageByteCount).count { start in
            bytes[start..<(start + file.pageByteCount)].allSatisfy { $0 == 0 }
        }
    }
}

/// Bytes to be changed, and what must be found then.
private struct BrokenTree {
    var what: String
    var page: UInt64?
    var changes: [Int: UInt8]

    init(_ what: String, _ page: UInt64?, _ changes: [Int: UInt8]) {
        self.what = what
        self.page = page
        self.changes = changes
    }
}

extension SyntheticDatabase {
    /// The bytes with a free page that looks like the start of a run.
    func finishedCopy(_ bytes: [UInt8], announcing overflow: Int, at page: UInt64) -> [UInt8] {
        var bytes = bytes
        let header = PageHeader(id: page, kind: .leaf, count: 0, overflow: overflow).encoded
        bytes.replaceSubrange(Int(page) * pageByteCount..<(Int(page) * pageByteCount + 16), with: header)
        return bytes
    }
}
