import ArchiveStore
import FoundationEssentials
import SealedArchive

/// What drills have shown of a node's backups, as the records beside the archives say.
public struct DrillAudit: Codable, Sendable, Equatable {
    /// A drill that succeeded.
    public struct Drill: Codable, Sendable, Equatable {
        /// The backup that was drilled.
        public var reference: String
        /// When it began.
        public var startedAt: Date
        /// The version of the etcd that was booted; nil where it is not known.
        public var etcdVersion: String?
        /// How long bringing the archive back took, in seconds; nil where that was not measured.
        public var recoverySeconds: Double?
    }

    /// How many backups of the period are drilled, by the newest record of each.
    public var drilledCount: Int
    /// The last drill that succeeded, of whichever backup; nil if there is none.
    public var last: Drill?
    /// The backups of the period whose newest drill failed.
    public var failed: [String]

    /// - Parameters:
    ///   - backups: all of the node.
    ///   - judged: those of the period.
    init(_ backups: [StoredBackup], judged: [StoredBackup], now: Date) {
        drilledCount = judged.count { $0.drill?.isDrilled == true }
        failed = judged.filter { $0.drill?.hasFailed == true }.map(\.reference)
        // What a wrong clock has dated ahead would be the last for as long.
        let known = backups.filter { $0.drill?.isDrilled == true && !$0.hasDrillFromTheFuture(at: now) }
        last = known.compactMap(Drill.init).max { $0.startedAt < $1.startedAt }
    }
}

extension DrillAudit.Drill {
    fileprivate init?(_ backup: StoredBackup) {
        guard let drill = backup.drill else { return nil }
        self.init(
            reference: backup.reference, startedAt: drill.startedAt, etcdVersion: drill.etcd?.version,
            recoverySeconds: drill.recoverySeconds)
    }
}

extension Finding {
    /// That the newest drill of a backup failed.
    static func failedDrill(_ backup: StoredBackup) -> Finding? {
        guard let drill = backup.drill, let stage = drill.stages.first(where: { $0.outcome == .failed }) else {
            return nil
        }
        return Finding(
            .warning, code: "drill-failed", subject: backup.reference,
            message:
                "its newest drill, of \(drill.startedAt.formatted(.iso8601)), failed at \(stage.name): \(stage.detail)",
            advice:
                "rely on another backup; `etcd-snap drill \(backup.reference)` with your key says whether it still fails"
        )
    }
}

extension AuditReport {
    /// The clusters of which no backup was drilled lately enough: one drill of any node's backup counts, for that has the data
    /// of all.
    static func overdueDrills(_ nodes: [NodeAudit], _ maximumAge: RetentionPeriod, now: Date) -> [Finding] {
        let start = maximumAge.start(before: now)
        return Dictionary(grouping: nodes, by: \.cluster).sorted { $0.key < $1.key }.compactMap { cluster, nodes in
            let last = nodes.compactMap(\.drills.last).max { $0.startedAt < $1.startedAt }
            if let last, last.startedAt >= start { return nil }
            let known = last.map { "the last was at \($0.startedAt.formatted(.iso8601)), of \($0.reference)" }
            return Finding(
                .warning, code: "drill-overdue", subject: cluster,
                message: "no drill of its backups has succeeded within \(maximumAge): \(known ?? "there is none")",
                advice: "`etcd-snap drill latest` where the key is, or see `systemctl status etcd-snap-drill` there")
        }
    }
}
