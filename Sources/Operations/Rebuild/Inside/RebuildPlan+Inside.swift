import HostIO

extension RebuildPlan {
    /// A key of the database that is deleted before the first start.
    public struct Deletion: Codable, Sendable, Equatable {
        /// What it is.
        public enum Kind: String, Codable, Sendable {
            /// That an API server lives at an address.
            case masterLease = "masterlease"
            /// Who leads, of programs of which one does.
            case leaderElection = "leader-election"
        }

        /// What it is.
        public var kind: Kind
        /// The key, exactly.
        public var key: String
        /// Why it is of no more use.
        public var reason: String
        /// For how many seconds it would have been waited for.
        public var gainSeconds: Int
    }

    /// Where the database still has names and addresses that no node has any more.
    public struct Inside: Codable, Sendable {
        /// The old names that were searched for.
        public var names: [String]
        /// The old addresses that were searched for.
        public var addresses: [String]
        /// The keys that exist; nil where they are too many to be told apart.
        public var keyCount: Int?
        /// What heals by itself.
        public var heals: [Healing]
        /// What `rebuild finish` edits or deletes, and what follows from that.
        public var finished: [Healing]
        /// What only a person can judge.
        public var others: [Found]
        /// What is encrypted by a key that is not in the archive, by resource.
        public var unread: [Unread]
        /// False where the database has so many keys that some may be missing here, or listed though they are gone.
        public var isComplete: Bool
    }

    /// Objects of which the same becomes.
    public struct Healing: Codable, Sendable {
        /// What they are.
        public var what: String
        /// Who changes them.
        public var how: String
        /// After how many seconds; nil where that is not up to the cluster.
        public var seconds: Int?
        /// How many they are.
        public var count: Int
        /// Which they are, but for events.
        public var objects: [Found]
    }

    /// An object that has an old name or address.
    public struct Found: Codable, Sendable, Equatable {
        /// The resource as etcd has it, such as `configmaps`; empty for a key that is no API server's.
        public var resource: String
        /// The rest of the key: namespace and name, or name.
        public var name: String
        /// The old names and addresses.
        public var words: [String]
        /// The fields that have them, as far as they are known.
        public var fields: [String]

        /// The resource and the name.
        public var path: String { resource.isEmpty ? name : "\(resource)/\(name)" }
    }

    /// Objects that could not be searched.
    public struct Unread: Codable, Sendable {
        /// The resource as etcd has it.
        public var resource: String
        /// How many they are.
        public var count: Int
    }
}
