import FoundationEssentials
import SealedArchive

/// What an auditor asks of stores, answered from sidecars and the records beside them.
public struct AuditReport: Codable, Sendable {
    /// What the answers come to.
    public enum Verdict: String, Codable, Sendable {
        /// Nothing is against it.
        case passed
        /// Something needs attention.
        case findings
        /// Something that was asked for could not be read, so that nobody knows.
        case incomplete
        /// Something is damaged.
        case damaged
    }

    /// A store that was asked.
    public struct AuditedStore: Codable, Sendable {
        /// Its name in the configuration, or its place.
        public var store: String
        /// How many sidecars were read there.
        public var sidecarCount: Int
        /// Why it could not be read; nil if it could.
        public var error: String?
    }

    /// When it was made, by the clock of this host.
    public var auditedAt: Date
    /// The beginning of what is judged; nil for all.
    public var since: Date?
    /// How long there may be no backup, in seconds.
    public var maximumGapSeconds: Int
    /// How long ago the last drill of a cluster that succeeded may be, in seconds; nil where drills are not judged.
    public var maximumDrillAgeSeconds: Int?
    /// What each backup with a snapshot must have reached.
    public var minimumLevel: OpenValue<VerificationLevel>
    /// How many of the stores must have a backup.
    public var quorum: Int
    /// The stores.
    public var stores: [AuditedStore]
    /// What was looked at, in sentences.
    public var lookedAt: [String]
    /// What was not, so that nothing of it is proved.
    public var notLookedAt: [String]
    /// The nodes, by cluster and name.
    public var nodes: [NodeAudit]
    /// What is of no node: stores and directories that were not read, clusters without a drill.
    public var findings: [Finding]
    /// The worst of the nodes and of ``findings``.
    public var verdict: Verdict

    /// All that was found.
    public var allFindings: [Finding] { findings + nodes.flatMap(\.findings) }
}

/// The answers for one node of one cluster.
public struct NodeAudit: Codable, Sendable {
    /// A backup and its time.
    public struct Moment: Codable, Sendable, Equatable {
        /// Its identifier.
        public var id: BackupID
        /// When it was begun.
        public var createdAt: Date
    }

    /// A time without a backup.
    public struct Gap: Codable, Sendable, Equatable {
        /// The backup before it.
        public var after: Moment
        /// The one that ended it; nil if there is none until now.
        public var before: Moment?
        /// How long it was.
        public var seconds: Int
        /// How many numbers between the two are not there: removed, missing or not to be read.
        public var absentCount: Int
        /// Whether it was longer than allowed wherever in it those were made.
        public var isCertain: Bool
    }

    /// How many backups have something in common.
    public struct LevelCount: Codable, Sendable, Equatable {
        /// The level of verification.
        public var level: OpenValue<VerificationLevel>
        /// How many backups reached it and no more.
        public var backupCount: Int
    }

    /// How many backups are sealed for so many keys.
    public struct RecipientCount: Codable, Sendable, Equatable {
        /// How many recipients their sidecars name.
        public var recipientCount: Int
        /// How many backups.
        public var backupCount: Int
    }

    /// How many backups lie in so many stores.
    public struct CopyCount: Codable, Sendable, Equatable {
        /// How many of the stores that were read.
        public var storeCount: Int
        /// How many backups.
        public var backupCount: Int
    }

    /// A backup that fewer stores have than should.
    public struct FewCopies: Codable, Sendable, Equatable {
        /// The backup.
        public var reference: String
        /// The stores that have it.
        public var stores: [String]
        /// Those that it was removed from on purpose: these count as if they had it.
        public var removedFrom: [String]
    }

    /// An archive that can't be relied on.
    public struct Unread: Codable, Sendable, Equatable {
        /// What is wrong.
        public enum Kind: String, Codable, Sendable {
            /// It has lost its sidecar.
            case withoutSidecar = "without-sidecar"
            /// It is not published: its writer is at work, or was interrupted.
            case unpublished
            /// Its sidecar is damaged, or its archive is missing or has another size.
            case damaged
            /// Its sidecar can't be read, or is of a later version.
            case unreadable
        }

