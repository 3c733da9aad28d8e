import EtcdStorage
import Foundation
import HostIO
import TestSupport
import Testing

@Suite struct DamageTests {
    private static let file = "snap-3.5.30.db"

    /// How a damaged snapshot was noticed.
    enum Verdict: Equatable {
        case refused
        case structure
        case trailer
        case unnoticed
    }

    static func verdict(_ bytes: [UInt8]) throws -> Verdict {
        do {
            let report = try verify(bytes)
            if !report.findings.isEmpty { return .structure }
            if case .matched = report.trailer { return .unnoticed }
            return .trailer
        } catch let error as StorageError {
            #expect(error.failure.code == .integrity || error.failure.code == .failed)
            return .refused
        }
    }

    @Test func everyTruncationIsNoticed() throws {
        let bytes = try Fixtures.bytes(Self.file)
        var lengths = Array(stride(from: 0, to: bytes.count, by: 1024)) + Array(0..<200)
        lengths += (1...64).map { bytes.count - $0 }
        for length in lengths {
            let cut = Array(bytes[..<length])
            #expect(throws: StorageError.self, "\(length) bytes") {
                try verify(cut).requireSound(trailer: .required)
            }
            #expect(throws: StorageError.self) {
                try readStatus(MemoryBytes(cut)).report.requireSound(trailer: .required)
            }
        }
    }

    @Test func truncationSaysSo() throws {
        let bytes = try Fixtures.bytes(Self.file)
        #expect {
            try verify(Array(bytes[..<40_000]))
        } throws: { error in
            guard case .truncated(_, 53248, 40_000) = error as? StorageError else { return false }
            return true
        }
    }

    /// The trailer covers every byte, so each flipped bit must be noticed by it or before it.
    @Test func everyMutationIsNoticed() throws {
        let names = ["snap-3.4.23.db", "snap-3.5.30.db", "snap-3.7.1.db", "k8s-1.36-on-3.6.14.db"]
        var generator = SeededGenerator(seed: 42)
        var verdicts: [Verdict: Int] = [:]
        for name in names {
            let bytes = try Fixtures.bytes(name)
            for _ in 0..<600 {
                let mutated = Mutation.random(bytes.count, using: &generator).applied(to: bytes)
                guard mutated != bytes else { continue }
                let verdict = try Self.verdict(mutated)
                verdicts[verdict, default: 0] += 1
            }
        }
        #expect(verdicts[.unnoticed] == nil)
        #expect(verdicts.values.reduce(0, +) >= 2000)
        #expect((verdicts[.structure] ?? 0) > 100)
        #expect((verdicts[.trailer] ?? 0) > 100)
    }

    /// What the trailer does not see: a mutation with a new trailer changes the status hash, is a finding, or lies in
    /// bytes that nothing refers to.
    @Test func mutationsOfReachableBytesShowWithoutTheTrailer() throws {
        let bytes = try Fixtures.bytes(Self.file)
        let original = try verify(bytes).requireSound(trailer: .required)
        let rows = try allRows(MemoryBytes(bytes))
        var generator = SeededGenerator(seed: 43)
        var unchanged = 0
        for _ in 0..<1000 {
            let mutated = Mutation.flip(
                offset: Int.random(in: 8192..<(bytes.count - 32), using: &generator),
                bit: Int.random(in: 0..<8, using: &generator)
            ).applied(to: bytes)
            let report = try? verify(mutated, checksTrailer: false)
            guard let report, report.findings.isEmpty, let contents = report.contents else { continue }
            if contents.hash != original.hash { continue }
            #expect(try allRows(MemoryBytes(mutated)) == rows)
            unchanged += 1
        }
        #expect(unchanged < 1000)
    }

    private func allRows(_ bytes: MemoryBytes) throws -> [[BoltRow]] {
        let file = try BoltFile(bytes)
        return try file.buckets().map { try file.rows(in: $0) }
    }

    @Test func metaPages() throws {
        var bytes = try Fixtures.bytes(Self.file)
        bytes[64] ^= 1
        let report = try verify(bytes)
        #expect(report.warnings.count == 1)
        #expect(report.findings.isEmpty)
        bytes[4096 + 64] ^= 1
        #expect { try verify(bytes) } throws: { "\($0)".contains("neither meta page is valid") }
    }

    @Test func bigEndianFileIsNamed() throws {
        var bytes = try Fixtures.bytes(Self.file)
        for page in [0, 4096] { bytes[(page + 16)..<(page + 20)].reverse() }
        #expect { try verify(bytes) } throws: { "\($0)".contains("big-endian") }
    }

    @Test(
        arguments: [
            ([], "empty"), ([0x1F, 0x8B] + [UInt8](repeating: 7, count: 5000), "gzip"),
            ([0x28, 0xB5, 0x2F, 0xFD] + [UInt8](repeating: 7, count: 5000), "zstd"),
            ([UInt8](repeating: 7, count: 100), "100 bytes"), ([UInt8](repeating: 0, count: 20_000), "magic"),
        ] as [([UInt8], String)])
    func otherFilesAreNamed(_ bytes: [UInt8], _ word: String) {
        for attempt in [{ _ = try verify(bytes) }, { _ = try BoltFile(MemoryBytes(bytes)) }] {
            #expect {
                try attempt()
            } throws: { error in
                guard case .notADatabase = error as? StorageError else { return false }
                return "\(error)".contains(word) && Failure(wrapping: error).code == .integrity
            }
        }
    }

    @Test func directoryIsRefused() {
        #expect(throws: (any Error).self) { try RandomAccessFile(path: Fixtures.directory.path) }
    }

    @Test func absurdPageSizeAndHighWater() throws {
        let bytes = try Fixtures.bytes(Self.file)
        for (offset, value) in [
            (24, 4097), (24, 512), (24, 1 << 30), (56, 0), (56, 1 << 41), (56, 1 << 39), (32, 1), (32, 99999),
        ] {
            let edited = BoltEdit.meta(bytes, offset: offset, value: UInt64(value))
            #expect(throws: StorageError.self, "\(offset) \(value)") {
                try verify(edited).requireSound(trailer: .ignored)
            }
        }
    }

    /// Bounded by default; ETCD_SNAP_FUZZ_SECONDS=600 goes on for ten minutes with other seeds.
    @Test func fuzz() throws {
        let seconds = ProcessInfo.processInfo.environment["ETCD_SNAP_FUZZ_SECONDS"].flatMap(Double.init) ?? 0
        let deadline = Date().addingTimeInterval(seconds)
        let inputs = try ["snap-3.6.14.db", "tombstone-at-compact-3.7.1.db"].map { try Fixtures.bytes($0) }
        var seed: UInt64 = 1000
        repeat {
            var generator = SeededGenerator(seed: seed)
            for input in inputs {
                var bytes = input
                for _ in 0..<Int.random(in: 1...6, using: &generator) {
                    bytes = Mutation.random(bytes.count, using: &generator).applied(to: bytes)
                    if bytes.isEmpty { break }
                }
                FuzzTarget.run(bytes, seed: seed)
            }
            seed += 1
        } while seed < 1400 || Date() < deadline
    }
}

