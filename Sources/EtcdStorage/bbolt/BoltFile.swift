import HostIO

/// A bbolt database that is read page by page at any position, without mapping it into memory.
///
/// Nothing that is read is trusted: every offset, count and page number is checked against the bytes that are there,
/// and a tree that leads in circles ends in an error.
public struct BoltFile: Sendable {
    /// The bytes of the file.
    public let bytes: any RandomAccessBytes
    let meta: Meta
    /// What is wrong with the meta page that is not in force, if anything.
    public let metaWarning: PageFinding?

    /// Reads the meta pages.
    ///
    /// - Throws: ``StorageError``: not a database, both metas damaged, truncated, or not readable.
    public init(_ bytes: any RandomAccessBytes) throws(StorageError) {
        self.bytes = bytes
        let start = try wrappingErrors { try bytes.bytes(at: 0, count: min(Meta.searchByteCount, bytes.byteCount)) }
        let found = try start.lend { (start) throws(StorageError) in
            try Meta.find(in: Bytes(start), name: bytes.name)
        }
        meta = found.meta
        metaWarning = found.warning
        guard bytes.byteCount >= databaseByteCount else {
            throw .truncated(name: name, expectedByteCount: databaseByteCount, foundByteCount: bytes.byteCount)
        }
    }

    /// The name of the bytes, for messages.
    public var name: String { bytes.name }

    /// The size of a page in bytes.
    public var pageByteCount: Int { meta.pageByteCount }

    /// The number of pages: bbolt's high water mark.
    public var pageCount: UInt64 { meta.highWater }

    /// The size of the database in bytes, pages times page size; the file may be longer.
    public var databaseByteCount: Int { Int(meta.highWater) * meta.pageByteCount }

    /// Reads the page `page` with the overflow pages that belong to it.
    ///
    /// - Throws: ``StorageError/damaged(name:_:)`` if the page is outside of the file, does not carry its own number,
    ///   or its run reaches past the end or is longer than 32 MiB.
    func run(_ page: UInt64) throws(StorageError) -> (header: PageHeader, bytes: [UInt8]) {
        let (header, first) = try firstPage(of: page)
        guard header.overflow > 0 else { return (header, first) }
        let runByteCount = (header.overflow + 1) * pageByteCount
        guard UInt64(header.overflow) < pageCount - page, runByteCount <= Bolt.maximumRunByteCount else {
            throw damaged(
                PageDefect(offset: 12, problem: "\(header.overflow) overflow pages reach past page \(pageCount - 1)"),
                page)
        }
        return (header, try read(page, pageCount: header.overflow + 1))
    }

    /// The header of a page that carries its own number.
    func header(of page: UInt64) throws(StorageError) -> PageHeader { try firstPage(of: page).header }

    private func firstPage(of page: UInt64) throws(StorageError) -> (header: PageHeader, bytes: [UInt8]) {
        guard page >= 2, page < pageCount else {
            throw damaged(PageDefect(offset: 0, problem: "outside of pages 2 to \(pageCount - 1)"), page)
        }
        let first = try read(page, pageCount: 1)
        let header = try checked(page) { () throws(PageDefect) in
            try first.lend { (bytes) throws(PageDefect) in try PageHeader(Bytes(bytes)) }
        }
        guard header.id == page else {
            throw damaged(PageDefect(offset: 0, problem: "stored id \(header.id), expected \(page)"), page)
        }
        return (header, first)
    }

    private func read(_ page: UInt64, pageCount: Int) throws(StorageError) -> [UInt8] {
        let offset = Int(page) * pageByteCount
        let wanted = pageCount * pageByteCount
        let read = try wrappingErrors { try bytes.bytes(at: offset, count: wanted) }
        guard read.count == wanted else {
            throw .truncated(
                name: name, expectedByteCount: databaseByteCount, foundByteCount: offset + read.count)
        }
        return read
    }

    func damaged(_ defect: PageDefect, _ page: UInt64) -> StorageError {
        .damaged(name: name, defect.finding(page: page, pageByteCount: pageByteCount))
    }

    /// Turns a defect within `page` into an error that names the place.
    func checked<Result>(_ page: UInt64, _ body: () throws(PageDefect) -> Result) throws(StorageError) -> Result {
        do throws(PageDefect) {
            return try body()
        } catch {
            throw damaged(error, page)
        }
    }
}

/// A row of a bucket.
public struct BoltRow: Sendable, Hashable {
    /// The key; never empty.
    public var key: [UInt8]
    /// The value.
    public var value: [UInt8]

    /// Creates a row.
    public init(key: [UInt8], value: [UInt8]) {
        self.key = key
        self.value = value
    }

    init(key: String, value: [UInt8]) { self.init(key: Array(key.utf8), value: value) }
}

