internal import CGRPCShim

/// An error as the shim reports it.
struct ShimError: Error {
    enum Kind { case status, cancelled, deadline, stalled, malformed, argument }
    var kind: Kind
    /// The gRPC status code.
    var code: Int32
    var message: String
    var log: String

    /// Takes over an error that the shim has stored.
    init(owned pointer: OpaquePointer?) {
        guard let pointer else { preconditionFailure("the shim failed without an error") }
        defer { cgrpc_error_destroy(pointer) }
        kind =
            switch cgrpc_error_get_kind(pointer) {
            case CGRPC_ERROR_CANCELLED: .cancelled
            case CGRPC_ERROR_DEADLINE: .deadline
            case CGRPC_ERROR_STALLED: .stalled
            case CGRPC_ERROR_MALFORMED: .malformed
            case CGRPC_ERROR_ARGUMENT: .argument
            default: .status
            }
        code = cgrpc_error_get_code(pointer)
        message = String(cString: cgrpc_error_get_message(pointer))
        log = String(cString: cgrpc_error_get_log(pointer))
    }
}

/// One gRPC connection to one endpoint.
///
/// `@unchecked Sendable`: the pointer never changes, and the shim allows a channel to be used by any number of threads.
final class Channel: @unchecked Sendable {
    let endpoint: Endpoint
    let addresses: HostAddresses
    let tls: TLSMaterial?
    fileprivate let pointer: OpaquePointer

    /// - Parameter readAheadByteCount: the most bytes to receive ahead of the reader of the one snapshot that the channel
    ///   is for; nil for a channel of unary calls.
    init(
        to endpoint: Endpoint, at addresses: HostAddresses, tls: TLSMaterial?, configuration: ClientConfiguration,
        readAheadByteCount: Int32? = nil
    ) throws(ShimError) {
        self.endpoint = endpoint
        self.addresses = addresses
        let tls = endpoint.transport == .tls ? tls : nil
        self.tls = tls
        var error: OpaquePointer?
        let isTargetHost = endpoint.isAddress && readAheadByteCount == nil
        // The dot at the end of a name is DNS's, no certificate has it.
        let host = endpoint.host.hasSuffix(".") ? String(endpoint.host.dropLast()) : endpoint.host
        let serverName = endpoint.expectedName ?? tls?.serverName ?? (isTargetHost ? nil : host)
        let created = withCStrings(addresses.target, serverName) { target, serverName in
            withPointers(tls) { ca, certificate, key in
                var options = cgrpc_channel_options(
                    target: target, uses_tls: endpoint.transport == .tls, ca_pem: ca, certificate_pem: certificate,
                    key_pem: key, server_name: serverName,
                    read_ahead_bytes: readAheadByteCount ?? 0,
                    // Where the reader may hold bytes back, the answer to a ping may wait behind them.
                    keepalive_interval_ms: readAheadByteCount == nil
                        ? configuration.keepaliveInterval.milliseconds : 0,
                    keepalive_timeout_ms: configuration.keepaliveTimeout.milliseconds,
                    max_message_bytes: Int32(clamping: configuration.maxMessageByteCount))
                return cgrpc_channel_create(&options, &error)
            }
        }
        guard let created else { throw ShimError(owned: error) }
        pointer = created
    }

    deinit { cgrpc_channel_destroy(pointer) }

    /// The name that the server's certificate has to carry.
    var expectedName: String { endpoint.expectedName ?? tls?.serverName ?? endpoint.host }

    /// How many connections the channel of a snapshot has begun: while that stays the same, it is the same server.
    var connectionCount: Int32 { cgrpc_channel_get_connection_count(pointer) }

    enum Connectivity { case connected, unreachable, timedOut }

    /// Connects and waits for the outcome; blocks.
    func connect(timeout: Duration) -> Connectivity {
        switch cgrpc_channel_connect(pointer, timeout.milliseconds) {
        case CGRPC_CONNECTED: .connected
        case CGRPC_UNREACHABLE: .unreachable
        default: .timedOut
        }
    }
}

