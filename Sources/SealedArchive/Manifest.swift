import FoundationEssentials
import HostIO

/// The last member of an archive, `manifest.json`: everything it holds and everything it lacks.
public struct Manifest: Codable, Sendable, RuledDocument {
    /// The version of the manifest's format, ``ArchiveFormat/version``; nil means 1.
    public var formatVersion: Int? = ArchiveFormat.version
    /// What a reader of the manifest must know besides, or refuses it; nil means nothing.
    public var requires: [String]? = []
    /// The archive's header, repeated so that the manifest stands by itself.
    public var archive: ArchiveHeader
    /// The number of this archive among those of its cluster and node, from 1; nil where it was not sealed.
    public var sequence: Int?
    /// SHA-256 of the sidecar before it as it was stored, in hexadecimal; none for the first.
    public var previousSidecarSHA256: String?
    /// Every member before the manifest, in archive order.
    public var entries: [ManifestEntry]
    /// The etcd snapshots.
    public var etcd: [EtcdSnapshotRecord]
    /// What was met and not taken, and why.
    public var skipped: [SkippedPath]
    /// What needs attention.
    public var findings: [Finding]
    /// How the backup came about; nil of archives that were made before there was such a record.
    public var run: RunRecord?
    /// The slot that this is the backup of, where nodes share snapshots.
    public var slot: SlotRecord?
    /// The etcds whose snapshots other nodes' backups have; nil for none.
    public var sharedSnapshots: [SharedSnapshot]?
    /// What whoever made the backup calls its kind, which decides by which rules it is kept; nil for none.
    public var retentionClass: String?

    /// A manifest without entries.
    public init(archive: ArchiveHeader, sequence: Int = 1, previousSidecarSHA256: String? = nil) {
        self.archive = archive
        self.sequence = sequence
        self.previousSidecarSHA256 = previousSidecarSHA256
        entries = []
        etcd = []
        skipped = []
        findings = []
    }
}

/// A member of an archive as the manifest records it.
public struct ManifestEntry: Codable, Sendable, Equatable {
    /// The path in the archive; bytes that are not UTF-8 are replaced, then `pathBytes` has them.
    public var path: String
    /// The path's bytes when they are not valid UTF-8.
    public var pathBytes: Data?
    /// The type.
    public var kind: OpenValue<EntryKind>
    /// What the entry is in a control plane: `include`, `etcd`, `header`.
    public var role: String
    /// The absolute path or the endpoint that it was read from.
    public var source: String?
    /// The source's bytes when they are not valid UTF-8.
    public var sourceBytes: Data?
    /// The size in bytes.
    public var size: Int
    /// SHA-256 of the bytes in hexadecimal; only files have one.
    public var sha256: String?
    /// The permission bits in octal, such as `0600`.
    public var mode: String
    /// The owner, as `uid:gid`.
    public var owner: String
    /// When the file was last modified; the nearest of the years 1 to 9999 if it is not in them.
    public var modifiedAt: Date
    /// Where a link points.
    public var linkTarget: String?
    /// The link target's bytes when they are not valid UTF-8.
    public var linkTargetBytes: Data?
    /// Where the bytes begin in the uncompressed tar.
    public var offset: Int

    init(_ metadata: EntryMetadata, role: String, source: [UInt8]?, sha256: [UInt8]?, offset: Int) {
        let path = RecordedName(metadata.path)
        let source = source.map(RecordedName.init)
        let linkTarget = metadata.linkTarget.map(RecordedName.init)
        (self.path, pathBytes) = (path.text, path.bytes)
        (self.source, sourceBytes) = (source?.text, source?.bytes)
        (self.linkTarget, linkTargetBytes) = (linkTarget?.text, linkTarget?.bytes)
        kind = OpenValue(metadata.kind)
        self.role = role
        size = metadata.byteCount
        self.sha256 = sha256?.hexadecimal
        mode = "0" + String(metadata.mode, radix: 8)
        owner = "\(metadata.userID):\(metadata.groupID)"
        let writable = Self.writableSeconds
        let seconds = min(max(metadata.modificationSeconds, writable.lowerBound), writable.upperBound)
        modifiedAt = Date(timeIntervalSince1970: Double(seconds))
        self.offset = offset
    }

