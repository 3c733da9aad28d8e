import HostIO

/// Walks the tree over what a ledger knows of the pages, checks how they hang together, and sums them up.
///
/// What is checked is bbolt's `Tx.check` (1.4): every page below the high water mark and referred to once; not in the
/// free list; a leaf or a branch that carries its own number; keys ascending within a page and within what the parent
/// allows; no page twice in the free list; with a stored free list every page either reachable or free.
///
/// And what it leaves out: every key of a branch is the first key of its child, byte for byte. bbolt finds the element
/// of a changed child by that key (`node.spill`, `node.put`); where it differs the old element stays, one page belongs
/// to two, and etcd dies or loses rows at a later commit.
struct TreeWalk {
    private static let findingLimit = 100

    let name: String
    let examiner: PageExaminer
    let source: (any RandomAccessBytes)?
    private(set) var findings: [PageFinding] = []
    private var reachable: PageSet
    /// Pages that a run in front seems to contain; whether it is reachable is known at the end.
    private var overlapped: [UInt64] = []

    init(name: String, examiner: PageExaminer, source: (any RandomAccessBytes)?) {
        self.name = name
        self.examiner = examiner
        self.source = source
        reachable = PageSet(pageCount: examiner.meta.highWater)
    }

    private var meta: Meta { examiner.meta }
    private var ledger: PageLedger { examiner.ledger }

    /// Checks the whole tree and, if it holds, sums it up.
    mutating func run() throws(StorageError) -> TreeSummary {
        reachable.insert(0)
        reachable.insert(1)
        let buckets = try rootBuckets()
        var keyLeaves = PageSet(pageCount: meta.highWater)
        var otherKeyLeaves: [UInt64] = []
        for bucket in buckets {
            guard let root = bucket.rootPage else { continue }
            guard root >= 2, root < meta.highWater else {
                report(meta.rootPage, 0, "bucket \(bucket.title) has its root at page \(root), outside of the file")
                continue
            }
            let isKey = bucket.name == Schema.key
            try check(root, nil, nil, 0) { (page, record) in
                guard isKey else { return }
                keyLeaves.insert(page)
                if record.state != .revisionLeaf { otherKeyLeaves.append(page) }
            }
        }
        for page in otherKeyLeaves {
            if let defect = ledger.defect(of: page) { report(page, defect.offset, defect.problem) }
        }
        try resolveOverlaps()
        try checkFreelist()
        guard findings.isEmpty else { return TreeSummary(reachable: reachable, keyLeaves: keyLeaves) }
        return try TreeSum(walk: self, buckets: buckets).summary(reachable: reachable, keyLeaves: keyLeaves)
    }

    private mutating func report(_ page: UInt64, _ offset: Int, _ problem: String) {
        guard findings.count < Self.findingLimit else { return }
        findings.append(
            PageDefect(offset: offset, problem: problem).finding(page: page, pageByteCount: meta.pageByteCount))
    }

    private mutating func rootBuckets() throws(StorageError) -> [BoltBucket] {
        var leaves: [UInt64] = []
        try check(meta.rootPage, nil, nil, 0) { (page, _) in leaves.append(page) }
        var buckets: [BoltBucket] = []
        for page in leaves {
            for row in try elements(of: page) {
                guard row.isBucket else {
                    report(page, 0, "a row of the root tree is not a bucket")
                    continue
                }
                buckets.append(BoltBucket(name: row.row.key, value: row.row.value))
                try checkInline(row.row.value, page)
            }
        }
        return buckets
    }

    /// Checks the order of the keys of an inline bucket; its bounds were checked when its page came.
    private mutating func checkInline(_ value: [UInt8], _ page: UInt64) throws(StorageError) {
        let defect = value.lend { value -> PageDefect? in
            do throws(PageDefect) {
                guard case .inline(let leaf) = try BucketRoot(value: value) else { return nil }
                var previous = UnsafeRawBufferPointer(start: nil, count: 0)
                _ = try leaf.forEach { (index, element) throws(PageDefect) in
                    guard index == 0 || precedes(previous, element.key), !element.isBucket else {
                        throw PageDefect(offset: 0, problem: "key \(index) of an inline bucket is out of order")
                    }
                    previous = element.key
                }
                return nil
            } catch {
                return error
            }
        }
        if let defect { report(page, 0, "inline bucket: \(defect.problem)") }
    }

    // MARK: - Structure

