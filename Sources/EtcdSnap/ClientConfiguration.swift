import HostIO

/// How to reach a cluster.
public struct ClientConfiguration: Sendable {
    /// The members' client endpoints, the preferred one first; at least one.
    public var endpoints: [Endpoint]
    /// What is tried instead where none of ``endpoints`` gives a status.
    public var fallbackEndpoints: [Endpoint] = []
    /// Names that this host's own member may have in its certificate: where a loopback address leads to a server that is
    /// certified for other names, one of these will do.
    public var ownNames: [String] = []
    /// The files for TLS; used for endpoints with `https`.
    public var tls: TLSFiles
    /// A user and password, where the certificate's common name is not the user.
    public var credentials: Credentials?
    /// The most time for a connection with its TLS handshake.
    public var dialTimeout: Duration = .seconds(5)
    /// The most time for one RPC other than a snapshot.
    public var commandTimeout: Duration = .seconds(10)
    /// The most time between two messages of a snapshot.
    public var stallTimeout: Duration = .seconds(30)
    /// The most time for a whole snapshot; nil for as long as it makes progress.
    public var totalTimeout: Duration?
    /// The time between keepalive pings.
    ///
    /// etcd closes connections that ping more often than every 5 s (`--grpc-keepalive-min-time`).
    public var keepaliveInterval: Duration = .seconds(10)
    /// The largest message that is accepted, in bytes: a snapshot's have 32 KiB, a member list a few KiB.
    public var maxMessageByteCount = 16 << 20
    /// How long to wait for the answer to a ping.
    public var keepaliveTimeout: Duration = .seconds(20)

    /// Creates a configuration with the default time-outs.
    public init(endpoints: [Endpoint], tls: TLSFiles = TLSFiles(), credentials: Credentials? = nil) {
        self.endpoints = endpoints
        self.tls = tls
        self.credentials = credentials
    }
}

/// A user of etcd's own authentication.
public struct Credentials: Sendable {
    /// The user's name.
    public var user: String
    /// Gets the password each time one is needed; the bytes are wiped after use as far as they can be reached.
    public var password: @Sendable () throws -> [UInt8]

    /// Creates credentials from a name and a source for the password.
    public init(user: String, password: @escaping @Sendable () throws -> [UInt8]) {
        self.user = user
        self.password = password
    }

    /// Credentials whose password is the first line of a file.
    public static func file(user: String, passwordPath: String) -> Credentials {
        Credentials(user: user) {
            let file = try RandomAccessFile(path: passwordPath)
            var bytes = try file.bytes(at: 0, count: min(file.byteCount, 4096))
            defer { wipe(&bytes) }
            if var text = try convertedToUTF8(bytes, name: passwordPath) {
                defer { wipe(&text) }
                return Array(text.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") })
            }
            return Array(bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") })
        }
    }
}

extension Duration {
    /// Whole milliseconds, rounded down and within what an Int32 holds.
    var milliseconds: Int32 {
        let (seconds, attoseconds) = components
        let milliseconds = seconds.multipliedReportingOverflow(by: 1000)
        if milliseconds.overflow { return seconds < 0 ? 0 : .max }
        return Int32(clamping: max(0, milliseconds.partialValue + attoseconds / 1_000_000_000_000_000))
    }
}