/// A top-level bucket of a database.
public struct BoltBucket: Sendable, Hashable {
    /// The name, usually text.
    public var name: [UInt8]
    /// The bucket's value in the root tree: root page and sequence, and for a small bucket all its rows.
    var value: [UInt8]

    /// The name as text.
    public var title: String { String(decoding: name, as: UTF8.self) }

    /// The page of the bucket's root, nil if its rows are inline.
    var rootPage: UInt64? {
        value.lend { bytes in (try? Bytes(bytes).u64(at: 0)).flatMap { $0 == 0 ? nil : $0 } }
    }
}

extension BoltFile {
    /// The top-level buckets in bytewise order of their names.
    public func buckets() throws(StorageError) -> [BoltBucket] {
        var buckets: [BoltBucket] = []
        var remaining = pageCount
        try visitLeaves(meta.rootPage, 0, &remaining) { (page, leaf) throws(StorageError) in
            try checked(page) { () throws(PageDefect) in
                _ = try leaf.forEach { (index, element) throws(PageDefect) in
                    guard element.isBucket else {
                        throw PageDefect(offset: element.offset, problem: "row \(index) of the root is not a bucket")
                    }
                    _ = try BucketRoot(value: element.value)
                    buckets.append(BoltBucket(name: [UInt8](element.key), value: [UInt8](element.value)))
                }
            }
            return true
        }
        return buckets
    }

    /// Visits the rows of a bucket in order until `body` returns false.
    ///
    /// Key and value are lent for the call. Memory: one page run at each level of the tree.
    ///
    /// - Throws: ``StorageError``; what `body` throws.
    public func forEachRow(
        in bucket: BoltBucket,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(StorageError) -> Bool
    ) throws(StorageError) {
        var remaining = pageCount
        guard let root = bucket.rootPage else {
            try bucket.value.lend { (value) throws(StorageError) in
                guard
                    case .inline(let leaf) = try checked(
                        meta.rootPage,
                        { () throws(PageDefect) in
                            try BucketRoot(value: value)
                        })
                else { return }
                _ = try visitRows(of: leaf, page: meta.rootPage, body)
            }
            return
        }
        try visitLeaves(root, 0, &remaining) { (page, leaf) throws(StorageError) in
            try visitRows(of: leaf, page: page, body)
        }
    }

    /// The rows of a bucket that is known to be small.
    ///
    /// - Throws: ``StorageError``, also when there are more than `maximumCount` rows.
    public func rows(in bucket: BoltBucket, maximumCount: Int = 1 << 20) throws(StorageError) -> [BoltRow] {
        var rows: [BoltRow] = []
        try forEachRow(in: bucket) { (key, value) throws(StorageError) in
            guard rows.count < maximumCount else {
                throw damaged(
                    PageDefect(offset: 0, problem: "bucket \(bucket.title) has more than \(maximumCount) rows"),
                    meta.rootPage)
            }
            rows.append(BoltRow(key: [UInt8](key), value: [UInt8](value)))
            return true
        }
        return rows
    }

    private func visitRows(
        of leaf: LeafPage, page: UInt64,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(StorageError) -> Bool
    ) throws(StorageError) -> Bool {
        for index in 0..<leaf.count {
            let element = try checked(page) { () throws(PageDefect) in try leaf.element(index) }
            if !(try body(element.key, element.value)) { return false }
        }
        return true
    }

    /// Visits the leaves below `page`; `remaining` is how many pages may still be visited before it must be a circle.
    @discardableResult
    private func visitLeaves(
        _ page: UInt64, _ depth: Int, _ remaining: inout UInt64,
        _ body: (UInt64, LeafPage) throws(StorageError) -> Bool
    ) throws(StorageError) -> Bool {
        guard depth < Bolt.maximumDepth, remaining > 0 else {
            throw damaged(PageDefect(offset: 0, problem: "the tree leads in a circle"), page)
        }
        remaining -= 1
        let run = try run(page)
        switch run.header.kind {
        case .leaf:
            return try run.bytes.lend { (bytes) throws(StorageError) in
                let leaf = try checked(page) { () throws(PageDefect) in
                    try LeafPage(Bytes(bytes), count: run.header.count)
                }
                return try body(page, leaf)
            }
        case .branch:
            for child in try children(run.bytes, run.header, page) {
                if !(try visitLeaves(child, depth + 1, &remaining, body)) { return false }
            }
            return true
        default:
            throw damaged(PageDefect(offset: 8, problem: "flags \(hex(run.header.flags)), expected 0x1 or 0x2"), page)
        }
    }

    func children(_ bytes: [UInt8], _ header: PageHeader, _ page: UInt64) throws(StorageError) -> [UInt64] {
        try checked(page) { () throws(PageDefect) in
            try bytes.lend { (bytes) throws(PageDefect) in
                var children: [UInt64] = []
                try BranchPage(Bytes(bytes), count: header.count).forEach { children.append($1.child) }
                return children
            }
        }
    }
}
