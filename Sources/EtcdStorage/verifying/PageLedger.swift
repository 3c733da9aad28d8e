import EncryptionAtRest
import Protobuf

/// What a page turned out to be.
enum PageState: UInt8 {
    /// Nothing was recorded yet.
    case unseen
    /// A leaf whose keys are all revisions.
    case revisionLeaf
    /// A leaf whose keys are all eight bytes long.
    case wordLeaf
    /// A leaf without elements.
    case emptyLeaf
    /// A leaf of another kind whose bytes are kept.
    case keptLeaf
    /// A leaf of another kind whose bytes were not kept for want of room.
    case droppedLeaf
    /// A branch whose children are kept.
    case branch
    /// A branch whose children were not kept for want of room.
    case droppedBranch
    /// A page that belongs to the run of the page before.
    case continuation
    /// The page of the stored free list.
    case freelist
    /// Page 0 or 1.
    case meta
    /// The page does not carry its own number or has no known kind: free, or damaged.
    case foreign
    /// The page carries its own number and a known kind, but its contents do not hold.
    case malformed
}

/// What is remembered of one page: 24 bytes.
struct PageRecord {
    /// What the state needs most.
    ///
    /// Leaf: digest of the last key. Branch: offset in the arena. Foreign: the stored id. First continuation page:
    /// how many there are.
    var last: UInt64 = 0
    /// For a leaf the CRC-32C of the rows' keys and values, for a foreign page the stored flags.
    var crc: UInt32 = 0
    /// For a leaf the byte count of the rows in the low 26 bits; for all pages the state above them.
    private var lengthAndState: UInt32 = 0
    /// Leaf: ``KeyDigest/hash32(_:)`` of the first key.
    var firstHash: UInt32 = 0
    /// Rows; 255 says that the real counts are in ``PageLedger/wideCounts``.
    var rowCount: UInt8 = 0
    /// Rows that create their key: version 1, or the marker of a revision bump.
    var creationCount: UInt8 = 0
    var tombstoneCount: UInt8 = 0
    var flags: UInt8 = 0

    static let hasOverflow: UInt8 = 1
    /// The checksum and length leave rows out, for a HashKV.
    static let isAdjusted: UInt8 = 2
    /// The bits above these two are ``encryptionKeySet``.
    private static let encryptionKeySetShift: UInt8 = 2

    init(_ state: PageState = .unseen) { self.state = state }

    var state: PageState {
        get { PageState(rawValue: UInt8(lengthAndState >> 26)) ?? .malformed }
        set { lengthAndState = lengthAndState & 0x3FF_FFFF | UInt32(newValue.rawValue) << 26 }
    }

    var length: Int {
        get { Int(lengthAndState & 0x3FF_FFFF) }
        set { lengthAndState = lengthAndState & 0xFC00_0000 | UInt32(newValue) & 0x3FF_FFFF }
    }

    var checksum: CRC32C { CRC32C(value: crc, byteCount: length) }

    /// The number of a set in ``EncryptionKeyLedger``, below 64.
    var encryptionKeySet: Int {
        get { Int(flags >> Self.encryptionKeySetShift) }
        set { flags = flags & 3 | UInt8(truncatingIfNeeded: newValue) << Self.encryptionKeySetShift }
    }
}

/// The rows of a leaf by kind.
struct RowCounts: Equatable {
    var rows = 0
    var creations = 0
    var tombstones = 0

    static func += (sum: inout RowCounts, next: RowCounts) {
        sum.rows += next.rows
        sum.creations += next.creations
        sum.tombstones += next.tombstones
    }
}

/// The records of all pages of a database: 24 bytes a page, and a bounded amount of what does not fit into those.
///
/// `@unchecked Sendable`: while several threads work on one ledger they write records of different pages only, in
/// chunks that exist already; everything else is written by one thread.
final class PageLedger: @unchecked Sendable {
    private static let chunkShift = 16
    private static let chunkCount = 1 << chunkShift
    /// Children of branches are kept up to this many bytes, stale branches of free pages included.
    private static let arenaLimit = 12 << 20
    /// Bytes of leaves of other kinds are kept up to this many.
    private static let keptLeafLimit = 2 << 20
    private static let defectLimit = 4096
    private static let coveredLimit = 1 << 15

