import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdStorage

/// The write-ahead logs of real servers that were killed, as they are and damaged.
@Suite struct SurvivingLogTests {
    /// The log of a server that was killed, in its only file; without the zeros behind it.
    private struct KilledLog {
        var bytes: [UInt8]
        var frames: [Frame]
        var clusterID: String

        /// A record, told without the code that is tested.
        struct Frame {
            var range: Range<Int>
            var type: UInt8
            var isEntry: Bool { type == 2 }
        }

        init(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version)
            for index in 0..<12 { try server.etcdctl("put", "key-\(index)", String(repeating: "v", count: 40 * index)) }
            let status = try server.etcdctl("endpoint", "status", "--write-out=fields")
            let id = try #require(status.firstMatch(of: #/"ClusterID" : (\d+)/#).flatMap { UInt64($0.1) })
            clusterID = String(id, radix: 16)
            server.kill()
            let path = "\(server.dataDirectory)/member/wal/\(WriteAheadLog.fileName)"
            let all = [UInt8](try Data(contentsOf: URL(filePath: path)))
            frames = []
            var offset = 0
            while true {
                let field = all[offset..<(offset + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                if field == 0 { break }
                let count = Int(field & 0xFF_FFFF_FFFF_FFFF) + (field >> 63 == 1 ? Int(field >> 56 & 7) : 0)
                frames.append(Frame(range: offset..<(offset + 8 + count), type: all[offset + 9]))
                offset += 8 + count
            }
            bytes = Array(all[..<offset])
        }

        /// How many entries are whole in that many bytes.
        func entryCount(before end: Int) -> Int { frames.count { $0.isEntry && $0.range.upperBound <= end } }
    }

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func read(_ files: [String: [UInt8]]) throws -> SurvivingLog {
        let path = directory.file("wal")
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, bytes) in files { try Data(bytes).write(to: URL(filePath: "\(path)/\(name)")) }
        return try SurvivingLog(directory: OpenDirectory(path: path))
    }

    private func read(_ bytes: [UInt8]) throws -> SurvivingLog { try read([WriteAheadLog.fileName: bytes]) }

    @Test(arguments: EtcdVersion.installed) func whatARealServerWrites(_ version: EtcdVersion) throws {
        let killed = try KilledLog(version)
        let log = try read(killed.bytes + [UInt8](repeating: 0, count: 4096))
        #expect(String(log.clusterID, radix: 16) == killed.clusterID)
        #expect(log.firstIndex == 1 && log.last.index == UInt64(killed.entryCount(before: .max)))
        #expect(log.last.index > 12 && log.last.term == log.term && log.term > 0)
        #expect(log.commit > 12 && log.commit <= log.last.index && log.torn == nil && log.memberID != 0)
    }

    /// A crash may leave any beginning of what was to be written.
    @Test(arguments: EtcdVersion.installed) func everyTruncation(_ version: EtcdVersion) throws {
        let killed = try KilledLog(version)
        let boundaries = Set(killed.frames.map(\.range.upperBound) + [0])
        let known = try #require(killed.frames.first { $0.type == 1 }).range.upperBound
        for end in 0...killed.bytes.count {
            let bytes = Array(killed.bytes[..<end])
            guard end >= known else {
                #expect(throws: Failure.self, "\(end)") { try read(bytes) }
                continue
            }
            let log = try read(bytes)
            #expect(log.last.index == UInt64(killed.entryCount(before: end)), "\(end)")
            #expect((log.torn == nil) == boundaries.contains(end), "\(end)")
            // Whole sectors that were never written read as zeros.
            guard end % 512 == 0 else { continue }
            let zeroed = try read(bytes + [UInt8](repeating: 0, count: killed.bytes.count - end + 512))
            #expect(zeroed.last == log.last && (zeroed.torn == nil) == boundaries.contains(end), "\(end)")
        }
    }

    /// No bit changes what is read without being noticed; the type of a record is covered by no checksum of etcd's.
    @Test(arguments: EtcdVersion.installed) func everyFlippedBit(_ version: EtcdVersion) throws {
        let killed = try KilledLog(version)
        let whole = try read(killed.bytes)
        let types = Set(killed.frames.flatMap { [$0.range.lowerBound + 8, $0.range.lowerBound + 9] })
        var damagedCount = 0
        for offset in killed.bytes.indices {
            var bytes = killed.bytes
            bytes[offset] ^= 1 << UInt8(offset % 8)
            do {
                let log = try read(bytes)
                if types.contains(offset) { continue }
                let isSame = log.last == whole.last && log.commit == whole.commit && log.clusterID == whole.clusterID
                #expect(log.torn != nil || isSame, "\(offset)")
            } catch let failure as Failure {
                #expect(failure.code == .integrity, "\(offset): \(failure)")
                damagedCount += 1
            }
        }
        #expect(damagedCount > killed.bytes.count / 2)
    }

