import FoundationEssentials
import Protobuf

/// A member of a cluster, as bucket `members` holds it.
public struct StoredMember: Sendable, Hashable, Codable {
    /// The member ID.
    public var id: UInt64
    /// The name; empty for a member that has not started yet.
    public var name: String
    /// The URLs that other members reach it by.
    public var peerURLs: [String]
    /// The URLs that clients reach it by.
    public var clientURLs: [String]
    /// Whether it is a learner, which has no vote.
    public var isLearner: Bool

    init?(json: [UInt8]) {
        struct Row: Decodable {
            var id: UInt64
            var peerURLs: [String]?
            var isLearner: Bool?
            var name: String?
            var clientURLs: [String]?
        }
        guard let row = try? JSONDecoder().decode(Row.self, from: Data(json)) else { return nil }
        id = row.id
        name = row.name ?? ""
        peerURLs = row.peerURLs ?? []
        clientURLs = row.clientURLs ?? []
        isLearner = row.isLearner ?? false
    }
}

/// A raised alarm.
public struct StoredAlarm: Sendable, Hashable, Codable {
    /// The kinds of alarm (`etcdserverpb.AlarmType`).
    public enum Kind: String, Sendable, Codable {
        /// The space quota is used up; writes are refused.
        case noSpace = "NOSPACE"
        /// Members were found to disagree.
        case corrupt = "CORRUPT"
        /// A kind that is not known here.
        case unknown = "UNKNOWN"
    }

    /// The member that raised it.
    public var memberID: UInt64
    /// What it is about.
    public var kind: Kind

    /// Reads the key of a row of bucket `alarm`: `AlarmMember` {1 memberID, 2 alarm}.
    init?(key: [UInt8]) {
        var member: UInt64 = 0
        var type: UInt64 = 0
        let isMessage = key.lend { bytes in
            ProtobufReader.forEachField(in: bytes) { field in
                switch (field.number, field.payload) {
                case (1, .varint(let number)): member = number
                case (2, .varint(let number)): type = number
                default: break
                }
                return true
            }
        }
        guard isMessage else { return nil }
        memberID = member
        kind = type == 1 ? .noSpace : type == 2 ? .corrupt : .unknown
    }
}

/// What the small buckets of a database say: membership, compaction, versions, authentication.
public struct StoreSummary: Sendable, Hashable {
    /// The members, by ascending ID.
    public internal(set) var members: [StoredMember] = []
    /// How many members were removed in the cluster's life.
    public internal(set) var removedMemberCount = 0
    /// The raised alarms.
    public internal(set) var alarms: [StoredAlarm] = []
    /// Whether clients must authenticate.
    public internal(set) var isAuthEnabled = false
    /// The revision of users and roles, 0 if there never were any.
    public internal(set) var authRevision: UInt64 = 0
    /// The number of users.
    public internal(set) var userCount = 0
    /// The number of roles.
    public internal(set) var roleCount = 0
    /// The number of leases.
    public internal(set) var leaseCount = 0
    /// The raft index that is applied; nil if it was never written.
    public internal(set) var consistentIndex: UInt64?
    /// The raft term of that index; etcd 3.5 and newer write it.
    public internal(set) var term: UInt64?
    /// The compaction that was last begun.
    public internal(set) var scheduledCompactRevision: Int64?
    /// The compaction that was last finished.
    public internal(set) var finishedCompactRevision: Int64?
    /// The storage version, such as `3.6.0`; etcd 3.6 and newer write it.
    public internal(set) var storageVersion: String?
    /// The cluster version, such as `3.5.0`.
    public internal(set) var clusterVersion: String?
    /// The target of a downgrade under way, as JSON.
    public internal(set) var downgrade: String?
    /// Rows that are not what etcd writes there, as bucket and key; what they say is missing above.
    public internal(set) var unreadableRows: [String] = []

    /// The compact revision, -1 if nothing was ever compacted.
    public var compactRevision: Int64 { max(scheduledCompactRevision ?? -1, finishedCompactRevision ?? -1) }

