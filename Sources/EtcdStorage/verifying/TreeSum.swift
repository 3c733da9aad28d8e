/// The rows of one bucket.
public struct BucketSummary: Sendable, Hashable {
    /// The bucket's name.
    public var name: String
    /// The number of rows.
    public var rowCount: Int
    /// The bytes of all keys and values.
    public var byteCount: Int
}

/// What the walk of a tree found out; without contents if the tree does not hold.
struct TreeSummary {
    var reachable: PageSet
    /// Leaves of bucket `key`.
    var keyLeaves: PageSet
    var contents: SnapshotContents?
    var buckets: [BoltBucket] = []
    /// Of each bucket the checksum of all keys and values in order.
    var bucketChecksums: [[UInt8]: CRC32C] = [:]
    var lastRow: (main: Int64, sub: Int64) = (0, 0)
    /// The rows of bucket `key` if that is inline.
    var inlineKeyRows: [BoltRow] = []

    var keyRoot: UInt64? { buckets.first { $0.name == Schema.key }?.rootPage }
}

/// Sums up a tree that holds.
struct TreeSum {
    let walk: TreeWalk
    let buckets: [BoltBucket]

    func summary(reachable: PageSet, keyLeaves: PageSet) throws(StorageError) -> TreeSummary {
        let store = try storeSummary()
        var hash = CRC32C()
        var summaries: [BucketSummary] = []
        var checksums: [[UInt8]: CRC32C] = [:]
        var key = KeyBucketSum(store: store)
        var encryptionKeys: UInt64 = 0
        for bucket in buckets {
            hash.append(CRC32C(bucket.name))
            var summary = BucketSummary(name: bucket.title, rowCount: 0, byteCount: 0)
            var checksum = CRC32C()
            try forEachPart(of: bucket) { (part) throws(StorageError) in
                hash.append(part.checksum)
                checksum.append(part.checksum)
                summary.rowCount += part.counts.rows
                summary.byteCount += Int(part.checksum.byteCount)
                guard bucket.name == Schema.key else { return }
                try key.add(part) { () throws(StorageError) in try rows(of: part) }
                encryptionKeys |= try self.encryptionKeys(of: part)
            }
            summaries.append(summary)
            checksums[bucket.name] = checksum
        }
        var tree = TreeSummary(
            reachable: reachable, keyLeaves: keyLeaves, buckets: buckets, bucketChecksums: checksums)
        tree.lastRow = key.lastRow
        tree.inlineKeyRows = key.inlineRows
        tree.contents = SnapshotContents(hash: hash.value, key: key, store: store, buckets: summaries)
        tree.contents?.encryptionKeys = walk.examiner.ledger.encryptionKeys.inUse(encryptionKeys)
        tree.contents?.selectedRows = walk.examiner.collector?.rows { page in
            page == walk.examiner.meta.rootPage || keyLeaves.contains(page)
        }
        return tree
    }

    private func encryptionKeys(of part: LeafPart) throws(StorageError) -> UInt64 {
        if let keys = part.encryptionKeys { return keys }
        let rows = try rows(of: part)
        do throws(PageDefect) {
            return try walk.examiner.examine(rows: rows, of: part.page)
        } catch {
            throw .damaged(
                name: walk.name,
                error.finding(page: part.page, pageByteCount: walk.examiner.meta.pageByteCount))
        }
    }

    private func storeSummary() throws(StorageError) -> StoreSummary {
        var store = StoreSummary()
        for bucket in buckets {
            if Schema.summarized.contains(bucket.name) {
                try forEachPart(of: bucket) { (part) throws(StorageError) in
                    for row in try rows(of: part) { store.add(row, of: bucket.name) }
                }
            } else if [Schema.authUsers, Schema.authRoles, Schema.lease].contains(bucket.name) {
                var count = 0
                try forEachPart(of: bucket) { count += $0.counts.rows }
                switch bucket.name {
                case Schema.authUsers: store.userCount = count
                case Schema.authRoles: store.roleCount = count
                default: store.leaseCount = count
                }
            }
        }
        return store
    }

    private func rows(of part: LeafPart) throws(StorageError) -> [BoltRow] {
        if let rows = part.inlineRows { return rows }
        return try walk.elements(of: part.page).map(\.row)
    }

    private func forEachPart(
        of bucket: BoltBucket, _ body: (LeafPart) throws(StorageError) -> Void
    ) throws(StorageError) {
        guard let root = bucket.rootPage else { return try body(try inlinePart(bucket)) }
        try walk.forEachLeaf(below: root) { (page, record, lower) throws(StorageError) in
            let ledger = walk.examiner.ledger
            let isDigested = record.state == .revisionLeaf
            try body(
                LeafPart(
                    page: page, checksum: record.checksum, counts: ledger.counts(of: page, record),
                    firstDigest: lower.map(\.digest), lastDigest: isDigested ? record.last : nil,
                    inlineRows: record.state == .emptyLeaf ? [] : nil,
                    encryptionKeys: isDigested
                        ? ledger.encryptionKeys.keys(of: page, set: record.encryptionKeySet) : nil))
        }
    }

