/// Checks one page, or run of pages, by itself and records what the later walk of the tree needs to know of it.
///
/// Free pages of a snapshot hold old pages that look like live ones, so a page that does not hold is only a finding
/// once the tree is seen to reach it.
struct PageExaminer {
    /// Leaves of every kind are kept up to this many bytes, so that a small database needs no second reading.
    private static let earlyKeepByteCount = 256 << 10
    /// Within a run at most this many times its size is examined.
    ///
    /// Pages of their own lie side by side in a free run, so once is enough; pages that were made up to lie within each
    /// other would take the square of it.
    private static let coveredEffort = 4
    /// The same for runs that do not hold, of which the pages behind the first are examined again.
    ///
    /// It is in terms of all bytes so far and the longest run.
    private static let vainEffort = 4

    let meta: Meta
    let ledger: PageLedger
    /// Gets the rows that a selection wants.
    var collector: RowCollector?

    /// How many bytes are needed to examine a page: the run that it announces, unless too many have been in vain.
    func wantedByteCount(of page: UInt64, startingWith bytes: Bytes) -> Int {
        isExhausted(page) ? meta.pageByteCount : runByteCount(of: page, startingWith: bytes)
    }

    private func isExhausted(_ page: UInt64) -> Bool {
        let limit = Self.vainEffort * (Int(ledger.count) * meta.pageByteCount + Bolt.maximumRunByteCount)
        return ledger.vainByteCount > limit && page != meta.freelistPage
    }

    /// The bytes of the run that a page header announces: one page when it announces none that is possible.
    private func runByteCount(of page: UInt64, startingWith bytes: Bytes) -> Int {
        guard let header = try? PageHeader(bytes), isPlausible(header, page), header.overflow > 0 else {
            return meta.pageByteCount
        }
        return (header.overflow + 1) * meta.pageByteCount
    }

    private func isPlausible(_ header: PageHeader, _ page: UInt64) -> Bool {
        guard header.id == page, let kind = header.kind, kind != .meta else { return false }
        if kind == .freelist, page != meta.freelistPage { return false }
        return UInt64(header.overflow) < meta.highWater - page
            && (header.overflow + 1) * meta.pageByteCount <= Bolt.maximumRunByteCount
    }

    /// Examines the run that begins at `page` and appends the records of its pages.
    ///
    /// - Parameter run: as many bytes as ``wantedByteCount(of:startingWith:)`` says; a page of a run that is not there as
    ///   a whole is left for the walk of the tree to read again.
    /// - Returns: how many pages were recorded: one if the run does not hold, so that the rest are looked at again.
    func examine(_ run: Bytes, at page: UInt64) -> Int {
        if page < 2 {
            ledger.append(PageRecord(.meta))
            return 1
        }
        guard runByteCount(of: page, startingWith: run) <= run.count else {
            ledger.append(PageRecord(.droppedLeaf))
            return 1
        }
        let record = record(of: run, at: page, keepsAlways: false)
        let isRun = record.state != .foreign && record.state != .malformed
        let overflow = isRun ? run.count / meta.pageByteCount - 1 : 0
        if !isRun { ledger.vainByteCount += run.count - meta.pageByteCount }
        appendRun(record, overflow: overflow)
        if overflow > 0 { examineCovered(run, page) }
        return overflow + 1
    }

    /// Looks for pages of their own in a run: it may be a free one, of which some pages are in use again.
    ///
    /// Those that are not looked at are read again if the tree reaches them.
    private func examineCovered(_ run: Bytes, _ page: UInt64) {
        var allowance = Self.coveredEffort * run.count
        for offset in stride(from: meta.pageByteCount, to: run.count, by: meta.pageByteCount) {
            let covered = page + UInt64(offset / meta.pageByteCount)
            let rest = Bytes(UnsafeRawBufferPointer(rebasing: run.unsafeBytes[offset...]))
            guard let header = try? PageHeader(rest), header.id == covered else { continue }
            let byteCount = runByteCount(of: covered, startingWith: rest)
            guard byteCount <= rest.count else { continue }
            allowance -= byteCount
            guard allowance >= 0 else { return }
            let bytes = Bytes(UnsafeRawBufferPointer(rebasing: rest.unsafeBytes[..<byteCount]))
            let record = record(of: bytes, at: covered, keepsAlways: false)
            guard record.state != .foreign, record.state != .malformed else { continue }
            ledger.noteCovered(record, of: covered, overflow: byteCount / meta.pageByteCount - 1)
        }
    }

    /// Examines a run again, now that the tree is known to reach it, and keeps what it had no room for before.
    func reexamine(_ run: Bytes, at page: UInt64) -> PageRecord {
        let record = record(of: run, at: page, keepsAlways: true)
        ledger.set(record, of: page, overflow: run.count / meta.pageByteCount - 1)
        return ledger[page]
    }