    @Test func damageBeforeTheLastFileIsNoTornRecord() throws {
        let killed = try KilledLog(.v3_5)
        let second = "0000000000000001-\(String(repeating: "0", count: 16))"
        // The next file begins with the checksum of this one.
        let whole = try read(killed.bytes)
        let head = WriteAheadLog.frame(.crc, crc: whole.crc.value, data: nil)
        let names = (WriteAheadLog.fileName, "\(second).wal")
        #expect(try read([names.0: killed.bytes, names.1: head]).last == whole.last)
        let cut = Array(killed.bytes.dropLast(11))
        let error = #expect(throws: Failure.self) { try read([names.0: cut, names.1: head]) }
        #expect(error?.code == .integrity && error?.message.contains("\(names.0)\" is damaged at offset ") == true)
        // Records that are gone without a trace in their own file.
        let last = try #require(killed.frames.last).range.lowerBound
        let short = #expect(throws: Failure.self) {
            try read([names.0: Array(killed.bytes[..<last]), names.1: head])
        }
        #expect(short?.message.contains("\(names.1)\" is damaged at offset 0") == true)
    }

    @Test func filesOfSeveralMembersAreNoLog() throws {
        let killed = try KilledLog(.v3_5)
        let whole = try read(killed.bytes)
        var crc = whole.crc
        let metadata: [UInt8] = [0x08, 0x05, 0x10, 0x06]
        crc.update(metadata.withUnsafeBytes { $0 })
        let next =
            WriteAheadLog.frame(.crc, crc: whole.crc.value, data: nil)
            + WriteAheadLog.frame(.metadata, crc: crc.value, data: metadata)
        let error = #expect(throws: Failure.self) {
            try read([WriteAheadLog.fileName: killed.bytes, "0000000000000001-0000000000000020.wal": next])
        }
        #expect(error?.message.contains("of member 5 of cluster 6") == true)
    }

    @Test func aFileThatIsMissing() throws {
        let killed = try KilledLog(.v3_5)
        let error = #expect(throws: Failure.self) {
            try read([
                WriteAheadLog.fileName: killed.bytes, "0000000000000002-0000000000000020.wal": killed.bytes,
                // What etcd has not finished, or has put aside, is none of it.
                "0.tmp": [1], "0000000000000001-0000000000000010.wal.broken": [1],
            ])
        }
        #expect(error?.message.hasPrefix("1 files of the write-ahead log") == true)
        let none = #expect(throws: Failure.self) { try read(["0.tmp": [1]]) }
        #expect(none?.code == .notFound)
    }

    /// A later leader's entry takes the place of one that was never committed, with all behind it.
    @Test func entriesOfALaterTermOverwrite() throws {
        var crc = CRC32C()
        var bytes = WriteAheadLog.frame(.crc, crc: 0, data: nil)
        func add(_ type: WriteAheadLog.RecordType, _ numbers: [UInt8]) {
            var data: [UInt8] = []
            for (offset, number) in numbers.enumerated() { data += [UInt8(offset + 1) << 3, number] }
            crc.update(data.withUnsafeBytes { $0 })
            bytes += WriteAheadLog.frame(type, crc: crc.value, data: data)
        }
        add(.metadata, [7, 9])
        add(.snapshot, [0, 0])
        for index in 1...6 { add(.entry, [0, 2, UInt8(index)]) }
        add(.state, [2, 7, 3])
        add(.entry, [0, 5, 4])
        add(.state, [5, 7, 4])
        let log = try read(bytes)
        #expect(log.last == LogPosition(term: 5, index: 4) && log.commit == 4 && log.firstIndex == 1)
        // A snapshot that another member has sent stands for all before.
        add(.snapshot, [40, 6])
        add(.entry, [0, 6, 41])
        add(.state, [6, 7, 41])
        let later = try read(bytes)
        #expect(later.last == LogPosition(term: 6, index: 41) && later.firstIndex == 41)
        #expect(later.snapshots.contains(LogPosition(term: 6, index: 40)))
        // What is asked of a copy: the same log, and all of it committed.
        add(.entry, [0, 6, 42])
        let open = try read(bytes)
        #expect(open.commit == 41 && open.last.index == 42)
        let (count, appended) = open.completion()
        let complete = try read(Array(bytes[..<count]) + appended)
        #expect(complete.commit == 42 && complete.last == open.last && complete.vote == 7)
        add(.entry, [0, 6, 50])
        let gap = #expect(throws: Failure.self) { try read(bytes) }
        #expect(gap?.message.contains("entry 50 follows entry 42") == true)
    }
}
