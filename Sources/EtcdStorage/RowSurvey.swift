import HostIO

/// The rows under one prefix of the key space.
public struct PrefixSize: Sendable, Hashable, Codable {
    /// The first two components of the keys (three where the second is a group of custom resources), or what is before
    /// the last slash; empty for keys without a slash.
    public var prefix: String
    /// The number of revisions that are kept.
    public var rowCount: Int
    /// The bytes of these rows, keys and values.
    public var byteCount: Int
}

/// A key of the apiserver's encryption at rest that values refer to.
public struct EncryptionKeyUse: Sendable, Hashable, Codable {
    /// The provider and the key's name, such as `aescbc:v1:key1` or `kms:v2:plugin`.
    public var provider: String
    /// The number of revisions whose value was encrypted with it.
    public var rowCount: Int
}

/// What only the rows themselves tell, not the checksums of whole pages.
public struct RowSurvey: Sendable, Hashable {
    /// HashKV at the revision that was asked for.
    public var hashKV: HashKV
    /// Keys that exist at that revision.
    public var liveKeyCount: Int
    /// Prefixes by descending size; keys beyond the first 1023 prefixes are counted under the empty one.
    public var prefixes: [PrefixSize]
    /// Keys of the encryption at rest that are in use, by name.
    public var encryptionKeys: [EncryptionKeyUse]
    /// Rows whose value does not begin as an encrypted one.
    public var unencryptedRowCount: Int
}

/// A snapshot whose structure has been verified, with what further passes over the same bytes need to know.
///
/// Memory while it lives: 24 bytes a page and what ``SnapshotVerifier`` states. Used by one thread at a time.
public final class VerifiedSnapshot {
    /// The result of the verification.
    public private(set) var report: SnapshotReport
    let meta: Meta
    let ledger: PageLedger
    let tree: TreeSummary

    init(report: SnapshotReport, meta: Meta, ledger: PageLedger, tree: TreeSummary) {
        self.report = report
        self.meta = meta
        self.ledger = ledger
        self.tree = tree
    }

    /// Reads the rows of bucket `key` again, in the order in which their pages lie in the file, on all cores.
    ///
    /// First the pages with rows since the compaction are read, to know which keys have newer rows; then all pages. A
    /// page of which every row counts keeps the checksum that it has; of others the rows that count are hashed again.
    /// The checksums are then put together in key order. Where the compaction is unfinished the first pass reads all.
    /// Memory: at most 43 bytes for each key that was written since the compaction, 2 MiB a core.
    ///
    /// - Parameters:
    ///   - source: the bytes that were verified.
    ///   - revision: the revision of the HashKV; 0 for the current one.
    ///   - compactRevision: the compaction to hash under, at least the database's own: what a member that has compacted
    ///     further since the snapshot would hash. Nil for the database's own.
    /// - Throws: ``StorageError``, also for a database with findings, and for a revision that is not there.
    public func survey(
        rereading source: any RandomAccessBytes, revision: Int64 = 0, compactRevision: Int64? = nil
    ) throws(StorageError) -> RowSurvey {
        let contents = try report.requireSound(trailer: .ignored)
        let target = revision == 0 ? contents.currentRevision : revision
        let compaction = compactRevision ?? contents.compactRevision
        precondition(compaction >= contents.compactRevision, "rows that are gone can't be hashed")
        guard target <= contents.currentRevision, target >= compaction else {
            throw .revisionUnavailable(
                name: report.name, revision: target, compactRevision: compaction,
                currentRevision: contents.currentRevision)
        }
        let survey = try SurveyPasses(
            snapshot: self, source: source, contents: contents, revision: target, compactRevision: compaction
        ).run()
        if target == contents.currentRevision, compaction == contents.compactRevision {
            report.contents?.hashKV = survey.hashKV
            report.contents?.liveKeyCount = survey.liveKeyCount
        }
        return survey
    }
}

