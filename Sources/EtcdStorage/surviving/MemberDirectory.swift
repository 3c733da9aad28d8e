import HostIO
import Protobuf

/// The data directory of a member that does not run, which is only read.
///
/// As long as this object lives no etcd can start there: it holds the lock of the database that etcd takes (bbolt, `flock`),
/// shared with others that read.
public final class MemberDirectory: Sendable {
    /// The path as it was given.
    public let path: String
    /// The database.
    public let database: RandomAccessFile
    /// Whether the lock could be taken: a file system may have none, and then nothing tells whether an etcd runs.
    public let isLocked: Bool
    let snapshots: OpenDirectory
    let log: OpenDirectory

    /// Opens the directory that etcd was given (`--data-dir`).
    ///
    /// - Throws: ``Failure`` with the code `notFound` where there is no member's data, `failed` while an etcd runs on it.
    public init(path: String) throws {
        self.path = path
        let member = try Self.member(path)
        snapshots = try OpenDirectory(path: member.path(of: "snap"))
        database = try RandomAccessFile(path: snapshots.path(of: "db"))
        do {
            guard try tryLockShared(database) else {
                throw Failure(
                    .failed, "the database in \(quoted(path)) is in use by a running process, such as an etcd",
                    hint: "stop it, or take a snapshot from it: `etcd-snap backup`")
            }
            isLocked = true
        } catch is SystemCallError {
            isLocked = false
        }
        guard member.contains("wal") else {
            throw Failure(
                .notFound, "\(quoted(path)) has a database and no write-ahead log in member/wal",
                hint:
                    "one that etcd was given a directory of its own for has to be copied there; without it the database can be "
                    + "restored alone, as the snapshot member/snap/db without its sha-256 trailer",
                settings: [.skipHashCheck])
        }
        log = try OpenDirectory(path: member.path(of: "wal"))
    }

    private static func member(_ path: String) throws -> OpenDirectory {
        let root = try OpenDirectory(path: path)
        // What is on another disk is often reached by a link.
        if let member = try? OpenDirectory(path: root.path(of: "member")),
            let snapshots = try? OpenDirectory(path: member.path(of: "snap")), snapshots.contains("db")
        {
            return member
        }
        let below = try? root.openDirectory("snap")
        let hint =
            root.contains("wal") && below?.contains("db") == true
            ? "name the directory above it" : "it is what etcd was started with, such as /var/lib/etcd"
        throw Failure(
            .notFound, "\(quoted(path)) is no data directory of an etcd member: it has no member/snap/db", hint: hint)
    }

    /// Reads all of it.
    ///
    /// - Parameter watched: the bytes of ``database``, where their reading is watched.
    /// - Throws: ``StorageError`` for a damaged database, ``Failure`` for a damaged log.
    public func read(_ watched: (any RandomAccessBytes)? = nil) throws -> SurvivingMember {
        let log = try SurvivingLog(directory: log)
        let report = try SnapshotStatus.verify(watched ?? database, checksTrailer: false).report
        let contents = try report.requireSound(trailer: .ignored)
        return SurvivingMember(
            path: path, databaseByteCount: report.databaseByteCount, contents: contents, log: log,
            raftSnapshot: try raftSnapshot(log.snapshots), isLocked: isLocked)
    }

    // MARK: Raft's snapshots

    private static let snapshotByteCountLimit = 256 << 20

    /// The newest of raft's snapshots that is sound and that the log knows: where etcd before 3.7 starts.
    private func raftSnapshot(_ known: [LogPosition]) throws -> LogPosition? {
        let names = try snapshots.utf8Names().compactMap { name -> (name: String, place: LogPosition)? in
            guard let (term, index) = SurvivingLog.hexadecimalPair(name, suffix: ".snap") else { return nil }
            return (name, LogPosition(term: term, index: index))
        }.sorted { $0.place.index > $1.place.index }
        let places = Set(known)
        return try names.first { try places.contains($0.place) && isSound(snapshots.path(of: $0.name)) }?.place
    }

    /// {1 crc, 2 data}, as ``RaftSnapshot`` writes it.
    private func isSound(_ path: String) throws -> Bool {
        let file = try RandomAccessFile(path: path)
        guard file.byteCount <= Self.snapshotByteCountLimit else { return false }
        return try file.bytes(at: 0, count: file.byteCount).withUnsafeBytes { bytes in
            var stored: UInt64?
            var computed: UInt32?
            let isMessage = ProtobufReader.forEachField(in: bytes) { field in
                switch (field.number, field.payload) {
                case (1, .varint(let number)): stored = number
                case (2, .bytes(let data)): computed = CRC32C(data).value
                default: break
                }
                return true
            }
            return isMessage && stored != nil && stored == computed.map(UInt64.init)
        }
    }
}

/// What the data directory of a member that does not run holds.
public struct SurvivingMember: Sendable {
    /// The directory.
    public var path: String
    /// The size of the database in bytes; its file may be longer.
    public var databaseByteCount: Int
    /// What the database has.
    public var contents: SnapshotContents
    /// What the log has.
    public var log: SurvivingLog
    /// The newest of raft's own snapshots that etcd can start from; nil if there is none.
    public var raftSnapshot: LogPosition?
    /// Whether it is known that no etcd runs there.
    public var isLocked: Bool

    /// The last entry that is in the database.
    public var appliedIndex: UInt64 { contents.store.consistentIndex ?? 0 }

    /// The last entry that is there at all.
    public var lastIndex: UInt64 { max(log.last.index, appliedIndex) }

    /// How many entries only the log has, and the member knew to be committed.
    public var committedCount: UInt64 { Self.count(from: appliedIndex, to: min(log.commit, log.last.index)) }

    /// How many entries only the log has, and may or may not be committed: the member did not learn it.
    public var uncommittedCount: UInt64 { Self.count(from: max(log.commit, appliedIndex), to: log.last.index) }

    /// How many entries are in the log and not in the database.
    public var missingCount: UInt64 { Self.count(from: appliedIndex, to: log.last.index) }

    /// Whether the log has every entry from the database on, so that etcd can go on with them.
    public var isLogUsable: Bool {
        guard let first = log.firstIndex else { return missingCount == 0 }
        return first <= appliedIndex + 1 && log.last.index >= appliedIndex && (raftSnapshot != nil || first <= 1)
    }

    /// Whether its log is newer than another's by raft's own rule for elections: whichever wins has all that was committed on
    /// either, as long as both are of one cluster.
    public func isNewer(than other: SurvivingMember) -> Bool {
        (log.last.term, lastIndex, log.commit) > (other.log.last.term, other.lastIndex, other.log.commit)
    }

    private static func count(from index: UInt64, to end: UInt64) -> UInt64 { end > index ? end - index : 0 }
}