    private var chunks: [UnsafeMutablePointer<PageRecord>] = []
    /// The pages recorded so far.
    private(set) var count: UInt64 = 0
    private(set) var wideCounts: [UInt64: RowCounts] = [:]
    private var keptLeaves: [UInt64: [UInt8]] = [:]
    private(set) var keptLeafByteCount = 0
    /// Bytes of runs that were examined and did not hold, beyond the first page of each.
    var vainByteCount = 0
    private var branches = BranchArena()
    private var defects: [UInt64: PageDefect] = [:]
    /// Records of pages that a run in front covers and that look like pages of their own, with their overflow.
    private var covered: [UInt64: (record: PageRecord, overflow: Int)] = [:]
    /// The keys of the encryption at rest by leaf.
    var encryptionKeys: EncryptionKeyLedger

    /// - Parameter readers: who must be able to read what is encrypted at rest.
    init(_ readers: EncryptionReaders? = nil) { encryptionKeys = EncryptionKeyLedger(readers) }

    deinit { for chunk in chunks { chunk.deallocate() } }

    /// The record of a page that was recorded.
    subscript(page: UInt64) -> PageRecord {
        get { chunks[Int(page) >> Self.chunkShift][Int(page) & (Self.chunkCount - 1)] }
        set { chunks[Int(page) >> Self.chunkShift][Int(page) & (Self.chunkCount - 1)] = newValue }
    }

    func append(_ record: PageRecord) {
        if Int(count) >> Self.chunkShift == chunks.count {
            let chunk = UnsafeMutablePointer<PageRecord>.allocate(capacity: Self.chunkCount)
            chunk.initialize(repeating: PageRecord(), count: Self.chunkCount)
            chunks.append(chunk)
        }
        count += 1
        self[count - 1] = record
    }

    /// Pages of the run that begins at `page`, minus one; 0 if a page of it was found to belong to itself.
    func overflow(of page: UInt64) -> Int {
        guard self[page].flags & PageRecord.hasOverflow != 0, page + 1 < count,
            self[page + 1].state == .continuation
        else { return 0 }
        return Int(truncatingIfNeeded: self[page + 1].last)
    }

    /// Sets the record of a page, and how many pages behind belong to it.
    func set(_ record: PageRecord, of page: UInt64, overflow: Int) {
        var record = record
        if overflow > 0 {
            record.flags |= PageRecord.hasOverflow
            var continuation = PageRecord(.continuation)
            continuation.last = UInt64(overflow)
            self[page + 1] = continuation
        }
        self[page] = record
    }

    /// Keeps what a page would be if it did not belong to the run in front; at most 2 MiB.
    func noteCovered(_ record: PageRecord, of page: UInt64, overflow: Int) {
        if covered.count < Self.coveredLimit { covered[page] = (record, overflow) }
    }

    /// Takes a page out of the run in front of it; nil if it was not noted.
    func uncover(_ page: UInt64) -> PageRecord? {
        guard let (record, overflow) = covered[page] else { return nil }
        set(record, of: page, overflow: overflow)
        return self[page]
    }

    func counts(of page: UInt64, _ record: PageRecord) -> RowCounts {
        if record.rowCount == 255, let wide = wideCounts[page] { return wide }
        return RowCounts(
            rows: Int(record.rowCount), creations: Int(record.creationCount), tombstones: Int(record.tombstoneCount))
    }

    func set(_ counts: RowCounts, of page: UInt64, in record: inout PageRecord) {
        if counts.rows >= 255 {
            record.rowCount = 255
            wideCounts[page] = counts
        } else {
            record.rowCount = UInt8(counts.rows)
            record.creationCount = UInt8(counts.creations)
            record.tombstoneCount = UInt8(counts.tombstones)
        }
    }

    /// Keeps a leaf's bytes if there is room, or if `always`; says whether it did.
    func keepLeaf(_ bytes: Bytes, of page: UInt64, always: Bool) -> Bool {
        guard always || keptLeafByteCount + bytes.count <= Self.keptLeafLimit else { return false }
        keptLeafByteCount += bytes.count
        keptLeaves[page] = bytes.array
        return true
    }

    func keptLeaf(_ page: UInt64) -> [UInt8]? { keptLeaves[page] }

    /// Keeps a branch's children if there is room, or if `always`; returns where.
    func keepBranch(_ branch: BranchPage, always: Bool) throws(PageDefect) -> UInt64? {
        guard always || branches.byteCount < Self.arenaLimit else { return nil }
        return try branches.append(branch)
    }

    func branch(_ record: PageRecord) -> [BranchChild] { branches.children(at: Int(record.last)) }

    func note(_ defect: PageDefect, of page: UInt64) {
        if defects.count < Self.defectLimit { defects[page] = defect }
    }

    func defect(of page: UInt64) -> PageDefect? { defects[page] }
}

/// A key that separates the children of a branch.
struct SeparatorKey: Equatable {
    var shape: KeyShape
    /// For the shapes that have one.
    var digest: UInt64 = 0
    /// For shape `other`.
    var bytes: [UInt8] = []