    private mutating func check(
        _ page: UInt64, _ lower: SeparatorKey?, _ upper: SeparatorKey?, _ depth: Int,
        _ visitLeaf: (UInt64, PageRecord) -> Void
    ) throws(StorageError) {
        guard findings.count < Self.findingLimit else { return }
        guard depth < Bolt.maximumDepth else {
            return report(page, 0, "the tree is more than \(Bolt.maximumDepth) pages deep")
        }
        guard let record = try recordForWalk(page) else { return overlapped.append(page) }
        switch record.state {
        case .branch:
            guard claim(page) else { return }
            let children = ledger.branch(record)
            if let lower, let first = children.first, first.key != lower { reportFirstKey(page, lower) }
            for (index, child) in children.enumerated() {
                let next = index + 1 < children.count ? children[index + 1].key : upper
                try check(child.page, child.key, next, depth + 1, visitLeaf)
            }
        case .revisionLeaf, .wordLeaf, .keptLeaf, .emptyLeaf:
            guard claim(page) else { return }
            try checkBounds(page, record, lower, upper)
            visitLeaf(page, record)
        default: reportState(page, record)
        }
    }

    /// The record of a page; of one that was not kept, after reading it again.
    ///
    /// - Returns: nil if the page seems to belong to the run of another and can't be read again.
    private func recordForWalk(_ page: UInt64) throws(StorageError) -> PageRecord? {
        let record = ledger[page]
        switch record.state {
        case .continuation:
            if let record = ledger.uncover(page) { return record }
            return source == nil ? nil : try reread(page)
        case .droppedBranch, .droppedLeaf: return try reread(page)
        default: return record
        }
    }

    private func reread(_ page: UInt64) throws(StorageError) -> PageRecord {
        let run = try rereadBytes(page)
        return run.lend { examiner.reexamine(Bytes($0), at: page) }
    }

    func rereadBytes(_ page: UInt64) throws(StorageError) -> [UInt8] {
        guard let source else { throw .needsRereading(name: name, page: page) }
        return try BoltFile(rereading: source, meta: meta).run(page).bytes
    }

    private mutating func claim(_ page: UInt64) -> Bool {
        if ledger[page].flags & PageRecord.hasOverflow != 0, ledger.overflow(of: page) == 0 {
            report(page + 1, 0, "the page belongs to the run of page \(page) and is referred to by itself")
            return false
        }
        for claimed in page...(page + UInt64(ledger.overflow(of: page))) where !reachable.insert(claimed) {
            report(claimed, 0, "the page is referred to more than once")
            return false
        }
        return true
    }

    private mutating func reportState(_ page: UInt64, _ record: PageRecord) {
        switch record.state {
        case .foreign where record.last != page:
            report(page, 0, "stored id \(record.last), expected \(page)")
        case .foreign: report(page, 8, "flags \(hex(UInt16(truncatingIfNeeded: record.crc))), expected 0x1 or 0x2")
        case .freelist: report(page, 8, "the free list, where a leaf or a branch is expected")
        default:
            let defect = ledger.defect(of: page)
            report(page, defect?.offset ?? 0, defect?.problem ?? "the page does not hold")
        }
    }

    /// Holds the first key of a leaf to the one that the parent names, and the last one to be below the next.
    ///
    /// The digests decide it where leaf and branch have keys of one shape, the first key by 32 bits; elsewhere the rows.
    private mutating func checkBounds(
        _ page: UInt64, _ record: PageRecord, _ lower: SeparatorKey?, _ upper: SeparatorKey?
    ) throws(StorageError) {
        guard record.state != .emptyLeaf else {
            if lower != nil { report(page, 10, "a leaf without rows below a branch") }
            return
        }
        let shape: KeyShape? = record.state == .revisionLeaf ? .revision : record.state == .wordLeaf ? .word : nil
        guard lower.map({ $0.shape == shape }) ?? true, upper.map({ $0.shape == shape }) ?? true else {
            return try checkBounds(ofRowsOf: page, lower, upper)
        }
        if let lower, KeyDigest.hash32(lower.digest) != record.firstHash { reportFirstKey(page, lower) }
        if let upper, record.last >= upper.digest { reportLastKey(page, upper) }
    }

    private mutating func checkBounds(
        ofRowsOf page: UInt64, _ lower: SeparatorKey?, _ upper: SeparatorKey?
    ) throws(StorageError) {
        let rows = try elements(of: page)
        guard let first = rows.first?.row.key, let last = rows.last?.row.key else { return }
        if let lower, first != lower.keyBytes { reportFirstKey(page, lower) }
        if let upper, !last.lexicographicallyPrecedes(upper.keyBytes) { reportLastKey(page, upper) }
    }

