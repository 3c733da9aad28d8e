import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdStorage

/// Every key of a branch is the first key of its child: what bbolt relies on and `bbolt check` does not ask.
@Suite struct BranchKeyTests {
    @Test func digestsTellTheKeyToTheByte() {
        var generator = SeededGenerator(seed: 71)
        var keys: [[UInt8]] = [0, 1, 255, UInt64.max].map { (word: UInt64) in bigEndian(word) }
        let largest: (main: Int64, sub: Int64) = (1 << 43 - 1, 1 << 20 - 1)
        for _ in 0..<2000 {
            let main = Int64.random(in: 0...largest.main, using: &generator)
            let sub = [0, 1, largest.sub, Int64.random(in: 0...largest.sub, using: &generator)].randomElement() ?? 0
            keys.append(revisionKey(main: main, sub: sub))
            keys.append(revisionKey(main: main, sub: sub) + [0x74])
        }
        keys += [revisionKey(main: largest.main, sub: largest.sub) + [0x74], revisionKey(main: 0)]
        for key in keys {
            let (shape, digest) = key.lend { (KeyDigest.shape(of: $0), KeyDigest.digest($0, KeyDigest.shape(of: $0))) }
            #expect(shape != .other && digest.map { KeyDigest.key($0, shape) } == key)
        }
        let revisions = keys.filter { $0.count > 8 }.sorted { $0.lexicographicallyPrecedes($1) }
        let digests = revisions.compactMap { $0.lend(KeyDigest.revision) }
        #expect(digests == digests.sorted() && digests.count == revisions.count)
    }

