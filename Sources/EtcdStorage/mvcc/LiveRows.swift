import HostIO
import Synchronization

/// What was kept of the keys that exist at the newest revision.
public struct LiveRows<Kept: Sendable>: Sendable {
    /// A key and what was kept of its value.
    public struct Row: Sendable {
        /// The key in the key space.
        public var key: [UInt8]
        /// The revision that wrote it.
        public var revision: Int64
        /// What was kept.
        public var kept: Kept
    }

    /// By key.
    public var rows: [Row]
    /// The number of keys that exist, whether something was kept of them or not; nil if they are too many to be known apart.
    public var liveKeyCount: Int?
    /// False if there were so many that some are left out, or may have been deleted since.
    public var isComplete: Bool
}

extension VerifiedSnapshot {
    /// Keys that can be told apart: 16 bytes each, and half as many again while they become more.
    private static var knownKeySlotLimit: Int { 1 << 22 }

    /// The most keys of which something is kept.
    private static var keptKeyLimit: Int { 1 << 18 }

    /// Reads all rows of bucket `key` again, once, in the order in which their pages lie in the file, on all cores.
    ///
    /// Memory: 43 bytes a key, at most 96 MiB; what is kept, of at most 262,144 keys; 2 MiB a core.
    ///
    /// - Parameters:
    ///   - source: the bytes that were verified.
    ///   - keep: called for every revision that is there, on several threads at once; what it keeps of one that is not the
    ///     newest of its key is dropped. Key and value are only lent.
    /// - Throws: ``StorageError``, also for a database with findings.
    public func liveRows<Kept: Sendable>(
        rereading source: any RandomAccessBytes,
        keep: @escaping @Sendable (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Kept?
    ) throws(StorageError) -> LiveRows<Kept> {
        _ = try report.requireSound(trailer: .ignored)
        let collector = LiveRowCollector<Kept>(
            newest: FingerprintMap(slotLimit: Self.knownKeySlotLimit), keyLimit: Self.keptKeyLimit)
        let sum = Mutex(collector)
        func visit(_ row: SurveyRow) -> LiveRowCollector<Kept>.Seen {
            LiveRowCollector.Seen(
                fingerprint: FingerprintMap.fingerprint(row.userKey), digest: row.digest,
                kept: row.isTombstone ? nil : keep(row.userKey, row.value).map { ([UInt8](row.userKey), $0) })
        }
        try forEachInlineRow { row, _ in
            let seen = visit(row)
            sum.withLock { $0.note([seen]) }
        }
        let scan = PageScan(source: source, meta: meta, ledger: ledger, pages: tree.keyLeaves)
        try scan.forEachRun(workerCount: availableCoreCount(), where: { _ in true }) { _, page, run in
            var seen: [LiveRowCollector<Kept>.Seen] = []
            try self.forEachRow(of: run, at: page) { row, _ in seen.append(visit(row)) }
            sum.withLock { $0.note(seen) }
        }
        return sum.withLock { $0.result() }
    }

    /// The rows of a bucket `key` that is so small that it stands in its parent.
    func forEachInlineRow(_ body: (SurveyRow, [UInt8]) -> Void) throws(StorageError) {
        do throws(PageDefect) {
            for row in tree.inlineKeyRows { try SurveyRow.lend(row) { body($0, row.key + row.value) } }
        } catch {
            throw .damaged(name: report.name, error.finding(page: meta.rootPage, pageByteCount: meta.pageByteCount))
        }
    }

    /// The rows of a leaf, each with its bytes as they follow each other there.
    func forEachRow(
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
                name: report.name, error.finding(page: page, pageByteCount: meta.pageByteCount))
        }
    }
}

/// The newest revision of each key, and what is kept of it.
private struct LiveRowCollector<Kept: Sendable>: Sendable {
    struct Seen {
        var fingerprint: UInt64
        var digest: UInt64
        var kept: (key: [UInt8], value: Kept)?
    }

    private struct Entry {
        var digest: UInt64
        var key: [UInt8]
        var value: Kept
    }

    private var newest: FingerprintMap
    private let keyLimit: Int
    private var entries: [UInt64: Entry] = [:]
    private var isComplete = true

    init(newest: FingerprintMap, keyLimit: Int) {
        self.newest = newest
        self.keyLimit = keyLimit
    }

    mutating func note(_ rows: [Seen]) {
        for row in rows {
            newest.raise(row.fingerprint, to: row.digest)
            guard let (key, value) = row.kept else { continue }
            if let known = entries[row.fingerprint] {
                if known.digest < row.digest {
                    entries[row.fingerprint] = Entry(digest: row.digest, key: key, value: value)
                }
            } else if entries.count < keyLimit {
                entries[row.fingerprint] = Entry(digest: row.digest, key: key, value: value)
            } else {
                isComplete = false
            }
        }
    }

    func result() -> LiveRows<Kept> {
        let rows = entries.compactMap { fingerprint, entry -> LiveRows<Kept>.Row? in
            if let digest = newest.digest(of: fingerprint), digest != entry.digest { return nil }
            return LiveRows.Row(key: entry.key, revision: KeyDigest.main(entry.digest), kept: entry.value)
        }
        return LiveRows(
            rows: rows.sorted { $0.key.lexicographicallyPrecedes($1.key) },
            liveKeyCount: newest.isOverfull ? nil : newest.count { !KeyDigest.isTombstone($0) },
            isComplete: isComplete && !newest.isOverfull)
    }
}
