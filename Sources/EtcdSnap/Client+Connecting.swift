internal import CGRPCShim
import HostIO

/// How a host with several addresses is connected to.
extension Client {
    /// How long an attempt is alone before the next address is tried beside it (RFC 8305, section 5).
    private static let attemptDelay = Duration.milliseconds(250)

    /// A connection that nobody else uses, to the first of the host's addresses that answers.
    ///
    /// With several addresses they are raced to the end of the handshakes, all within one dial time-out: an address that
    /// takes connections and says nothing is as dead as one that does not.
    ///
    /// - Parameter readAheadByteCount: the most bytes to receive ahead of the reader, for a connection with one snapshot.
    /// - Throws: ``EtcdError``, `CancellationError`.
    func newConnection(to endpoint: Endpoint, readAheadByteCount: Int32? = nil) async throws -> Connection {
        let addresses = try await HostAddresses.find(endpoint, timeout: configuration.dialTimeout).interleaved
        return try await newConnection(to: endpoint, at: addresses, readAheadByteCount: readAheadByteCount)
    }

    /// The same with the addresses known.
    ///
    /// - Parameter addresses: each by itself, in the order in which they are to be tried; at least one.
    func newConnection(
        to endpoint: Endpoint, at addresses: [HostAddresses], readAheadByteCount: Int32? = nil
    ) async throws -> Connection {
        let race = ConnectionRace(
            addresses,
            makeConnection: { [self] address throws(EtcdError) in
                do throws(ShimError) {
                    return try Connection(
                        to: endpoint, at: address, tls: tls, configuration: configuration,
                        readAheadByteCount: readAheadByteCount)
                } catch {
                    throw EtcdError(.status(code: error.code), endpoint: endpoint, message: error.message)
                }
            })
        if addresses.count == 1 { return try race.makeConnection(addresses[0]) }
        let deadline = ContinuousClock.now + configuration.dialTimeout
        let outcome = try await race.run(until: deadline, attemptDelay: Self.attemptDelay)
        switch outcome {
        case .connected(let connection): return connection
        case .failed(let failed): throw await worst(of: failed, endpoint)
        }
    }

    /// The error of the attempt that had most to say: trust comes before reachability.
    private func worst(of failed: [Connection], _ endpoint: Endpoint) async -> any Error {
        var errors: [EtcdError] = []
        for connection in failed {
            do {
                // The call fails at once, with the reason of the attempt.
                try await connection.call(CGRPC_METHOD_STATUS, timeout: .seconds(1), token: nil) { call, error in
                    var fields = cgrpc_status_fields()
                    return cgrpc_call_fetch_status(call, &fields, &error) ? () : nil
                }
            } catch let error as ShimError {
                if let explained = try? await connection.run({ diagnose(error, on: connection.channel) }) {
                    errors.append(explained)
                }
            } catch let error as EtcdError {
                errors.append(error)
            } catch {
                return error
            }
        }
        return errors.first { $0.failure.code == .untrusted } ?? errors.first
            ?? EtcdError(.connectTimedOut, endpoint: endpoint, message: "\(configuration.dialTimeout)")
    }
}

/// Attempts to connect to several addresses of one host, each begun a moment after the one before or once that has failed.
private struct ConnectionRace {
    /// What all attempts came to.
    enum Outcome {
        case connected(Connection)
        /// Those that failed; whatever only took too long is not among them.
        case failed([Connection])
    }

    private enum Event: Sendable {
        case connected(Connection)
        case failed(Connection)
        case timedOut
        case delayIsOver
    }

    let addresses: [HostAddresses]
    let makeConnection: @Sendable (HostAddresses) throws(EtcdError) -> Connection

    init(
        _ addresses: [HostAddresses],
        makeConnection: @escaping @Sendable (HostAddresses) throws(EtcdError) -> Connection
    ) {
        self.addresses = addresses
        self.makeConnection = makeConnection
    }

    func run(until deadline: ContinuousClock.Instant, attemptDelay: Duration) async throws -> Outcome {
        try await withThrowingTaskGroup(of: Event.self) { group in
            var waiting = addresses[...]
            var runningCount = 0
            var failed: [Connection] = []
            func beginNext() throws {
                guard let address = waiting.popFirst() else { return }
                let connection = try makeConnection(address)
                runningCount += 1
                group.addTask { try await Self.attempt(connection, until: deadline) }
                guard !waiting.isEmpty else { return }
                group.addTask {
                    try await Task.sleep(for: attemptDelay)
                    return .delayIsOver
                }
            }
            try beginNext()
            while runningCount > 0 || !waiting.isEmpty, let event = try await group.next() {
                switch event {
                case .connected(let connection):
                    group.cancelAll()
                    return .connected(connection)
                case .failed(let connection):
                    failed.append(connection)
                    runningCount -= 1
                    try beginNext()
                case .timedOut: runningCount -= 1
                case .delayIsOver: try beginNext()
                }
            }
            group.cancelAll()
            return .failed(failed)
        }
    }

    private static func attempt(_ connection: Connection, until deadline: ContinuousClock.Instant) async throws -> Event
    {
        let cancellation = Cancellation()
        return try await withTaskCancellationHandler {
            try await connection.run {
                do {
                    return try connection.connect(cancellation, until: deadline)
                        ? .connected(connection) : .failed(connection)
                } catch is EtcdError {
                    return .timedOut
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
    }
}
