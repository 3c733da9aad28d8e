import HostIO

/// What a restore makes of a snapshot.
public struct RestorePlan: Sendable {
    /// The members of the new cluster.
    public var cluster: PlannedCluster
    /// The version of etcd that will run; nil for any from 3.4 on, then no version is left in the database.
    public var targetVersion: MinorVersion?
    /// Whether a target older than the snapshot's source is allowed; what newer versions added is then unknown to it.
    public var allowsDowngrade = false
    /// By how much the revision is raised so that watchers of the lost cluster notice; 0 leaves it.
    ///
    /// It must be more than the lost cluster wrote since the snapshot.
    public var revisionBump: Int64 = 0
    /// Whether everything up to the raised revision counts as compacted; goes with ``revisionBump``.
    public var marksCompacted = false
    /// Keys that are deleted in one transaction behind the snapshot's newest revision; each must exist there.
    ///
    /// Every member of a cluster must be made with the same ones.
    public var deletedKeys: Set<[UInt8]> = []
    /// Whom the directories and files are given to; nil for the user of this process.
    public var owner: FileOwner?
    /// Whether a restore that can't give them to the owner fails.
    public var isOwnerRequired = false
    /// How strictly the SHA-256 trailer is taken.
    public var trailerPolicy = SnapshotReport.TrailerPolicy.required

    /// A plan without a bump, for any version.
    public init(cluster: PlannedCluster) { self.cluster = cluster }

    /// More than any cluster writes; leaves room for the new cluster's own revisions.
    private static let maximumBump = Int64(1) << 40

    /// A thousand writes a millisecond for five centuries.
    private static let maximumRevision = Int64(1) << 54

    /// Checks what can be checked before the snapshot is read.
    ///
    /// - Throws: ``StorageError/invalidPlan(reason:hint:)``.
    public func validateBump() throws(StorageError) {
        guard (revisionBump > 0) == marksCompacted else {
            throw .invalidPlan(
                reason: "a revision bump and marking as compacted go together", hint: "give both, or neither")
        }
        guard revisionBump >= 0, revisionBump <= Self.maximumBump else {
            throw .invalidPlan(
                reason: "a revision bump of \(revisionBump) is not between 0 and \(Self.maximumBump)",
                hint: "1000000000 is usual")
        }
    }

    func validate(_ contents: SnapshotContents) throws(StorageError) {
        try validateBump()
        try validateDeletions(contents)
        let newest = max(contents.revision, contents.compactRevision)
        guard newest <= Self.maximumRevision else {
            throw .invalidPlan(
                reason: "the snapshot's revision \(newest) is not one that etcd reaches", hint: "use another snapshot")
        }
        guard let source = contents.store.sourceVersion, let targetVersion, targetVersion < source else { return }
        guard allowsDowngrade else {
            throw .invalidPlan(
                reason: "the snapshot is of etcd \(source) and the target is the older \(targetVersion)",
                hint: "restore to \(source) or newer, or name no target version, which leaves no version in the data")
        }
    }

    /// A tombstone of a key that does not exist would be one that no etcd writes.
    private func validateDeletions(_ contents: SnapshotContents) throws(StorageError) {
        guard !deletedKeys.isEmpty else { return }
        guard deletedKeys.count <= Self.maximumDeletionCount else {
            throw .invalidPlan(
                reason:
                    "\(deletedKeys.count) keys are to be deleted, more than the \(Self.maximumDeletionCount) allowed",
                hint: "delete them when the cluster runs")
        }
        guard let selected = contents.selectedRows, selected.isComplete else {
            throw .invalidPlan(
                reason: "whether the keys to be deleted exist can't be told: they have too many revisions",
                hint: "restore without deleting keys")
        }
        let missing = deletedKeys.subtracting(selected.rows.map(\.key))
        guard let first = missing.min(by: { $0.lexicographicallyPrecedes($1) }) else { return }
        throw .invalidPlan(
            reason: "\(missing.count) of \(deletedKeys.count) keys to be deleted do not exist in the snapshot, such as "
                + quoted(String(decoding: first, as: UTF8.self)),
            hint: "it is another snapshot than the one that they were found in")
    }

    /// Far more than nodes have; their rows are held in memory.
    private static let maximumDeletionCount = 10_000

    /// Whether storage and cluster version are removed: always harmless, and needed for an older target.
    func dropsVersions(_ contents: SnapshotContents) -> Bool {
        guard let targetVersion else { return true }
        return contents.store.sourceVersion.map { targetVersion < $0 } ?? false
    }
}

/// What a restore did.
public struct MemberRestoreReport: Sendable {
    /// The snapshot as it was verified.
    public var source: SnapshotReport
    /// The members and IDs of the new cluster.
    public var cluster: PlannedCluster
    /// The revision that the new cluster continues from.
    public var revision: Int64
    /// The number of keys that were deleted, at the revision behind the snapshot's newest.
    public var deletedKeyCount: Int
    /// Alarms of the lost cluster that were not taken over.
    public var droppedAlarms: [StoredAlarm]
    /// Whether storage and cluster version and a downgrade were removed.
    public var droppedVersions: Bool
    /// Pages whose old bytes were left out.
    public var clearedPageCount: Int
    /// Bytes of each member's database.
    public var databaseByteCount: Int
    /// Why the files were not given to the owner that the plan names; nil if they were.
    public var ownerRefusal: SystemCallError?
}
