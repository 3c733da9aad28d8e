/// What `Maintenance.Status` says about one member.
public struct MemberStatus: Sendable, Equatable {
    /// The cluster that the member belongs to.
    public var clusterID: UInt64
    /// The member itself.
    public var memberID: UInt64
    /// The current revision of the key space.
    public var revision: Int64
    /// The member's raft term.
    public var raftTerm: UInt64
    /// The server's version, such as `3.5.1`.
    public var version: String
    /// The size of the database as a snapshot delivers it, without the SHA-256 after it, in bytes: at most
    /// ``SnapshotHeader/maximumDatabaseByteCount``, whatever the server says.
    public var databaseByteCount: Int64
    /// How many of these bytes are in use.
    public var databaseInUseByteCount: Int64
    /// The leader as this member sees it; 0 while there is none.
    public var leaderID: UInt64
    /// The member's last committed raft index.
    public var raftIndex: UInt64
    /// The last raft index that the member has applied to its database.
    public var raftAppliedIndex: UInt64
    /// Whether the member is a learner, which has no vote.
    public var isLearner: Bool
    /// The version of the storage schema; nil before etcd 3.6.
    public var storageVersion: String?
    /// The backend quota in bytes; nil before etcd 3.6.
    public var databaseQuotaByteCount: Int64?
    /// The errors that the member reports about itself: alarms, a missing leader.
    public var errors: [String]

    /// Whether the member is its cluster's leader.
    public var isLeader: Bool { leaderID != 0 && leaderID == memberID }
}

/// One endpoint and how its member is.
public struct EndpointHealth: Sendable {
    /// The endpoint that was asked.
    public var endpoint: Endpoint
    /// The member's status, or why there is none.
    public var status: Result<MemberStatus, EtcdError>
    /// How long the answer took, connecting included.
    public var latency: Duration
}

/// One member of the cluster.
public struct Member: Sendable, Equatable {
    /// The member's ID.
    public var id: UInt64
    /// The member's name; empty for a member that was added and has not started yet.
    public var name: String
    /// Where the other members reach it.
    public var peerURLs: [String]
    /// Where clients reach it.
    public var clientURLs: [String]
    /// Whether the member is a learner, which has no vote.
    public var isLearner: Bool
}

/// The cluster's members, from `Cluster.MemberList`.
public struct MemberList: Sendable, Equatable {
    /// The cluster's ID.
    public var clusterID: UInt64
    /// The members, in the server's order.
    public var members: [Member]
}

/// An alarm that a member has raised.
public struct Alarm: Sendable, Equatable {
    /// The kinds of alarm (`etcdserverpb.AlarmType`).
    public enum Kind: Sendable, Equatable {
        /// The member's database has reached its quota.
        case noSpace
        /// The member's data differs from that of the others.
        case corrupt
        /// A kind that this code doesn't know.
        case unknown(Int32)
    }

    /// The member that raised it.
    public var memberID: UInt64
    /// What it is about.
    public var kind: Kind
}

/// The hash over the key space of one member up to a revision, from `Maintenance.HashKV`.
public struct HashKV: Sendable, Equatable {
    /// The member that computed it.
    public var memberID: UInt64
    /// The member's current revision.
    public var currentRevision: Int64
    /// The revision that the hash was asked for: it covers the revisions from the compacted one up to it.
    public var hashRevision: Int64
    /// The revision of the last compaction; -1 if there was none.
    public var compactRevision: Int64
    /// The CRC-32C.
    public var hash: UInt32
}

/// Whether the cluster demands authentication, from `Auth.AuthStatus` (etcd 3.5 and later).
public struct AuthStatus: Sendable, Equatable {
    /// Whether authentication is enabled.
    public var isEnabled: Bool
    /// The revision of the users and roles.
    public var authRevision: UInt64
}