    /// The key as it stands in the page.
    var keyBytes: [UInt8] { shape == .other ? bytes : KeyDigest.key(digest, shape) }

    /// Whether both are the same bytes: a branch of mixed shapes keeps all of its keys as `other`.
    static func == (first: SeparatorKey, second: SeparatorKey) -> Bool {
        guard first.shape == second.shape, first.shape != .other else { return first.keyBytes == second.keyBytes }
        return first.digest == second.digest
    }
}

/// A child of a branch, as it is kept.
struct BranchChild: Equatable {
    var page: UInt64
    var key: SeparatorKey
}

/// The children of branches, packed: about five bytes a child, where the page takes 33.
///
/// A branch is: shape, child count, then for each child the difference of its page to the one before and its key, which
/// is the difference of digests, or length and bytes. Numbers are LEB128 as in protobuf.
struct BranchArena {
    private var storage = ProtobufWriter()

    var byteCount: Int { storage.bytes.count }

    mutating func append(_ branch: BranchPage) throws(PageDefect) -> UInt64 {
        let start = UInt64(byteCount)
        let shape = try commonShape(branch)
        storage.varint(UInt64(shape.rawValue))
        storage.varint(UInt64(branch.count))
        var previousPage: UInt64 = 0
        var previousDigest: UInt64 = 0
        try branch.forEach { (_, element) throws(PageDefect) in
            let step = Int64(bitPattern: element.child &- previousPage)
            storage.varint(UInt64(bitPattern: step << 1 ^ step >> 63))
            previousPage = element.child
            if let digest = KeyDigest.digest(element.key, shape) {
                storage.varint(digest &- previousDigest)
                previousDigest = digest
            } else {
                storage.varint(UInt64(element.key.count))
                storage.append(element.key)
            }
        }
        return start
    }

    private func commonShape(_ branch: BranchPage) throws(PageDefect) -> KeyShape {
        let shape = KeyDigest.shape(of: try branch.element(0).key)
        for index in 1..<max(1, branch.count) where KeyDigest.shape(of: try branch.element(index).key) != shape {
            return .other
        }
        return shape
    }

    func children(at offset: Int) -> [BranchChild] {
        storage.bytes.lend { bytes in
            var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
            // What was appended is there; the defaults are never taken.
            let shape = KeyShape(rawValue: UInt8(truncatingIfNeeded: reader.varint() ?? 0)) ?? .other
            let count = Int(reader.varint() ?? 0)
            var page: UInt64 = 0
            var digest: UInt64 = 0
            return (0..<count).map { _ in
                let step = reader.varint() ?? 0
                page = page &+ (step >> 1 ^ (0 &- (step & 1)))
                guard shape != .other else {
                    return BranchChild(
                        page: page,
                        key: SeparatorKey(
                            shape: shape, bytes: [UInt8](reader.lengthDelimited() ?? .init(start: nil, count: 0))))
                }
                digest = digest &+ (reader.varint() ?? 0)
                return BranchChild(page: page, key: SeparatorKey(shape: shape, digest: digest))
            }
        }
    }
}

/// One bit for each page.
struct PageSet: Sendable {
    private var words: [UInt64]

    init(pageCount: UInt64) { words = Array(repeating: 0, count: Int((pageCount + 63) / 64)) }

    func contains(_ page: UInt64) -> Bool { words[Int(page >> 6)] >> (page & 63) & 1 != 0 }

    /// Adds a page; false if it was in the set.
    @discardableResult
    mutating func insert(_ page: UInt64) -> Bool {
        let bit = UInt64(1) << (page & 63)
        defer { words[Int(page >> 6)] |= bit }
        return words[Int(page >> 6)] & bit == 0
    }

    /// The pages of this set that are not in another one of the same size.
    func subtracting(_ other: PageSet) -> PageSet {
        var result = self
        for index in words.indices { result.words[index] &= ~other.words[index] }
        return result
    }

    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// The pages as runs of such that follow each other, in order.
    var ranges: [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for index in words.indices where words[index] != 0 {
            for page in UInt64(index) << 6..<UInt64(index + 1) << 6 where contains(page) {
                if let last = ranges.last, last.upperBound == page {
                    ranges[ranges.count - 1] = last.lowerBound..<page + 1
                } else {
                    ranges.append(page..<page + 1)
                }
            }
        }
        return ranges
    }

    mutating func remove(_ page: UInt64) { words[Int(page >> 6)] &= ~(UInt64(1) << (page & 63)) }

    var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
}
