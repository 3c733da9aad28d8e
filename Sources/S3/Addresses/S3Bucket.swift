/// A bucket on a server: where requests to it go.
public struct S3Bucket: Sendable, Equatable {
    /// The server.
    public var endpoint: S3Endpoint
    /// The bucket's name.
    public let name: String

    /// A bucket on a server.
    public init(_ name: String, at endpoint: S3Endpoint) {
        self.name = name
        self.endpoint = endpoint
    }

    private var isInHost: Bool { endpoint.style(of: name) == .virtualHost }

    /// What `Host` has to say: the host, and the port if it is not the scheme's own.
    public var authority: String {
        let authority = endpoint.server.authority
        return isInHost ? "\(name).\(authority)" : authority
    }

    /// The path of a request, encoded.
    func path(of target: S3Request.Target) -> String {
        let start = isInHost ? "" : "/" + PercentEncoding.encode(name)
        return switch target {
        case .bucket: start.isEmpty ? "/" : start
        case .object(let key): start + "/" + PercentEncoding.encodePath(key.text)
        }
    }

    /// The URL up to the path.
    var origin: String { (endpoint.isEncrypted ? "https://" : "http://") + authority }
}
