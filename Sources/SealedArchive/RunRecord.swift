import FoundationEssentials

/// How a backup came about: what was tried, who was asked, how long it took.
///
/// It is part of the manifest, for whoever wants to know later why a backup is as it is.
public struct RunRecord: Codable, Sendable, Equatable {
    /// When the run began.
    public var startedAt: Date
    /// The attempts in their order; the last one made the archive.
    public var attempts: [Attempt]
    /// The members of every etcd, with what each answered just before the snapshots.
    public var members: [AskedMember]
    /// What took how long until the manifest was written, in order.
    public var stages: [Stage]
    /// What was said on the way.
    public var notes: [String]

    /// A record of a run that begins.
    public init(startedAt: Date) {
        self.startedAt = startedAt
        attempts = []
        members = []
        stages = []
        notes = []
    }

    /// One attempt at an archive.
    public struct Attempt: Codable, Sendable, Equatable {
        /// When it began.
        public var startedAt: Date
        /// Why there was another one; nil of the last.
        public var failure: String?

        /// An attempt that begins.
        public init(startedAt: Date) { self.startedAt = startedAt }
    }

    /// A member of an etcd and its answer.
    public struct AskedMember: Codable, Sendable, Equatable {
        /// The name of the etcd.
        public var etcd: String
        /// The member's ID in hexadecimal.
        public var id: String
        /// The member's name; empty of one that has not started.
        public var name: String
        /// Whether it is a learner.
        public var isLearner: Bool
        /// Whether the snapshot came from it.
        public var isSource: Bool
        /// Where it was asked; nil where nothing leads to it.
        public var endpoint: String?
        /// Why there is no answer; nil if there is one.
        public var problem: String?
        /// The server's version.
        public var serverVersion: String?
        /// The leader as it sees it, in hexadecimal; `0` for none.
        public var leaderID: String?
        /// Its revision.
        public var revision: Int64?
        /// Its raft term.
        public var raftTerm: UInt64?
        /// The last raft entry that it knew to be committed.
        public var raftIndex: UInt64?
        /// The last raft entry in its database.
        public var raftAppliedIndex: UInt64?

        /// A member without an answer.
        public init(
            etcd: String, id: String, name: String, isLearner: Bool, isSource: Bool, endpoint: String?, problem: String?
        ) {
            self.etcd = etcd
            self.id = id
            self.name = name
            self.isLearner = isLearner
            self.isSource = isSource
            self.endpoint = endpoint
            self.problem = problem
        }
    }

    /// A part of the work.
    public struct Stage: Codable, Sendable, Equatable {
        /// Its name: `connect`, `files`, `snapshot` and the name of the etcd, `analysis`.
        public var name: String
        /// How long it took, in seconds; attempts that failed included.
        public var seconds: Double

        /// A stage from its parts.
        public init(name: String, seconds: Double) {
            self.name = name
            self.seconds = seconds
        }
    }
}