    private func inlinePart(_ bucket: BoltBucket) throws(StorageError) -> LeafPart {
        var rows: [BoltRow] = []
        var checksum = CRC32C()
        do throws(PageDefect) {
            try bucket.value.lend { (value) throws(PageDefect) in
                guard case .inline(let leaf) = try BucketRoot(value: value) else { return }
                _ = try leaf.forEach { (_, element) throws(PageDefect) in
                    rows.append(BoltRow(key: [UInt8](element.key), value: [UInt8](element.value)))
                    checksum.update(element.key)
                    checksum.update(element.value)
                }
            }
        } catch {
            throw .damaged(
                name: walk.name,
                error.finding(page: walk.examiner.meta.rootPage, pageByteCount: walk.examiner.meta.pageByteCount))
        }
        return LeafPart(
            page: walk.examiner.meta.rootPage, checksum: checksum, counts: RowCounts(rows: rows.count),
            firstDigest: nil, lastDigest: nil, inlineRows: rows)
    }
}

/// A leaf of a bucket, or the whole of an inline one.
struct LeafPart {
    var page: UInt64
    var checksum: CRC32C
    /// Creations and tombstones are counted only where `lastDigest` is known.
    var counts: RowCounts
    /// The digest of the first key; nil if the parent does not name it.
    var firstDigest: UInt64?
    /// The digest of the last key, if all keys are revisions.
    var lastDigest: UInt64?
    var inlineRows: [BoltRow]?
    /// As bits of ``EncryptionKeyLedger``; nil where only the rows tell.
    var encryptionKeys: UInt64?
}

/// Sums up bucket `key`, leaf by leaf in order of revision.
struct KeyBucketSum {
    private let compactRevision: Int64
    private let finishedRevision: Int64
    private(set) var lastRow: (main: Int64, sub: Int64) = (0, 0)
    private(set) var rowCount = 0
    private(set) var inlineRows: [BoltRow] = []
    private var checksum = CRC32C(Array("key".utf8))
    private var liveCount: Int? = 0
    /// Rows after the compaction, and tombstones up to it: with neither, HashKV covers every row.
    private var rowsThatMayHideOthers = 0

    init(store: StoreSummary) {
        compactRevision = store.compactRevision
        finishedRevision = store.finishedCompactRevision ?? -1
    }

    /// HashKV at the current revision, if it follows from the checksums of whole leaves.
    ///
    /// Without a compaction every row is part of it. With one, rows up to it are left out if a newer row of the same
    /// key exists; if the compaction is finished and nothing was written since, there are none.
    var hashKV: UInt32? {
        if compactRevision == -1 { return checksum.value }
        return compactRevision == finishedRevision && rowsThatMayHideOthers == 0 ? checksum.value : nil
    }

    /// The number of live keys, if it follows from counts of rows.
    ///
    /// A finished compaction leaves one put of each key that was live at it, and every row since. So live keys are the
    /// puts up to it, plus the rows since that create a key, minus the tombstones since.
    var liveKeyCount: Int? { compactRevision == finishedRevision ? liveCount : nil }

    mutating func add(_ part: LeafPart, rows: () throws(StorageError) -> [BoltRow]) throws(StorageError) {
        rowCount += part.counts.rows
        checksum.append(part.checksum)
        guard part.counts.rows > 0 else { return }
        if let inline = part.inlineRows { inlineRows = inline }
        guard let last = part.lastDigest else { return try add(rows()) }
        lastRow = (KeyDigest.main(last), KeyDigest.sub(last))
        if lastRow.main <= finishedRevision {
            add(live: part.counts.rows - part.counts.tombstones, hiding: part.counts.tombstones)
        } else if let first = part.firstDigest, KeyDigest.main(first) > finishedRevision {
            add(live: part.counts.creations - part.counts.tombstones, hiding: part.counts.rows)
        } else if finishedRevision == -1 {
            add(live: part.counts.creations - part.counts.tombstones, hiding: part.counts.rows)
        } else {
            try addStraddling(rows)
        }
    }

    private mutating func add(live: Int, hiding: Int) {
        liveCount = liveCount.map { $0 + live }
        rowsThatMayHideOthers += hiding
    }

    /// A leaf with rows on both sides of the compaction: without its bytes the live keys stay unknown.
    private mutating func addStraddling(_ rows: () throws(StorageError) -> [BoltRow]) throws(StorageError) {
        do {
            try add(rows())
        } catch {
            guard case .needsRereading = error else { throw error }
            liveCount = nil
            rowsThatMayHideOthers += 1
        }
    }

    private mutating func add(_ rows: [BoltRow]) {
        for row in rows where row.key.count >= 17 {
            let main = Int64(bitPattern: u64BigEndian(row.key))
            lastRow = (main, Int64(bitPattern: u64BigEndian(row.key[9...])))
            let isTombstone = row.key.count == 18
            if main <= finishedRevision {
                add(live: isTombstone ? 0 : 1, hiding: isTombstone ? 1 : 0)
            } else {
                add(live: isTombstone ? -1 : Self.createsKey(row.value) ? 1 : 0, hiding: 1)
            }
        }
    }

    private static func createsKey(_ value: [UInt8]) -> Bool {
        value.isEmpty || value.lend { KeyValueRow($0)?.version == 1 }
    }
}
