import Age
import ArchiveStore
import PKIBackup
import SealedArchive

/// What a backup is made of and where it goes.
public struct BackupPlan: Sendable {
    /// The place in the store.
    public var scope: StoreScope
    /// The stores, in the order in which they are tried; all of them get the archive.
    public var stores: StoreSet
    /// The stores as one that is only read, where only the first is waited for.
    var store: any Store { stores.asOne(waitingFor: stores.first) }
    /// The etcds to snapshot, the cluster's own first.
    public var etcds: [EtcdSource]
    /// Whether the backup is asked to be of files alone, wherever the cluster's data is.
    public var isOfFilesAlone = false
    /// Whom the archive is sealed for.
    public var recipients: [any Recipient]
    /// What people call them, by their fingerprints.
    public var recipientLabels: [String: String] = [:]
    /// What of this node is captured.
    public var node: NodePlan
    /// How the archive is compressed.
    public var compression = CompressionOptions()
    /// How far the backup is verified before it is published.
    public var verification = VerificationLevel.structural

    /// The class of the backup, by which it is kept; nil for none.
    public var retentionClass: String?

    /// How the nodes of the cluster share snapshots.
    public var sharing = SnapshotSharing()

    /// A plan with the default compression.
    public init(
        scope: StoreScope, stores: StoreSet, etcds: [EtcdSource], recipients: [any Recipient], node: NodePlan
    ) {
        self.scope = scope
        self.stores = stores
        self.etcds = etcds
        self.recipients = recipients
        self.node = node
    }
}

/// What a backup came to.
public struct BackupReport: Codable, Sendable {
    /// What became of an archive in one of several stores.
    public struct Place: Codable, Sendable {
        /// The store's name.
        public var store: String
        /// Where the archive is: a path or a URL; nil if it is not there.
        public var path: String?
        /// Why it is not there.
        public var error: String?
    }

    /// Which archive: `cluster/node/id`.
    public var reference: String
    /// The path of the archive.
    public var path: String
    /// Where the archive is, and is not, if there are several stores.
    public var stores: [Place]?
    /// The public description, as stored beside the archive.
    public var sidecar: Sidecar
    /// What needs attention.
    public var findings: [Finding]
    /// What was met and not taken.
    public var skipped: [SkippedPath]
    /// How long it took, in seconds.
    public var durationSeconds: Double
}
