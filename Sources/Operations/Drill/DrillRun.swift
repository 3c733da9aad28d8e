import HostIO
import SealedArchive

/// A drill that goes on: its record, and what follows it.
final class DrillRun {
    private(set) var record: DrillRecord
    let observer: Observer
    private let start = ContinuousClock.now

    init(_ record: DrillRecord, observer: Observer) {
        self.record = record
        self.observer = observer
    }

    /// A stage that did not hold: the stages behind it can't be made.
    struct Stopped: Error {
        var failure: Failure
    }

    /// Makes a stage and notes what became of it and how long it took.
    ///
    /// - Parameter body: gives what was found equal, in words; or nil for the outcome `notMade`.
    /// - Throws: ``Stopped`` if it failed; `CancellationError`.
    @discardableResult
    func stage<Result>(
        _ name: String, _ etcd: String? = nil, isolation: isolated (any Actor)? = #isolation,
        _ body: () async throws -> (result: Result, outcome: DrillRecord.Outcome, detail: String)
    ) async throws -> (result: Result, seconds: Double) {
        observer.detail("drill: \(etcd.map { "\($0): " } ?? "")\(name)")
        let start = ContinuousClock.now
        do {
            let (result, outcome, detail) = try await body()
            let seconds = (ContinuousClock.now - start).seconds
            note(name, etcd, outcome, detail, seconds)
            return (result, seconds)
        } catch {
            try Task.checkCancellation()
            if error is CancellationError { throw error }
            let failure = Failure(wrapping: error)
            // Want of room says nothing of the archive.
            let outcome = failure.code == .noSpace ? DrillRecord.Outcome.notMade : .failed
            note(name, etcd, outcome, withoutSecrets(failure.description), (ContinuousClock.now - start).seconds)
            throw Stopped(failure: failure)
        }
    }

    /// Notes a stage.
    func note(
        _ name: String, _ etcd: String?, _ outcome: DrillRecord.Outcome, _ detail: String, _ seconds: Double = 0
    ) {
        record.stages.append(
            DrillRecord.Stage(name: name, etcd: etcd, outcome: outcome, detail: detail, durationSeconds: seconds))
    }

    /// Changes what is known of the database that is drilled.
    func update(_ change: (inout DrillRecord.Database) -> Void) {
        guard let last = record.databases.indices.last else { return }
        change(&record.databases[last])
    }

    /// Begins with a database.
    func begin(_ database: DrillRecord.Database) { record.databases.append(database) }

    /// Notes for every required stage that was not reached that it was not made.
    ///
    /// - Parameter names: the names of all etcds of the archive.
    func finish(_ names: [String], recoverySeconds: Double?) {
        for (stages, etcds) in [
            (DrillRecord.requiredStages, [nil]),
            (DrillRecord.requiredStagesOfDatabases, names.map(Optional.some)),
        ] {
            for etcd in etcds {
                for name in stages where !record.stages.contains(where: { $0.name == name && $0.etcd == etcd }) {
                    note(name, etcd, .notMade, "not reached: a stage before it did not pass")
                }
            }
        }
        if !record.stages.contains(where: { $0.name == APIDrill.bootStage }) {
            let why =
                record.apiServer == nil
                ? "no kube-apiserver was named, and there is none in PATH"
                : "not reached: a stage before it did not pass"
            note(APIDrill.bootStage, nil, .notMade, why)
        }
        record.recoverySeconds = recoverySeconds
        record.durationSeconds = (ContinuousClock.now - start).seconds
    }
}