    private func bigEndian(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    /// What does not fit into a digest is kept whole.
    @Test func otherKeysHaveNoDigest() {
        let keys = [
            revisionKey(main: 1 << 43), revisionKey(main: 5, sub: 1 << 20), revisionKey(main: -1),
            revisionKey(main: 5) + [0x75], revisionKey(main: 5) + [0x74, 0x74], Array(revisionKey(main: 5).dropLast()),
            revisionKey(main: 5).map { $0 == 0x5F ? 0x60 : $0 }, Array("authRevision".utf8),
        ]
        for key in keys { #expect(key.lend(KeyDigest.shape) == .other, "\(key)") }
    }

    // MARK: - Restored databases

    private func restore(
        _ bytes: some RandomAccessBytes, bump: Int64 = 1_000_000_000, _ body: ([UInt8]) throws -> Void
    ) async throws {
        try await withTemporaryDirectory { directory in
            var plan = RestorePlan(cluster: try RestoreFormatTests.example())
            plan.trailerPolicy = .ignored
            plan.revisionBump = bump
            plan.marksCompacted = bump > 0
            let target = RestoreTarget(memberName: "m2", dataDirectory: directory + "/data")
            _ = try Restore.run(from: bytes, plan: plan, to: [target])
            try body([UInt8](try Data(contentsOf: URL(filePath: directory + "/data/member/snap/db"))))
        }
    }

    private static let databases =
        (try? FileManager.default.contentsOfDirectory(atPath: Fixtures.directory.path))?
        .filter { $0.hasSuffix(".db") }.sorted() ?? []

    @Test(arguments: databases) func restoredFixtures(_ name: String) async throws {
        let bytes = try Fixtures.bytes(name)
        #expect(try BranchKeys(bytes).differences.isEmpty)
        try await restore(MemoryBytes(bytes)) { restored in
            let differences = try BranchKeys(restored).differences
            #expect(differences == [])
        }
    }

    @Test func fixturesAreThere() { #expect(Self.databases.count == 16) }

    /// Where tombstones stand in the leaves of a synthetic database.
    enum Tombstones: String, CaseIterable, Sendable {
        case heads, ends, middles, everywhere, nowhere

        func includes(_ index: Int, fanOut: Int) -> Bool {
            switch self {
            case .heads: index % fanOut == 0
            case .ends: index % fanOut == fanOut - 1
            case .middles: index % fanOut == fanOut / 2
            case .everywhere: true
            case .nowhere: false
            }
        }
    }

    private func database(
        _ tombstones: Tombstones, pageByteCount: Int, fanOut: Int, rowCount: Int, sub: Int64 = 0
    ) -> [UInt8] {
        var database = SyntheticDatabase(pageByteCount: pageByteCount)
        let rows = (0..<rowCount).map { index in
            let revision = Int64(index + 2)
            var row =
                tombstones.includes(index, fanOut: fanOut)
                ? SyntheticDatabase.tombstone("/registry/a/\(index)", revision: revision)
                : SyntheticDatabase.put(
                    "/registry/a/\(index)", value: [7], revision: revision, create: revision, version: 1)
            row.key.replaceSubrange(9..<17, with: bigEndian(UInt64(sub)))
            return row
        }
        database.add(rows, compactedAt: 0, fanOut: fanOut)
        return database.finish()
    }

    @Test(arguments: Tombstones.allCases, [1024, 4096, 16384, 65536])
    func restoredTrees(_ tombstones: Tombstones, pageByteCount: Int) async throws {
        for (fanOut, rowCount) in [(2, 1), (2, 2), (2, 3), (2, 33), (3, 100), (5, 700), (40, 4000)] {
            // A sub revision that fits a digest, and one that makes keys of another shape.
            for sub in [0, 3, 1 << 20] as [Int64] where sub == 0 || rowCount < 200 {
                let bytes = database(
                    tombstones, pageByteCount: pageByteCount, fanOut: fanOut, rowCount: rowCount, sub: sub)
                #expect(try BranchKeys(bytes).differences.isEmpty)
                try await restore(MemoryBytes(bytes)) { restored in
                    let keys = try BranchKeys(restored)
                    #expect(keys.differences == [], "\(tombstones) \(pageByteCount) \(fanOut) \(rowCount) \(sub)")
                    #expect(keys.keyCount >= rowCount / fanOut)
                }
            }
        }
    }

    // MARK: - Verification

    /// Each key of each branch is changed in ways that leave it in order: all are findings, and a restore refuses.
    @Test func everyDifferentBranchKeyIsFound() async throws {
        for tombstones in Tombstones.allCases {
            let bytes = database(tombstones, pageByteCount: 1024, fanOut: 4, rowCount: 150)
            #expect(try verify(bytes, checksTrailer: false).findings.isEmpty)
            let keys = try BranchKeys(bytes)
            #expect(keys.places.count > 40)
            for place in keys.places {
                var damaged = bytes
                // The lowest byte of sub, which leaves the order of rows that differ in main.
                damaged[place + 16] = 1
                let findings = try verify(damaged, checksTrailer: false).findings
                #expect(findings.contains { $0.problem.contains("the first key is not") }, "at \(place)")
            }
        }
    }

    @Test func aTombstonesMarkThatIsMissingIsFound() async throws {
        var bytes = database(.heads, pageByteCount: 1024, fanOut: 4, rowCount: 150)
        let keys = try BranchKeys(bytes)
        let element = try #require(keys.elements.first)
        #expect(bytes[element + 4] == 18)
        bytes[element + 4] = 17
        let findings = try verify(bytes, checksTrailer: false).findings
        #expect(findings.count == 1 && findings[0].problem.contains("the branch above it names"))
        await #expect {
            try await restore(MemoryBytes(bytes)) { _ in }
        } throws: { ($0 as? StorageError)?.failure.code == .integrity }
    }

    /// A leaf of keys that have no digest is compared by its rows, which may need a second reading, and is no damage.
    @Test func keysWithoutDigestAreComparedToo() throws {
        let bytes = database(.heads, pageByteCount: 4096, fanOut: 3, rowCount: 60, sub: 1 << 20)
        #expect(try verify(bytes, checksTrailer: false).findings.isEmpty)
        for place in try BranchKeys(bytes).places {
            var damaged = bytes
            damaged[place + 16] ^= 1
            let report = try SnapshotStatus.verify(MemoryBytes(damaged), checksTrailer: false).report
            #expect(!report.findings.isEmpty, "at \(place)")
        }
    }

    @Test func leavesWithoutRowsBelowABranchAreFound() throws {
        var bytes = database(.nowhere, pageByteCount: 1024, fanOut: 4, rowCount: 40)
        let leaf = Int(try BranchKeys(bytes).firstLeaf) * 1024
        bytes[leaf + 10] = 0
        let findings = try verify(bytes, checksTrailer: false).findings
        #expect(findings.count == 1 && findings[0].problem.contains("without rows"))
    }
}

/// The branch keys of a database, read from the bytes alone (bbolt `internal/common/page.go`).
struct BranchKeys {
    private let bytes: [UInt8]
    private let pageByteCount: Int
    /// Places where a branch says another first key than its child has.
    private(set) var differences: [String] = []
    private(set) var keyCount = 0
    /// Offsets of branch elements, and of their keys, in bucket trees.
    private(set) var elements: [Int] = []
    private(set) var places: [Int] = []
    private(set) var firstLeaf: UInt64 = 0

    init(_ bytes: [UInt8]) throws {
        self.bytes = bytes
        pageByteCount = try BoltFile(MemoryBytes(bytes)).pageByteCount
        let metas = [0, pageByteCount].map { (transaction: word($0 + 64), root: word($0 + 32)) }
        walk(metas[0].transaction > metas[1].transaction ? metas[0].root : metas[1].root, nil)
    }

    private func word(_ offset: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * $1) } }
    private func half(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }

    private mutating func walk(_ page: UInt64, _ named: [UInt8]?) {
        let start = Int(page) * pageByteCount
        let isBranch = bytes[start + 8] & 1 != 0
        let count = Int(bytes[start + 10]) | Int(bytes[start + 11]) << 8
        for index in 0..<count {
            let element = start + 16 + 16 * index
            let position = element + half(element + (isBranch ? 0 : 4))
            let key = Array(bytes[position..<position + half(element + (isBranch ? 4 : 8))])
            if index == 0, let named, named != key { differences.append("page \(page): \(named) is not \(key)") }
            if isBranch {
                keyCount += 1
                elements.append(element)
                places.append(position)
                walk(word(element + 8), key)
            } else if half(element) & 1 != 0, word(position + key.count) != 0 {
                walk(word(position + key.count), nil)
            } else if half(element) & 1 == 0, index == 0, firstLeaf == 0 {
                firstLeaf = page
            }
        }
    }
}
