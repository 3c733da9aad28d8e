import Age
import ArchiveStore
import PKIBackup
import SealedArchive

/// What a backup is made of and where it goes.
public struct BackupPlan: Sendable {
    /// The place in the store.
    public var scope: StoreScope
    /// The store.
    public var store: any Store
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

    /// A plan with the default compression.
    public init(
        scope: StoreScope, store: any Store, etcds: [EtcdSource], recipients: [any Recipient], node: NodePlan
    ) {
        self.scope = scope
        self.store = store
        self.etcds = etcds
        self.recipients = recipients
        self.node = node
    }
}

/// What a backup came to.
public struct BackupReport: Codable, Sendable {
    /// Which archive: `cluster/node/id`.
    public var reference: String
    /// The path of the archive.
    public var path: String
    /// The public description, as stored beside the archive.
    public var sidecar: Sidecar
    /// What needs attention.
    public var findings: [Finding]
    /// What was met and not taken.
    public var skipped: [SkippedPath]
    /// How long it took, in seconds.
    public var durationSeconds: Double
}
