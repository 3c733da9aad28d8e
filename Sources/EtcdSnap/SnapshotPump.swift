import HostIO
import Synchronization

/// Reads ahead on the connection's thread while a consumer works on earlier blocks.
final class SnapshotPump: Sendable {
    private typealias Outcome = Result<ByteBlock?, any Error>

    private struct State: Sendable {
        /// Read and not yet taken, oldest first.
        var ready: [Outcome] = []
        var waiter: CheckedContinuation<ByteBlock?, any Error>?
        var isReading = false
        /// Set with the last outcome: the end or an error.
        var isOver = false
        var isCancelled = false
        var summary: SnapshotSummary?
    }

    private static let maxReadyCount = 1

    private let reader: SnapshotReader
    private let connection: Connection
    private let state = Mutex(State())

    init(_ reader: SnapshotReader, connection: Connection) {
        self.reader = reader
        self.connection = connection
    }

    var endpoint: Endpoint { reader.endpoint }

    /// Set once the consumer was told the end.
    var summary: SnapshotSummary? { state.withLock { $0.summary } }

    func cancel() {
        state.withLock { $0.isCancelled = true }
        reader.cancel()
    }

    /// The next block, nil after the last.
    func next() async throws -> ByteBlock? {
        try await withCheckedThrowingContinuation { continuation in
            let outcome: Outcome? = state.withLock { state in
                if state.isCancelled { return .failure(CancellationError()) }
                if !state.ready.isEmpty { return state.ready.removeFirst() }
                if state.isOver { return .success(nil) }
                precondition(state.waiter == nil, "a snapshot is iterated by one task")
                state.waiter = continuation
                return nil
            }
            readAhead()
            if let outcome { continuation.resume(with: outcome) }
        }
    }

    /// Begins to read a block unless that is under way, needless or over.
    private func readAhead() {
        let mustRead = state.withLock { state in
            guard !state.isReading, !state.isOver, state.ready.count < Self.maxReadyCount else { return false }
            state.isReading = true
            return true
        }
        if mustRead { connection.enqueue { self.read() } }
    }

    private func read() {
        let outcome = Outcome { try reader.nextBlock() }
        let waiter = state.withLock { state in
            state.isReading = false
            switch outcome {
            case .success(.some): break
            case .success(nil):
                state.isOver = true
                state.summary = reader.summary
            case .failure: state.isOver = true
            }
            guard let waiter = state.waiter else {
                state.ready.append(outcome)
                return CheckedContinuation<ByteBlock?, any Error>?.none
            }
            state.waiter = nil
            return waiter
        }
        waiter?.resume(with: outcome)
        readAhead()
    }
}