extension HashKV {
    /// The HashKV of a database at a revision, after verifying its structure.
    ///
    /// One pass over the file for the structure and up to two over bucket `key`; see ``VerifiedSnapshot/survey``.
    ///
    /// - Parameter revision: the revision, 0 for the current one.
    /// - Throws: ``StorageError``.
    public static func compute(
        over bytes: any RandomAccessBytes, revision: Int64 = 0
    ) throws(StorageError) -> HashKV {
        let snapshot = try SnapshotStatus.verify(bytes, checksTrailer: false)
        return try snapshot.survey(rereading: bytes, revision: revision).hashKV
    }
}

/// The passes of a survey.
private struct SurveyPasses {
    let snapshot: VerifiedSnapshot
    let source: any RandomAccessBytes
    let contents: SnapshotContents
    let revision: Int64
    let compactRevision: Int64

    /// Rows up to here are the only ones of their keys up to here, because a compaction here is finished.
    private var compactedRevision: Int64 {
        let finished = contents.store.finishedCompactRevision ?? -1
        return finished == contents.compactRevision ? finished : -1
    }

    func run() throws(StorageError) -> RowSurvey {
        let newest = try newestRevisions()
        var sum = try surveyRows(newest, keepIsEmpty: false)
        if let knownLiveKeyCount { sum.liveKeyCount = knownLiveKeyCount }
        // etcd leaves no row out when nothing at all is to be kept (`unsafeHashByRev`).
        if sum.liveKeyCount == 0, compactRevision >= 0 { sum = try surveyRows(newest, keepIsEmpty: true) }
        return sum
    }

    private var knownLiveKeyCount: Int? {
        revision == contents.currentRevision && compactRevision == -1 ? contents.liveKeyCount : nil
    }

    private var scan: PageScan {
        PageScan(source: source, meta: snapshot.meta, ledger: snapshot.ledger, pages: snapshot.tree.keyLeaves)
    }

    /// The newest revision of each key that was written after the compaction.
    private func newestRevisions() throws(StorageError) -> FingerprintMap {
        var newest = FingerprintMap()
        // Without a compaction every row counts; nothing needs to be known if the live keys are counted already.
        if compactRevision == -1, knownLiveKeyCount != nil { return newest }
        let lowest = compactedRevision
        try withUnsafeMutablePointer(to: &newest) { (newest) throws(StorageError) in
            let note = { (row: SurveyRow) in
                guard row.revision > lowest, row.revision <= revision else { return }
                newest.pointee.raise(FingerprintMap.fingerprint(row.userKey), to: row.digest)
            }
            for row in snapshot.tree.inlineKeyRows { try SurveyRow.lend(row, note) }
            try scan.forEachRun(
                workerCount: 1, where: { $0.state != .revisionLeaf || KeyDigest.main($0.last) > lowest }
            ) { _, page, run in try forEachRow(of: run, at: page) { row, _ in note(row) } }
        }
        return newest
    }

    private func forEachRow(
        of run: Bytes, at page: UInt64, _ body: (SurveyRow, UnsafeRawBufferPointer) -> Void
    ) throws {
        do throws(PageDefect) {
            let leaf = try LeafPage(run, count: try PageHeader(run).count)
            _ = try leaf.forEach { (_, element) throws(PageDefect) in
                guard let row = SurveyRow(key: element.key, value: element.value) else {
                    throw PageDefect(offset: element.offset, problem: "row \(excerpt(element.key)) is not a revision")
                }
                let rowBytes = run.unsafeBytes[
                    element.offset..<(element.offset + element.key.count + element.value.count)]
                body(row, UnsafeRawBufferPointer(rebasing: rowBytes))
            }
        } catch {
            throw StorageError.damaged(
                name: snapshot.report.name, error.finding(page: page, pageByteCount: snapshot.meta.pageByteCount))
        }
    }

