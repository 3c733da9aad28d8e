/// What a file is by its first bytes, for people who have named another one than is needed.
public enum FileKind: String, Sendable, CaseIterable {
    case empty, zip, gzip, bzip2, xz, sevenZip, zstd, lz4, tar, sqlite, bolt, etcdLog, raftSnapshot
    case age, armoredAge, pgp, openssl, pem, elf, html, xml, json

    /// How many bytes of a file it takes to tell.
    public static let headByteCount = 4096

    /// What a file is; nil for what is not known here, which may be anything.
    ///
    /// - Parameters:
    ///   - head: its first ``headByteCount`` bytes, or all of them.
    ///   - byteCount: its size.
    public init?(_ head: [UInt8], byteCount: Int) {
        let text = Self.textWithoutMark(head)
        let found: FileKind? =
            if byteCount == 0 {
                .empty
            } else if let kind = Self.magics.first(where: { Self.has($0.bytes, at: $0.offset, in: head) })?.kind {
                kind
            } else if let kind = Self.textStarts.first(where: { text.hasPrefix($0.text) })?.kind {
                kind
            } else if Self.isOpenPGP(head) {
                .pgp
            } else if Self.isEtcdLog(head) {
                .etcdLog
            } else if Self.isRaftSnapshot(head, byteCount: byteCount) {
                .raftSnapshot
            } else {
                nil
            }
        guard let found else { return nil }
        self = found
    }

    /// What to call such a file.
    public var noun: String { words.noun }

    /// What to do with one in place of what is needed.
    public var advice: String { words.advice }

    /// Checks that a file is not something else than what is needed; what is not known passes.
    ///
    /// - Parameters:
    ///   - kinds: what it may be.
    ///   - expected: what is needed, for the message.
    /// - Throws: ``Failure`` with the code `integrity` that says what the file is and what to do; the source's error.
    public static func check(
        _ file: any RandomAccessBytes, is kinds: Set<FileKind>, whatIsExpected expected: String
    ) throws {
        let head = try file.bytes(at: 0, count: min(file.byteCount, headByteCount))
        guard let kind = FileKind(head, byteCount: file.byteCount), !kinds.contains(kind) else { return }
        throw kind.failure(file.name, insteadOf: expected, code: .integrity)
    }

    /// That a file is this and not what is needed.
    public func failure(_ name: String, insteadOf expected: String, code: Failure.Code) -> Failure {
        Failure(code, "\(quoted(name)) is \(noun), and not \(expected)", hint: advice)
    }

    // MARK: Recognising

