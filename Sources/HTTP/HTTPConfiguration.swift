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

    /// Whom servers' certificates must be signed by; a proxy's too, where it is spoken to by TLS.
    public var authorities: Authorities
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
