import Age
import FoundationEssentials
import HostIO
import SealedArchive

/// The backups that a rebuild is made from: of one cluster, each open.
struct RebuildSources {
    let backups: [NodeBackup]
    /// The snapshot that every member starts from; nil where no backup has one.
    let snapshot: ChosenSnapshot?
    /// Why no backup's will do, where survivors may.
    private(set) var snapshotFailure: Failure?
    /// What was decided on survivors; nil where none were named.
    var survivors: ChosenSurvivor.Decision?

    /// The snapshot that the plan has.
    var plannedSnapshot: RebuildPlan.Snapshot? {
        if let survivor = survivors?.chosen { return survivor.snapshot }
        guard let snapshot else { return nil }
        let record = snapshot.record
        return RebuildPlan.Snapshot(
            archiveID: snapshot.archiveID, name: record.name, clusterID: record.clusterID, revision: record.revision,
            level: record.verification.rawValue, databaseByteCount: record.databaseSize,
            databaseSHA256: record.databaseSHA256, reason: snapshot.reason)
    }

    /// The database of ``plannedSnapshot``; nil where there is none, or it is a survivor's that was not written to a file.
    func plannedDatabase() throws -> (any RandomAccessBytes)? {
        guard let chosen = survivors?.chosen else { return snapshot?.source.bytes }
        guard let path = chosen.snapshot.survivor?.snapshotPath else { return nil }
        return SnapshotSource(file: try RandomAccessFile(path: path)).bytes
    }

    /// A snapshot with the backup that it is reached by.
    struct ChosenSnapshot {
        let source: SnapshotSource
        let record: EtcdSnapshotRecord
        let header: ArchiveHeader
        let archiveID: String
        let reason: String
    }

    /// Opens backups, and checks that they belong together.
    ///
    /// - Throws: ``Failure`` with the code `usage` for backups of two clusters, `notFound` if no snapshot has the level.
    init(_ archives: [OpenedArchive], identities: [any Identity], options: RebuildOptions) throws {
        var backups: [NodeBackup] = []
        for archive in archives {
            let backup = try NodeBackup(archive, identities: identities)
            if backups.contains(where: { $0.manifest.archive.id == backup.manifest.archive.id }) { continue }
            backups.append(backup)
        }
        try Self.checkTogether(backups)
        try Self.checkClock(backups, options.now)
        self.backups = backups
        do {
            snapshot = try Self.choose(backups, identities, options)
        } catch let failure as Failure where options.survivors != nil {
            snapshot = nil
            snapshotFailure = failure
        }
    }

    // MARK: Belonging together

    private static func checkTogether(_ backups: [NodeBackup]) throws(Failure) {
        guard let first = backups.first else {
            throw Failure(.usage, "no backup is named", hint: "name one of each lost node, or the one that there is")
        }
        for other in backups.dropFirst() {
            let (ids, others) = (first.clusterIDs, other.clusterIDs)
            if !ids.isEmpty, !others.isEmpty, ids.isDisjoint(with: others) {
                throw Failure(
                    .usage,
                    "\(quoted(first.reference)) is of the etcd cluster \(ids.sorted().joined(separator: ", ")) and "
                        + "\(quoted(other.reference)) of \(others.sorted().joined(separator: ", "))",
                    hint: "name backups of one cluster")
            }
            if first.layout.kind != other.layout.kind {
                throw Failure(
                    .usage,
                    "\(quoted(first.reference)) is of a node that \(first.layout.kind.rawValue) laid out and "
                        + "\(quoted(other.reference)) of one that \(other.layout.kind.rawValue) did",
                    hint: "name backups of one cluster")
            }
            let theirs = other.authorities
            if let path = first.authorities.filter({ theirs[$0.key].map { $0 != "" } ?? false }).first(where: {
                theirs[$0.key] != $0.value
            })?.key {
                throw Failure(
                    .usage,
                    "\(quoted(path)) of \(quoted(first.reference)) is another authority than that of "
                        + "\(quoted(other.reference))",
                    hint: "name backups of one cluster, all from after its authorities were changed")
            }
            if let same = backups.first(where: { $0 !== other && $0.node.name == other.node.name }) {
                throw Failure(
                    .usage,
                    "\(quoted(same.reference)) and \(quoted(other.reference)) are both of the node "
                        + "\(quoted(other.node.name))",
                    hint: "name one backup of each node, such as the newest")
            }
        }
    }

