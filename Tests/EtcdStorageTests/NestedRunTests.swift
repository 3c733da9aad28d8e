@testable import EtcdStorage
import HostIO
import Testing

/// Free pages that were made up so that each is the head of a run that covers all pages behind it.
@Suite struct NestedRunTests {
    /// A database whose root lies behind `count` such pages, of 1024 bytes each.
    private func database(nested count: Int, holds: Bool) throws -> [UInt8] {
        var database = SyntheticDatabase(pageByteCount: 1024)
        let row = SyntheticDatabase.put("/registry/minions/a", value: [1], revision: 2, create: 2, version: 1)
        database.add([row], compactedAt: 1, fanOut: 3)
        var bytes = database.finish(freelistPadding: count)
        let meta = try Meta.find(in: bytes)
        let runLimit = Bolt.maximumRunByteCount / 1024
        for page in (meta.rootPage - UInt64(count))..<meta.rootPage {
            let pageCount = min(Int(meta.highWater - page), runLimit)
            let dataByteCount = pageCount * 1024 - Bolt.pageHeaderByteCount - Bolt.elementByteCount
            var start = PageHeader(id: page, kind: .leaf, count: 1, overflow: pageCount - 1).encoded
            // One element with a key of eight bytes, or of none, and all the rest as its value.
            let keyByteCount: UInt32 = holds ? 8 : 0
            for field in [0, 16, keyByteCount, UInt32(dataByteCount) - 8] { appendLittleEndian(field, to: &start) }
            bytes.replaceSubrange(Int(page) * 1024..<(Int(page) * 1024 + start.count), with: start)
        }
        return bytes
    }

    /// The stream looks at no more than four times the run, which leaves the root to a second reading.
    @Test(arguments: [(3, false), (60, true)]) func coveredPagesAreExaminedWithinBounds(
        _ count: Int, _ isRereadNeeded: Bool
    ) throws {
        let bytes = try database(nested: count, holds: true)
        let verifier = SnapshotVerifier(name: "memory")
        try verifier.consume(bytes)
        if isRereadNeeded {
            #expect {
                try verifier.finish()
            } throws: { error in
                guard case .needsRereading = error as? StorageError else { return false }
                return true
            }
        }
        let report = try verifier.finish(rereading: isRereadNeeded ? MemoryBytes(bytes) : nil)
        #expect(report.findings.isEmpty)
        #expect(report.contents?.revisionRowCount == 1)
    }

    /// Runs of 32 MiB that do not hold: what is examined stays in proportion to the file.
    @Test func vainRunsAreExaminedWithinBounds() throws {
        let bytes = try database(nested: 40_000, holds: false)
        let meta = try Meta.find(in: bytes)
        let examiner = PageExaminer(meta: meta, ledger: PageLedger())
        var examinedByteCount = 0
        while examiner.ledger.count < meta.highWater {
            let page = examiner.ledger.count
            bytes.withUnsafeBytes { bytes in
                let rest = Bytes(UnsafeRawBufferPointer(rebasing: bytes[(Int(page) * 1024)...]))
                let byteCount = examiner.wantedByteCount(of: page, startingWith: rest)
                examinedByteCount += byteCount
                _ = examiner.examine(
                    Bytes(UnsafeRawBufferPointer(rebasing: rest.unsafeBytes[..<byteCount])), at: page)
            }
        }
        #expect(examinedByteCount > 4 * bytes.count)
        #expect(examinedByteCount < 5 * (bytes.count + Bolt.maximumRunByteCount))
        let report = try SnapshotStatus.verify(MemoryBytes(bytes), checksTrailer: false).report
        #expect(report.findings.isEmpty)
        #expect(report.contents?.revisionRowCount == 1)
    }

    /// A run that exists, behind so many that do not hold that it was not looked at.
    @Test func runBehindVainOnesIsReadAgain() throws {
        let bytes = try database(nested: 100, holds: false)
        let meta = try Meta.find(in: bytes)
        let examiner = PageExaminer(meta: meta, ledger: PageLedger())
        examiner.ledger.vainByteCount = .max
        for page in 0..<meta.highWater {
            let part = Array(bytes[(Int(page) * 1024)..<(Int(page) * 1024 + 1024)])
            part.lend { #expect(examiner.examine(Bytes($0), at: page) == 1) }
        }
        #expect(examiner.ledger[meta.rootPage - 1].state == .droppedLeaf)
        var walk = TreeWalk(name: "memory", examiner: examiner, source: MemoryBytes(bytes))
        #expect(try walk.run().contents?.revisionRowCount == 1)
    }
}

extension Meta {
    fileprivate static func find(in bytes: [UInt8]) throws -> Meta {
        try bytes.lend { (bytes) throws(StorageError) in try find(in: Bytes(bytes), name: "memory").meta }
    }
}