    /// Sources: the formats' specifications; `file(1)` tells them by the same bytes.
    private static let magics: [(bytes: [UInt8], offset: Int, kind: FileKind)] = [
        ([0x50, 0x4B, 0x03, 0x04], 0, .zip), ([0x50, 0x4B, 0x05, 0x06], 0, .zip), ([0x50, 0x4B, 0x07, 0x08], 0, .zip),
        ([0x1F, 0x8B], 0, .gzip), (Array("BZh".utf8), 0, .bzip2), ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], 0, .xz),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], 0, .sevenZip), ([0x28, 0xB5, 0x2F, 0xFD], 0, .zstd),
        ([0x04, 0x22, 0x4D, 0x18], 0, .lz4), (Array("ustar".utf8), 257, .tar),
        (Array("SQLite format 3\0".utf8), 0, .sqlite),
        // bbolt, `internal/common/types.go`: Magic 0xED0CDAED behind the header of the first page.
        ([0xED, 0xDA, 0x0C, 0xED], 16, .bolt),
        (Array("age-encryption.org/".utf8), 0, .age), (Array("Salted__".utf8), 0, .openssl),
        ([0x7F, 0x45, 0x4C, 0x46], 0, .elf),
    ]

    private static let textStarts: [(text: String, kind: FileKind)] = [
        ("-----begin age encrypted file-----", .armoredAge), ("-----begin pgp ", .pgp), ("-----begin ", .pem),
        ("<!doctype html", .html), ("<html", .html), ("<?xml", .xml), ("{", .json),
    ]

    private static func has(_ bytes: [UInt8], at offset: Int, in head: [UInt8]) -> Bool {
        head.dropFirst(offset).starts(with: bytes)
    }

    /// The beginning as text in lower case, without a byte-order mark and blanks before it.
    private static func textWithoutMark(_ head: [UInt8]) -> String {
        let start = head.starts(with: [0xEF, 0xBB, 0xBF]) ? head.dropFirst(3) : head[...]
        let text = start.drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }.prefix(64)
        return String(decoding: text, as: UTF8.self).lowercased()
    }

    /// Whether it begins like a file of etcd's write-ahead log.
    ///
    /// etcd, `server/storage/wal/encoder.go`: each record has its length in 8 bytes, the number of zeros behind it in the
    /// topmost of them. The first record of a file is of type 4, a checksum (`walpb.Record`: type = 1, crc = 2).
    private static func isEtcdLog(_ head: [UInt8]) -> Bool {
        guard head.count >= 16, (4...16).contains(head[0]), head[1..<7].allSatisfy({ $0 == 0 }) else { return false }
        return Array(head[8..<11]) == [0x08, 0x04, 0x10] && (head[7] == 0 || (0x80...0x87).contains(head[7]))
    }

    /// Whether it is a raft snapshot.
    ///
    /// etcd, `server/etcdserver/api/snap/snappb/snap.proto`: crc = 1, a number, and data = 2, which reaches to the end.
    private static func isRaftSnapshot(_ head: [UInt8], byteCount: Int) -> Bool {
        guard head.first == 0x08, let crc = varint(head, at: 1), crc.next < head.count, head[crc.next] == 0x12,
            let length = varint(head, at: crc.next + 1)
        else { return false }
        return length.value > 0 && length.value == UInt64(max(0, byteCount - length.next))
    }

    private static func varint(_ bytes: [UInt8], at start: Int) -> (value: UInt64, next: Int)? {
        var value: UInt64 = 0
        for (index, byte) in bytes.dropFirst(start).prefix(10).enumerated() {
            value |= UInt64(byte & 0x7F) << UInt64(index * 7)
            if byte < 0x80 { return (value, start + index + 1) }
        }
        return nil
    }

    // MARK: Words

    private var words: (noun: String, advice: String) {
        switch self {
        case .empty: ("empty", "nothing was written to it: use another copy")
        case .zip: ("a zip file", "unzip it first, and name what is in it")
        case .gzip: ("gzip-compressed", "decompress it first, with `gunzip`")
        case .bzip2: ("bzip2-compressed", "decompress it first, with `bunzip2`")
        case .xz: ("xz-compressed", "decompress it first, with `unxz`")
        case .sevenZip: ("a 7z file", "extract it first, with `7z x`, and name what is in it")
        case .zstd:
            (
                "zstd-compressed",
                "decompress it first, with `unzstd`; an archive that was unsealed already is read with `tar`: "
                    + "`unzstd -c FILE | tar x`"
            )
        case .lz4: ("lz4-compressed", "decompress it first, with `unlz4`")
        case .tar: ("a tar file", "extract it first, with `tar xf`, and name what is in it")
        case .sqlite:
            (
                "an SQLite database",
                "it may be the datastore of a k3s or k0s without etcd: put it back where it was, as db/state.db"
            )
        case .bolt:
            (
                "a database of etcd or another program",
                "if it is a snapshot of etcd, `etcd-snap inspect status` says what it has, and `etcd-snap restore etcd` "
                    + "makes data directories of it"
            )
        case .etcdLog:
            (
                "a part of etcd's write-ahead log",
                "name a snapshot, or the database of a stopped member: member/snap/db in its data directory"
            )
        case .raftSnapshot:
            (
                "a raft snapshot of etcd, which holds no keys",
                "name a snapshot, or the database of a stopped member: member/snap/db in its data directory"
            )
        case .age: ("a sealed age file", "`etcd-snap unseal` opens it")
        case .armoredAge: ("an armored age file", "`etcd-snap unseal` opens it")
        case .pgp: ("encrypted or signed by gpg", "decrypt it first, with `gpg -d`, or name another file")
        case .openssl: ("encrypted by openssl", "decrypt it first, with `openssl enc -d`")
        case .pem: ("a PEM file of keys or certificates", "name another file")
        case .elf: ("a program", "name another file")
        case .html: ("an HTML page", "it was not what was to be downloaded: look into it, and download it again")
        case .xml: ("an XML document", "it was not what was to be downloaded: look into it, and download it again")
        case .json: ("a JSON document", "name another file")
        }
    }
}
