import HTTP
import HostIO
public import S3

/// How a bucket is reached, and what is asked of the server beside keeping the bytes.
public struct S3Settings: Sendable, Equatable {
    /// Where credentials are, and where nothing of it is set the order is: a systemd credential, a web identity, a container's
    /// agent, the metadata of the instance.
    public struct CredentialSettings: Sendable, Equatable {
        /// A file of access keys in the form of the AWS command line.
        public var file: String?
        /// The profile in it, or in the user's own files of the AWS command line.
        public var profile: String?
        /// Whether keys are taken from the environment, where every process of the user can read them.
        public var usesEnvironment = false

        /// Nothing is set.
        public init() {}
    }

    /// The URL of the server; nil is Amazon's.
    public var endpointURL: String?
    /// The region; nil is what the profile, the server's name or the instance says.
    public var region: String?
    /// Whether the bucket is named in the path; nil follows the server.
    public var usesPathStyle: Bool?
    /// Amazon's servers that have IPv6 addresses too.
    public var isDualStack = false
    /// Amazon's servers with validated cryptography.
    public var isFIPS = false
    /// The file of the authorities that the server's certificate must be signed by; nil are the host's.
    public var authoritiesPath: String?
    /// The URL of a proxy; nil follows `https_proxy`, `http_proxy` and `no_proxy`, an empty text is none.
    public var proxyURL: String?
    /// Where credentials are.
    public var credentials = CredentialSettings()
    /// The storage class of archives; sidecars stay in the standard one.
    public var storageClass: String?
    /// How the server encrypts objects.
    public var encryption: S3WriteAttributes.Encryption?
    /// How long a connection may stand still before it counts as lost; nil is a minute.
    public var stallTimeout: Duration?
    /// Whom the retention of new objects binds, and for how many days.
    public var lock: Lock?
    /// Whether writes ask that nothing is there yet; false for servers that refuse to be asked.
    public var createsConditionally = true
    /// Whether the server is sent the SHA-256 of each part to check and keep; false for servers that refuse it.
    public var sendsChecksums = true

    /// A retention of new objects.
    public struct Lock: Sendable, Equatable {
        /// Whom it binds.
        public var mode: S3WriteAttributes.Lock.Mode
        /// For how many days.
        public var days: Int

        /// A retention from its parts.
        public init(mode: S3WriteAttributes.Lock.Mode, days: Int) {
            self.mode = mode
            self.days = days
        }
    }

    /// Amazon's server with the credentials of the host.
    public init() {}
}

extension S3Settings {
    /// The server and the region, where a profile may say what is not set.
    func endpoint(_ profile: S3Profile?) throws(Failure) -> S3Endpoint {
        let style: S3Endpoint.Style? = usesPathStyle.map { $0 ? .path : .virtualHost } ?? profile?.style
        let region = region ?? profile?.region
        if let url = endpointURL ?? profile?.endpointURL {
            return try S3Endpoint(url: url, region: region, style: style)
        }
        return try S3Endpoint.amazon(
            region: region ?? S3Endpoint.defaultRegion, isDualStack: isDualStack || profile?.usesDualStack == true,
            isFIPS: isFIPS || profile?.usesFIPS == true, style: style)
    }

    /// How connections are made.
    func http(_ profile: S3Profile?, _ variables: [String: String]) throws -> HTTPConfiguration {
        var configuration = HTTPConfiguration()
        if let stallTimeout { configuration.stallTimeout = stallTimeout }
        if let path = authoritiesPath ?? profile?.authoritiesPath { configuration.authorities = .file(path) }
        switch proxyURL {
        case nil: configuration.proxies = try HTTPProxySettings(environment: variables)
        case ""?: break
        case let url?: configuration.proxies = HTTPProxySettings(try HTTPProxy(url))
        }
        return configuration
    }
}
