import HostIO

// A bbolt file is pages 0 ..< highWater of one size; all integers are little endian. Each page, or run of pages that
// belong together, begins with a header of 16 bytes (bbolt `common.Page`):
//
//   offset  size  field
//        0     8  id: the page's own number
//        8     2  flags: one of PageKind
//       10     2  count of elements
//       12     4  overflow: how many pages directly behind belong to this one
//
// Branch element, 16 bytes each from offset 16 on: u32 pos, u32 ksize, u64 child page.
// Leaf element, 16 bytes each:                     u32 flags, u32 pos, u32 ksize, u32 vsize.
// `pos` counts from the element's own start. Behind the elements bbolt writes key 0, value 0, key 1, value 1, …
// without gaps; the checks here insist on that, because it lets one CRC cover all the data of a leaf.

/// The kind of a page: exactly one of bbolt's page flags.
enum PageKind: UInt16 {
    case branch = 0x01
    case leaf = 0x02
    case meta = 0x04
    case freelist = 0x10
}

/// Sizes and limits of the bbolt format.
enum Bolt {
    static let pageHeaderByteCount = 16
    static let elementByteCount = 16
    /// bbolt `MaxKeySize`.
    static let maximumKeyByteCount = 32768
    /// Page sizes that are looked for; bbolt takes the operating system's, 4096 nearly everywhere.
    static let pageByteCounts = (0...6).map { 1024 << $0 }
    /// The meta's page of the free list when none is stored (bbolt `PgidNoFreelist`).
    static let noFreelist = UInt64.max
    /// Deeper trees than this don't occur: 2^32 pages need fewer than 32 levels with a fan-out of 2.
    static let maximumDepth = 48
    /// The longest run of pages that is accepted; etcd's own limit for a request is 1.5 MiB by default.
    static let maximumRunByteCount = 32 << 20
    /// The flag of a leaf element whose value is a bucket (bbolt `BucketLeafFlag`).
    static let bucketElementFlag: UInt32 = 1
    /// A bucket's header in front of an inline bucket's page: root page, sequence.
    static let bucketHeaderByteCount = 16
    /// Pages whose number exceeds this would need more than 2^53 bytes.
    static let maximumPage = UInt64(1) << 40
}

/// The 16 bytes at the start of a page.
struct PageHeader: Equatable {
    static let byteCount = Bolt.pageHeaderByteCount
    var id: UInt64
    var flags: UInt16
    var count: Int
    var overflow: Int

    @inline(__always)
    init(_ bytes: Bytes) throws(PageDefect) {
        id = try bytes.u64(at: 0)
        flags = try bytes.u16(at: 8)
        count = Int(try bytes.u16(at: 10))
        overflow = Int(try bytes.u32(at: 12))
    }

    init(id: UInt64, kind: PageKind, count: Int, overflow: Int) {
        self.id = id
        flags = kind.rawValue
        self.count = count
        self.overflow = overflow
    }

    var kind: PageKind? { PageKind(rawValue: flags) }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        appendLittleEndian(id, to: &bytes)
        appendLittleEndian(flags, to: &bytes)
        appendLittleEndian(UInt16(count), to: &bytes)
        appendLittleEndian(UInt32(overflow), to: &bytes)
        return bytes
    }
}

/// A meta page: where the tree begins and how far the file reaches (bbolt `common.Meta`, 64 bytes behind the header).
struct Meta: Equatable {
    static let byteCount = 64
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2

    var pageByteCount: Int
    var rootPage: UInt64
    var rootSequence: UInt64 = 0
    var freelistPage: UInt64
    var highWater: UInt64
    var transaction: UInt64

    init(pageByteCount: Int, rootPage: UInt64, freelistPage: UInt64, highWater: UInt64, transaction: UInt64) {
        self.pageByteCount = pageByteCount
        self.rootPage = rootPage
        self.freelistPage = freelistPage
        self.highWater = highWater
        self.transaction = transaction
    }

    /// Reads and validates the meta in the page that begins at `bytes`; the defect says what is wrong with it.
    init(page bytes: Bytes) throws(PageDefect) {
        let magic = try bytes.u32(at: 16)
        guard magic == Self.magic else { throw Self.wrongMagic(magic) }
        let version = try bytes.u32(at: 20)
        guard version == Self.version else {
            throw PageDefect(offset: 20, problem: "version \(version), expected \(Self.version)")
        }
        let stored = try bytes.u64(at: 72)
        let computed = fnv1a64(try bytes.part(at: 16, count: 56).unsafeBytes)
        guard stored == computed else {
            throw PageDefect(
                offset: 72, problem: "meta checksum mismatch (expected \(hex(computed)), found \(hex(stored)))")
        }
        pageByteCount = Int(try bytes.u32(at: 24))
        rootPage = try bytes.u64(at: 32)
        rootSequence = try bytes.u64(at: 40)
        freelistPage = try bytes.u64(at: 48)
        highWater = try bytes.u64(at: 56)
        transaction = try bytes.u64(at: 64)
        try validateBounds()
    }

