import HostIO

/// Copies the pages that will turn out to be in use while the same bytes are verified, so that a large snapshot is read
/// once.
///
/// Which pages these are is told beforehand by the branches of the trees. That is a guess that nothing relies on: once the
/// snapshot is verified, ``settle(_:)`` says whether every page is there, and removes what should not be.
final class EarlyCopy {
    private let file: MemberFile
    private let meta: Meta
    /// The first pages of the runs that are taken for used.
    private let expected: PageSet
    private var written: PageSet
    private var byteCount = 0
    /// The end of the run that is being copied.
    private var runEnd: UInt64 = 0

    /// A copy into `file`; nil where the branches don't tell, which the verification will say more of, or would take long to
    /// be read.
    init?(of database: BoltFile, to file: MemberFile) {
        guard database.bytes.isCheapAtRandom, let expected = try? database.expectedRuns() else { return nil }
        self.file = file
        self.expected = expected
        meta = database.meta
        written = PageSet(pageCount: database.pageCount)
    }

    /// Takes the next bytes, whole pages but for the last block.
    func consume(_ block: UnsafeRawBufferPointer) throws {
        let first = UInt64(byteCount / meta.pageByteCount)
        try file.copyPages(of: block, at: byteCount, meta) { page in
            let rest = UnsafeRawBufferPointer(rebasing: block[(Int(page - first) * meta.pageByteCount)...])
            if expected.contains(page) { runEnd = max(runEnd, page + runPageCount(page, rest)) }
            guard page < runEnd else { return false }
            return written.insert(page)
        }
        byteCount += block.count
    }

    /// The pages of the run that begins at a page, none if it can't be one of a tree.
    private func runPageCount(_ page: UInt64, _ bytes: UnsafeRawBufferPointer) -> UInt64 {
        guard let header = try? PageHeader(Bytes(bytes)), header.id == page,
            header.kind == .leaf || header.kind == .branch,
            (header.overflow + 1) * meta.pageByteCount <= Bolt.maximumRunByteCount
        else { return 0 }
        return min(UInt64(header.overflow) + 1, meta.highWater - page)
    }

    /// Clears the pages that are not to be in the file.
    ///
    /// - Returns: whether all that are to be there have been copied.
    func settle(_ wanted: PageSet) throws -> Bool {
        for pages in written.subtracting(wanted).ranges {
            try file.clear(
                at: Int(pages.lowerBound) * meta.pageByteCount, byteCount: pages.count * meta.pageByteCount)
        }
        return wanted.subtracting(written).isEmpty
    }
}

extension MemberFile {
    /// Writes the pages of a block for which `isWanted` holds, as many at once as follow each other.
    ///
    /// - Parameter isWanted: called once for each page of the database in the block, in order.
    func copyPages(
        of block: UnsafeRawBufferPointer, at offset: Int, _ meta: Meta, where isWanted: (UInt64) -> Bool
    ) throws {
        let pageByteCount = meta.pageByteCount
        let first = UInt64(offset / pageByteCount)
        let end = max(first, min(meta.highWater, first + UInt64(block.count / pageByteCount)))
        var start = first
        func write(upTo page: UInt64) throws {
            guard page > start else { return }
            let part = block[(Int(start - first) * pageByteCount)..<(Int(page - first) * pageByteCount)]
            try self.write(UnsafeRawBufferPointer(rebasing: part), at: Int(start) * pageByteCount)
        }
        for page in first..<end where !isWanted(page) {
            try write(upTo: page)
            start = page + 1
        }
        try write(upTo: end)
        startWriteback(at: offset, byteCount: block.count)
    }
}

extension BoltFile {
    /// The first pages of the runs that trees of buckets are made of, as their branches name them.
    ///
    /// Of leaves only one page below each branch is read: the leaves of bbolt's trees are all at one depth. Memory: a bit a
    /// page and a branch of at most 32 MiB at each level.
    ///
    /// - Throws: ``StorageError``, also where the branches are so many or so deep that they can't be etcd's.
    fileprivate func expectedRuns() throws(StorageError) -> PageSet {
        var survey = BranchSurvey(runs: PageSet(pageCount: pageCount), restByteCount: databaseByteCount / 4 + (1 << 20))
        for bucket in try buckets() {
            if let root = bucket.rootPage { try expectRuns(below: root, depth: 0, &survey) }
        }
        return survey.runs
    }

    private struct BranchSurvey {
        var runs: PageSet
        /// How much may still be read.
        var restByteCount: Int
    }

    private func expectRuns(below page: UInt64, depth: Int, _ survey: inout BranchSurvey) throws(StorageError) {
        guard depth < Bolt.maximumDepth, survey.restByteCount > 0 else {
            throw damaged(PageDefect(offset: 0, problem: "more branches than a tree has"), page)
        }
        // A page that is met again leads in a circle.
        guard survey.runs.insert(page) else { return }
        let run = try run(page)
        survey.restByteCount -= run.bytes.count
        guard run.header.kind == .branch else { return }
        let children = try children(run.bytes, run.header, page).filter { $0 >= 2 && $0 < pageCount }
        guard let first = children.first else { return }
        survey.restByteCount -= pageByteCount
        let areLeaves = try header(of: first).kind == .leaf
        for child in children {
            if areLeaves {
                survey.runs.insert(child)
            } else {
                try expectRuns(below: child, depth: depth + 1, &survey)
            }
        }
    }
}
