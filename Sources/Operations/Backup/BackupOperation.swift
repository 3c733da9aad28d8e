import HostIO

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
    public func preview() async throws -> BackupPreview {
        try BackupPreview(plan, await BackupSources(connectingTo: plan.etcds, observer: observer))
    }

    /// Makes the backup.
    public func run() async throws -> BackupReport {
        let start = ContinuousClock.now
        let recorder = RunRecorder()
        let observer = recorder.observing(observer)
        for line in plan.etcds.flatMap(\.discovered) { observer.note("found \(line)") }
        let sources = try await recorder.timing("connect") {
            try await BackupSources(connectingTo: plan.etcds, observer: observer)
        }
        var attempt = BackupAttempt(
            plan: plan, publisher: try BackupPublisher(plan, observer: observer), recorder: recorder,
            observer: observer, unreachable: sources.unreachable, targets: sources.targets)
        while true {
            recorder.beginAttempt()
            do {
                var report = try await attempt.run()
                report.durationSeconds = (ContinuousClock.now - start).seconds
                return report
            } catch {
                attempt = try attempt.retrying(after: error)
                recorder.endAttempt(because: Self.reason(error))
            }
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let failure as SourceError: Failure(wrapping: failure.cause).message
        case let change as KeysChanged: change.description
        default: Failure(wrapping: error).message
        }
    }
}
