import HostIO
import SystemPackage

/// Where a restored member goes.
public struct RestoreTarget: Sendable, Hashable {
    /// The member's name in the cluster.
    public var memberName: String
    /// The data directory; must not exist or be empty, its parent must exist.
    public var dataDirectory: String
    /// A separate directory for the write-ahead log: etcd's `--wal-dir`; must not exist or be empty, its parent must exist.
    public var walDirectory: String?

    /// A target.
    public init(memberName: String, dataDirectory: String, walDirectory: String? = nil) {
        self.memberName = memberName
        self.dataDirectory = dataDirectory
        self.walDirectory = walDirectory
    }
}

/// Rebuilds members of a new cluster from a snapshot.
public enum Restore {
    /// Verifies a snapshot and writes a data directory for each target.
    ///
    /// A file is read once: while its structure and its SHA-256 trailer are checked, the pages in use are copied. A snapshot
    /// in an archive is read twice, first to check its structure, then to copy it and check its trailer. Further members
    /// share the first one's blocks where the file system can, or copy its file. What was written is read back and verified
    /// like a snapshot, which takes about a fifth of the time; then it is published. Everything is built in a temporary
    /// directory beside each target, synced, and renamed; an empty directory that is there is kept and filled by one rename. On
    /// failure nothing is left, and what is killed between two renames is taken back by the next run: the targets belong
    /// together, by a token of which nobody else may know.
    /// Memory: twice what ``SnapshotVerifier`` states and 6 MiB.
    ///
    /// - Parameters:
    ///   - bytes: the snapshot as the server sent it, or the `db` file of a stopped member.
    ///   - plan: the cluster and what is changed.
    ///   - targets: one or more members of the cluster.
    /// - Throws: ``StorageError``.
    public static func run(
        from bytes: any RandomAccessBytes, plan: RestorePlan, to targets: [RestoreTarget]
    ) throws(StorageError) -> MemberRestoreReport {
        let builds = try targets.map { (target) throws(StorageError) in
            try MemberBuild(target, member: try plan.cluster.member(named: target.memberName))
        }
        let file = try BoltFile(bytes)
        var first: FirstDatabase?
        let ownerRefusal = try build(builds, plan) { source, target in
            if let source, let first { return try first.writer.write(from: source, to: target) }
            first = try FirstDatabase(file, plan: plan, to: target)
        }
        guard let first else { preconditionFailure("a restore has a target") }
        var report = first.report(plan)
        report.ownerRefusal = ownerRefusal
        return report
    }

    /// Checks that members could be built there; changes nothing.
    ///
    /// - Throws: what ``run(from:plan:to:)`` would throw for the targets.
    public static func check(_ targets: [RestoreTarget]) throws(StorageError) {
        for target in targets {
            try wrappingErrors {
                for path in [target.dataDirectory, target.walDirectory].compactMap(\.self) {
                    try StagingPlace.check(path, keepsExisting: true)
                }
            }
        }
    }

    /// The sizes in bytes of the files that a member's directories get.
    ///
    /// - Parameter databaseByteCount: that of the snapshot.
    /// - Returns: those of the data directory without its log, and that of the log.
    public static func fileSizes(databaseByteCount: Int) -> (data: [Int], log: Int) {
        ([databaseByteCount], WriteAheadLog.segmentByteCount)
    }

    private static func build(
        _ builds: [MemberBuild], _ plan: RestorePlan,
        _ writeDatabase: (_ source: RandomAccessFile?, _ file: MemberFile) throws -> Void
    ) throws(StorageError) -> SystemCallError? {
        do {
            return try wrappingErrors {
                var first: MemberFile?
                if plan.isOwnerRequired, let owner = plan.owner {
                    // Before anything is written: the file system may refuse what this process may do.
                    for build in builds {
                        if let refusal = try build.tryGiving(to: owner) { throw owner.failure(refusal) }
                    }
                }
                for build in builds { try build.write(plan.cluster, sharing: &first, writeDatabase) }
                let refusals = try builds.compactMap { build in try plan.owner.flatMap { try build.give(to: $0) } }
                if plan.isOwnerRequired, let owner = plan.owner, let refusal = refusals.first {
                    throw owner.failure(refusal)
                }
                try StagingDirectory.publish(builds.flatMap(\.stagings))
                return refusals.first
            }
        } catch {
            for build in builds { build.discard() }
            throw error
        }
    }
}

/// The database of the first member, made from the snapshot.
private struct FirstDatabase {
    let source: SnapshotReport
    let writer: DatabaseWriter

    /// Verifies the snapshot and writes the database.
    init(_ file: BoltFile, plan: RestorePlan, to target: MemberFile) throws(StorageError) {
        let copy = EarlyCopy(of: file, to: target)
        let snapshot = try SnapshotStatus.verify(
            file.bytes, checksTrailer: copy != nil,
            selecting: plan.deletedKeys.isEmpty ? nil : RowSelection(keys: plan.deletedKeys),
            beside: copy.map { copy in { try copy.consume($0) } })
        guard snapshot.meta == file.meta else { throw .inputOutput(Self.changed(file)) }
        var report = snapshot.report
        try report.requireSound(trailer: plan.trailerPolicy)
        let edit = try DatabaseEdit.make(file: file, snapshot: snapshot, plan: plan)
        writer = DatabaseWriter(edit: edit)
        if try wrappingErrors({ try copy?.settle(edit.copied) ?? false }) {
            try writer.complete(target)
        } else {
            let digest = report.trailer != .absent ? TrailerDigest() : nil
            try writer.write(from: file.bytes, to: target, digest: digest)
            if let digest { report.trailer = digest.state() }
            try report.requireSound(trailer: plan.trailerPolicy)
        }
        source = report
    }