    private mutating func reportFirstKey(_ page: UInt64, _ lower: SeparatorKey) {
        report(page, 16, "the first key is not \(lower.keyBytes.lend(excerpt)), which the branch above it names")
    }

    private mutating func reportLastKey(_ page: UInt64, _ upper: SeparatorKey) {
        report(
            page, 16, "the last key is not below \(upper.keyBytes.lend(excerpt)), the next one of the branch above it")
    }

    /// The rows of a leaf whose bytes are kept or can be read again.
    func elements(of page: UInt64) throws(StorageError) -> [(row: BoltRow, isBucket: Bool)] {
        var kept = ledger.keptLeaf(page)
        if kept == nil { kept = try rereadBytes(page) }
        let bytes = kept ?? []
        do throws(PageDefect) {
            return try bytes.lend { (bytes) throws(PageDefect) in
                let bytes = Bytes(bytes)
                let leaf = try LeafPage(bytes, count: try PageHeader(bytes).count)
                var rows: [(row: BoltRow, isBucket: Bool)] = []
                _ = try leaf.forEach { (_, element) throws(PageDefect) in
                    rows.append((BoltRow(key: [UInt8](element.key), value: [UInt8](element.value)), element.isBucket))
                }
                return rows
            }
        } catch {
            throw .damaged(name: name, error.finding(page: page, pageByteCount: meta.pageByteCount))
        }
    }

    private mutating func resolveOverlaps() throws(StorageError) {
        for page in overlapped {
            var head = page
            while head > 2, ledger[head].state == .continuation { head -= 1 }
            guard reachable.contains(head) else { throw .needsRereading(name: name, page: page) }
            report(page, 0, "the page belongs to the run of page \(head) and is referred to by itself")
        }
    }

    // MARK: - Free list

    private mutating func checkFreelist() throws(StorageError) {
        guard meta.freelistPage != Bolt.noFreelist else { return }
        let page = meta.freelistPage
        guard ledger[page].state == .freelist, let bytes = ledger.keptLeaf(page) else {
            return reportState(page, ledger[page])
        }
        guard claim(page) else { return }
        var free = PageSet(pageCount: meta.highWater)
        let ids = freelistIDs(bytes)
        for id in ids {
            guard id >= 2, id < meta.highWater else {
                report(page, 16, "the free list names page \(id), outside of the file")
                continue
            }
            if !free.insert(id) { report(page, 16, "the free list names page \(id) twice") }
            if reachable.contains(id) { report(id, 0, "the page is in use and in the free list") }
        }
        for id in 2..<meta.highWater where !reachable.contains(id) && !free.contains(id) {
            report(id, 0, "the page is neither in use nor in the free list")
        }
    }

    private func freelistIDs(_ bytes: [UInt8]) -> [UInt64] {
        bytes.lend { bytes in
            // The bounds were checked when the page came.
            guard let header = try? PageHeader(Bytes(bytes)),
                let list = try? FreelistPage(Bytes(bytes), count: header.count)
            else { return [] }
            return (0..<list.count).compactMap { try? list.id($0) }
        }
    }

    // MARK: - For the sum

    /// Visits the leaves below a page that was checked, with the key that the parent names for each.
    func forEachLeaf(
        below page: UInt64, _ lower: SeparatorKey? = nil,
        _ body: (UInt64, PageRecord, SeparatorKey?) throws(StorageError) -> Void
    ) throws(StorageError) {
        try ledger.forEachLeaf(below: page, lower, body)
    }
}

extension PageLedger {
    /// Visits the leaves below a page that was checked, with the key that the parent names for each.
    func forEachLeaf(
        below page: UInt64, _ lower: SeparatorKey? = nil,
        _ body: (UInt64, PageRecord, SeparatorKey?) throws(StorageError) -> Void
    ) throws(StorageError) {
        let record = self[page]
        guard record.state == .branch else { return try body(page, record, lower) }
        for child in branch(record) { try forEachLeaf(below: child.page, child.key, body) }
    }
}

extension BoltFile {
    /// A file whose meta is known from a pass over the same bytes.
    init(rereading bytes: any RandomAccessBytes, meta: Meta) {
        self.bytes = bytes
        self.meta = meta
        metaWarning = nil
    }
}
