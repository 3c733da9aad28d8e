import Age
import ArchiveStore
import EtcdStorage
import HostIO
import SealedArchive

/// What an etcd snapshot is, as `inspect status` shows it; the first eight names are etcdutl's and the RPCs'.
public struct SnapshotDescription: Codable, Sendable {
    /// The hash that `etcdutl snapshot status` prints.
    public var hash: UInt32
    /// The revision of the newest row.
    public var revision: Int64
    /// The rows of all buckets: `totalKey` of etcdutl up to 3.5.
    public var totalKey: Int
    /// The keys that exist at the newest revision: `totalKey` of etcdutl since 3.6; nil where more keys were written since
    /// the compaction than fit into memory.
    public var liveKeys: Int?
    /// The size of the database in bytes.
    public var totalSize: Int
    /// The storage version; empty before etcd 3.6.
    public var version: String
    /// The hash that `Maintenance.HashKV` returns at the current revision; nil as for ``liveKeys``.
    public var hashKV: UInt32?
    /// The revision of the last compaction, -1 if there was none.
    public var compactRevision: Int64
    /// The file or archive member.
    public var name: String
    /// What became of the SHA-256 trailer: `matched`, `absent` or `unchecked`.
    public var trailer: String
    /// The revision that a server continues from.
    public var currentRevision: Int64
    /// The revisions of keys that are kept.
    public var revisionRows: Int
    /// The size of a page in bytes.
    public var pageSize: Int
    /// The pages that belong to no tree.
    public var freePages: Int
    /// The version of the cluster.
    public var clusterVersion: String?
    /// The members.
    public var members: [EtcdMemberRecord]
    /// The alarms that are raised.
    public var alarms: [RaisedAlarm]
    /// The number of leases.
    public var leases: Int
    /// Whether clients have to authenticate.
    public var authEnabled: Bool
    /// The number of users.
    public var users: Int
    /// The largest prefixes of the key space, by size.
    public var prefixes: [PrefixSize]
    /// The keys of Kubernetes' encryption at rest that values refer to.
    public var encryptionKeys: [EncryptionKeyUse]
    /// Rows that are not what etcd writes there, as bucket and key.
    public var unreadableRows: [String]

    init(_ report: SnapshotReport, _ contents: SnapshotContents, _ survey: RowSurvey) {
        name = report.name
        hash = contents.hash
        revision = contents.revision
        totalKey = contents.totalRowCount
        liveKeys = survey.liveKeyCount
        totalSize = report.databaseByteCount
        version = contents.store.storageVersion ?? ""
        hashKV = survey.hashKV?.hash
        compactRevision = contents.compactRevision
        trailer =
            switch report.trailer {
            case .absent: "absent"
            case .unchecked, .cut: "unchecked"
            case .matched, .mismatched: "matched"
            }
        currentRevision = contents.currentRevision
        revisionRows = contents.revisionRowCount
        pageSize = report.pageByteCount
        freePages = report.freePageCount
        clusterVersion = contents.store.clusterVersion
        members = contents.store.members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
        alarms = contents.store.alarms.map { RaisedAlarm(memberID: hexadecimal($0.memberID), kind: $0.kind) }
        leases = contents.store.leaseCount
        authEnabled = contents.store.isAuthEnabled
        users = contents.store.userCount
        prefixes = survey.prefixes
        encryptionKeys = survey.encryptionKeys
        unreadableRows = contents.store.unreadableRows
    }
}

/// An alarm in a snapshot.
public struct RaisedAlarm: Codable, Sendable {
    /// The member that raised it, in hexadecimal.
    public var memberID: String
    /// What it is about.
    public var kind: StoredAlarm.Kind
}

/// Looks into an etcd snapshot without a server.
public enum InspectOperation {
    /// Verifies a snapshot and says what it is; a file without the SHA-256 trailer is accepted, and that is said.
    ///
    /// - Parameter checksTrailer: whether the SHA-256 trailer is checked, which takes as long as all the rest.
    /// - Throws: ``StorageError`` for a snapshot that is damaged.
    public static func status(
        _ bytes: any RandomAccessBytes, checksTrailer: Bool = true, observer: Observer = Observer()
    ) async throws -> SnapshotDescription {
        try await withBlockingThread("etcd-snap.inspect") {
            releaseUnusedCode()
            return try stoppable {
                let bytes = WatchedBytes(bytes, phase: "inspect", observer: observer)
                let snapshot = try SnapshotStatus.verify(bytes, checksTrailer: checksTrailer)
                let contents = try snapshot.report.requireSound(trailer: .optional)
                let survey = try snapshot.survey(rereading: bytes)
                return SnapshotDescription(snapshot.report, contents, survey)
            }
        }
    }
}

