import ArchiveStore
import HostIO
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
    public func preview() async throws -> BackupPreview {
        try checkPlaces()
        try checkThereIsSomething(plan.etcds.isEmpty, nil)
        let sources = try await BackupSources(connectingTo: plan.etcds, observer: observer)
        try checkThereIsSomething(sources.targets.isEmpty, sources.unreachable.first)
        let round = try await SlotTurns(plan: plan, observer: observer).begin(with: sources.targets)
        return try BackupPreview(plan, sources, round)
    }

    /// Makes the backup.
    ///
    /// - Throws: ``Failure`` with the code `tooFewStores` if it was made, and is not in as many stores as it should be.
    public func run() async throws -> BackupReport {
        try checkPlaces()
        try checkThereIsSomething(plan.etcds.isEmpty, nil)
        let start = ContinuousClock.now
        let recorder = RunRecorder()
        let observer = recorder.observing(observer)
        for line in plan.etcds.flatMap(\.discovered) { observer.note("found \(line)") }
        let sources = try await recorder.timing("connect") {
            try await BackupSources(connectingTo: plan.etcds, observer: observer)
        }
        try checkThereIsSomething(sources.targets.isEmpty, sources.unreachable.first)
        let turns = SlotTurns(plan: plan, observer: observer)
        var round = try await turns.begin(with: sources.targets)
        if !round.waiting.isEmpty { try await recorder.timing("waiting") { try await turns.settle(&round) } }
        var report = try await archive(round, sources, recorder, observer)
        // What was not there yet when the archive was sealed, because it has a snapshot of another etcd, which can't wait.
        while !round.waiting.isEmpty {
            round = round.after(report)
            try await turns.settle(&round)
            guard !round.taken.isEmpty else { break }
            observer.note("the backup \(report.reference) was made and published")
            report = try await archive(round, sources, recorder, observer)
        }
        report.durationSeconds = (ContinuousClock.now - start).seconds
        return report
    }

    /// What an attempt has made, and where.
    private struct Made {
        var report: BackupReport
        var backup: StoredBackup
        var store: NamedStore
    }

    /// Makes one archive, of the files and of the snapshots that are this node's to take, and copies it to the other stores.
    private func archive(
        _ round: SlotRound, _ sources: BackupSources, _ recorder: RunRecorder, _ observer: Observer
    ) async throws -> BackupReport {
        let made = try await makeArchive(round, sources, recorder, observer)
        return try await BackupCopies(plan: plan, first: made.store, observer: observer).run(made.report, made.backup)
    }

    /// Makes attempts until one succeeds; the store is let go of then.
    private func makeArchive(
        _ round: SlotRound, _ sources: BackupSources, _ recorder: RunRecorder, _ observer: Observer
    ) async throws -> Made {
        var attempt = BackupAttempt(
            plan: plan, publisher: try BackupPublisher.open(plan, observer: observer), recorder: recorder,
            observer: observer, unreachable: sources.unreachable, targets: round.taken, round: round)
        while true {
            recorder.beginAttempt()
            do {
                let report = try await attempt.run()
                let backup = StoredBackup(try SidecarDocument(report.sidecar), in: plan.scope)
                return Made(report: report, backup: backup, store: attempt.publisher.store)
            } catch {
                attempt = try attempt.retrying(after: error)
                recorder.endAttempt(because: Self.reason(error))
            }
        }
    }

    /// Only a place that is a store, or can be one, is written to.
    private func checkPlaces() throws(Failure) {
        for store in plan.stores.stores { try StorePlace.check(store.store) }
    }

    /// An archive of nothing would pass for the latest backup.
    ///
    /// - Parameters:
    ///   - hasNoEtcd: whether no snapshot is taken.
    ///   - cause: why not, if one was to be taken.
    private func checkThereIsSomething(_ hasNoEtcd: Bool, _ cause: Finding?) throws(Failure) {
        guard hasNoEtcd, plan.node.isEmpty else { return }
        let why = cause.map { ": \($0.message)" } ?? ": no etcd is asked, and none of the files to capture is there"
        throw Failure(
            .usage, "there is nothing to back up\(why)",
            hint: "let the node itself be asked what it has, or name files to include that are there")
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let failure as SourceError: Failure(wrapping: failure.cause).message
        case let failure as SinkError: failure.failure.message
        case let change as KeysChanged: change.description
        default: Failure(wrapping: error).message
        }
    }
}
