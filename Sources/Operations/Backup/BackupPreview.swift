import ArchiveStore
import EtcdSnap
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// What a backup would do.
public struct BackupPreview: Codable, Sendable {
    /// A snapshot that would be taken.
    public struct Snapshot: Codable, Sendable {
        /// The name of the etcd.
        public var name: String
        /// The path in the archive.
        public var path: String
        /// Where it would be taken from.
        public var endpoint: String
        /// The member there, in hexadecimal.
        public var memberID: String
        /// Why there.
        public var reason: String
        /// The size of the database in bytes.
        public var databaseSize: Int64
        /// The member's revision.
        public var revision: Int64
    }

    /// A snapshot that would be left to another node for a while.
    public struct AwaitedSnapshot: Codable, Sendable {
        /// The name of the etcd.
        public var name: String
        /// How many members are before this node's in the order.
        public var place: Int
        /// For how many seconds it would be waited for, before this node takes the snapshot.
        public var seconds: Int
    }

    /// The cluster's name in the store.
    public var cluster: String
    /// The node's name in the store.
    public var node: String
    /// Where the store is; of several the first.
    public var store: String
    /// Where all of several stores are.
    public var stores: [String]?
    /// The class of the backup; nil for none.
    public var retentionClass: String?
    /// What was found on the node rather than given.
    public var discovered: [String]
    /// The snapshots.
    public var snapshots: [Snapshot]
    /// The etcds whose snapshots are in other nodes' backups; nil where snapshots are not shared.
    public var sharedSnapshots: [SharedSnapshot]?
    /// The etcds whose snapshots would be waited for; nil where snapshots are not shared.
    public var awaitedSnapshots: [AwaitedSnapshot]?
    /// The files, but for directories.
    public var files: [SurveyedPath]
    /// The number of files.
    public var fileCount: Int
    /// Their size in bytes.
    public var byteCount: Int
    /// What would be left out, and why.
    public var skipped: [SkippedPath]
    /// Whom the archive would be sealed for.
    public var recipients: [Sidecar.RecipientRecord]
    /// What needs attention, as far as it can be told without a snapshot.
    public var findings: [Finding]

    init(_ plan: BackupPlan, _ sources: BackupSources, _ round: SlotRound) throws {
        cluster = plan.scope.cluster
        node = plan.scope.node
        store = plan.stores.first.store.name
        stores = plan.stores.areSeveral ? plan.stores.stores.map(\.store.name) : nil
        retentionClass = plan.retentionClass
        discovered = plan.etcds.flatMap(\.discovered)
        if round.slot != nil {
            sharedSnapshots = round.shared
            awaitedSnapshots = round.waiting.map {
                AwaitedSnapshot(name: $0.target.name, place: $0.place, seconds: Int($0.seconds))
            }
        }
        snapshots = round.taken.map { target in
            let candidate = target.candidate
            return Snapshot(
                name: target.name, path: target.path, endpoint: candidate.endpoint.description,
                memberID: hexadecimal(candidate.status.memberID), reason: candidate.reason,
                databaseSize: candidate.status.databaseByteCount, revision: candidate.status.revision)
        }
        var paths: [SurveyedPath] = []
        let report = try plan.node.survey { paths.append($0) }
        files = paths
        fileCount = report.fileCount
        byteCount = report.byteCount
        skipped = plan.node.layout.skipped + report.skipped
        recipients = Keys.records(plan.recipients, labels: plan.recipientLabels)
        var findings = try BackupPublisher.check(plan, round.taken + round.waiting.map(\.target))
        findings += sources.unreachable
        findings += sources.targets.flatMap { $0.clusterFindings + [$0.likelyAgeFinding].compactMap(\.self) }
        if !plan.isOfFilesAlone { findings += [plan.node.datastoreFinding].compactMap(\.self) }
        let members = Dictionary(sources.targets.map { ($0.name, $0.members) }) { first, _ in first }
        self.findings = plan.node.judged(
            (findings + report.findings).joined(with: NodeCapture.findings(plan.node, members: members)))
    }

    private var ofClass: String { retentionClass.map { ", of the class \($0)" } ?? "" }

    /// The same in sentences.
    public var lines: [String] {
        discovered.map { "found \($0)" }
            + snapshots.flatMap { snapshot in
                [
                    "would take the snapshot \(snapshot.path) from \(snapshot.endpoint): \(snapshot.reason)",
                    "database: \(snapshot.databaseSize) bytes at revision \(snapshot.revision)",
                ]
            }
            + (sharedSnapshots ?? []).map { "would rely on the snapshot of \($0.name) by \($0.place)" }
            + (awaitedSnapshots ?? []).map {
                "would wait up to \($0.seconds) s for another node's snapshot of \($0.name)"
            }
            + files.map { "would capture \(quoted($0.path)) (\($0.captureClass.rawValue))" }
            + ["\(fileCount) files, \(byteCount) bytes"]
            + findings.map { "\($0.code): \(quoted($0.subject)): \($0.message)" }
            + ["would seal for \(recipients.map(\.name).joined(separator: ", "))"]
            + (stores ?? [store]).map { "would store in \($0)/\(cluster)/\(node)" + ofClass }
    }
}
