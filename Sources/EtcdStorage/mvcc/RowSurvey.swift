import HostIO
import Synchronization

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
    /// The provider and the key's name, such as `aescbc:v1:key1` or `kms:v2:plugin`; empty for all that are too many.
    public var provider: String
    /// The number of revisions whose value was encrypted with it.
    public var rowCount: Int
}

/// What only the rows themselves tell, not the checksums of whole pages.
public struct RowSurvey: Sendable, Hashable {
    /// HashKV at the revision that was asked for; nil if more keys were written since the compaction than fit into
    /// memory.
    public var hashKV: KeyValueHash?
    /// Keys that exist at that revision; nil where ``hashKV`` is, unless their number was known before.
    public var liveKeyCount: Int?
    /// Prefixes by descending size; keys beyond the first 1023 prefixes are counted under the empty one.
    public var prefixes: [PrefixSize]
    /// Keys of the encryption at rest that are in use, by name; those beyond the first 1023 are counted under the empty
    /// one.
    public var encryptionKeys: [EncryptionKeyUse]
    /// The keys that exist at that revision; nil where ``hashKV`` is, and where that was not asked for.
    public var keySpace: KeySpaceDigest?
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
    /// Memory: at most 43 bytes for each key that was written since the compaction, up to a limit of 24 MiB that is less
    /// for a large database; 2 MiB a core. Beyond the limit there is no HashKV.
    ///
    /// - Parameters:
    ///   - source: the bytes that were verified.
    ///   - revision: the revision of the HashKV; 0 for the current one.
    ///   - compactRevision: the compaction to hash under, at least the database's own: what a member that has compacted
    ///     further since the snapshot would hash. Nil for the database's own.
    ///   - digestsKeySpace: whether the keys that exist are hashed one by one, ``RowSurvey/keySpace``.
    /// - Throws: ``StorageError``, also for a database with findings, and for a revision that is not there.
    public func survey(
        rereading source: any RandomAccessBytes, revision: Int64 = 0, compactRevision: Int64? = nil,
        digestsKeySpace: Bool = false
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
            snapshot: self, source: source, contents: contents, revision: target, compactRevision: compaction,
            digestsKeySpace: digestsKeySpace
        ).run()
        if target == contents.currentRevision, compaction == contents.compactRevision {
            report.contents?.hashKV = survey.hashKV
            report.contents?.liveKeyCount = survey.liveKeyCount
        }
        return survey
    }
}

/// The passes of a survey.
private struct SurveyPasses {
    let snapshot: VerifiedSnapshot
    let source: any RandomAccessBytes
    let contents: SnapshotContents
    let revision: Int64
    let compactRevision: Int64
    let digestsKeySpace: Bool

    /// Rows up to here are the only ones of their keys up to here, because a compaction here is finished.
    private var compactedRevision: Int64 {
        let finished = contents.store.finishedCompactRevision ?? -1
        return finished == contents.compactRevision ? finished : -1
    }

    func run() throws(StorageError) -> RowSurvey {
        let newest = try newestRevisions()
        var sum = try surveyRows(newest, keepIsEmpty: false)
        if newest.isOverfull {
            if !countsEveryRow { sum.hashKV = nil }
            sum.liveKeyCount = nil
            sum.keySpace = nil
        }
        if let knownLiveKeyCount { sum.liveKeyCount = knownLiveKeyCount }
        // etcd leaves no row out when nothing at all is to be kept (`unsafeHashByRev`).
        if sum.liveKeyCount == 0, compactRevision >= 0 { sum = try surveyRows(newest, keepIsEmpty: true) }
        return sum
    }

    /// Without a compaction no row is left out of the HashKV.
    private var countsEveryRow: Bool { compactRevision == -1 && knownLiveKeyCount != nil }

    private var knownLiveKeyCount: Int? {
        revision == contents.currentRevision && compactRevision == -1 ? contents.liveKeyCount : nil
    }

    private var scan: PageScan {
        PageScan(source: source, meta: snapshot.meta, ledger: snapshot.ledger, pages: snapshot.tree.keyLeaves)
    }

    /// The newest revision of each key that was written after the compaction.
    private func newestRevisions() throws(StorageError) -> FingerprintMap {
        // Then nothing needs to be known of keys, if those that exist are counted already.
        if countsEveryRow, !digestsKeySpace { return FingerprintMap(slotLimit: 0) }
        let newest = Mutex(FingerprintMap(slotLimit: FingerprintMap.slotLimit(pageCount: snapshot.meta.highWater)))
        let lowest = compactedRevision
        let isWanted = { (row: SurveyRow) in row.revision > lowest && row.revision <= revision }
        try snapshot.forEachInlineRow { row, _ in
            guard isWanted(row) else { return }
            newest.withLock { $0.raise(FingerprintMap.fingerprint(row.userKey), to: row.digest) }
        }
        try scan.forEachRun(
            workerCount: availableCoreCount(),
            where: { $0.state != .revisionLeaf || KeyDigest.main($0.last) > lowest }
        ) { _, page, run in
            var noted: [(fingerprint: UInt64, digest: UInt64)] = []
            try snapshot.forEachRow(of: run, at: page) { row, _ in
                if isWanted(row) { noted.append((FingerprintMap.fingerprint(row.userKey), row.digest)) }
            }
            newest.withLock { for entry in noted { $0.raise(entry.fingerprint, to: entry.digest) } }
        }
        return newest.withLock { $0 }
    }

    private func surveyRows(_ newest: FingerprintMap, keepIsEmpty: Bool) throws(StorageError) -> RowSurvey {
        let rule = RowRule(
            revision: revision, compactRevision: compactRevision, newest: newest, keepIsEmpty: keepIsEmpty)
        let workerCount = availableCoreCount()
        var tallies = (0...workerCount).map { _ in RowTally(digestsKeySpace: digestsKeySpace) }
        var hash = CRC32C(Schema.key)
        try snapshot.forEachInlineRow { row, bytes in
            if tallies[workerCount].add(row, rule) { hash.append(CRC32C(bytes)) }
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
            KeyValueHash(hash: hash.value, revision: revision, compactRevision: compactRevision))
    }

    /// Tallies a leaf's rows and leaves the checksum of those that count in its record.
    private func adjust(_ page: UInt64, _ run: Bytes, _ rule: RowRule, _ tally: inout RowTally) throws {
        var checksum = CRC32C()
        var skipped = 0
        var isHashing = snapshot.ledger[page].flags & PageRecord.isAdjusted != 0
        var begin: UnsafeRawPointer?
        try withUnsafeMutablePointer(to: &tally) { tally in
            try snapshot.forEachRow(of: run, at: page) { row, bytes in
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
