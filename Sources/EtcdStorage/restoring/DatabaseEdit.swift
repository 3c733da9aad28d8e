import HostIO
import Protobuf

/// A database as it is to be written: pages of a snapshot at their own places, and pages behind them.
struct EditedDatabase: Sendable {
    /// The snapshot's.
    let oldMeta: Meta
    var meta: Meta
    /// Pages of the snapshot that are copied.
    var copied: PageSet
    /// Pages behind the snapshot's high water mark.
    var appended: [UInt8] = []
    /// Of each bucket the checksum of all keys and values in order, to hold against what is read back.
    var bucketChecksums: [[UInt8]: CRC32C]
    /// The revision that a server continues from.
    var revision: Int64

    var pageByteCount: Int { meta.pageByteCount }
}

/// The changes that turn a verified snapshot into the database of a new cluster's members.
///
/// Pages that the old tree reaches are copied; changed buckets, the path to them and a new root are appended behind the
/// high water mark. No other page is copied, so neither free pages nor replaced ones leave old bytes behind. The free
/// list is not stored, as etcd does on Linux; the server works it out when it opens the file.
struct DatabaseEdit {
    let file: BoltFile
    let snapshot: VerifiedSnapshot
    private let contents: SnapshotContents
    private let plan: RestorePlan
    var result: EditedDatabase

    /// Makes the changes that a plan wants.
    ///
    /// - Throws: ``StorageError``: a plan that is not possible, or a snapshot with findings.
    static func make(
        file: BoltFile, snapshot: VerifiedSnapshot, plan: RestorePlan
    ) throws(StorageError) -> EditedDatabase {
        var edit = try DatabaseEdit(file: file, snapshot: snapshot, plan: plan)
        try edit.apply()
        return edit.result
    }

    private init(file: BoltFile, snapshot: VerifiedSnapshot, plan: RestorePlan) throws(StorageError) {
        contents = try snapshot.report.requireSound(trailer: .ignored)
        try plan.validate(contents)
        self.file = file
        self.snapshot = snapshot
        self.plan = plan
        result = EditedDatabase(
            oldMeta: snapshot.meta, meta: snapshot.meta, copied: snapshot.tree.reachable,
            bucketChecksums: snapshot.tree.bucketChecksums, revision: contents.currentRevision)
    }

    var pageByteCount: Int { result.pageByteCount }

    private mutating func apply() throws(StorageError) {
        result.copied.remove(0)
        result.copied.remove(1)
        var buckets: [[UInt8]: [UInt8]] = [:]
        for bucket in snapshot.tree.buckets { buckets[bucket.name] = bucket.value }
        try replace(Schema.members, in: &buckets) { [plan] _ in
            plan.cluster.members.map { BoltRow(key: $0.hexID, value: $0.json) }
        }
        try replace(Schema.membersRemoved, in: &buckets) { _ in [] }
        try replace(Schema.alarm, in: &buckets) { _ in [] }
        try replace(Schema.cluster, in: &buckets) { [self] in clusterRows($0) }
        try replace(Schema.meta, in: &buckets) { [self] in metaRows($0) }
        for name in [Schema.key, Schema.lease] where buckets[name] == nil { buckets[name] = try value([], of: name) }
        try addRows(&buckets)
        dropTree(snapshot.meta.rootPage)
        dropFreelist()
        let rows = buckets.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map { PageBuilder.Row(key: $0.key, value: $0.value, isBucket: true) }
        try checkElementCount(rows.count)
        result.meta.rootPage = append { PageBuilder.leaf(rows, id: $0, pageByteCount: $1) }
        result.meta.freelistPage = Bolt.noFreelist
        // As in a stream: page 0 is in force and belongs to an even transaction.
        result.meta.transaction = (snapshot.meta.transaction / 2 + 1) * 2
    }

    /// Appends a page, or run, at the high water mark.
    mutating func append(_ build: (_ id: UInt64, _ pageByteCount: Int) -> [UInt8]) -> UInt64 {
        let id = result.meta.highWater
        let bytes = build(id, pageByteCount)
        result.appended += bytes
        result.meta.highWater += UInt64(bytes.count / pageByteCount)
        return id
    }

    /// Leaves out the pages of a tree except those below leaves of buckets.
    private mutating func dropTree(_ page: UInt64) {
        let record = snapshot.ledger[page]
        dropRun(page)
        guard record.state == .branch else { return }
        for child in snapshot.ledger.branch(record) { dropTree(child.page) }
    }

    mutating func dropRun(_ page: UInt64) {
        for dropped in page...(page + UInt64(snapshot.ledger.overflow(of: page))) { result.copied.remove(dropped) }
    }

    private mutating func dropFreelist() {
        let page = snapshot.meta.freelistPage
        guard page != Bolt.noFreelist else { return }
        dropRun(page)
    }

