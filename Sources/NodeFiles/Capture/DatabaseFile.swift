import HostIO

/// A database that is written while it is captured, known by its first bytes.
enum DatabaseKind {
    /// SQLite 3, such as the store of k3s without etcd.
    case sqlite
    /// bbolt, such as the state of containerd and of Weave Net.
    case bolt
    /// A log of Open vSwitch's database, standalone or clustered.
    case ovsdb

    /// What a database of SQLite begins with ("Database File Format", 1.3.1).
    static let sqliteMagic = Array("SQLite format 3\0".utf8)

    /// Sources: SQLite, "Database File Format", 1.3.1; bbolt, `internal/common/meta.go`, `Magic`; Open vSwitch,
    /// `ovsdb/log.h`, `OVSDB_MAGIC` and `RAFT_MAGIC`.
    init?(prefix: UnsafeRawBufferPointer) {
        if prefix.starts(with: Self.sqliteMagic) {
            self = .sqlite
        } else if prefix.starts(with: Array("OVSDB JSON ".utf8)) || prefix.starts(with: Array("OVSDB CLUSTER ".utf8)) {
            self = .ovsdb
        } else if !BoltMeta.both(in: prefix).isEmpty {
            self = .bolt
        } else {
            return nil
        }
    }
}

/// What makes a copy of a file whole.
enum DatabaseState {
    /// That nothing about it changed meanwhile.
    case plain
    /// That nothing changed of a database that could not be locked.
    case unlocked
    /// The lock that is held.
    case locked
    /// That its bytes up to where it ended are copied.
    case growing(byteCount: Int)
    /// That its whole records up to this size are copied: they are only ever added to.
    case log(byteCount: Int)
    /// That no transaction was committed: pages of the last one are not written to while the next is under way.
    case bolt

    /// The bytes to copy, nil for all of them.
    var byteCount: Int? {
        switch self {
        case .log(let byteCount), .growing(let byteCount): byteCount
        case .plain, .unlocked, .locked, .bolt: nil
        }
    }

    /// Whether `byteCount` bytes, copied since `before`, are whole.
    ///
    /// - Parameter copied: the meta pages of the copy.
    func isWhole(
        _ file: OpenFile, _ before: EntryAttributes, byteCount: Int, _ copied: [[UInt8]]
    ) throws -> Bool {
        let after = try file.attributes()
        switch self {
        case .plain, .unlocked: return after == before && byteCount == before.byteCount
        case .locked: return byteCount == before.byteCount && after.byteCount == before.byteCount
        case .growing(let wanted), .log(let wanted): return byteCount == wanted && after.byteCount >= wanted
        case .bolt:
            let now = try file.bytes(at: 0, count: BoltMeta.searchedByteCount)
            return byteCount == before.byteCount && now.withUnsafeBytes { BoltMeta.both(in: $0) } == copied
        }
    }
}

/// The two meta pages of a bbolt database, which name its last two transactions.
///
/// ```
/// page n (n = 0, 1), little-endian:
///   0  id, flags, count, overflow   16 bytes
///  16  magic 0xED0CDAED, version, page size, flags, root, freelist, pgid, txid, checksum
/// ```
/// Source: bbolt 1.4, `internal/common/page.go`, `Page`, and `meta.go`, `Meta`.
enum BoltMeta {
    private static let magic: [UInt8] = [0xED, 0xDA, 0x0C, 0xED]
    private static let headerByteCount = 16
    private static let metaByteCount = 64
    /// The second page begins at the latest here, behind the largest page that an operating system has.
    static let searchedByteCount = (64 << 10) + headerByteCount + metaByteCount

    /// The bytes of the meta pages found at the beginning of a file; none if it is no bbolt database.
    static func both(in bytes: UnsafeRawBufferPointer) -> [[UInt8]] {
        guard let first = meta(in: bytes, at: 0) else { return [] }
        let pageByteCount = first[8..<12].reversed().reduce(0) { $0 << 8 | Int($1) }
        guard (512...64 << 10).contains(pageByteCount) else { return [] }
        return [first] + [meta(in: bytes, at: pageByteCount)].compactMap(\.self)
    }

    private static func meta(in bytes: UnsafeRawBufferPointer, at offset: Int) -> [UInt8]? {
        let start = offset + headerByteCount
        guard bytes.count >= start + metaByteCount, bytes[start..<start + 4].elementsEqual(magic) else { return nil }
        return Array(bytes[start..<start + metaByteCount])
    }
}

/// A log of Open vSwitch's database.
///
/// Each record is a line `OVSDB JSON <length> <SHA-1>` and as many bytes of JSON as it says (ovsdb(5), "Standalone Format";
/// `CLUSTER` in a clustered one). Records are added at the end; compaction makes a new file.
enum OVSDBLog {
    private static let headerByteCountLimit = 96
    private static let windowByteCount = 256 << 10

    /// The size of the records that are whole; nil if this is another format.
    static func wholeRecordsByteCount(_ file: OpenFile) throws -> Int? {
        let byteCount = try file.attributes().byteCount
        var offset = 0
        var window: (bytes: [UInt8], offset: Int) = ([], 0)
        while offset < byteCount {
            if offset + headerByteCountLimit > window.offset + window.bytes.count {
                window = (try file.bytes(at: offset, count: windowByteCount), offset)
            }
            let head = window.bytes[(offset - window.offset)...].prefix(headerByteCountLimit)
            guard let newline = head.firstIndex(of: 0x0A) else {
                // A header that was begun, or something else.
                return head.count < headerByteCountLimit ? offset : nil
            }
            guard let length = recordByteCount(head[..<newline]) else { return nil }
            let end = offset + (newline - head.startIndex) + 1 + length
            if end > byteCount { break }
            offset = end
        }
        return offset
    }

    private static func recordByteCount(_ header: ArraySlice<UInt8>) -> Int? {
        let words = header.split(separator: 0x20)
        guard words.count == 4, words[0].elementsEqual("OVSDB".utf8) else { return nil }
        return Int(String(decoding: words[2], as: UTF8.self)).flatMap { (0...1 << 32).contains($0) ? $0 : nil }
    }
}
