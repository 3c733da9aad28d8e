import HostIO

/// Rows that are added behind all others of bucket `key`.
///
/// Only the pages on the way to the rightmost leaf are written anew; the new rows are in leaves of their own.
extension DatabaseEdit {
    private typealias Child = (key: [UInt8], page: UInt64)

    /// The bucket with these rows behind its own.
    mutating func append(_ rows: [PageBuilder.Row], to bucket: BoltBucket) throws(StorageError) -> [UInt8] {
        let sequence = bucket.value.lend { (try? Bytes($0).u64(at: 8)) ?? 0 }
        var checksum = result.bucketChecksums[bucket.name] ?? CRC32C()
        checksum.append(CRC32C(rows.flatMap { $0.key + $0.value }))
        result.bucketChecksums[bucket.name] = checksum
        guard let root = bucket.rootPage else {
            let all = try file.rows(in: bucket).map { PageBuilder.Row(key: $0.key, value: $0.value) } + rows
            if let inline = PageBuilder.inlineBucket(all, sequence: sequence, pageByteCount: pageByteCount) {
                return inline
            }
            return PageBuilder.bucket(root: try top(of: appendLeaves(all)), sequence: sequence)
        }
        let leaves = try appendLeaves(rows)
        return PageBuilder.bucket(root: try top(of: add(leaves, below: root)), sequence: sequence)
    }

    /// Copies the rightmost branches below `page` with the leaves behind their children; returns what takes the place of
    /// `page`, several where one page would not hold it.
    private mutating func add(_ leaves: [Child], below page: UInt64) throws(StorageError) -> [Child] {
        let record = snapshot.ledger[page]
        if record.state == .emptyLeaf {
            dropRun(page)
            return leaves
        }
        guard record.state == .branch else { return [(try firstKey(of: page), page)] + leaves }
        var children = snapshot.ledger.branch(record).map { (key: $0.key.keyBytes, page: $0.page) }
        dropRun(page)
        if let last = children.last, snapshot.ledger[last.page].state == .branch {
            children.removeLast()
            children += try add(leaves, below: last.page)
        } else {
            children += leaves
        }
        return try appendBranches(children)
    }

    /// Adds branches above pages until one is above all.
    private mutating func top(of pages: [Child]) throws(StorageError) -> UInt64 {
        var pages = pages
        while pages.count > 1 { pages = try appendBranches(pages) }
        return pages[0].page
    }

    private mutating func appendLeaves(_ rows: [PageBuilder.Row]) throws(StorageError) -> [Child] {
        var children: [Child] = []
        for group in pages(rows.map { $0.key.count + $0.value.count }, leastCount: 1) {
            let part = Array(rows[group])
            try checkElementCount(part.count)
            children.append((part[0].key, append { PageBuilder.leaf(part, id: $0, pageByteCount: $1) }))
        }
        return children
    }

    private mutating func appendBranches(_ children: [Child]) throws(StorageError) -> [Child] {
        var branches: [Child] = []
        for group in pages(children.map(\.key.count), leastCount: 2) {
            let part = Array(children[group])
            try checkElementCount(part.count)
            branches.append((part[0].key, append { PageBuilder.branch(part, id: $0, pageByteCount: $1) }))
        }
        return branches
    }

    /// Which elements go into which page: as many as it holds, and no fewer than bbolt leaves in one (`node.minKeys`).
    private func pages(_ byteCounts: [Int], leastCount: Int) -> [Range<Int>] {
        var starts = [0]
        var used = Bolt.pageHeaderByteCount
        for (index, byteCount) in byteCounts.enumerated() {
            let more = Bolt.elementByteCount + byteCount
            if used + more > pageByteCount, index - starts[starts.count - 1] >= leastCount {
                starts.append(index)
                used = Bolt.pageHeaderByteCount
            }
            used += more
        }
        if starts.count > 1, byteCounts.count - starts[starts.count - 1] < leastCount {
            starts[starts.count - 1] = byteCounts.count - leastCount
        }
        return zip(starts, starts.dropFirst() + [byteCounts.count]).map { $0..<$1 }
    }

    /// A page's count has 16 bits; only a made-up database comes near.
    func checkElementCount(_ count: Int) throws(StorageError) {
        guard count > 0xFFFF else { return }
        throw .damaged(
            name: file.name,
            PageFinding(page: result.meta.rootPage, offset: 0, problem: "a page would have \(count) elements")
        )
    }

    private func firstKey(of page: UInt64) throws(StorageError) -> [UInt8] {
        let run = try file.run(page)
        return try file.checked(page) { () throws(PageDefect) in
            try run.bytes.lend { (bytes) throws(PageDefect) in
                [UInt8](try LeafPage(Bytes(bytes), count: run.header.count).element(0).key)
            }
        }
    }
}