    // MARK: - Small buckets

    private mutating func replace(
        _ name: [UInt8], in buckets: inout [[UInt8]: [UInt8]], _ change: ([BoltRow]) -> [BoltRow]
    ) throws(StorageError) {
        var rows: [BoltRow] = []
        var sequence: UInt64 = 0
        if let value = buckets[name] {
            let bucket = BoltBucket(name: name, value: value)
            rows = try file.rows(in: bucket)
            sequence = value.lend { (try? Bytes($0).u64(at: 8)) ?? 0 }
            if let root = bucket.rootPage { dropTree(root) }
        }
        buckets[name] = try value(change(rows), of: name, sequence: sequence)
    }

    /// The value of a bucket with these rows; what does not fit inline is appended as one leaf.
    private mutating func value(
        _ rows: [BoltRow], of name: [UInt8], sequence: UInt64 = 0
    ) throws(StorageError) -> [UInt8] {
        let sorted = rows.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map { PageBuilder.Row(key: $0.key, value: $0.value) }
        result.bucketChecksums[name] = CRC32C(sorted.flatMap { $0.key + $0.value })
        if let inline = PageBuilder.inlineBucket(sorted, sequence: sequence, pageByteCount: pageByteCount) {
            return inline
        }
        guard sorted.count < 0xFFFF else {
            throw .invalidPlan(reason: "a bucket to be changed has \(sorted.count) rows", hint: "report this snapshot")
        }
        let root = append { PageBuilder.leaf(sorted, id: $0, pageByteCount: $1) }
        return PageBuilder.bucket(root: root, sequence: sequence)
    }

    private func clusterRows(_ rows: [BoltRow]) -> [BoltRow] {
        let dropsVersions = plan.dropsVersions(contents)
        return rows.filter { row in
            // A downgrade that was under way in the lost cluster would keep other versions out.
            row.key != Schema.downgrade && !(dropsVersions && row.key == Schema.clusterVersion)
        }
    }

    private func metaRows(_ rows: [BoltRow]) -> [BoltRow] {
        var replaced = [Schema.consistentIndex, Schema.term, Schema.confState]
        if plan.dropsVersions(contents) { replaced.append(Schema.storageVersion) }
        if plan.revisionBump > 0 { replaced.append(Schema.scheduledCompactRevision) }
        var result = rows.filter { !replaced.contains($0.key) }
        var index: [UInt8] = []
        appendBigEndian(UInt64(plan.cluster.members.count), to: &index)
        result.append(BoltRow(key: Schema.consistentIndex, value: index))
        result.append(BoltRow(key: Schema.term, value: [0, 0, 0, 0, 0, 0, 0, 1]))
        let voters = plan.cluster.members.map { String($0.id) }.joined(separator: ",")
        result.append(
            BoltRow(key: Schema.confState, value: Array("{\"voters\":[\(voters)],\"auto_leave\":false}".utf8)))
        if plan.revisionBump > 0 {
            result.append(BoltRow(key: Schema.scheduledCompactRevision, value: revisionKey(main: bumpedRevision)))
        }
        return result
    }

    // MARK: - Rows behind the newest one

    /// Adds the tombstones of what is deleted, and behind them the marker of the raised revision.
    private mutating func addRows(_ buckets: inout [[UInt8]: [UInt8]]) throws(StorageError) {
        var rows = deletionRows
        if !rows.isEmpty { result.revision = deletionRevision }
        if plan.revisionBump > 0 {
            rows.append(PageBuilder.Row(key: revisionKey(main: bumpedRevision), value: []))
            result.revision = bumpedRevision
        }
        guard !rows.isEmpty else { return }
        let bucket = BoltBucket(name: Schema.key, value: buckets[Schema.key] ?? [])
        buckets[Schema.key] = try append(rows, to: bucket)
    }

    /// The revision that a server would give to the next transaction.
    private var deletionRevision: Int64 { contents.currentRevision + 1 }

    /// What a server writes for a transaction that deletes these keys: a tombstone each, one sub revision behind the other.
    private var deletionRows: [PageBuilder.Row] {
        plan.deletedKeys.sorted { $0.lexicographicallyPrecedes($1) }.enumerated().map { index, key in
            var value = ProtobufWriter()
            value.field(1, key)
            return PageBuilder.Row(key: tombstoneKey(main: deletionRevision, sub: Int64(index)), value: value.bytes)
        }
    }

    /// Counted from the newest row, and never behind a compaction that the rows don't show any more.
    private var bumpedRevision: Int64 {
        let newest = max(contents.revision, contents.compactRevision)
        return (plan.deletedKeys.isEmpty ? newest : deletionRevision) + plan.revisionBump
    }
}
