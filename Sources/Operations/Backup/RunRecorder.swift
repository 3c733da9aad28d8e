import FoundationEssentials
import SealedArchive
import Synchronization

/// Writes down how a backup goes, while it goes.
final class RunRecorder: Sendable {
    private let record: Mutex<RunRecord>

    init() { record = Mutex(RunRecord(startedAt: Self.now)) }

    /// What was written down so far.
    var current: RunRecord { record.withLock { $0 } }

    /// An observer that tells the other, and has what is told written down.
    func observing(_ observer: Observer) -> Observer {
        var recording = observer
        recording.note = { [self] text in
            record.withLock { $0.notes.append(text) }
            observer.note(text)
        }
        recording.detail = { [self] text in
            record.withLock { $0.notes.append(text) }
            observer.detail(text)
        }
        recording.warn = { [self] text in
            record.withLock { $0.notes.append("warning: \(text)") }
            observer.warn(text)
        }
        return recording
    }

    /// Notes that an attempt begins.
    func beginAttempt() { record.withLock { $0.attempts.append(.init(startedAt: Self.now)) } }

    /// Notes why the attempt is given up for another one.
    func endAttempt(because failure: String) {
        record.withLock { record in
            guard let last = record.attempts.indices.last else { return }
            record.attempts[last].failure = failure
        }
    }

    /// Runs a part of the work and notes how long it took, together with its earlier runs.
    func timing<Result>(_ stage: String, _ body: () async throws -> Result) async rethrows -> Result {
        let start = ContinuousClock.now
        defer { add((ContinuousClock.now - start).seconds, to: stage) }
        return try await body()
    }

    private func add(_ seconds: Double, to stage: String) {
        record.withLock { record in
            if let index = record.stages.firstIndex(where: { $0.name == stage }) {
                record.stages[index].seconds += seconds
            } else {
                record.stages.append(.init(name: stage, seconds: seconds))
            }
        }
    }

    /// Documents have whole seconds.
    private static var now: Date { Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down)) }
}