/// One unary RPC.
///
/// `@unchecked Sendable`: ``fetch(_:)`` is called by one thread, once; ``cancel()`` may be called from any.
final class Call: @unchecked Sendable {
    private let channel: Channel
    private let pointer: OpaquePointer

    init(_ method: cgrpc_method, on channel: Channel, timeout: Duration, token: String?) {
        self.channel = channel
        pointer = cgrpc_call_create(channel.pointer, method, timeout.milliseconds, token)
    }

    deinit { cgrpc_call_destroy(pointer) }

    func cancel() { cgrpc_call_cancel(pointer) }

    /// Lends the call and a place for an error to one of the shim's fetch functions; blocks.
    func fetch<Response>(_ body: (OpaquePointer, inout OpaquePointer?) -> Response?) throws(ShimError) -> Response {
        var error: OpaquePointer?
        guard let response = body(pointer, &error) else { throw ShimError(owned: error) }
        return response
    }
}

/// One Maintenance.Snapshot RPC.
///
/// `@unchecked Sendable`: its one owner opens and reads it from one serial queue; ``cancel()`` may be called from any
/// thread.
final class SnapshotCall: @unchecked Sendable {
    let channel: Channel
    private let pointer: OpaquePointer

    init(on channel: Channel, timeout: Duration?, token: String?) {
        self.channel = channel
        let milliseconds = timeout?.milliseconds ?? .max  // 24 days
        pointer = cgrpc_snapshot_stream_create(channel.pointer, Int64(milliseconds), token)
    }

    deinit { cgrpc_snapshot_stream_destroy(pointer) }

    func cancel() { cgrpc_snapshot_stream_cancel(pointer) }

    /// Waits for the first message; blocks.
    func open(stallTimeout: Duration) throws(ShimError) -> SnapshotHeader {
        var header = cgrpc_snapshot_header()
        var error: OpaquePointer?
        guard cgrpc_snapshot_stream_open(pointer, Int64(stallTimeout.milliseconds), &header, &error) else {
            throw ShimError(owned: error)
        }
        let version = String(cString: header.storage_version)
        return SnapshotHeader(
            databaseByteCount: header.database_bytes, storageVersion: version.isEmpty ? nil : version)
    }

    enum ReadResult { case full, end, emptyMessage, failed(ShimError) }

    /// Copies the next bytes into `buffer`; blocks until it is full or the result says otherwise.
    func read(
        into buffer: UnsafeMutableRawBufferPointer, stallTimeout: Duration
    ) -> (byteCount: Int, result: ReadResult) {
        guard let start = buffer.baseAddress else { preconditionFailure("a block without capacity") }
        var byteCount = 0
        var error: OpaquePointer?
        let result = cgrpc_snapshot_stream_read(
            pointer, start, buffer.count, Int64(stallTimeout.milliseconds), &byteCount, &error)
        switch result {
        case CGRPC_READ_FULL: return (byteCount, .full)
        case CGRPC_READ_END: return (byteCount, .end)
        case CGRPC_READ_EMPTY_MESSAGE: return (byteCount, .emptyMessage)
        default: return (byteCount, .failed(ShimError(owned: error)))
        }
    }
}

/// Lends two strings, of which the second may be missing, as C strings.
private func withCStrings<Result>(
    _ first: String, _ second: String?, _ body: (UnsafePointer<CChar>, UnsafePointer<CChar>?) -> Result
) -> Result {
    first.withCString { first in
        guard let second else { return body(first, nil) }
        return second.withCString { body(first, $0) }
    }
}

/// Lends the PEM texts, each of which may be missing, as C strings.
private func withPointers<Result>(
    _ tls: TLSMaterial?,
    _ body: (UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Result
) -> Result {
    func withPointer<R>(_ bytes: [UInt8]?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
        guard let bytes else { return body(nil) }
        return bytes.withUnsafeBytes { body($0.baseAddress?.assumingMemoryBound(to: CChar.self)) }
    }
    return withPointer(tls?.ca) { ca in
        withPointer(tls?.certificate) { certificate in
            withPointer(tls?.key) { key in body(ca, certificate, key) }
        }
    }
}