    private func surveyRows(_ newest: FingerprintMap, keepIsEmpty: Bool) throws(StorageError) -> RowSurvey {
        let rule = RowRule(
            revision: revision, compactRevision: compactRevision, newest: newest, keepIsEmpty: keepIsEmpty)
        let workerCount = availableCoreCount()
        var tallies = (0...workerCount).map { _ in RowTally() }
        var hash = CRC32C(Schema.key)
        for row in snapshot.tree.inlineKeyRows {
            try SurveyRow.lend(row) {
                if tallies[workerCount].add($0, rule) { hash.append(CRC32C(row.key + row.value)) }
            }
        }
        try tallies.withUnsafeMutableBufferPointer { buffer in
            Result { () throws(StorageError) in
                nonisolated(unsafe) let tallies = buffer
                try scan.forEachRun(workerCount: workerCount, where: { _ in true }) { worker, page, run in
                    try adjust(page, run, rule, &tallies[worker])
                }
            }
        }.get()
        if let root = snapshot.tree.keyRoot {
            try snapshot.ledger.forEachLeaf(below: root) { (_, record, _) in hash.append(record.checksum) }
        }
        let tally = tallies.reduce(into: RowTally()) { $0.merge($1) }
        return tally.survey(
            HashKV(hash: hash.value, revision: revision, compactRevision: compactRevision))
    }

    /// Tallies a leaf's rows and leaves the checksum of those that count in its record.
    private func adjust(_ page: UInt64, _ run: Bytes, _ rule: RowRule, _ tally: inout RowTally) throws {
        var checksum = CRC32C()
        var skipped = 0
        var isHashing = snapshot.ledger[page].flags & PageRecord.isAdjusted != 0
        var begin: UnsafeRawPointer?
        try withUnsafeMutablePointer(to: &tally) { tally in
            try forEachRow(of: run, at: page) { row, bytes in
                if begin == nil { begin = bytes.baseAddress }
                let counts = tally.pointee.add(row, rule)
                if !counts, !isHashing, let begin, let here = bytes.baseAddress {
                    // The first row to be left out: the ones before follow each other without gaps.
                    checksum.update(UnsafeRawBufferPointer(start: begin, count: here - begin))
                    isHashing = true
                }
                if !counts { skipped += 1 } else if isHashing { checksum.update(bytes) }
            }
        }
        guard isHashing else { return }
        var record = snapshot.ledger[page]
        record.crc = checksum.value
        record.length = Int(checksum.byteCount)
        record.flags = skipped > 0 ? record.flags | PageRecord.isAdjusted : record.flags & ~PageRecord.isAdjusted
        snapshot.ledger[page] = record
    }
}

/// A row of bucket `key`, lent.
struct SurveyRow {
    var digest: UInt64
    var isTombstone: Bool
    var userKey: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
    var byteCount: Int

    var revision: Int64 { KeyDigest.main(digest) }

    @inline(__always)
    init?(key: UnsafeRawBufferPointer, value bytes: UnsafeRawBufferPointer) {
        guard let digest = KeyDigest.revision(key), let row = KeyValueRow(bytes) else { return nil }
        self.digest = digest
        isTombstone = key.count == 18
        userKey = row.key
        value = row.value
        byteCount = key.count + bytes.count
    }

    static func lend(_ row: BoltRow, _ body: (SurveyRow) -> Void) throws(StorageError) {
        row.key.withUnsafeBytes { key in
            row.value.withUnsafeBytes { value in if let row = SurveyRow(key: key, value: value) { body(row) } }
        }
    }
}

/// Which rows count for a HashKV (etcd `kvHasher.WriteKeyValue`).
struct RowRule {
    let revision: Int64
    let compactRevision: Int64
    let newest: FingerprintMap
    let keepIsEmpty: Bool

    /// - Returns: whether the row counts, and whether it is the newest of its key and a put.
    @inline(__always)
    func apply(_ row: SurveyRow) -> (counts: Bool, isLive: Bool) {
        guard row.revision <= revision else { return (false, false) }
        let isLive = !row.isTombstone && isNewest(row)
        if row.revision > compactRevision { return (true, isLive) }
        if keepIsEmpty { return (!(row.revision == compactRevision && row.isTombstone), isLive) }
        return (isLive, isLive)
    }