/// Everything that reads untrusted bytes; an error is fine, a crash or a hang is not.
enum FuzzTarget {
    static func run(_ bytes: [UInt8], seed: UInt64) {
        let source = MemoryBytes(bytes)
        let piece = 1 + Int(seed % 9973)
        do {
            let snapshot = try SnapshotStatus.verify(source, checksTrailer: false)
            let streamed = try verify(bytes, pieceByteCount: piece, checksTrailer: false)
            #expect(streamed.findings.isEmpty == snapshot.report.findings.isEmpty, "seed \(seed)")
            #expect(streamed.contents?.hash == snapshot.report.contents?.hash, "seed \(seed)")
            _ = try snapshot.survey(rereading: source)
        } catch {}
        do {
            let file = try BoltFile(source)
            for bucket in try file.buckets() { _ = try file.rows(in: bucket) }
        } catch {}
        restore(source, seed: seed)
    }

    /// What is restored of damaged bytes is sound, or nothing is left.
    private static func restore(_ source: MemoryBytes, seed: UInt64) {
        do {
            let scratch = try TemporaryDirectory()
            var plan = RestorePlan(cluster: try PlannedCluster(initialCluster: "a=http://h:1", token: "\(seed)"))
            plan.trailerPolicy = .ignored
            let target = RestoreTarget(memberName: "a", dataDirectory: scratch.file("data"))
            do {
                _ = try Restore.run(from: source, plan: plan, to: [target])
                let database = try RandomAccessFile(path: scratch.file("data/member/snap/db"))
                try SnapshotStatus.verify(database).report.requireSound(trailer: .ignored)
            } catch is StorageError {
                #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == [], "seed \(seed)")
            }
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
    }
}

/// A way to damage bytes.
enum Mutation {
    case flip(offset: Int, bit: Int)
    case overwrite(offset: Int, bytes: [UInt8])
    case copyPage(from: Int, to: Int)
    case zeroPage(Int)