        /// The store.
        public var store: String
        /// The backup.
        public var reference: String
        /// What is wrong.
        public var kind: Kind
        /// Why, in a sentence.
        public var message: String
    }

    /// The cluster.
    public var cluster: String
    /// The node.
    public var node: String
    /// How many backups there are that can be relied on, in whichever store.
    public var backupCount: Int
    /// How many of these are of the period.
    public var countInPeriod: Int
    /// How many of those have a snapshot of etcd; the others have files alone.
    public var snapshotCount: Int
    /// The first of all by their times.
    public var first: Moment?
    /// The last of all by their times, but for what is from the future.
    public var last: Moment?
    /// The longest time without a backup in the period.
    public var longestGap: Gap?
    /// All that were longer than allowed, the certain ones and the others.
    public var gaps: [Gap]
    /// The lowest level in the period; nil if there is none that this version knows.
    public var lowestLevel: OpenValue<VerificationLevel>?
    /// The level of the last backup.
    public var newestLevel: OpenValue<VerificationLevel>?
    /// How many of the period reached which level, the lowest first.
    public var levels: [LevelCount]
    /// For how many keys those of the period are sealed.
    public var recipients: [RecipientCount]
    /// In how many stores those of the period are; nil for one store.
    public var copies: [CopyCount]?
    /// Those of the period that fewer stores have than the quorum; nil for one store.
    public var belowQuorum: [FewCopies]?
    /// Archives that were not counted.
    public var unread: [Unread]
    /// Backups that say that they were made later than now.
    public var fromTheFuture: [String]
    /// Backups of the period whose check after sealing failed.
    public var failedChecks: [String]
    /// What drills have shown.
    public var drills: DrillAudit
    /// What each store that was read has of the node.
    public var stores: [NodeStoreAudit]
    /// What is against it, and what is accepted.
    public var findings: [Finding]
    /// What it comes to.
    public var verdict: AuditReport.Verdict
}

/// What one store has of a node.
public struct NodeStoreAudit: Codable, Sendable {
    /// A range of the numbers of backups.
    public struct Numbers: Codable, Sendable, Equatable {
        /// The first.
        public var first: Int
        /// The last.
        public var last: Int

        init(_ range: ClosedRange<Int>) { (first, last) = (range.lowerBound, range.upperBound) }
    }

    /// Whether the digests in the sidecars make a chain.
    public enum ChainState: String, Codable, Sendable {
        /// A digest says of every backup which one came before it, or that it was removed.
        case unbroken
        /// Nothing speaks against it, but not every link is proved, or there is no record of what was removed.
        case unproven
        /// A number or a digest does not fit.
        case broken
        /// There is none, for no backup comes after another.
        case none
    }

    /// The store.
    public var store: String
    /// How many backups it has.
    public var backupCount: Int
    /// How many of them lie loose in the store's root, and are of no chain.
    public var looseCount: Int
    /// The numbers that are there.
    public var present: [Numbers]
    /// The numbers that were removed by this program, as its record says.
    public var removed: [Numbers]
    /// The numbers that are missing without a record.
    public var missing: [Numbers]
    /// How many numbers were removed.
    public var removedCount: Int
    /// How many are missing.
    public var missingCount: Int
    /// Whether the chain is unbroken.
    public var chain: ChainState
    /// How many backups come after another one.
    public var linkCount: Int
    /// For how many of these a digest says which.
    public var provenLinkCount: Int
    /// What rules keep of it; nil where there are none, and everything stays.
    public var retention: RetentionAudit?
}

/// What the rules of a store make of the backups of a node that are there.
public struct RetentionAudit: Codable, Sendable {
    /// How many backups one reason of the floor keeps.
    public struct Held: Codable, Sendable, Equatable {
        /// The reason, as `prune` says it.
        public var reason: String
        /// How many backups.
        public var backupCount: Int
    }

    /// The rules as the configuration has them now, such as `last 24`.
    public var rules: [String]
    /// How many of the newest are never removed.
    public var floor: Int
    /// What these must have reached.
    public var floorLevel: OpenValue<VerificationLevel>
    /// What the floor holds.
    public var heldByFloor: [Held]
    /// How many the rules would remove now.
    public var expiredCount: Int
}
