import EncryptionAtRest
import HostIO

/// What became of the SHA-256 trailer.
public enum TrailerState: Sendable, Hashable {
    /// It is the digest of the bytes before it.
    case matched(sha256: String)
    /// It is there and is not: digests in hex.
    case mismatched(expected: String, found: String)
    /// Behind the database are bytes that are no whole trailer.
    case cut(byteCount: Int)
    /// There is none: the length is not 32 above a multiple of 512, as for a copy of a member's file.
    case absent
    /// It is there, and the caller did not want it checked.
    case unchecked
}

/// The HashKV of a state: comparable only with one of the same revision and compact revision.
public struct KeyValueHash: Sendable, Hashable, Codable {
    /// The CRC-32C that etcd's `Maintenance.HashKV` returns.
    public var hash: UInt32
    /// The revision up to which rows are covered.
    public var revision: Int64
    /// The compact revision, -1 if nothing was ever compacted.
    public var compactRevision: Int64

    /// Creates a value, such as one that a server has returned.
    public init(hash: UInt32, revision: Int64, compactRevision: Int64) {
        self.hash = hash
        self.revision = revision
        self.compactRevision = compactRevision
    }
}

/// What a sound database contains.
public struct SnapshotContents: Sendable, Hashable {
    /// The hash that `etcdutl snapshot status` prints.
    public var hash: UInt32
    /// The revision of the last row, as `etcdutl snapshot status` prints it.
    public var revision: Int64
    /// The revision that a server continues from: also counts compactions; at least 1.
    public var currentRevision: Int64
    /// The compact revision, -1 if nothing was ever compacted.
    public var compactRevision: Int64
    /// Rows of all buckets: `totalKey` of etcd up to 3.5.
    public var totalRowCount: Int
    /// Rows of bucket `key`: every revision that is kept.
    public var revisionRowCount: Int
    /// Keys that exist at the newest revision: `totalKey` of etcd since 3.6; nil if only a row survey can tell.
    public internal(set) var liveKeyCount: Int?
    /// HashKV at the current revision; nil if only a row survey can tell.
    public internal(set) var hashKV: KeyValueHash?
    /// Members, alarms, authentication, leases, versions.
    public var store: StoreSummary
    /// The buckets in order of their names.
    public var buckets: [BucketSummary]
    /// The keys of the apiserver's encryption at rest that values refer to.
    public internal(set) var encryptionKeys = EncryptionKeysInUse()
    /// The rows that were asked for; nil if none were.
    public internal(set) var selectedRows: SelectedRows?

    init(hash: UInt32, key: KeyBucketSum, store: StoreSummary, buckets: [BucketSummary]) {
        self.hash = hash
        self.store = store
        self.buckets = buckets
        revision = key.lastRow.main
        compactRevision = store.compactRevision
        currentRevision = max(1, key.lastRow.main, compactRevision)
        totalRowCount = buckets.reduce(0) { $0 + $1.rowCount }
        revisionRowCount = key.rowCount
        liveKeyCount = key.liveKeyCount
        hashKV = key.hashKV.map { [currentRevision, compactRevision] in
            KeyValueHash(hash: $0, revision: currentRevision, compactRevision: compactRevision)
        }
    }
}

/// The result of verifying a snapshot.
public struct SnapshotReport: Sendable {
    /// The name of the bytes.
    public var name: String
    /// Bytes of the whole file.
    public var fileByteCount: Int
    /// Bytes of the database, without trailer and without what lies behind: etcd's `totalSize`.
    public var databaseByteCount: Int
    /// The size of a page in bytes.
    public var pageByteCount: Int
    /// The number of pages.
    public var pageCount: Int
    /// Pages that belong to no tree, the free list's own included.
    public var freePageCount: Int
    /// The bbolt transaction of the snapshot.
    public var transaction: UInt64
    /// What became of the trailer.
    public internal(set) var trailer: TrailerState
    /// Everything that does not hold in the structure, at most 100 of it; empty for a sound database.
    public var findings: [PageFinding]
    /// What does not hold but does no harm, such as a damaged second meta page.
    public var warnings: [PageFinding]
    /// What the database contains; nil if there are findings.
    public internal(set) var contents: SnapshotContents?

    init(
        name: String, fileByteCount: Int, meta: Meta, tree: TreeSummary, trailer: TrailerState, findings: [PageFinding],
        warnings: [PageFinding]
    ) {
        self.name = name
        self.fileByteCount = fileByteCount
        databaseByteCount = Int(meta.highWater) * meta.pageByteCount
        pageByteCount = meta.pageByteCount
        pageCount = Int(meta.highWater)
        freePageCount = pageCount - tree.reachable.count
        transaction = meta.transaction
        self.trailer = trailer
        self.findings = findings
        self.warnings = warnings
        contents = tree.contents
    }

    /// How strictly the trailer is taken.
    public enum TrailerPolicy: Sendable {
        /// It must be there and match.
        case required
        /// It must match if it is there.
        case optional
        /// It may be missing or wrong; the report says which.
        case ignored
    }

    /// Gives the contents of a sound snapshot.
    ///
    /// - Throws: ``StorageError``: the first finding, or the trailer. A trailer that does not match comes first, as it
    ///   is the likelier cause.
    @discardableResult
    public func requireSound(trailer policy: TrailerPolicy) throws(StorageError) -> SnapshotContents {
        switch (policy, trailer) {
        case (.required, .mismatched(let expected, let found)), (.optional, .mismatched(let expected, let found)):
            throw .trailerMismatch(name: name, expected: expected, found: found)
        case (.required, .cut(let byteCount)), (.optional, .cut(let byteCount)):
            throw .trailerCut(name: name, byteCount: byteCount)
        case (.required, .absent): throw .trailerMissing(name: name)
        default: break
        }
        if let first = findings.first { throw .damaged(name: name, first) }
        guard let contents else { preconditionFailure("a report without findings has contents") }
        return contents
    }
}
