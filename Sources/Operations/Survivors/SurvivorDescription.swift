import EtcdStorage
import HostIO
import SealedArchive
import SystemPackage

/// What the data directory of a stopped or dead member holds, as `inspect status` shows it.
public struct SurvivorDescription: Codable, Sendable {
    /// The write-ahead log.
    public struct Log: Codable, Sendable {
        /// The number of its files.
        public var fileCount: Int
        /// The first entry that is there; nil if there is none.
        public var firstIndex: UInt64?
        /// The last entry.
        public var lastIndex: UInt64
        /// The term of that entry.
        public var lastTerm: UInt64
        /// The last entry that the member knew to be committed.
        public var commit: UInt64
        /// The newest term that the member has seen.
        public var term: UInt64
        /// The entry up to which raft's newest usable snapshot reaches; nil for none.
        public var raftSnapshotIndex: UInt64?
        /// Where a record at the end of the last file was torn by a crash; nil for nowhere.
        public var tornAt: Int?
    }

    /// The directory.
    public var directory: String
    /// The cluster's ID in hexadecimal.
    public var clusterID: String
    /// The member's ID in hexadecimal.
    public var memberID: String
    /// The member's name; nil where its database does not have it.
    public var memberName: String?
    /// The revision that the database continues from.
    public var revision: Int64
    /// The revision of the last compaction, -1 if there was none.
    public var compactRevision: Int64
    /// The last entry of raft that the database has.
    public var appliedIndex: UInt64
    /// The size of the database in bytes.
    public var databaseByteCount: Int
    /// The cluster's version, such as `3.5.0`.
    public var clusterVersion: String?
    /// The members that the database knows.
    public var members: [EtcdMemberRecord]
    /// Whether clients have to authenticate.
    public var authEnabled: Bool
    /// The log.
    public var log: Log
    /// The entries that the log has beyond the database, and the member knew to be committed.
    public var committedBeyond: UInt64
    /// The entries beyond these, of which the member did not know it.
    public var uncommittedBeyond: UInt64
    /// What a person should know.
    public var remarks: [String]

    /// The entries that only the log has.
    public var entriesBeyond: UInt64 { committedBeyond + uncommittedBeyond }

    init(_ member: SurvivingMember) {
        directory = member.path
        clusterID = hexadecimal(member.log.clusterID)
        memberID = hexadecimal(member.log.memberID)
        let store = member.contents.store
        memberName = store.members.first { $0.id == member.log.memberID }?.name
        revision = member.contents.currentRevision
        compactRevision = member.contents.compactRevision
        appliedIndex = member.appliedIndex
        databaseByteCount = member.databaseByteCount
        clusterVersion = store.clusterVersion
        members = store.members.map {
            EtcdMemberRecord(
                id: hexadecimal($0.id), name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs,
                isLearner: $0.isLearner)
        }
        authEnabled = store.isAuthEnabled
        log = Log(
            fileCount: member.log.files.count, firstIndex: member.log.firstIndex, lastIndex: member.log.last.index,
            lastTerm: member.log.last.term, commit: member.log.commit, term: member.log.term,
            raftSnapshotIndex: member.raftSnapshot?.index, tornAt: member.log.torn?.offset)
        committedBeyond = member.committedCount
        uncommittedBeyond = member.uncommittedCount
        remarks = Self.remarks(member)
    }

    private static func remarks(_ member: SurvivingMember) -> [String] {
        var remarks: [String] = []
        let log = member.log
        if !member.isLocked {
            remarks.append(
                "its file system has no locks, so nothing tells whether an etcd runs there: be sure that none does")
        }
        if let torn = log.torn {
            remarks.append(
                "the last record of \(quoted(lastName(log.files.last ?? ""))), at offset \(torn.offset), was not written "
                    + "whole (\(torn.reason)); \(torn.byteCount) bytes from there on are lost, as a crash leaves it")
        }
        if log.last.index < member.appliedIndex {
            remarks.append(
                "its log ends at entry \(log.last.index), before the database, which has \(member.appliedIndex): files of "
                    + "the log are lost, and the database alone can be used")
        } else if !member.isLogUsable {
            remarks.append(
                "its log begins at entry \(log.firstIndex.map(String.init) ?? "none"), and no snapshot of raft's in "
                    + "member/snap leads there: etcd does not start on it, and the database alone can be used")
        }
        if log.commit > log.last.index {
            remarks.append(
                "entries \(log.last.index + 1) to \(log.commit) were committed, and are not in its log any more")
        }
        return remarks
    }
}

/// Reads what members that don't run have left.
public enum SurvivorOperation {
    /// Whether a path leads to a directory that looks like a member's.
    public static func isMemberDirectory(_ path: String) -> Bool {
        let path = absolutePath(path).string
        return ["member", "snap"].contains { entryKind(at: joinPath(path, $0)) == .directory }
    }

    /// What is in a data directory; nothing is written there.
    ///
    /// - Throws: ``Failure`` where an etcd runs on it, or it is no data directory; ``StorageError`` for a damaged one.
    public static func status(_ path: String, observer: Observer = Observer()) async throws -> SurvivorDescription {
        try await Survivor.read(path, observer: observer).description
    }
}

/// A data directory that was read, which no etcd can start on as long as this lives.
public struct Survivor: Sendable {
    /// The directory.
    let directory: MemberDirectory
    /// What is in it.
    let member: SurvivingMember
    /// The same for people.
    public let description: SurvivorDescription

    /// Reads a directory.
    public static func read(_ path: String, observer: Observer = Observer()) async throws -> Survivor {
        try await withBlockingThread("etcd-snap.survivor") {
            releaseUnusedCode()
            return try stoppable {
                let directory = try MemberDirectory(path: path)
                let bytes = WatchedBytes(directory.database, phase: "read the database", observer: observer)
                let member = try directory.read(bytes)
                return Survivor(directory: directory, member: member, description: SurvivorDescription(member))
            }
        }
    }
}