    private func record(of run: Bytes, at page: UInt64, keepsAlways: Bool) -> PageRecord {
        var record = PageRecord()
        do throws(PageDefect) {
            let header = try PageHeader(run)
            try identify(header, page, &record)
            if record.state == .unseen { try examineContents(run, header, page, keepsAlways, &record) }
            return record
        } catch {
            ledger.note(error, of: page)
            return PageRecord(.malformed)
        }
    }

    private func appendRun(_ record: PageRecord, overflow: Int) {
        var record = record
        if overflow > 0 { record.flags |= PageRecord.hasOverflow }
        ledger.append(record)
        for index in 0..<overflow {
            var continuation = PageRecord(.continuation)
            if index == 0 { continuation.last = UInt64(overflow) }
            ledger.append(continuation)
        }
    }

    /// Sets the state of pages that are not what they must be to belong to a tree.
    private func identify(_ header: PageHeader, _ page: UInt64, _ record: inout PageRecord) throws(PageDefect) {
        guard header.id == page, header.kind == .leaf || header.kind == .branch || page == meta.freelistPage else {
            record.state = .foreign
            record.last = header.id
            record.crc = UInt32(header.flags)
            return
        }
        guard isPlausible(header, page) else {
            throw PageDefect(
                offset: 8,
                problem: "flags \(hex(header.flags)) and \(header.overflow) overflow pages are not possible here, "
                    + "below page \(meta.highWater)")
        }
    }

    private func examineContents(
        _ run: Bytes, _ header: PageHeader, _ page: UInt64, _ keepsAlways: Bool, _ record: inout PageRecord
    ) throws(PageDefect) {
        let keepsAlways = keepsAlways || page == meta.rootPage
        switch header.kind {
        case .leaf: try examineLeaf(try LeafPage(run, count: header.count), page, keepsAlways, &record)
        case .branch:
            let branch = try BranchPage(run, count: header.count)
            try checkChildren(branch)
            if let offset = try ledger.keepBranch(branch, always: keepsAlways) {
                record.state = .branch
                record.last = offset
            } else {
                record.state = .droppedBranch
            }
        default:
            _ = try FreelistPage(run, count: header.count)
            record.state = .freelist
            _ = ledger.keepLeaf(run, of: page, always: true)
        }
    }

    private func checkChildren(_ branch: BranchPage) throws(PageDefect) {
        for index in 0..<branch.count {
            let child = try branch.element(index).child
            guard child >= 2, child < meta.highWater else {
                throw PageDefect(
                    offset: Bolt.pageHeaderByteCount + index * Bolt.elementByteCount + 8,
                    problem: "child \(index) is page \(child), outside of pages 2 to \(meta.highWater - 1)")
            }
        }
    }

    private func examineLeaf(
        _ leaf: LeafPage, _ page: UInt64, _ keepsAlways: Bool, _ record: inout PageRecord
    ) throws(PageDefect) {
        guard leaf.count > 0 else {
            record.state = .emptyLeaf
            return
        }
        let first = try leaf.element(0)
        let shape = first.isBucket ? KeyShape.other : KeyDigest.shape(of: first.key)
        if shape != .other, holdsDigestible(leaf, shape, page, &record) {
            if keepsAlways || ledger.keptLeafByteCount < Self.earlyKeepByteCount {
                _ = ledger.keepLeaf(leaf.bytes, of: page, always: true)
            }
            return
        }
        var previous = UnsafeRawBufferPointer(start: nil, count: 0)
        let end = try leaf.forEach { (index, element) throws(PageDefect) in
            try Self.checkOrder(index, element, after: previous)
            if element.isBucket { _ = try BucketRoot(value: element.value) }
            previous = element.key
        }
        setChecksum(leaf, end, &record)
        ledger.set(RowCounts(rows: leaf.count), of: page, in: &record)
        let isKept = ledger.keepLeaf(leaf.bytes, of: page, always: keepsAlways)
        record.state = isKept ? .keptLeaf : .droppedLeaf
    }

    private static func checkOrder(
        _ index: Int, _ element: LeafElement, after previous: UnsafeRawBufferPointer
    ) throws(PageDefect) {
        guard index > 0, !precedes(previous, element.key) else { return }
        throw PageDefect(
            offset: Bolt.pageHeaderByteCount + index * Bolt.elementByteCount,
            problem: "key \(index) \(excerpt(element.key)) does not follow \(excerpt(previous))")
    }

    private func setChecksum(_ leaf: LeafPage, _ end: Int, _ record: inout PageRecord) {
        let data = leaf.bytes.unsafeBytes[leaf.dataOffset..<end]
        record.crc = CRC32C(UnsafeRawBufferPointer(rebasing: data)).value
        record.length = data.count
    }

