import HTTP
public import HostIO

/// Where an API server is, whom it must prove to be, and as whom it is spoken to.
public struct APIServerAccess: Sendable {
    /// What a client proves itself with.
    public enum Credentials: Sendable {
        /// A client's certificate and its key, PEM.
        case certificate([UInt8], key: SecretBytes)
        /// A bearer token.
        case token(SecretBytes)
    }

    /// The URL, `https://HOST:PORT`, maybe with a path.
    public var server: String
    /// The authorities that the server's certificate must be signed by, PEM.
    public var authorities: [UInt8]
    /// The name that the server's certificate must be for; nil for the URL's host.
    public var serverName: String?
    /// What the client proves itself with.
    public var credentials: Credentials
    /// What messages call the credentials, such as the path of a kubeconfig.
    public var origin: String

    /// Access from its parts.
    public init(
        server: String, authorities: [UInt8], serverName: String? = nil, credentials: Credentials, origin: String
    ) {
        self.server = server
        self.authorities = authorities
        self.serverName = serverName
        self.credentials = credentials
        self.origin = origin
    }

    /// The same server with other credentials.
    public func with(_ credentials: Credentials, origin: String) -> Self {
        var copy = self
        copy.credentials = credentials
        copy.origin = origin
        return copy
    }

    /// The URL without a slash at its end, and where its connections lead if its host is not the one to be proved.
    ///
    /// The name is in the URL, so that TLS asks for it and compares it, and the place of the connection is set apart from it.
    func target() throws(Failure) -> (url: String, place: HTTPConfiguration.Place?) {
        let scheme = "https://"
        guard server.hasPrefix(scheme) else {
            throw Failure(
                .usage, "\(quoted(server)) in \(origin) is no address of an API server",
                hint: "it is https://HOST:PORT: an API server is not spoken to without TLS")
        }
        let rest = server.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        var path = rest.dropFirst(authority.count)
        while path.hasSuffix("/") { path = path.dropLast() }
        guard let (host, port) = Self.hostAndPort(authority) else {
            throw Failure(.usage, "\(quoted(server)) in \(origin) has no host and port that could be understood")
        }
        guard let serverName, serverName != host else { return (scheme + authority + path, nil) }
        let name = serverName.contains(":") ? "[\(serverName)]" : serverName
        return ("\(scheme)\(name):\(port)\(path)", HTTPConfiguration.Place(host: host, port: port))
    }

    /// The host and the port of a URL's authority; 443 where there is none.
    static func hostAndPort(_ authority: Substring) -> (host: String, port: UInt16)? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let rest = authority[authority.index(after: end)...]
            let host = String(authority[..<end].dropFirst())
            if rest.isEmpty { return (host, 443) }
            guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()) else { return nil }
            return (host, port)
        }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first, !host.isEmpty else { return nil }
        guard parts.count == 2 else { return (String(host), 443) }
        guard let port = UInt16(parts[1]), port > 0 else { return nil }
        return (String(host), port)
    }
}
