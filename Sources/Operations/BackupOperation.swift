import ArchiveStore
import EtcdSnap
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// Takes snapshots of etcd and the state of this node into a new archive of a store.
public struct BackupOperation: Sendable {
    private let plan: BackupPlan
    private let observer: Observer

    /// A backup by a plan.
    public init(_ plan: BackupPlan, observer: Observer = Observer()) {
        self.plan = plan
        self.observer = observer
    }

    /// Asks the cluster, the node and the store what a backup would do, changing nothing.
    ///
    /// - Returns: sentences for a person.
    public func dryRun() async throws -> [String] {
        let (targets, unreachable) = try await connect()
        var lines: [String] = plan.etcds.flatMap { $0.discovered.map { "found \($0)" } }
        for target in targets {
            let candidate = target.candidate
            lines.append("would take the snapshot \(target.path) from \(candidate.endpoint): \(candidate.reason)")
            lines.append(
                "database: \(candidate.status.databaseByteCount) bytes at revision \(candidate.status.revision)")
        }
        lines += unreachable.map { "would do without \($0.subject): \($0.message)" }
        lines += try plan.node.dryRunLines()
        lines.append(
            "would seal for \(Keys.records(plan.recipients, labels: plan.recipientLabels).map(\.name).joined(separator: ", "))"
        )
        lines.append("would store in \(plan.store.root)/\(plan.scope)")
        return lines
    }

    /// Makes the backup.
    ///
    /// A snapshot that dies is taken again from the next candidate, into an archive begun anew: an age file key must
    /// never seal two contents.
    public func run() async throws -> BackupReport {
        let start = ContinuousClock.now
        for source in plan.etcds {
            for line in source.discovered { observer.note("found \(line)") }
        }
        let (targets, unreachable) = try await connect()
        let writer = try plan.store.writer(for: plan.scope)
        for name in writer.removedLeftovers { observer.warn("removed \(name), left over from an interrupted run") }
        for id in writer.completedBackups {
            observer.warn("\(id) is complete: the run that was publishing or removing it was interrupted")
        }
        let listing = try plan.store.list(cluster: plan.scope.cluster, node: plan.scope.node)
        // Without the one before it the backup would begin the count anew.
        if let obstacle = listing.obstacle { throw obstacle }
        for warning in listing.warnings { observer.warn(warning) }
        let previous = listing.latest(in: plan.scope)
        var attempt = BackupAttempt(
            plan: plan, observer: observer, writer: writer, previous: previous,
            chain: (try writer.nextLink(after: previous), listing.chain.map(\.finding)), unreachable: unreachable,
            targets: targets)
        while true {
            switch try await attempt.run() {
            case .done(var report):
                report.durationSeconds = (ContinuousClock.now - start).seconds
                return report
            case .again(let next): attempt = next
            }
        }
    }

    /// Connects to every etcd; one that was only found, and is not the cluster's own, may be out of reach.
    private func connect() async throws -> (targets: [EtcdTarget], unreachable: [Finding]) {
        var targets: [EtcdTarget] = []
        var unreachable: [Finding] = []
        for source in plan.etcds {
            do {
                targets.append(
                    try await EtcdTarget(connectingTo: source, observer: observer).asked(observer: observer))
            } catch  where !source.isRequired && !(error is CancellationError) {
                unreachable.append(source.unreachable(for: error))
            }
        }
        return (targets, unreachable)
    }
}