    private static func changed(_ file: BoltFile) -> Failure {
        Failure(
            .failed, "\(quoted(file.name)) changed while it was read",
            hint: "stop the member that writes it, or take a snapshot")
    }

    func report(_ plan: RestorePlan) -> MemberRestoreReport {
        let contents = source.contents
        return MemberRestoreReport(
            source: source, cluster: plan.cluster, revision: writer.edit.revision,
            deletedKeyCount: plan.deletedKeys.count, droppedAlarms: contents?.store.alarms ?? [],
            droppedVersions: contents.map(plan.dropsVersions) ?? false,
            clearedPageCount: source.pageCount - writer.edit.copied.count - 2, databaseByteCount: writer.byteCount)
    }
}

/// One member's directories while they are built.
private final class MemberBuild {
    private let member: PlannedMember
    private let data: PendingDirectory
    private let wal: PendingDirectory?

    init(_ target: RestoreTarget, member: PlannedMember) throws(StorageError) {
        self.member = member
        data = try PendingDirectory(path: target.dataDirectory)
        wal = try target.walDirectory.map { (path) throws(StorageError) in try PendingDirectory(path: path) }
    }

    /// What is to be published; a log is there before its data.
    var stagings: [StagingDirectory] { [wal, data].compactMap(\.self?.staging) }

    /// Writes all files; the database from `first` if that is there already.
    func write(
        _ cluster: PlannedCluster, sharing first: inout MemberFile?,
        _ writeDatabase: (_ source: RandomAccessFile?, _ file: MemberFile) throws -> Void
    ) throws {
        let root = try data.make()
        let memberDirectory = try root.makeDirectory("member")
        let snap = try memberDirectory.makeDirectory("snap")
        let database = try MemberFile(in: snap, name: "db")
        if let first {
            if database.shareBlocks(of: first) {
                try database.sync()
            } else {
                try writeDatabase(RandomAccessFile(path: first.path), database)
            }
        } else {
            try writeDatabase(nil, database)
            first = database
        }
        let raftSnapshot = RaftSnapshot(cluster: cluster)
        try Self.write(raftSnapshot.bytes, raftSnapshot.fileName, in: snap, reserving: nil)
        let walDirectory = try wal?.make() ?? memberDirectory.makeDirectory("wal")
        let log = WriteAheadLog(cluster: cluster, member: member)
        try Self.write(log.bytes, WriteAheadLog.fileName, in: walDirectory, reserving: WriteAheadLog.segmentByteCount)
        for directory in [snap, walDirectory, memberDirectory, root] { try directory.sync() }
    }

    private static func write(
        _ bytes: [UInt8], _ name: String, in directory: OpenDirectory, reserving byteCount: Int?
    ) throws {
        let file = try MemberFile(in: directory, name: name)
        if let byteCount { try file.reserve(byteCount) }
        try file.write(bytes, at: 0)
        try file.sync()
        let written = try RandomAccessFile(path: file.path)
        guard try written.bytes(at: 0, count: bytes.count) == bytes else {
            throw StorageError.writtenWrong(path: file.path, "it has other bytes")
        }
    }

    /// Gives the directories to an owner and takes them back, as long as they are empty; if that is not allowed, says why.
    func tryGiving(to owner: FileOwner) throws -> SystemCallError? {
        try refusal {
            for directory in [data, wal] {
                guard let made = try directory?.make() else { continue }
                for owner in [owner, .ofThisProcess] {
                    try OpenFileAttributes(of: made.descriptor, name: made.path)
                        .setOwner(userID: owner.userID, groupID: owner.groupID)
                }
            }
        }
    }

    /// Gives all that was written to an owner; to whom that is not allowed, it is told why.
    func give(to owner: FileOwner) throws -> SystemCallError? {
        try refusal { for directory in [data, wal] { try directory?.setOwner(owner) } }
    }

    private func refusal(_ body: () throws -> Void) throws -> SystemCallError? {
        do {
            try body()
            return nil
        } catch let error as SystemCallError
            where [.notPermitted, .permissionDenied, .invalidArgument, .notSupported, .noFunction, .overflow].contains(
                error.errno)
        {
            return error
        }
    }

    func discard() {
        data.discard()
        wal?.discard()
    }
}

/// A data directory or log directory that is built beside its place and then renamed, or in an empty one that is there; any
/// other that exists is refused.
private final class PendingDirectory {
    private let path: String
    private(set) var staging: StagingDirectory?

    /// - Throws: ``StorageError/inputOutput(_:)`` if something else of that name exists.
    init(path: String) throws(StorageError) {
        self.path = path
        _ = try wrappingErrors { try StagingPlace(path, keepsExisting: true) }
    }

    /// The directory to fill, made when it is first asked for.
    func make() throws -> OpenDirectory {
        if let staging { return staging.directory }
        let staging = try StagingDirectory(target: path, keepsExisting: true)
        self.staging = staging
        return staging.directory
    }

    func setOwner(_ owner: FileOwner) throws {
        guard let staging else { return }
        try staging.directory.setOwnerOfTree(owner)
        guard let filled = staging.filled else { return }
        try OpenFileAttributes(of: filled.descriptor, name: filled.path)
            .setOwner(userID: owner.userID, groupID: owner.groupID)
    }

    /// Removes what was made, also after it was published.
    func discard() { staging?.discard() }
}