    /// The path in the archive as bytes.
    public var pathInArchive: [UInt8] { RecordedName.bytes(text: path, bytes: pathBytes) }

    /// Where a link points, as bytes; of a hard link it is the path in the archive of the file that it is a name of.
    public var linkTargetInArchive: [UInt8]? {
        linkTarget.map { RecordedName.bytes(text: $0, bytes: linkTargetBytes) }
    }

    /// The times that RFC 3339 can write, for its years have four digits; a file may have any other.
    private static let writableSeconds: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    /// Whether a member is the one that this entry records, apart from its bytes.
    func describes(_ metadata: EntryMetadata) -> Bool {
        var found = ManifestEntry(metadata, role: role, source: nil, sha256: nil, offset: offset)
        (found.source, found.sourceBytes, found.sha256) = (source, sourceBytes, sha256)
        return found == self
    }
}

/// An etcd snapshot in an archive: where it came from and what was checked.
public struct EtcdSnapshotRecord: Codable, Sendable {
    /// The name of this etcd on the node; the snapshot is `etcd/<name>.db`.
    public var name: String
    /// The endpoint that it was taken from.
    public var endpoint: String
    /// Why that endpoint was taken.
    public var reason: String
    /// The cluster's ID in hexadecimal, as etcdctl prints it.
    public var clusterID: String
    /// The ID of the member that served the snapshot, in hexadecimal.
    public var memberID: String
    /// The server's version.
    public var serverVersion: String
    /// The storage version that the server named; etcd 3.6 and later do.
    public var storageVersion: String?
    /// The store's revision just before the snapshot; the snapshot's is the same or newer.
    public var revisionAtStart: Int64
    /// The revision of the snapshot itself.
    public var revision: Int64?
    /// The revision of the last compaction in the snapshot, -1 if there was none.
    public var compactRevision: Int64?
    /// The hash that `etcdutl snapshot status` prints.
    public var hash: UInt32?
    /// The hash over the key space at ``revision``, as a member answers that has compacted no further: etcd's HashKV.
    public var hashKV: UInt32?
    /// The rows of all buckets: `totalKey` of `etcdutl snapshot status` up to 3.5.
    public var totalKey: Int?
    /// How many revisions the cluster wrote per second since the backup before; nil for the first.
    public var revisionsPerSecond: Double?
    /// The raft term just before the snapshot.
    public var raftTerm: UInt64
    /// The size of the database in bytes, without the trailer of 32 bytes.
    public var databaseSize: Int
    /// SHA-256 of the database in hexadecimal: the trailer that etcd sent, matched.
    public var databaseSHA256: String
    /// The members of the cluster.
    public var members: [EtcdMemberRecord]
    /// The data directory of the node's own member; nil if none is known.
    public var dataDirectory: DataDirectoryRecord?
    /// Alarms that were raised, such as `NOSPACE` of a member; empty too where ``alarmsKnown`` is false.
    public var alarms: [String]
    /// Whether the cluster could be asked for its alarms; nil of archives that don't say.
    public var alarmsKnown: Bool?
    /// `true` where the member was behind its cluster, or saw no leader; else nil.
    public var mayBeOld: Bool?
    /// The verification levels reached for this snapshot.
    public var verification: OpenValue<VerificationLevel>
    /// How long the stream took, in seconds.
    public var durationSeconds: Double

    /// A record from its parts.
    public init(
        name: String, endpoint: String, reason: String, clusterID: String, memberID: String, serverVersion: String,
        storageVersion: String?, revisionAtStart: Int64, raftTerm: UInt64, databaseSize: Int, databaseSHA256: String,
        members: [EtcdMemberRecord], alarms: [String], verification: VerificationLevel, durationSeconds: Double
    ) {
        self.name = name
        self.endpoint = endpoint
        self.reason = reason
        self.clusterID = clusterID
        self.memberID = memberID
        self.serverVersion = serverVersion
        self.storageVersion = storageVersion
        self.revisionAtStart = revisionAtStart
        self.raftTerm = raftTerm
        self.databaseSize = databaseSize
        self.databaseSHA256 = databaseSHA256
        self.members = members
        self.alarms = alarms
        self.verification = OpenValue(verification)
        self.durationSeconds = durationSeconds
    }
}

