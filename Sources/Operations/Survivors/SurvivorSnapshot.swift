import Crypto
import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// How a snapshot is taken from a survivor.
public struct SurvivorOptions: Sendable {
    /// The program etcd; nil to look for it.
    public var etcdPath: String?
    /// Whether no etcd is booted, and the database is taken as it is.
    public var takesDatabaseAlone = false
    /// The directory in which a copy is booted; nil for the one that the snapshot is written to.
    public var scratch: String?

    /// With the etcd that is found.
    public init() {}

    /// Whether there is an etcd that can be booted, or one is named.
    public var findsEtcd: Bool { !takesDatabaseAlone && (etcdPath != nil || (try? EtcdProgram.find(nil)) != nil) }
}

/// A snapshot that was taken from a survivor.
struct SurvivorSnapshot: Sendable {
    /// The file's bytes: a database, and its SHA-256 behind it.
    var byteCount: Int
    /// SHA-256 of the database in hexadecimal.
    var databaseSHA256: String
    /// The revision that it continues from.
    var revision: Int64
    /// The version of the etcd that has taken up the log; nil where the database was taken as it is.
    var etcdVersion: String?
    /// The entries of the survivor's log that it lacks.
    var missingCount: UInt64
    var notes: [String] = []
    var warnings: [String] = []

    private static let pieceByteCount = 1 << 20

    /// Takes it: what only the log has too, where an etcd is at hand that can be booted on a copy.
    ///
    /// - Parameters:
    ///   - file: gets the snapshot, and is not published.
    ///   - parent: where the copy is, in a directory that is removed in the end; nil for a directory that is there already.
    static func take(
        _ survivor: Survivor, to file: PendingFile, in scratch: () throws -> DrillScratch, options: SurvivorOptions,
        observer: Observer
    ) async throws -> SurvivorSnapshot {
        let member = survivor.member
        guard let program = try program(for: member, options) else { return try alone(survivor, to: file, options) }
        let scratch = try scratch()
        if let leftover = scratch.leftover { observer.note(leftover) }
        defer { withExtendedLifetime(scratch) {} }
        let version = program.record.version
        observer.note(
            "etcd \(version) is booted on a copy of \(quoted(member.path)), for \(member.missingCount) entries that only its "
                + "log has")
        try checkRoom(survivor, scratch.directory, file.directory)
        let data = try scratch.directory.makeDirectory(DrilledEtcd.dataName)
        defer { try? scratch.directory.removeTree(DrilledEtcd.dataName) }
        try survivor.directory.copy(of: member, into: data)
        try await boot(program, survivor, in: scratch.directory)
        let database = try RandomAccessFile(path: data.path(of: "member/snap/db"))
        var snapshot = try write(database, to: file)
        let applied = snapshot.store.consistentIndex ?? 0
        guard applied >= member.log.last.index else {
            throw Failure(
                .integrity,
                "etcd \(version) has taken up entries to \(applied) of the log of \(quoted(member.path)), which goes to "
                    + "\(member.log.last.index)", hint: "boot another version, or take the database alone",
                settings: [.survivorEtcd, .databaseAlone])
        }
        snapshot.taken.etcdVersion = version
        snapshot.taken.notes = notes(member, version, snapshot.taken.revision)
        return snapshot.taken
    }

    /// The etcd to boot; nil where there is nothing that it could add, or none.
    private static func program(
        for member: SurvivingMember, _ options: SurvivorOptions
    ) throws -> EtcdProgram? {
        guard !options.takesDatabaseAlone, member.missingCount > 0, member.isLogUsable else { return nil }
        do {
            return try EtcdProgram.find(options.etcdPath)
        } catch let failure as Failure {
            if failure.code == .notFound, options.etcdPath == nil { return nil }
            var told = failure
            told.settings = [.survivorEtcd]
            throw told
        }
    }

    private static func alone(
        _ survivor: Survivor, to file: PendingFile, _ options: SurvivorOptions
    ) throws -> SurvivorSnapshot {
        let member = survivor.member
        var snapshot = try write(survivor.directory.database, to: file).taken
        snapshot.missingCount = member.missingCount
        if member.missingCount == 0 {
            snapshot.notes = [
                "the database of \(quoted(member.path)) has all of its log: no etcd had to be booted for it"
            ]
            return snapshot
        }
        let why =
            options.takesDatabaseAlone
            ? "as was asked for"
            : member.isLogUsable ? "for there is no etcd here to boot: name one" : "for etcd would not start on its log"
        snapshot.warnings = [
            "the database of \(quoted(member.path)) is taken alone, \(why); it lacks \(member.missingCount) entries that only "
                + "the log has, \(member.committedCount) of them known to be committed: writes that clients saw succeed"
        ]
        return snapshot
    }

