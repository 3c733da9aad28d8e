internal import CGRPCShim
import HostIO
import Logging
import Synchronization

/// A client of one etcd cluster.
///
/// Every call tries the endpoints in their order until one answers. Waiting never blocks Swift's cooperative threads.
public final class Client: Sendable {
    let configuration: ClientConfiguration
    let tls: TLSMaterial?
    let logger: Logger
    private let connections = Mutex<[Endpoint: Connection]>([:])
    private let token = Mutex<TokenState>(.unknown)

    private enum TokenState: Sendable {
        case unknown
        case token(String)
        /// The cluster has no authentication.
        case notNeeded
    }

    /// Creates a client and checks its TLS files; nothing is sent yet.
    ///
    /// - Throws: ``Failure`` without endpoints, ``TLSFileError``, or ``SystemCallError`` for a file that can't be read.
    public init(
        _ configuration: ClientConfiguration, logger: Logger = Logger(label: "etcd") { _ in SwiftLogNoOpLogHandler() }
    ) throws {
        guard !configuration.endpoints.isEmpty else {
            throw Failure(.usage, "no etcd endpoint is given", hint: "name one", settings: [.endpoints])
        }
        self.configuration = configuration
        self.logger = logger
        let usesTLS = (configuration.endpoints + configuration.fallbackEndpoints).contains { $0.transport == .tls }
        tls = usesTLS ? try TLSMaterial(configuration.tls, isForServer: true) : nil
    }

    /// The configured endpoints, the preferred one first.
    public var endpoints: [Endpoint] { configuration.endpoints }

    // MARK: Calls

    /// Runs `operation` for one endpoint after the other until one succeeds or another wouldn't do better.
    ///
    /// - Throws: the error of the endpoint that had most to say: trust comes before reachability.
    func onAnyEndpoint<Response>(
        isolation: isolated (any Actor)? = #isolation, _ operation: (Endpoint) async throws -> Response
    ) async throws -> Response {
        var errors: [EtcdError] = []
        for endpoint in endpoints {
            do {
                return try await operation(endpoint)
            } catch let error as EtcdError where error.isRetryableElsewhere {
                logger.debug("\(error)", metadata: ["endpoint": "\(endpoint)"])
                errors.append(error)
            }
        }
        guard let error = errors.first(where: { $0.failure.code == .untrusted }) ?? errors.first else {
            preconditionFailure("a client without endpoints")
        }
        throw error
    }

    /// Makes one unary call at one endpoint, with authentication if there are credentials.
    ///
    /// - Throws: ``EtcdError`` or `CancellationError`; what the source of the password throws.
    func call<Response: Sendable>(
        _ method: cgrpc_method, at endpoint: Endpoint,
        _ fetch: @escaping @Sendable (OpaquePointer, inout OpaquePointer?) -> Response?
    ) async throws -> Response {
        let timeout = configuration.commandTimeout
        return try await authenticated(at: endpoint) { connection, token in
            try await connection.call(method, timeout: timeout, token: token, fetch)
        }
    }

    /// Runs `operation` with a token; once more with a new one if the server no longer accepts the first.
    func authenticated<Response: Sendable>(
        at endpoint: Endpoint, _ operation: @Sendable (Connection, String?) async throws -> Response
    ) async throws -> Response {
        let connection = try await connection(to: endpoint)
        do {
            let token = try await currentToken(connection)
            do {
                return try await operation(connection, token)
            } catch let error as ShimError where error.isAboutToken && token != nil {
                forgetToken(token)
                return try await operation(connection, try await currentToken(connection))
            }
        } catch let error as ShimError {
            let explained = try await connection.run { diagnose(error, on: connection.channel) }
            if explained.isAboutConnection { drop(connection) }
            throw explained
        } catch let error as EtcdError {
            if error.isAboutConnection { drop(connection) }
            throw error
        }
    }

    // MARK: Connections

    private func connection(to endpoint: Endpoint) async throws -> Connection {
        if let connection = connections.withLock({ $0[endpoint] }) { return connection }
        let connection = try await newConnection(to: endpoint)
        return connections.withLock { connections in
            if let other = connections[endpoint] { return other }
            connections[endpoint] = connection
            return connection
        }
    }

    /// Forgets a failed connection, because gRPC would hold back its next attempt for a while.
    private func drop(_ connection: Connection) {
        connections.withLock { connections in
            let endpoint = connection.channel.endpoint
            if connections[endpoint] === connection { connections[endpoint] = nil }
        }
    }

    // MARK: Tokens

    /// The token, fetched if need be; nil without credentials and where the cluster has no authentication.
    private func currentToken(_ connection: Connection) async throws -> String? {
        guard let credentials = configuration.credentials else { return nil }
        switch token.withLock({ $0 }) {
        case .token(let token): return token
        case .notNeeded: return nil
        case .unknown: break
        }
        do {
            let fetched = try await fetchToken(credentials, connection)
            token.withLock { $0 = .token(fetched) }
            return fetched
        } catch let error as ShimError where error.isAuthNotEnabled {
            token.withLock { $0 = .notNeeded }
            return nil
        }
    }

    private func forgetToken(_ expired: String?) {
        token.withLock { state in
            if case .token(expired) = state { state = .unknown }
        }
    }

    private func fetchToken(_ credentials: Credentials, _ connection: Connection) async throws -> String {
        try await connection.call(CGRPC_METHOD_AUTHENTICATE, timeout: configuration.commandTimeout, token: nil) {
            call, error in
            authenticate(credentials, call, &error)
        }.get()
    }
}

/// Asks for a token; the result carries what the source of the password throws.
private func authenticate(
    _ credentials: Credentials, _ call: OpaquePointer, _ error: inout OpaquePointer?
) -> Result<String, any Error>? {
    var password: [UInt8]
    do {
        password = try credentials.password()
    } catch {
        return .failure(error)
    }
    defer { wipe(&password) }
    let isFetched = password.withUnsafeBytes { bytes in
        // An empty array may have no address, and the shim wants one.
        let start = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1)
        guard let start else { preconditionFailure("1 is an address") }
        return cgrpc_call_fetch_token(call, credentials.user, start, bytes.count, &error)
    }
    return isFetched ? .success(String(cString: cgrpc_call_get_token(call))) : nil
}

extension EtcdError {
    /// Whether the connection never stood.
    fileprivate var isAboutConnection: Bool {
        switch reason {
        case .unreachable, .connectTimedOut, .connectionClosed, .handshakeFailed, .serverSpeaksTLS,
            .serverSpeaksPlaintext, .notEtcd, .serverUntrusted,
            .serverCertificateOutdated, .serverNameMismatch, .clientCertificateRequired, .clientCertificateRejected:
            true
        default: false
        }
    }
}
