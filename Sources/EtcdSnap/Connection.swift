internal import CGRPCShim
import Dispatch
import Synchronization

/// A channel with a thread of its own: what gRPC blocks on never blocks Swift's cooperative threads.
final class Connection: Sendable {
    let channel: Channel
    private let queue: DispatchQueue
    private let dialTimeout: Duration

    init(
        to endpoint: Endpoint, at addresses: HostAddresses, tls: TLSMaterial?, configuration: ClientConfiguration,
        readAheadByteCount: Int32? = nil
    ) throws(ShimError) {
        channel = try Channel(
            to: endpoint, at: addresses, tls: tls, configuration: configuration, readAheadByteCount: readAheadByteCount)
        queue = DispatchQueue(label: "etcd \(endpoint)")
        dialTimeout = configuration.dialTimeout
    }

    /// Runs blocking work on the connection's thread, one piece after the other.
    func run<Result: Sendable>(
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result { try work() }) }
        }
    }

    /// Has blocking work run on the connection's thread, without waiting for it.
    func enqueue(_ work: @escaping @Sendable () -> Void) { queue.async(execute: work) }

    /// Connects unless that is done, and returns whether the connection stands; blocks.
    ///
    /// A failed attempt is no error here: gRPC gives the reason only to a call, which then fails at once.
    /// - Parameter deadline: the latest end of the attempt; nil for the dial time-out from now.
    /// - Throws: ``EtcdError`` when the time is over, `CancellationError`.
    @discardableResult
    func connect(_ cancellation: Cancellation, until deadline: ContinuousClock.Instant? = nil) throws -> Bool {
        let deadline = deadline ?? ContinuousClock.now + dialTimeout
        // In slices, because the attempt itself can't be cancelled.
        while !cancellation.isCancelled {
            let slice = min(deadline - ContinuousClock.now, .milliseconds(100))
            switch channel.connect(timeout: slice) {
            case .connected: return true
            case .unreachable: return false
            case .timedOut: break
            }
            guard ContinuousClock.now < deadline else {
                throw EtcdError(.connectTimedOut, endpoint: channel.endpoint, message: "\(dialTimeout)")
            }
        }
        throw CancellationError()
    }

    /// Makes one unary call; `fetch` lends the call to the shim's function.
    ///
    /// - Throws: ``ShimError``, ``EtcdError`` from connecting, or `CancellationError`.
    func call<Response: Sendable>(
        _ method: cgrpc_method, timeout: Duration, token: String?,
        _ fetch: @escaping @Sendable (OpaquePointer, inout OpaquePointer?) -> Response?
    ) async throws -> Response {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await run { [self] in
                try connect(cancellation)
                let call = Call(method, on: channel, timeout: timeout, token: token)
                try cancellation.arm { call.cancel() }
                defer { cancellation.disarm() }
                do {
                    return try call.fetch(fetch)
                } catch let error as ShimError where error.kind == .cancelled {
                    throw CancellationError()
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }
}

/// A request to stop that reaches whatever is under way.
final class Cancellation: Sendable {
    private struct State: Sendable {
        var isCancelled = false
        var action: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Has `action` run on cancellation.
    ///
    /// - Throws: `CancellationError` if that has happened before.
    func arm(_ action: @escaping @Sendable () -> Void) throws {
        let wasCancelled = state.withLock { state in
            if !state.isCancelled { state.action = action }
            return state.isCancelled
        }
        if wasCancelled { throw CancellationError() }
    }

    /// Forgets the action.
    func disarm() { state.withLock { $0.action = nil } }

    func cancel() {
        let action = state.withLock { state in
            state.isCancelled = true
            return state.action
        }
        action?()
    }
}