/// The data directory of an etcd on the node of a backup, whose bytes are in no archive.
public struct DataDirectoryRecord: Codable, Sendable, Equatable {
    /// Its absolute path on the node.
    public var path: String
    /// The owner, as `uid:gid`.
    public var owner: String
    /// The permission bits in octal, such as `0700`.
    public var mode: String

    /// A record from its parts.
    public init(path: String, owner: String, mode: String) {
        self.path = path
        self.owner = owner
        self.mode = mode
    }
}

/// A member of an etcd cluster as it was at the backup.
public struct EtcdMemberRecord: Codable, Sendable, Equatable {
    /// The ID in hexadecimal.
    public var id: String
    /// The name.
    public var name: String
    /// The URLs for other members.
    public var peerURLs: [String]
    /// The URLs for clients.
    public var clientURLs: [String]
    /// Whether the member only learns.
    public var isLearner: Bool

    /// A member from its parts.
    public init(id: String, name: String, peerURLs: [String], clientURLs: [String], isLearner: Bool) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }
}

/// Something that was met and not taken.
public struct SkippedPath: Codable, Sendable, Equatable {
    /// The path on the host, or what was asked of it.
    public var path: String
    /// The path's bytes when they are not valid UTF-8.
    public var pathBytes: Data?
    /// Why it was not taken.
    public var reason: String

    /// A skipped path from its parts.
    public init(path: String, reason: String) {
        self.path = path
        self.reason = reason
    }

    /// A skipped path by its bytes.
    public init(path: [UInt8], reason: String) {
        let name = RecordedName(path)
        (self.path, pathBytes) = (name.text, name.bytes)
        self.reason = reason
    }
}

/// Something that needs attention, with what to do about it.
public struct Finding: Codable, Sendable, Equatable {
    /// How bad it is.
    public enum Severity: String, Codable, Sendable {
        /// A restore would lack something.
        case error
        /// A restore works, but something is off.
        case warning
        /// Nothing is wrong, but whoever restores should know it.
        case note
    }

    /// How bad it is.
    public var severity: OpenValue<Severity>
    /// A stable name, such as `file-missing`.
    public var code: String
    /// What it is about: a path, an endpoint.
    public var subject: String
    /// One sentence.
    public var message: String
    /// What to do next.
    public var advice: String?
    /// That the configuration accepts it as it is; nil if it does not.
    public var accepted: Acceptance?

    /// Why a finding is no defect for now.
    public struct Acceptance: Codable, Sendable, Equatable {
        /// The reason that was given.
        public var reason: String
        /// The last day, such as `2027-01-31`; nil for as long as the configuration says so.
        public var until: String?

        /// An acceptance from its parts.
        public init(reason: String, until: String? = nil) {
            self.reason = reason
            self.until = until
        }
    }

    /// Whether it asks for something to be done: neither a note nor accepted.
    public var isDefect: Bool { severity != .note && accepted == nil }

    /// A finding from its parts.
    public init(_ severity: Severity, code: String, subject: String, message: String, advice: String? = nil) {
        self.severity = OpenValue(severity)
        self.code = code
        self.subject = subject
        self.message = message
        self.advice = advice
    }
}

extension [Finding] {
    /// How many ask for something to be done.
    public var defectCount: Int { count { $0.isDefect } }
}

/// How far an archive has been verified; each level includes the ones before it.
public enum VerificationLevel: String, Codable, Sendable, CaseIterable, Comparable {
    /// Length and SHA-256 trailer of the snapshot matched while it streamed; every captured file was read whole.
    case streamed
    /// Every page of the database was checked.
    case structural
    /// The key space's hash equals the cluster's own.
    case consistent
    /// The stored object was read back.
    case stored
    /// A real etcd booted from it.
    case drilled

    /// Orders by strength.
    public static func < (left: Self, right: Self) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}