    /// Tries the quick way; what does not hold there is noted, for it is a defect only in bucket `key`: in others keys may
    /// look like revisions by chance.
    private func holdsDigestible(
        _ leaf: LeafPage, _ shape: KeyShape, _ page: UInt64, _ record: inout PageRecord
    ) -> Bool {
        var attempt = record
        do throws(PageDefect) {
            guard try examineDigestible(leaf, shape, page, &attempt) else { return false }
        } catch {
            ledger.note(error, of: page)
            return false
        }
        record = attempt
        return true
    }

    /// The quick way for leaves whose keys all have a digest; false if there is a key that has none.
    private func examineDigestible(
        _ leaf: LeafPage, _ shape: KeyShape, _ page: UInt64, _ record: inout PageRecord
    ) throws(PageDefect) -> Bool {
        var last: UInt64 = 0
        var tally = LeafTally(page: page, counts: RowCounts(rows: leaf.count))
        var allDigestible = true
        let end = try leaf.forEach { (index, element) throws(PageDefect) in
            guard let digest = KeyDigest.digest(element.key, shape), !element.isBucket else {
                allDigestible = false
                return
            }
            if index == 0 {
                record.firstHash = KeyDigest.hash32(digest)
            } else if allDigestible, digest <= last {
                throw PageDefect(
                    offset: Bolt.pageHeaderByteCount + index * Bolt.elementByteCount,
                    problem: "key \(index) \(excerpt(element.key)) does not follow the one before")
            }
            last = digest
            if shape == .revision { try count(element, digest, &tally) }
        }
        guard allDigestible else { return false }
        record.last = last
        record.state = shape == .revision ? .revisionLeaf : .wordLeaf
        setChecksum(leaf, end, &record)
        ledger.set(tally.counts, of: page, in: &record)
        if tally.encryptionKeys != 0 {
            record.encryptionKeySet = ledger.encryptionKeys.note(tally.encryptionKeys, of: page)
        }
        return true
    }

    /// What is summed up over the revision rows of one leaf.
    private struct LeafTally {
        let page: UInt64
        var counts: RowCounts
        var encryptionKeys: UInt64 = 0
    }

    /// Counts a revision row, and checks that its value belongs to its key.
    @inline(__always)
    private func count(
        _ element: LeafElement, _ digest: UInt64, _ tally: inout LeafTally
    ) throws(PageDefect) {
        if element.key.count == 18 {
            tally.counts.tombstones += 1
            guard let row = KeyValueRow(element.value) else {
                throw PageDefect(
                    offset: element.offset + element.key.count,
                    problem: "the value of the tombstone at revision \(KeyDigest.main(digest)) is not a key-value")
            }
            if let collector { Self.collect(row, digest, isTombstone: true, tally.page, collector) }
            return
        }
        // The marker of a revision bump has no value.
        if element.value.isEmpty {
            tally.counts.creations += 1
            return
        }
        let revision = KeyDigest.main(digest)
        guard let row = KeyValueRow(element.value), row.modRevision == revision, row.createRevision <= revision else {
            throw PageDefect(
                offset: element.offset + element.key.count,
                problem: "the value of the row at revision \(revision) is not a key-value of that revision")
        }
        if row.version == 1 { tally.counts.creations += 1 }
        if EncryptedValue.isMarked(row.value) { tally.encryptionKeys |= ledger.encryptionKeys.bit(of: row.value) }
        if let collector { Self.collect(row, digest, isTombstone: false, tally.page, collector) }
    }

    @inline(__always)
    private static func collect(
        _ row: KeyValueRow, _ digest: UInt64, isTombstone: Bool, _ page: UInt64, _ collector: RowCollector
    ) {
        guard collector.selects(row.key) else { return }
        collector.note(key: row.key, value: row.value, digest: digest, isTombstone: isTombstone, page: page)
    }

    /// Examines the rows of an inline bucket `key`, or of a leaf whose keys have no digest.
    ///
    /// - Returns: the keys of the encryption at rest that they refer to.
    /// - Throws: ``PageDefect`` for a row that can't be read.
    func examine(rows: [BoltRow], of page: UInt64) throws(PageDefect) -> UInt64 {
        var keys: UInt64 = 0
        for row in rows {
            keys |= try SurveyRow.lend(row) { row in
                if let collector, collector.selects(row.userKey) {
                    collector.note(
                        key: row.userKey, value: row.value, digest: row.digest, isTombstone: row.isTombstone,
                        page: page)
                }
                return row.isTombstone ? 0 : ledger.encryptionKeys.bit(of: row.value)
            }
        }
        return keys
    }
}
