import HostIO
import Protobuf

/// A record of a write-ahead log; its data is lent.
struct LogRecord {
    var type: WriteAheadLog.RecordType
    var crc: UInt32
    var data: UnsafeRawBufferPointer?
}

/// One file of a write-ahead log, whose records are read in order as etcd's own decoder reads them (etcd
/// `server/storage/wal/decoder.go`).
///
/// Memory: a mebibyte, or one record if that is larger.
final class LogFile {
    /// How the records of a file end.
    enum End: Equatable {
        /// At the end of the file, or at zeros that were preallocated.
        case complete
        /// In a record that a crash has kept from being written whole; why it can't be one.
        case torn(String)
    }

    let file: any RandomAccessBytes
    /// Whether no other file follows: what a crash can tear is at the end of the last one.
    let isLast: Bool
    /// Where the last whole record ends.
    private(set) var offset = 0

    private var window: [UInt8] = []
    private var windowOffset = 0

    private static let windowByteCount = 1 << 20
    /// etcd writes files of 64 MB, and what a client may send in one request is a mebibyte and a half by default.
    static let recordByteCountLimit = 128 << 20
    /// What a disk writes whole, or not at all (etcd `minSectorSize`).
    private static let sectorByteCount = 512

    init(_ file: any RandomAccessBytes, isLast: Bool) {
        self.file = file
        self.isLast = isLast
    }

    /// Passes all records but those of checksums.
    ///
    /// - Parameter crc: the checksum of all data before, and then of this file's too.
    /// - Throws: ``Failure`` with the code `integrity` for what no crash leaves; what `body` throws.
    func forEachRecord(_ crc: inout CRC32C, _ body: (LogRecord) throws -> Void) throws -> End {
        while true {
            let rest = file.byteCount - offset
            if rest == 0 { return .complete }
            guard rest >= 8 else { return try torn("\(rest) bytes are no length of a record") }
            let field = try u64(at: offset)
            if field == 0 { return .complete }
            let byteCount = Int(field & (1 << 56 - 1))
            let padding = field >> 63 == 1 ? Int(field >> 56 & 7) : 0
            guard byteCount <= rest - 8 - padding else {
                return try torn("a record of \(byteCount) bytes, and \(rest - 8) bytes are left")
            }
            guard byteCount + padding <= Self.recordByteCountLimit else {
                throw damaged("a record of \(byteCount) bytes, which is more than etcd writes")
            }
            // Else what follows could be taken for zeros that were preallocated.
            guard (byteCount + padding).isMultiple(of: 8) else {
                throw damaged("a record of \(byteCount) bytes with \(padding) behind it, which is no multiple of 8")
            }
            if let defect = try withBytes(
                at: offset + 8, count: byteCount + padding,
                { bytes in
                    let record = UnsafeRawBufferPointer(rebasing: bytes[..<byteCount])
                    guard let defect = try Self.pass(record, &crc, body) else { return nil as String? }
                    guard isLast, Self.hasEmptySector(bytes, at: offset + 8) else { throw damaged(defect) }
                    return defect
                })
            {
                return .torn(defect)
            }
            offset += 8 + byteCount + padding
        }
    }

    /// - Returns: what is wrong with the record itself; nil for nothing.
    private static func pass(
        _ bytes: UnsafeRawBufferPointer, _ crc: inout CRC32C, _ body: (LogRecord) throws -> Void
    ) throws -> String? {
        var type: UInt64 = 0
        var stored: UInt64 = 0
        var data: UnsafeRawBufferPointer?
        let isMessage = ProtobufReader.forEachField(in: bytes) { field in
            switch (field.number, field.payload) {
            case (1, .varint(let number)): type = number
            case (2, .varint(let number)): stored = number
            case (3, .bytes(let bytes)): data = bytes
            default: return false
            }
            return true
        }
        guard isMessage else { return "what is there is no record" }
        guard let type = WriteAheadLog.RecordType(rawValue: type) else { return "a record of the unknown type \(type)" }
        if type == .crc {
            // The first of all has nothing before it that could be compared.
            guard crc.value == 0 || UInt64(crc.value) == stored else {
                return "the file begins with the checksum \(stored), and the records before have \(crc.value)"
            }
            crc = CRC32C(value: UInt32(truncatingIfNeeded: stored), byteCount: 0)
            return nil
        }
        var next = crc
        if let data { next.update(data) }
        guard UInt64(next.value) == stored else {
            return "the checksum does not match: stored \(stored), computed \(next.value)"
        }
        crc = next
        try body(LogRecord(type: type, crc: next.value, data: data))
        return nil
    }

    /// Whether one of the sectors that a record lies in was never written.
    private static func hasEmptySector(_ bytes: UnsafeRawBufferPointer, at fileOffset: Int) -> Bool {
        var start = 0
        while start < bytes.count {
            let count = min(sectorByteCount - (fileOffset + start) % sectorByteCount, bytes.count - start)
            if bytes[start..<(start + count)].allSatisfy({ $0 == 0 }) { return true }
            start += count
        }
        return false
    }

    private func torn(_ reason: String) throws(Failure) -> End {
        guard isLast else { throw damaged(reason) }
        return .torn(reason)
    }

    /// Damage at the record that is being read.
    func damaged(_ problem: String) -> Failure {
        Failure(
            .integrity, "\(quoted(file.name)) is damaged at offset \(offset): \(problem)",
            hint: "take another survivor; else the member's database can be restored alone, as the snapshot "
                + "member/snap/db without its sha-256 trailer", settings: [.skipHashCheck])
    }

    /// The bytes behind the last whole record that are not zero.
    func remainingByteCount() throws -> Int {
        var count = 0
        var position = offset
        while position < file.byteCount {
            let bytes = try file.bytes(at: position, count: min(Self.windowByteCount, file.byteCount - position))
            guard !bytes.isEmpty else { break }
            if let last = bytes.lastIndex(where: { $0 != 0 }) { count = position - offset + last + 1 }
            position += bytes.count
        }
        return count
    }

    // MARK: Bytes

    private func u64(at position: Int) throws -> UInt64 {
        try withBytes(at: position, count: 8) { $0.loadUnaligned(as: UInt64.self).littleEndian }
    }

    private func withBytes<Result>(
        at position: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        if position < windowOffset || position + count > windowOffset + window.count {
            window = try file.bytes(
                at: position, count: min(max(count, Self.windowByteCount), file.byteCount - position))
            windowOffset = position
            guard window.count >= count else {
                throw Failure(.failed, "\(quoted(file.name)) became shorter while it was read", hint: "try again")
            }
        }
        let start = position - windowOffset
        return try window.withUnsafeBytes {
            try body(UnsafeRawBufferPointer(rebasing: $0[start..<(start + count)]))
        }
    }
}
