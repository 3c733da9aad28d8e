internal import Crypto
import EncryptionAtRest
import HostIO

/// Checks a snapshot while its bytes pass, in order and in pieces of any size.
///
/// Every page is checked by itself as it comes and 24 bytes are kept of it; at the end the tree is walked over those.
/// Memory: 24 bytes a page, 2 bits a page for sets, at most 14 MiB for children of branches and small buckets, 4 MiB for
/// mixtures of encryption keys and pages within free runs, what a selection of rows allows, and one run of pages (at most
/// 32 MiB, in practice a request of 1.5 MiB). A verifier is used by one thread at a time.
///
/// Free pages hold old pages that look like live ones. Where these push live ones out of the bounds above, or seem to
/// lie across them, the walk needs some pages again: give ``finish(rereading:)`` the stored bytes.
public final class SnapshotVerifier {
    private let name: String
    private var digest: TrailerDigest?
    /// Bytes that are not a whole run yet.
    private var pending = PendingBytes()
    private var byteCount = 0
    private var pageExaminer: PageExaminer?
    private let collector: RowCollector?
    private let encryptionReaders: EncryptionReaders?
    private var metaWarning: PageFinding?

    /// A verifier for the bytes called `name` in messages.
    ///
    /// - Parameters:
    ///   - checksTrailer: whether the SHA-256 trailer is checked too; false where the caller does that, which saves more
    ///     than half of the time.
    ///   - readers: who must be able to read what is encrypted at rest; without them the names of keys are as values tell
    ///     them.
    ///   - selection: rows to keep in ``SnapshotContents/selectedRows``, up to its own limit of memory.
    public init(
        name: String, checksTrailer: Bool = true, selecting selection: RowSelection? = nil,
        readBy readers: EncryptionReaders? = nil
    ) {
        self.name = name
        encryptionReaders = readers
        collector = selection.map(RowCollector.init)
        digest = checksTrailer ? TrailerDigest() : nil
    }

    /// Takes the next bytes.
    ///
    /// - Throws: ``StorageError`` as soon as the bytes can't be a database; then no more can be taken.
    public func consume(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        digest?.consume(bytes)
        byteCount += bytes.count
        var rest = bytes
        if pageExaminer == nil { try consumeStart(&rest) }
        if let pageExaminer { consumePages(rest, pageExaminer) }
    }

    /// Takes the next bytes of an array.
    public func consume(_ bytes: [UInt8]) throws(StorageError) {
        try bytes.lend { (buffer) throws(StorageError) in try consume(buffer) }
    }

