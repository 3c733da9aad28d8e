public import HostIO

/// How a client connects, and how long it waits.
public struct HTTPConfiguration: Sendable {
    /// Whom servers' certificates must be signed by.
    public enum Authorities: Sendable {
        /// The authorities of the host, wherever its distribution keeps them.
        case system
        /// Those of a PEM file, and no others.
        case file(String)
        /// Those of a PEM text, and no others.
        case pem([UInt8])
    }

    /// What a client proves itself with; it is never written to a file.
    public struct ClientCertificate: Sendable {
        /// The certificate, with those above it if a server needs them, PEM.
        public var certificate: [UInt8]
        /// Its key, PEM.
        public var key: SecretBytes

        /// A certificate and its key.
        public init(certificate: [UInt8], key: SecretBytes) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// Where connections lead instead of where the URL says.
    public struct Place: Sendable, Equatable {
        /// A name or an address, IPv6 addresses without brackets.
        public var host: String
        /// The port.
        public var port: UInt16

        /// A place.
        public init(host: String, port: UInt16) {
            self.host = host
            self.port = port
        }
    }

    /// Whom servers' certificates must be signed by; a proxy's too, where it is spoken to by TLS.
    public var authorities: Authorities
    /// What this side proves itself with to a server that asks; nil for nothing.
    public var clientCertificate: ClientCertificate?
    /// Where every connection leads; nil for where the URL says, whose host the server's certificate must be for all the same.
    public var place: Place?
    /// Proxies; by default none, whatever the environment says.
    public var proxies: HTTPProxySettings
    /// How long looking up, connecting and the TLS handshake may take together.
    public var connectTimeout: Duration
    /// How long a transfer may be slower than ``stallByteRate``, in whole seconds.
    ///
    /// Waiting for a response counts too.
    public var stallTimeout: Duration
    /// The bytes a second below which a transfer counts as stalled.
    public var stallByteRate: Int
    /// How long a whole request may take; nil sets no limit.
    public var deadline: Duration?
    /// What the field `User-Agent` says; nil leaves it out.
    public var userAgent: String?
    /// The most bytes of a body that is returned as a whole.
    public var maxBodyByteCount: Int
    /// The most bytes of a response's head.
    public var maxHeadByteCount: Int

    /// Creates a configuration; the defaults suit a server on the Internet.
    public init(
        authorities: Authorities = .system, proxies: HTTPProxySettings = .none, connectTimeout: Duration = .seconds(10),
        stallTimeout: Duration = .seconds(60), stallByteRate: Int = 1, deadline: Duration? = nil,
        userAgent: String? = "etcd-snap", maxBodyByteCount: Int = 8 << 20, maxHeadByteCount: Int = 64 << 10
    ) {
        self.authorities = authorities
        clientCertificate = nil
        place = nil
        self.proxies = proxies
        self.connectTimeout = connectTimeout
        self.stallTimeout = stallTimeout
        self.stallByteRate = stallByteRate
        self.deadline = deadline
        self.userAgent = userAgent
        self.maxBodyByteCount = maxBodyByteCount
        self.maxHeadByteCount = maxHeadByteCount
    }
}

extension Duration {
    /// Whole milliseconds, at least one.
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(max(1, seconds * 1000 + attoseconds / 1_000_000_000_000_000))
    }

    /// Whole seconds, rounded up, at least one.
    var wholeSeconds: Int { (milliseconds + 999) / 1000 }
}
