import Synchronization

/// Ends requests from another thread, at once.
///
/// Several requests may share one; those that are begun afterwards fail before anything is sent.
public final class HTTPCancellation: Sendable {
    private struct State: Sendable {
        var isCancelled = false
        var handles: [Handle] = []
    }

    private let state = Mutex(State())

    /// Nothing is cancelled yet.
    public init() {}

    /// Whether ``cancel()`` was called.
    public var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Ends all requests that have this; they throw an ``HTTPError`` for it.
    public func cancel() {
        state.withLock { state in
            state.isCancelled = true
            for handle in state.handles { handle.cancel() }
        }
    }

    /// Notes a transfer that has begun; returns false if all are cancelled.
    func add(_ handle: Handle) -> Bool {
        state.withLock { state in
            guard !state.isCancelled else { return false }
            state.handles.append(handle)
            return true
        }
    }

    /// Forgets a transfer, before it ends.
    func remove(_ handle: Handle) { state.withLock { $0.handles.removeAll { $0 === handle } } }
}