    /// How far clocks may be apart.
    private static let clockToleranceSeconds = 600.0

    static func checkClock(_ backups: [NodeBackup], _ now: Date) throws(Failure) {
        guard let newest = backups.map(\.manifest.archive).max(by: { $0.createdAt < $1.createdAt }),
            newest.createdAt > now.addingTimeInterval(clockToleranceSeconds)
        else { return }
        throw Failure(
            .failed,
            "this host's clock says \(now.formatted(.iso8601)), which is before the backup \(newest.id) was made, at "
                + newest.createdAt.formatted(.iso8601),
            hint: "set the clock: certificates would not be valid yet")
    }

    // MARK: The snapshot

    private static func choose(
        _ backups: [NodeBackup], _ identities: [any Identity], _ options: RebuildOptions
    ) throws -> ChosenSnapshot? {
        var found: [(source: SnapshotSource, record: EtcdSnapshotRecord, header: ArchiveHeader, backup: NodeBackup)] =
            []
        var failure: Failure?
        for backup in backups where !backup.clusterIDs.isEmpty {
            do {
                let source = try SnapshotSource(
                    backup.archive, identities: identities, name: options.snapshotName ?? mainName(backup))
                if let record = source.record, let header = source.archive {
                    found.append((source, record, header, backup))
                }
            } catch let error as Failure where error.code == .notFound {
                failure = failure ?? error
            }
        }
        let usable = found.filter { level($0.record) >= options.minimumLevel && $0.record.mayBeOld != true }
        let best = usable.max { one, other in
            (revision(one.record), one.header.createdAt) < (revision(other.record), other.header.createdAt)
        }
        guard let best else {
            if let failure { throw failure }
            guard let weak = found.first else { return nil }
            throw Failure(
                .failed,
                "no snapshot has the level \(options.minimumLevel.rawValue): that of \(quoted(weak.header.id.description)) has "
                    + "\(weak.record.verification)"
                    + (weak.record.mayBeOld == true ? ", and may be behind its cluster" : ""),
                hint: "verify the backup, take another one, or ask for less", settings: [.minimumLevel])
        }
        return ChosenSnapshot(
            source: best.source, record: best.record, header: best.header,
            archiveID: best.backup.manifest.archive.id.description,
            reason: reason(best.record, best.header, found.map(\.record)))
    }

    /// Of several etcds on a node the one that is called so.
    private static func mainName(_ backup: NodeBackup) -> String? {
        let names = Set(backup.manifest.etcd.map(\.name) + (backup.manifest.sharedSnapshots ?? []).map(\.name))
        return names.count > 1 && names.contains("etcd") ? "etcd" : nil
    }

    private static func level(_ record: EtcdSnapshotRecord) -> VerificationLevel {
        record.verification.known ?? .streamed
    }

    private static func revision(_ record: EtcdSnapshotRecord) -> Int64 { record.revision ?? record.revisionAtStart }

    private static func reason(
        _ record: EtcdSnapshotRecord, _ header: ArchiveHeader, _ all: [EtcdSnapshotRecord]
    ) -> String {
        let digests = Set(all.map(\.databaseSHA256))
        let count = digests.count == 1 ? "the only one" : "the newest of \(digests.count)"
        return "\(count): revision \(revision(record)), taken on \(header.node) at "
            + "\(header.createdAt.formatted(.iso8601)), level \(record.verification)"
    }
}

/// What a person may decide of a plan.
public struct RebuildOptions: Sendable {
    /// The level that the snapshot must have reached.
    public var minimumLevel = VerificationLevel.structural
    /// By how much the revision is raised; nil for a bump computed here, 0 for none.
    public var revisionBump: Int64?
    /// Which etcd, where backups have several.
    public var snapshotName: String?
    /// Whether leases of lost nodes stay in the database.
    public var keepsLeases = false
    /// Survivors of the lost cluster, one of which may be newer than every backup.
    public var survivors: RebuildSurvivors?
    /// The store as it was named, for the runbook.
    public var store: String?
    /// Whether the old members of etcd are asked whether they run.
    public var probesMembers = false
    /// The time of planning.
    public var now: Date

    /// The usual ones.
    public init(now: Date) { self.now = now }
}
