import Synchronization

/// Since when a place elsewhere fails: one for all that is asked of it.
///
/// Patience is for an outage and not for a request, or a thousand small reads of a dead server would take a thousand times as
/// long. Who asks after it has ended is told at once whether that still fails.
final class Outage: Sendable {
    private struct State {
        var start: ContinuousClock.Instant?
        var hasAnswered = false
    }

    private let state = Mutex(State())

    /// Whether the place has done something for this process.
    var hasAnswered: Bool { state.withLock { $0.hasAnswered } }

    /// Notes a failure that may pass; returns when the first of those in a row was.
    func noteFailure(at now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        state.withLock { state in
            let start = state.start ?? now
            state.start = start
            return start
        }
    }

    /// Notes that something was done.
    func noteSuccess() { state.withLock { $0 = State(start: nil, hasAnswered: true) } }

    /// Notes a refusal: whoever refuses is there.
    func noteRefusal() { state.withLock { $0.start = nil } }
}