    private static func wrongMagic(_ magic: UInt32) -> PageDefect {
        magic.byteSwapped == Self.magic
            ? PageDefect(offset: 16, problem: "written by a big-endian machine, which can't be read here")
            : PageDefect(offset: 16, problem: "magic \(hex(magic)), expected \(hex(Self.magic))")
    }

    private func validateBounds() throws(PageDefect) {
        guard Bolt.pageByteCounts.contains(pageByteCount) else {
            throw PageDefect(
                offset: 24, problem: "page size \(pageByteCount), expected a power of two from 1 to 64 KiB")
        }
        guard highWater > 2, highWater <= Bolt.maximumPage else {
            throw PageDefect(offset: 56, problem: "high water mark \(highWater) is out of bounds")
        }
        guard rootPage >= 2, rootPage < highWater else {
            throw PageDefect(offset: 32, problem: "root page \(rootPage) is outside of pages 2 to \(highWater - 1)")
        }
        guard freelistPage == Bolt.noFreelist || (freelistPage >= 2 && freelistPage < highWater) else {
            throw PageDefect(offset: 48, problem: "free list page \(freelistPage) is outside of the file")
        }
    }

    /// The whole page `page` (0 or 1) with this meta.
    func encodedPage(_ page: UInt64) -> [UInt8] {
        var bytes = PageHeader(id: page, kind: .meta, count: 0, overflow: 0).encoded
        appendLittleEndian(Self.magic, to: &bytes)
        appendLittleEndian(Self.version, to: &bytes)
        appendLittleEndian(UInt32(pageByteCount), to: &bytes)
        appendLittleEndian(UInt32(0), to: &bytes)
        for field in [rootPage, rootSequence, freelistPage, highWater, transaction] {
            appendLittleEndian(field, to: &bytes)
        }
        appendLittleEndian(fnv1a64(bytes[16...]), to: &bytes)
        bytes.append(contentsOf: repeatElement(0, count: pageByteCount - bytes.count))
        return bytes
    }

    /// How many bytes at the start of a file are needed to find a meta whatever the page size: two of the largest.
    static let searchByteCount = 2 << 16

    /// Finds the meta that is in force: the valid one with the higher transaction.
    ///
    /// - Parameter start: the first ``searchByteCount`` bytes, fewer if the file is shorter.
    /// - Returns: the meta and, when the other one is not valid, what is wrong with that.
    static func find(in start: Bytes, name: String) throws(StorageError) -> (meta: Meta, warning: PageFinding?) {
        if let reason = notADatabase(start) { throw .notADatabase(name: name, reason: reason) }
        let first = decode(start, at: 0)
        if case .success(let meta) = first {
            switch decode(start, at: meta.pageByteCount) {
            case .success(let second) where second.pageByteCount == meta.pageByteCount:
                return (second.transaction > meta.transaction ? second : meta, nil)
            case .success(let second):
                let problem = "page size \(second.pageByteCount), expected \(meta.pageByteCount) as in page 0"
                return (meta, PageFinding(page: 1, offset: UInt64(meta.pageByteCount) + 24, problem: problem))
            case .failure(let defect):
                return (meta, defect.finding(page: 1, pageByteCount: meta.pageByteCount))
            }
        }
        guard case .failure(let defect) = first else { preconditionFailure("a result is a success or a failure") }
        for pageByteCount in Bolt.pageByteCounts {
            if case .success(let meta) = decode(start, at: pageByteCount), meta.pageByteCount == pageByteCount {
                return (meta, defect.finding(page: 0, pageByteCount: pageByteCount))
            }
        }
        throw neitherIsValid(defect, start, name)
    }

    private static func neitherIsValid(_ defect: PageDefect, _ start: Bytes, _ name: String) -> StorageError {
        if defect.offset == 16, !Bolt.pageByteCounts.contains(where: { hasMagic(start, at: $0) }) {
            return .notADatabase(name: name, reason: defect.problem)
        }
        let problem = "neither meta page is valid: \(defect.problem)"
        return .damaged(name: name, PageFinding(page: 0, offset: UInt64(defect.offset), problem: problem))
    }

    private static func hasMagic(_ start: Bytes, at offset: Int) -> Bool {
        (try? start.u32(at: offset + 16)) == magic
    }

    private static func decode(_ start: Bytes, at offset: Int) -> Result<Meta, PageDefect> {
        Result { () throws(PageDefect) -> Meta in
            try Meta(page: try start.part(at: offset, count: min(80, max(0, start.count - offset))))
        }
    }

    private static func notADatabase(_ start: Bytes) -> String? {
        if start.count == 0 { return "it is empty" }
        let head = [UInt8](start.unsafeBytes.prefix(6))
        if head.starts(with: [0x1F, 0x8B]) { return "it is a gzip file; decompress it first" }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return "it is a zstd file; decompress it first" }
        if head.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A]) { return "it is an xz file; decompress it first" }
        if head.starts(with: Array("age-en".utf8)) { return "it is an age file; decrypt it first" }
        if start.count < 1024 { return "it has only \(start.count) bytes" }
        return nil
    }
}