    private static func notes(_ member: SurvivingMember, _ version: String, _ revision: Int64) -> [String] {
        var notes = [
            "etcd \(version) took up \(member.missingCount) entries of the log of \(quoted(member.path)): the revision is "
                + "\(revision), and the database alone had \(member.contents.currentRevision)"
        ]
        if member.uncommittedCount > 0 {
            notes.append(
                "\(member.uncommittedCount) of them the member did not know to be committed; they are kept, for clients may "
                    + "have seen them succeed")
        }
        if let own = member.contents.store.clusterVersion.flatMap(MinorVersion.init), let used = MinorVersion(version),
            own != used
        {
            notes.append("the cluster ran etcd \(own), and \(used) was booted")
        }
        return notes
    }

    private static func checkRoom(_ survivor: Survivor, _ scratch: OpenDirectory, _ target: OpenDirectory) throws {
        var demand = SpaceDemand()
        try demand.add(survivor.directory.copyByteCount(of: survivor.member), in: scratch, as: scratch.path)
        try demand.add(survivor.member.databaseByteCount, in: target, as: target.path)
        try demand.check()
    }

    /// Boots etcd as the only member of its cluster, until it has applied its log, and ends it so that all is in its database.
    private static func boot(_ program: EtcdProgram, _ survivor: Survivor, in directory: OpenDirectory) async throws {
        let boot = EtcdBoot(
            memberName: survivor.description.memberName ?? DrilledEtcd.memberName, flags: ["--force-new-cluster"],
            source: "a copy of \(quoted(survivor.member.path))",
            hint: "boot the version that the cluster ran, or take the database alone; the directory is as it was",
            settings: [.survivorEtcd, .databaseAlone])
        let etcd = try DrilledEtcd(
            program, in: directory, databaseByteCount: survivor.member.databaseByteCount, boot: boot)
        _ = try await etcd.waitUntilServing()
        try etcd.stop()
    }

    /// Writes the pages of a database and their digest, and verifies what was written.
    private static func write(
        _ database: RandomAccessFile, to file: PendingFile
    ) throws -> (taken: SurvivorSnapshot, store: StoreSummary) {
        let byteCount = try BoltFile(database).databaseByteCount
        var hash = SHA256()
        var offset = 0
        while offset < byteCount {
            try Task.checkCancellation()
            let bytes = try database.bytes(at: offset, count: min(pieceByteCount, byteCount - offset))
            guard !bytes.isEmpty else { break }
            hash.update(data: bytes)
            try bytes.withUnsafeBytes { try file.write($0) }
            offset += bytes.count
        }
        let digest = Array(hash.finalize())
        try digest.withUnsafeBytes { try file.write($0) }
        let contents = try SnapshotStatus.verify(file.reopen()).report.requireSound(trailer: .required)
        let taken = SurvivorSnapshot(
            byteCount: byteCount + digest.count, databaseSHA256: digest.hexadecimal, revision: contents.currentRevision,
            missingCount: 0)
        return (taken, contents.store)
    }
}

extension SurvivorOperation {
    /// A snapshot of a survivor that lasts as long as this.
    public struct TakenSnapshot: Sendable {
        /// The snapshot.
        public let source: SnapshotSource
        /// Removes it in the end.
        let scratch: DrillScratch
    }

    /// Takes a snapshot of what a data directory holds, in a directory that is removed in the end.
    ///
    /// - Parameter parent: where that is made, where the options name none.
    public static func snapshot(
        of path: String, options: SurvivorOptions, in parent: String, observer: Observer = Observer()
    ) async throws -> TakenSnapshot {
        let survivor = try await Survivor.read(path, observer: observer)
        return try await withBlockingThread("etcd-snap.survivor.snapshot") {
            let scratch = try DrillScratch(in: options.scratch ?? parent)
            let file = try PendingFile(in: scratch.directory, name: "snapshot.db")
            let taken = try await SurvivorSnapshot.take(
                survivor, to: file, in: { scratch }, options: options, observer: observer)
            try file.publish(isDurable: false)
            var source = SnapshotSource(file: try RandomAccessFile(path: file.path))
            source.notes = survivor.description.remarks + taken.notes
            source.warnings = taken.warnings
            return TakenSnapshot(source: source, scratch: scratch)
        }
    }
}