    static func random(_ count: Int, using generator: inout SeededGenerator) -> Mutation {
        let pageCount = max(1, count / 4096)
        let page = Int.random(in: 0..<pageCount, using: &generator)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0...2:
            return .flip(
                offset: Int.random(in: 0..<max(1, count), using: &generator),
                bit: Int.random(in: 0..<8, using: &generator))
        case 3...5:
            // Headers and elements, where structure lives.
            return .flip(
                offset: page * 4096 + Int.random(in: 0..<96, using: &generator),
                bit: Int.random(in: 0..<8, using: &generator))
        case 6...7:
            let value =
                [UInt64(0), 1, 2, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, .max, UInt64(pageCount)].randomElement(
                    using: &generator) ?? 0
            let bytes = withUnsafeBytes(of: value.littleEndian) {
                Array($0.prefix([2, 4, 8].randomElement(using: &generator) ?? 4))
            }
            return .overwrite(offset: page * 4096 + 2 * Int.random(in: 0..<48, using: &generator), bytes: bytes)
        case 8: return .copyPage(from: Int.random(in: 0..<pageCount, using: &generator), to: page)
        default: return .zeroPage(page)
        }
    }

    func applied(to bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        switch self {
        case .flip(let offset, let bit): if offset < bytes.count { bytes[offset] ^= 1 << bit }
        case .overwrite(let offset, let new):
            for (index, byte) in new.enumerated() where offset + index < bytes.count { bytes[offset + index] = byte }
        case .copyPage(let from, let to):
            for index in 0..<4096 where max(from, to) * 4096 + index < bytes.count {
                bytes[to * 4096 + index] = bytes[from * 4096 + index]
            }
        case .zeroPage(let page):
            for index in page * 4096..<min(bytes.count, (page + 1) * 4096) { bytes[index] = 0 }
        }
        return bytes
    }
}

/// Edits that keep the checksums of the format right.
enum BoltEdit {
    /// Sets a field of both metas and computes their checksums anew.
    static func meta(
        _ bytes: [UInt8], offset: Int, value: UInt64, width: Int? = nil, pageByteCount: Int = 4096
    ) -> [UInt8] {
        var bytes = bytes
        let width = width ?? (offset == 24 ? 4 : 8)
        for page in [0, pageByteCount] {
            for index in 0..<width {
                bytes[page + offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
            }
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in bytes[(page + 16)..<(page + 72)] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            for index in 0..<8 { bytes[page + 72 + index] = UInt8(truncatingIfNeeded: hash >> (8 * UInt64(index))) }
        }
        return bytes
    }
}
