internal import CGRPCShim
import HostIO

/// A connection for one snapshot, with the status of the very member that will send it.
///
/// Behind one address there may be several members: a balancer, a virtual address, a name with several addresses. A status
/// that came over another connection would be that of any of them. etcd itself says nothing: no version fills the header of
/// a `SnapshotResponse`.
public final class SnapshotSession: Sendable {
    /// Where the member is.
    public let endpoint: Endpoint
    /// What the member says of itself, over this connection.
    public let status: MemberStatus
    private let client: Client
    private let connection: Connection
    private let connectionCount: Int32

    fileprivate init(_ status: MemberStatus, of client: Client, over connection: Connection) {
        self.status = status
        self.client = client
        self.connection = connection
        endpoint = connection.channel.endpoint
        connectionCount = connection.channel.connectionCount
    }

    /// How well the member suits, as it is now; by the survey's knowledge of its cluster.
    public func judge(by survey: ClusterSurvey) -> (rank: SnapshotCandidate.Rank, reason: String) {
        SnapshotCandidate.judge(
            status, clusterID: survey.clusterID, committedIndex: survey.committedIndex, alarms: survey.alarms ?? [])
    }

    /// The session with a later status.
    ///
    /// - Throws: as ``Client/session(at:)``.
    public func refreshed() async throws -> SnapshotSession {
        SnapshotSession(try await client.status(over: connection), of: client, over: connection)
    }

    /// Whether a majority of the cluster confirms that the member has all that was committed when it was asked.
    ///
    /// By a linearizable list of members, which etcd has since 3.5.0 and earlier versions answer without asking anybody; of
    /// these it is always false.
    /// - Throws: `CancellationError`.
    public func isConfirmedByQuorum() async throws -> Bool {
        guard status.leaderID != 0, status.isOfVersion(3, atLeast: 5) else { return false }
        do {
            let timeout = client.configuration.commandTimeout
            _ = try await client.authenticated(at: endpoint) { [connection] _, token in
                try await connection.call(CGRPC_METHOD_MEMBERS, timeout: timeout, token: token) {
                    MemberList($0, linearizable: true, &$1)
                }
            }
            return true
        } catch is EtcdError {
            return false
        }
    }

    /// Begins the snapshot and waits for its size; once.
    ///
    /// - Throws: ``EtcdError``, ``SnapshotError`` from a member that doesn't begin, or if the connection broke since
    ///   ``status``; `CancellationError`, or what the source of the password throws.
    public func begin() async throws -> SnapshotStream {
        let stream = try await client.beginSnapshot(over: connection)
        guard connection.channel.connectionCount == connectionCount else {
            stream.cancel()
            throw SnapshotError.serverGone(
                endpoint, receivedByteCount: 0, message: "the connection broke before the snapshot began")
        }
        return stream
    }
}

extension MemberStatus {
    /// Whether the server's version is that major one, and of its minor versions at least this.
    fileprivate func isOfVersion(_ major: Int, atLeast minor: Int) -> Bool {
        let numbers = version.split(separator: ".").prefix(2).map { Int($0) ?? -1 }
        return numbers.count == 2 && (numbers[0] > major || numbers[0] == major && numbers[1] >= minor)
    }
}

extension Client {
    /// Connects for a snapshot and asks the member at the other end for its status.
    ///
    /// - Throws: ``EtcdError``, `CancellationError`, or what the source of the password throws.
    public func session(at endpoint: Endpoint) async throws -> SnapshotSession {
        // A snapshot that waits for its consumer would use up the connection's flow-control window for other calls.
        let connection = try await newConnection(to: endpoint, readAheadByteCount: SnapshotStream.readAheadByteCount)
        return SnapshotSession(try await status(over: connection), of: self, over: connection)
    }

    /// Begins a snapshot from whichever member an endpoint leads to, over a connection of its own, and waits for its size.
    ///
    /// - Throws: like ``session(at:)`` and ``SnapshotSession/begin()``.
    public func snapshot(from endpoint: Endpoint) async throws -> SnapshotStream {
        try await beginSnapshot(
            over: newConnection(to: endpoint, readAheadByteCount: SnapshotStream.readAheadByteCount))
    }

    fileprivate func beginSnapshot(over connection: Connection) async throws -> SnapshotStream {
        let configuration = configuration
        return try await authenticated(at: connection.channel.endpoint) { _, token in
            let cancellation = Cancellation()
            return try await withTaskCancellationHandler {
                try await connection.run {
                    try connection.connect(cancellation)
                    let call = SnapshotCall(on: connection.channel, timeout: configuration.totalTimeout, token: token)
                    try cancellation.arm { call.cancel() }
                    defer { cancellation.disarm() }
                    let reader = SnapshotReader(call, connection: connection, configuration: configuration)
                    let header = try reader.open()
                    return SnapshotStream(header: header, pump: SnapshotPump(reader, connection: connection))
                }
            } onCancel: {
                cancellation.cancel()
            }
        }
    }

    fileprivate func status(over connection: Connection) async throws -> MemberStatus {
        try await authenticated(at: connection.channel.endpoint) { [timeout = configuration.commandTimeout] _, token in
            try await connection.call(CGRPC_METHOD_STATUS, timeout: timeout, token: token) { MemberStatus($0, &$1) }
        }
    }
}