    @inline(__always)
    private func isNewest(_ row: SurveyRow) -> Bool {
        guard let newest = newest.digest(of: FingerprintMap.fingerprint(row.userKey)) else { return true }
        return newest == row.digest
    }
}

/// Sums over rows.
struct RowTally {
    private static let prefixLimit = 1024
    private var liveKeyCount = 0
    private var unencryptedCount = 0
    private var prefixes: [[UInt8]] = [[]]
    private var sizes: [(rows: Int, bytes: Int)] = [(0, 0)]
    private var indices: [UInt64: Int] = [:]
    private var encryption: [String: Int] = [:]

    /// Adds a row; says whether it counts for the HashKV.
    @inline(__always)
    mutating func add(_ row: SurveyRow, _ rule: RowRule) -> Bool {
        let (counts, isLive) = rule.apply(row)
        if isLive { liveKeyCount += 1 }
        add(Self.prefix(of: row.userKey), rows: 1, bytes: row.byteCount)
        if !row.isTombstone { addEncryption(row.value) }
        return counts
    }

    private mutating func add(_ prefix: UnsafeRawBufferPointer, rows: Int, bytes: Int) {
        let fingerprint = FingerprintMap.fingerprint(prefix)
        var index = indices[fingerprint]
        if index == nil, !prefix.isEmpty, prefixes.count < Self.prefixLimit {
            index = prefixes.count
            indices[fingerprint] = prefixes.count
            prefixes.append([UInt8](prefix))
            sizes.append((0, 0))
        }
        sizes[index ?? 0].rows += rows
        sizes[index ?? 0].bytes += bytes
    }

    /// `/registry/pods` of `/registry/pods/ns/name`, `/registry/group.io/things` of what lies below that, and otherwise
    /// what is before the last slash.
    private static func prefix(of key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var slashCount = 0
        var lastSlash = 0
        var isGroup = false
        for (index, byte) in key.enumerated() {
            if byte == 0x2E, slashCount == 2 { isGroup = true }
            guard byte == 0x2F else { continue }
            slashCount += 1
            lastSlash = index
            if slashCount == (isGroup ? 4 : 3) { break }
        }
        return UnsafeRawBufferPointer(rebasing: key[..<max(lastSlash, min(1, slashCount))])
    }

    /// Counts `k8s:enc:<provider>:<version>:<key>:` (`k8s.io/apiserver` `value/encrypt`).
    private mutating func addEncryption(_ value: UnsafeRawBufferPointer) {
        guard value.count > 8, value.starts(with: Self.magic) else {
            unencryptedCount += 1
            return
        }
        let rest = value.dropFirst(8).prefix(256)
        let colons = rest.indices.filter { rest[$0] == 0x3A }
        guard colons.count >= 3 else {
            unencryptedCount += 1
            return
        }
        encryption[String(decoding: rest[..<colons[2]], as: UTF8.self), default: 0] += 1
    }

    private static let magic = Array("k8s:enc:".utf8)

    mutating func merge(_ other: RowTally) {
        liveKeyCount += other.liveKeyCount
        unencryptedCount += other.unencryptedCount
        encryption.merge(other.encryption, uniquingKeysWith: +)
        for (prefix, size) in zip(other.prefixes, other.sizes) {
            prefix.withUnsafeBytes { add($0, rows: size.rows, bytes: size.bytes) }
        }
    }

    func survey(_ hashKV: HashKV) -> RowSurvey {
        let sized = zip(prefixes, sizes).filter { $0.1.rows > 0 }.map { prefix, size in
            PrefixSize(prefix: String(decoding: prefix, as: UTF8.self), rowCount: size.rows, byteCount: size.bytes)
        }
        return RowSurvey(
            hashKV: hashKV, liveKeyCount: liveKeyCount,
            prefixes: sized.sorted { ($1.byteCount, $0.prefix) < ($0.byteCount, $1.prefix) },
            encryptionKeys: encryption.map { EncryptionKeyUse(provider: $0.key, rowCount: $0.value) }
                .sorted { $0.provider < $1.provider },
            unencryptedRowCount: unencryptedCount)
    }
}