    /// The newest version that has left a mark: storage or cluster version, as major and minor.
    public var sourceVersion: MinorVersion? {
        [storageVersion, clusterVersion].compactMap { $0.flatMap(MinorVersion.init) }.max()
    }

    mutating func add(_ row: BoltRow, of bucket: [UInt8]) {
        let isReadable =
            switch bucket {
            case Schema.members: addMember(row)
            case Schema.membersRemoved: addRemovedMember()
            case Schema.alarm: addAlarm(row)
            case Schema.auth: addAuth(row)
            case Schema.meta: addMeta(row)
            case Schema.cluster: addCluster(row)
            default: true
            }
        guard !isReadable, unreadableRows.count < Self.unreadableRowLimit else { return }
        let isText = row.key.allSatisfy { (0x21...0x7E).contains($0) }
        let key = isText ? String(decoding: row.key, as: UTF8.self) : row.key.lend(excerpt)
        unreadableRows.append("\(String(decoding: bucket, as: UTF8.self))/\(key)")
    }

    private static let unreadableRowLimit = 100

    private mutating func addMember(_ row: BoltRow) -> Bool {
        guard let member = StoredMember(json: row.value) else { return false }
        members.append(member)
        members.sort { $0.id < $1.id }
        return true
    }

    private mutating func addRemovedMember() -> Bool {
        removedMemberCount += 1
        return true
    }

    private mutating func addAlarm(_ row: BoltRow) -> Bool {
        guard let alarm = StoredAlarm(key: row.key) else { return false }
        alarms.append(alarm)
        return true
    }

    private mutating func addAuth(_ row: BoltRow) -> Bool {
        switch row.key {
        case Schema.authEnabled:
            isAuthEnabled = row.value == [1]
            return row.value == [1] || row.value == [0]
        case Schema.authRevision: return Self.read(row.value, Self.word) { authRevision = $0 }
        default: return true
        }
    }

    private mutating func addMeta(_ row: BoltRow) -> Bool {
        switch row.key {
        case Schema.consistentIndex: Self.read(row.value, Self.word) { consistentIndex = $0 }
        case Schema.term: Self.read(row.value, Self.word) { term = $0 }
        case Schema.scheduledCompactRevision: Self.read(row.value, Self.main) { scheduledCompactRevision = $0 }
        case Schema.finishedCompactRevision: Self.read(row.value, Self.main) { finishedCompactRevision = $0 }
        case Schema.storageVersion: Self.read(row.value, Self.version) { storageVersion = $0 }
        default: true
        }
    }

    private mutating func addCluster(_ row: BoltRow) -> Bool {
        switch row.key {
        case Schema.clusterVersion: return Self.read(row.value, Self.version) { clusterVersion = $0 }
        case Schema.downgrade:
            downgrade = String(decoding: row.value, as: UTF8.self)
            return true
        default: return true
        }
    }

    /// Says whether a value could be read, and passes on what it says.
    private static func read<Value>(_ bytes: [UInt8], _ reader: ([UInt8]) -> Value?, _ body: (Value) -> Void) -> Bool {
        guard let value = reader(bytes) else { return false }
        body(value)
        return true
    }

    private static func word(_ bytes: [UInt8]) -> UInt64? { bytes.count == 8 ? u64BigEndian(bytes) : nil }

    private static func main(_ revision: [UInt8]) -> Int64? {
        revision.lend(KeyDigest.parts).map { Int64($0.main) }
    }

    private static func version(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        return MinorVersion(text) == nil ? nil : text
    }
}

/// A version of etcd without its patch level, such as 3.5.
public struct MinorVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The major version.
    public var major: Int
    /// The minor version.
    public var minor: Int

    /// Creates a version.
    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads `3.5`, `3.5.1` or `v3.5.1`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.drop { $0 == "v" }.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1]), major >= 0, minor >= 0 else {
            return nil
        }
        self.init(major: major, minor: minor)
    }

    /// `3.5`.
    public var description: String { "\(major).\(minor)" }

    /// Orders by major, then minor version.
    public static func < (first: Self, second: Self) -> Bool {
        (first.major, first.minor) < (second.major, second.minor)
    }
}