/// A snapshot that a command works on: a file of its own, or a member of an archive.
public struct SnapshotSource: Sendable {
    /// The snapshot's bytes.
    public var bytes: any RandomAccessBytes
    /// What the archive's manifest says of it; nil for a bare file.
    public var record: EtcdSnapshotRecord?
    /// The archive; nil for a bare file.
    public var archive: ArchiveHeader?
    /// Which backup it is from, where another one was named.
    public var notes: [String] = []
    /// What speaks against taking it for the backup that was named.
    public var warnings: [String] = []

    /// A snapshot in a file of its own.
    public init(file: RandomAccessFile) { bytes = file }

    /// The snapshot of that name in an archive, or the only one; where another node's backup has it, that one's.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `usage` if there are several, `integrity` if another
    ///   node's backup has another snapshot than it had.
    public init(_ archive: OpenedArchive, identities: [any Identity], name: String?) throws {
        let reader = try archive.reader(identities)
        let manifest = try reader.readManifest()
        let elsewhere = manifest.sharedSnapshotsElsewhere
        guard !manifest.etcd.isEmpty || !elsewhere.isEmpty else {
            throw Self.withoutSnapshot(
                archive.reference, hint: "`etcd-snap list` shows which backups have a database: name one of them")
        }
        let names = manifest.etcd.map(\.name) + elsewhere.map(\.name)
        let found = names.filter { name == nil || $0 == name }
        guard let chosen = found.first else {
            throw Failure(
                .notFound, "\(quoted(archive.reference)) has no etcd snapshot \(quoted(name ?? ""))",
                hint: "it has \(names.joined(separator: ", "))", settings: [.snapshot])
        }
        guard found.count == 1 else {
            throw Failure(
                .usage, "\(quoted(archive.reference)) has \(found.count) etcd snapshots",
                hint: "name one: \(found.joined(separator: ", "))", settings: [.snapshot])
        }
        if let shared = elsewhere.first(where: { $0.name == chosen }) {
            let joined = try JoinedSnapshot(shared, for: archive, reader, identities: identities)
            bytes = try joined.reader.bytes(of: joined.entry)
            record = joined.record
            self.archive = try joined.reader.readManifest().archive
            notes = [joined.note]
            warnings = joined.warnings
            return
        }
        guard let record = manifest.etcd.first(where: { $0.name == chosen }),
            let entry = manifest.entries.first(where: { $0.path == record.path })
        else { throw Failure(.integrity, "\(quoted(archive.reference)) does not hold the snapshot \(quoted(chosen))") }
        bytes = try reader.bytes(of: entry)
        self.record = record
        self.archive = manifest.archive
    }

    /// The file of a snapshot by its path; nil if it is that of an archive or its sidecar.
    ///
    /// - Throws: ``Failure`` with the code `integrity` that says what else it is, ``SystemCallError``.
    public static func file(_ path: String) throws -> RandomAccessFile? {
        guard ![".age", ArchiveFormat.sidecarSuffix].contains(where: path.hasSuffix) else { return nil }
        let file = try RandomAccessFile(regular: path)
        let head = try file.bytes(at: 0, count: min(file.byteCount, FileKind.headByteCount))
        if FileKind(head, byteCount: file.byteCount) == .age { return nil }
        try FileKind.check(file, is: [.bolt], whatIsExpected: "an etcd snapshot")
        return file
    }

    /// That a backup has no snapshot, with the newest of the same node that has one.
    public static func failure(ofFilesAlone backup: StoredBackup, in store: any Store) -> Failure {
        let others = (try? store.list(cluster: backup.scope.cluster, node: backup.scope.node))?.backups ?? []
        let newest = others.last { !$0.sidecar.etcd.isEmpty }
        return withoutSnapshot(
            backup.reference,
            hint: newest.map { "the newest with one is \($0.reference)" } ?? "no backup of this node has one")
    }

    private static func withoutSnapshot(_ reference: String, hint: String) -> Failure {
        Failure(.notFound, "\(quoted(reference)) was taken without a snapshot of etcd, of files alone", hint: hint)
    }
}
