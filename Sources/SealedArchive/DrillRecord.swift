public import FoundationEssentials
import HostIO

/// What a drill of an archive has proved, and how long it took: `ID.drill-TIME-RANDOM.json` beside the archive.
///
/// It has no secrets, nor the name of any key of etcd. What was not tried, or could not be, has a stage that says so.
public struct DrillRecord: Codable, Sendable {
    /// The version of this document's format.
    public var formatVersion = Self.version
    /// The archive.
    public var archive: ArchiveHeader
    /// SHA-256 of its manifest in hexadecimal, which tells it from any other of its name.
    public var manifestSHA256: String
    /// Who made the drill.
    public var tool = Tool.current
    /// When it began.
    public var startedAt: Date
    /// Where it was made.
    public var host: Host
    /// The etcd that was booted; nil where it came to none.
    public var etcd: Program?
    /// The kube-apiserver that was booted on it; nil for none.
    public var apiServer: Program?
    /// What was done, in order.
    public var stages: [Stage] = []
    /// What was restored and booted.
    public var databases: [Database] = []
    /// How long the whole drill took, in seconds.
    public var durationSeconds = 0.0
    /// How long bringing this archive back took: the files, and each database until its etcd served.
    ///
    /// Nil where that was not reached.
    public var recoverySeconds: Double?

    /// The version of the format that this program writes.
    public static let version = 1

    /// A host in what decides on times.
    public struct Host: Codable, Sendable, Equatable {
        /// The cores that could be used.
        public var coreCount: Int
        /// The bytes of memory that were free at the start.
        public var availableMemory: Int?
        /// Whether what was restored was kept in memory.
        public var isScratchInMemory: Bool

        /// A host from its parts.
        public init(coreCount: Int, availableMemory: Int?, isScratchInMemory: Bool) {
            self.coreCount = coreCount
            self.availableMemory = availableMemory
            self.isScratchInMemory = isScratchInMemory
        }
    }

    /// A server that was booted.
    public struct Program: Codable, Sendable, Equatable {
        /// Where it was found.
        public var path: String
        /// The version that it names.
        public var version: String
        /// SHA-256 of its file in hexadecimal.
        public var sha256: String

        /// A program from its parts.
        public init(path: String, version: String, sha256: String) {
            self.path = path
            self.version = version
            self.sha256 = sha256
        }
    }

    /// What became of a stage.
    public enum Outcome: String, Codable, Sendable {
        /// What it is to prove holds.
        case passed
        /// It does not hold, or could not be done.
        case failed
        /// It was not tried, or could not be decided: nothing is proved either way.
        case notMade
    }

    /// A step of a drill.
    public struct Stage: Codable, Sendable, Equatable {
        /// What it is, such as `boot`.
        public var name: String
        /// The name of the etcd that it is about; nil for all of the archive.
        public var etcd: String?
        /// What became of it.
        public var outcome: OpenValue<Outcome>
        /// What was found equal, in words, or why there is nothing.
        public var detail: String
        /// How long it took, in seconds.
        public var durationSeconds: Double

        /// A stage from its parts.
        public init(name: String, etcd: String?, outcome: Outcome, detail: String, durationSeconds: Double) {
            self.name = name
            self.etcd = etcd
            self.outcome = OpenValue(outcome)
            self.detail = detail
            self.durationSeconds = durationSeconds
        }
    }

    /// A database of the archive as the booted etcd had it.
    public struct Database: Codable, Sendable, Equatable {
        /// The name of the etcd on its node.
        public var name: String
        /// Its size in bytes.
        public var size: Int
        /// The revision of the snapshot.
        public var revision: Int64
        /// HashKV as the booted etcd answered; nil where it came to none.
        public var hashKV: UInt32?
        /// The keys that it returned one by one; nil where it came to none.
        public var keyCount: Int?
        /// The revision that the raised copy continued from; nil where it came to none.
        public var raisedRevision: Int64?
        /// The version of etcd that the snapshot was taken from.
        public var serverVersion: String?

        /// A database of which nothing is known but what the archive says.
        public init(name: String, size: Int, revision: Int64, serverVersion: String?) {
            self.name = name
            self.size = size
            self.revision = revision
            self.serverVersion = serverVersion
        }
    }

    /// A record of a drill that begins.
    public init(of archive: ArchiveHeader, manifestSHA256: String, startedAt: Date, host: Host) {
        self.archive = archive
        self.manifestSHA256 = manifestSHA256
        self.startedAt = startedAt
        self.host = host
    }

    /// The stages of the whole archive without which it is not drilled.
    public static let requiredStages = ["verify", "files"]
    /// Those of each of its databases.
    public static let requiredStagesOfDatabases = [
        "restore", "boot", "hash", "raised restore", "raised boot", "compaction",
    ]

    /// Whether a stage failed.
    public var hasFailed: Bool { stages.contains { $0.outcome == .failed } }

    /// Whether it proves that the archive would bring the cluster back, as far as ``VerificationLevel/drilled`` goes: every
    /// database was booted, every required stage passed for each, and none failed.
    public var isDrilled: Bool {
        guard stages.allSatisfy({ $0.outcome == .passed || $0.outcome == .notMade }), !databases.isEmpty else {
            return false
        }
        return Self.requiredStages.allSatisfy { hasPassed($0, nil) }
            && databases.allSatisfy { database in
                Self.requiredStagesOfDatabases.allSatisfy { hasPassed($0, database.name) }
            }
    }

    private func hasPassed(_ name: String, _ etcd: String?) -> Bool {
        stages.contains { $0.name == name && $0.etcd == etcd && $0.outcome == .passed }
    }

    /// Reads a record.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if it can't be what this program wrote, `failed` for one of a later
    ///   version.
    public static func decode(_ bytes: [UInt8], name: String) throws -> DrillRecord {
        struct Version: Decodable { var formatVersion: Int }
        let found = try DocumentCoding.decode(Version.self, from: bytes, name: name).formatVersion
        guard found <= version else {
            throw Failure(
                .failed, "\(quoted(name)) has format version \(found), this program reads \(version)",
                hint: "use a newer etcd-snap")
        }
        return try DocumentCoding.decode(DrillRecord.self, from: bytes, name: name)
    }
}