    private func consumeStart(_ rest: inout UnsafeRawBufferPointer) throws(StorageError) {
        let wanted = Meta.searchByteCount - pending.count
        pending.append(UnsafeRawBufferPointer(rebasing: rest.prefix(wanted)))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(wanted))
        if pending.count == Meta.searchByteCount { try begin() }
    }

    private func begin() throws(StorageError) {
        let found = try pending.withBytes { (bytes) throws(StorageError) in
            try Meta.find(in: Bytes(bytes), name: name)
        }
        metaWarning = found.warning
        let examiner = PageExaminer(meta: found.meta, ledger: PageLedger(encryptionReaders), collector: collector)
        pageExaminer = examiner
        drainPending(examiner)
    }

    private func consumePages(_ bytes: UnsafeRawBufferPointer, _ examiner: PageExaminer) {
        var rest = bytes
        while !rest.isEmpty, examiner.ledger.count < examiner.meta.highWater {
            if pending.count > 0 {
                let wanted = wantedByteCount(examiner) - pending.count
                pending.append(UnsafeRawBufferPointer(rebasing: rest.prefix(wanted)))
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(wanted))
                drainPending(examiner)
            } else {
                let used = examineWholeRuns(rest, examiner)
                rest = UnsafeRawBufferPointer(rebasing: rest[used...])
                if examiner.ledger.count < examiner.meta.highWater {
                    pending.append(rest)
                    return
                }
            }
        }
    }

    private func wantedByteCount(_ examiner: PageExaminer) -> Int {
        guard pending.count >= examiner.meta.pageByteCount else { return examiner.meta.pageByteCount }
        return pending.withBytes { examiner.wantedByteCount(of: examiner.ledger.count, startingWith: Bytes($0)) }
    }

    private func drainPending(_ examiner: PageExaminer) {
        let used = pending.withBytes { examineWholeRuns($0, examiner) }
        pending.removeFirst(used)
        if examiner.ledger.count >= examiner.meta.highWater { pending.removeAll() }
    }

    /// Examines the runs that lie completely in `bytes` and returns their byte count.
    private func examineWholeRuns(_ bytes: UnsafeRawBufferPointer, _ examiner: PageExaminer) -> Int {
        let pageByteCount = examiner.meta.pageByteCount
        var offset = 0
        while bytes.count - offset >= pageByteCount, examiner.ledger.count < examiner.meta.highWater {
            let page = examiner.ledger.count
            let rest = Bytes(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
            let runByteCount = examiner.wantedByteCount(of: page, startingWith: rest)
            guard runByteCount <= rest.count else { break }
            let run = Bytes(UnsafeRawBufferPointer(rebasing: rest.unsafeBytes[..<runByteCount]))
            offset += examiner.examine(run, at: page) * pageByteCount
        }
        return offset
    }

    /// The revision of the newest row on any page so far, free ones included; 0 if there is none.
    ///
    /// Where ``finish(rereading:)`` throws ``StorageError/needsRereading(name:page:)`` this tells which revision the
    /// snapshot is of: a row that the tree has lost again has been compacted, and a newer one has followed it.
    public var newestRevisionSeen: Int64 {
        guard let ledger = pageExaminer?.ledger else { return 0 }
        return (0..<ledger.count).reduce(0) { newest, page in
            let record = ledger[page]
            return record.state == .revisionLeaf ? max(newest, KeyDigest.main(record.last)) : newest
        }
    }

    /// Ends the stream, walks the tree and says what the snapshot is.
    ///
    /// - Parameter source: the same bytes to read pages from again, where the stream alone does not tell.
    /// - Throws: ``StorageError``: not a database, truncated, or a page needed again without a source. Findings about
    ///   the structure and the trailer do not throw; see ``SnapshotReport/requireSound(trailer:)``.
    public func finish(rereading source: (any RandomAccessBytes)? = nil) throws(StorageError) -> SnapshotReport {
        try finishKeepingPages(rereading: source).report
    }

    /// Ends the stream like ``finish(rereading:)`` and keeps what is known of the pages for a survey of the rows.
    public func finishKeepingPages(
        rereading source: (any RandomAccessBytes)? = nil
    ) throws(StorageError) -> VerifiedSnapshot {
        try finishKeepingPages(rereading: source, digest: digest)
    }

    func finishKeepingPages(
        rereading source: (any RandomAccessBytes)?, digest: TrailerDigest?
    ) throws(StorageError) -> VerifiedSnapshot {
        if pageExaminer == nil { try begin() }
        guard let examiner = pageExaminer else { preconditionFailure("begin() sets the examiner or throws") }
        let meta = examiner.meta
        let databaseByteCount = Int(meta.highWater) * meta.pageByteCount
        if byteCount < databaseByteCount {
            throw .truncated(name: name, expectedByteCount: databaseByteCount, foundByteCount: byteCount)
        }
        precondition(examiner.ledger.count == meta.highWater, "a run that is taken for possible ends within the file")
        var walk = TreeWalk(name: name, examiner: examiner, source: source)
        let tree = try walk.run()
        let report = SnapshotReport(
            name: name, fileByteCount: byteCount, meta: meta, tree: tree,
            trailer: trailerState(databaseByteCount, digest),
            findings: walk.findings, warnings: metaWarning.map { [$0] } ?? [])
        return VerifiedSnapshot(report: report, meta: meta, ledger: examiner.ledger, tree: tree)
    }

    private func trailerState(_ databaseByteCount: Int, _ digest: TrailerDigest?) -> TrailerState {
        guard TrailerDigest.isPresent(byteCount, databaseByteCount) else {
            // A file grows by whole pages.
            let rest = byteCount % 512
            return rest == 0 ? .absent : .cut(byteCount: rest)
        }
        return digest?.state() ?? .unchecked
    }
}

/// The SHA-256 of all bytes but the last 32, while they pass.
final class TrailerDigest {
    static let byteCount = 32
    private var hasher = SHA256()
    private var held: [UInt8] = []

    func consume(_ bytes: UnsafeRawBufferPointer) {
        let surplus = held.count + bytes.count - Self.byteCount
        guard surplus > 0 else {
            held.append(contentsOf: bytes)
            return
        }
        let fromHeld = min(surplus, held.count)
        held.lend { hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<fromHeld])) }
        held.removeFirst(fromHeld)
        hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<(surplus - fromHeld)]))
        held.append(contentsOf: bytes[(surplus - fromHeld)...])
    }

    /// Whether a file of that size ends in a trailer: etcd's rule, as no page size leaves 32 bytes.
    static func isPresent(_ fileByteCount: Int, _ databaseByteCount: Int) -> Bool {
        fileByteCount % 512 == byteCount && fileByteCount >= databaseByteCount + byteCount
    }

    /// Whether the last 32 bytes are the digest of those before.
    func state() -> TrailerState {
        let computed = Array(hasher.finalize())
        return computed == held
            ? .matched(sha256: held.hexadecimal)
            : .mismatched(expected: held.hexadecimal, found: computed.hexadecimal)
    }
}

/// Bytes that wait for more, in one piece of memory.
struct PendingBytes {
    private var storage: [UInt8] = []

    var count: Int { storage.count }

    mutating func append(_ bytes: UnsafeRawBufferPointer) { storage.append(contentsOf: bytes) }

    mutating func removeFirst(_ count: Int) { storage.removeFirst(count) }

    /// Forgets the bytes and frees what a long run took.
    mutating func removeAll() { storage = [] }

    func withBytes<Result, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Result) throws(E) -> Result {
        try storage.lend { (bytes) throws(E) in try body(bytes) }
    }
}
