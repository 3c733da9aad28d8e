import HostIO

/// One row of a leaf page, lent from the page's bytes.
struct LeafElement {
    var key: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
    var isBucket: Bool
    /// Bytes from the start of the page to the key.
    var offset: Int
}

/// The elements of a leaf page; each is bounds-checked when it is read.
struct LeafPage {
    let bytes: Bytes
    let count: Int

    /// `bytes` are the whole run, overflow pages included, beginning with the page header.
    init(_ bytes: Bytes, count: Int) throws(PageDefect) {
        self.bytes = bytes
        self.count = count
        guard Bolt.pageHeaderByteCount + count * Bolt.elementByteCount <= bytes.count else {
            throw PageDefect(offset: 10, problem: "\(count) elements don't fit into \(bytes.count) bytes")
        }
    }

    /// Where the first key must be.
    var dataOffset: Int { Bolt.pageHeaderByteCount + count * Bolt.elementByteCount }

    @inline(__always)
    func element(_ index: Int) throws(PageDefect) -> LeafElement {
        let start = Bolt.pageHeaderByteCount + index * Bolt.elementByteCount
        let flags = try bytes.u32(at: start)
        let offset = start + Int(try bytes.u32(at: start + 4))
        let keyByteCount = Int(try bytes.u32(at: start + 8))
        let valueByteCount = Int(try bytes.u32(at: start + 12))
        guard flags <= Bolt.bucketElementFlag else {
            throw PageDefect(offset: start, problem: "element \(index) has flags \(hex(flags)), expected 0x0 or 0x1")
        }
        guard keyByteCount > 0, keyByteCount <= Bolt.maximumKeyByteCount else {
            throw PageDefect(offset: start + 8, problem: "element \(index) has a key of \(keyByteCount) bytes")
        }
        let data = try bytes.part(at: offset, count: keyByteCount + valueByteCount).unsafeBytes
        return LeafElement(
            key: UnsafeRawBufferPointer(rebasing: data[..<keyByteCount]),
            value: UnsafeRawBufferPointer(rebasing: data[keyByteCount...]),
            isBucket: flags & Bolt.bucketElementFlag != 0, offset: offset)
    }

    /// Visits the elements in order and insists that their data follow each other without gaps.
    ///
    /// - Returns: the offset behind the last value.
    @inline(__always)
    func forEach(_ body: (Int, LeafElement) throws(PageDefect) -> Void) throws(PageDefect) -> Int {
        var expected = dataOffset
        for index in 0..<count {
            let element = try element(index)
            guard element.offset == expected else {
                throw PageDefect(
                    offset: Bolt.pageHeaderByteCount + index * Bolt.elementByteCount + 4,
                    problem: "the data of element \(index) begin at \(element.offset), expected \(expected)")
            }
            try body(index, element)
            expected = element.offset + element.key.count + element.value.count
        }
        return expected
    }
}

/// One child of a branch page, lent from the page's bytes.
struct BranchElement {
    var key: UnsafeRawBufferPointer
    var child: UInt64
}

/// The elements of a branch page.
struct BranchPage {
    let bytes: Bytes
    let count: Int

    init(_ bytes: Bytes, count: Int) throws(PageDefect) {
        self.bytes = bytes
        self.count = count
        guard count > 0 else { throw PageDefect(offset: 10, problem: "a branch page without children") }
        guard Bolt.pageHeaderByteCount + count * Bolt.elementByteCount <= bytes.count else {
            throw PageDefect(offset: 10, problem: "\(count) elements don't fit into \(bytes.count) bytes")
        }
    }

    func element(_ index: Int) throws(PageDefect) -> BranchElement {
        let start = Bolt.pageHeaderByteCount + index * Bolt.elementByteCount
        let offset = start + Int(try bytes.u32(at: start))
        let keyByteCount = Int(try bytes.u32(at: start + 4))
        guard keyByteCount > 0, keyByteCount <= Bolt.maximumKeyByteCount else {
            throw PageDefect(offset: start + 4, problem: "element \(index) has a key of \(keyByteCount) bytes")
        }
        return BranchElement(
            key: try bytes.part(at: offset, count: keyByteCount).unsafeBytes, child: try bytes.u64(at: start + 8))
    }

    /// Visits the children in order and insists that their keys ascend.
    func forEach(_ body: (Int, BranchElement) throws(PageDefect) -> Void) throws(PageDefect) {
        var previous: UnsafeRawBufferPointer?
        for index in 0..<count {
            let element = try element(index)
            if let previous, !precedes(previous, element.key) {
                throw PageDefect(
                    offset: Bolt.pageHeaderByteCount + index * Bolt.elementByteCount,
                    problem: "key \(index) \(excerpt(element.key)) does not follow \(excerpt(previous))")
            }
            previous = element.key
            try body(index, element)
        }
    }
}

/// The start of a key in hex, for messages.
func excerpt(_ key: UnsafeRawBufferPointer) -> String {
    "0x" + key.prefix(24).hexadecimal + (key.count > 24 ? "… of \(key.count) bytes" : "")
}

/// The value of a bucket: a root page elsewhere, or an inline page directly behind the header.
enum BucketRoot {
    case page(UInt64)
    case inline(LeafPage)

    init(value: UnsafeRawBufferPointer) throws(PageDefect) {
        let bytes = Bytes(value)
        let root = try bytes.u64(at: 0)
        if root != 0 {
            guard value.count == Bolt.bucketHeaderByteCount else {
                throw PageDefect(offset: 0, problem: "a bucket value of \(value.count) bytes, expected 16")
            }
            self = .page(root)
            return
        }
        let page = try bytes.part(at: Bolt.bucketHeaderByteCount, count: value.count - Bolt.bucketHeaderByteCount)
        let header = try PageHeader(page)
        guard header.kind == .leaf, header.overflow == 0, header.id == 0 else {
            throw PageDefect(offset: 0, problem: "an inline bucket with flags \(hex(header.flags)), expected a leaf")
        }
        self = .inline(try LeafPage(page, count: header.count))
    }
}

/// The ids of a stored free list.
///
/// A count of 0xFFFF means that the first id's place holds the real count (bbolt `Page.FreelistPageCount`).
struct FreelistPage {
    let bytes: Bytes
    let count: Int
    private let firstOffset: Int

    init(_ bytes: Bytes, count: Int) throws(PageDefect) {
        self.bytes = bytes
        if count == 0xFFFF {
            guard let real = Int(exactly: try bytes.u64(at: 16)), real <= bytes.count / 8 else {
                throw PageDefect(offset: 16, problem: "a free list of \(try bytes.u64(at: 16)) pages does not fit")
            }
            self.count = real
            firstOffset = 24
        } else {
            self.count = count
            firstOffset = 16
        }
        guard firstOffset + self.count * 8 <= bytes.count else {
            throw PageDefect(offset: 10, problem: "a free list of \(self.count) pages does not fit")
        }
    }

    func id(_ index: Int) throws(PageDefect) -> UInt64 { try bytes.u64(at: firstOffset + index * 8) }
}
