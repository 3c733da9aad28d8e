import HostIO

/// A proxy, written as a URL: `http://`, `https://`, `socks5://` or `socks5h://`, user and password in it if it asks for them.
public struct HTTPProxy: Sendable, Equatable {
    /// How the proxy is spoken to.
    public let scheme: String
    /// Its name or address, IPv6 addresses without brackets.
    public let host: String
    /// Its port.
    public let port: UInt16
    let user: String?
    let password: String?

    private static let defaultPorts: [String: UInt16] = ["http": 80, "https": 443, "socks5": 1080, "socks5h": 1080]

    /// Reads the URL of a proxy; without a scheme it is `http://`.
    ///
    /// - Throws: ``HTTPError`` if it is none; the error never has the user and the password.
    public init(_ url: String) throws(HTTPError) {
        let problem = { (what: String) in HTTPError(.invalidProxy(what)) }
        let end = url.firstRange(of: "://")
        let scheme = end.map { url[..<$0.lowerBound].lowercased() } ?? "http"
        guard let defaultPort = Self.defaultPorts[scheme] else {
            throw problem("its scheme is none of http, https, socks5 and socks5h")
        }
        let rest = end.map { url[$0.upperBound...] } ?? url[...]
        let authority = rest.prefix { !"/?#".contains($0) }
        guard rest[authority.endIndex...].allSatisfy({ $0 == "/" }) else { throw problem("it has a path") }
        var place = authority
        if let at = authority.lastIndex(of: "@") {
            let parts = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let user = Self.decoded(parts[0]), let password = Self.decoded(parts.count > 1 ? parts[1] : "") else {
                throw problem("its user or password is not encoded as in a URL")
            }
            (self.user, self.password) = (user, password)
            place = authority[authority.index(after: at)...]
        } else {
            (user, password) = (nil, nil)
        }
        guard let found = HostAndPort(place) else { throw problem("it has no host and port that could be understood") }
        self.scheme = scheme
        host = found.host
        port = found.port ?? defaultPort
    }

    /// The host and the port for people, without user and password.
    public var server: String { HostAndPort.text(host, port) }

    /// What libcurl is given.
    var url: String { "\(scheme)://\(server)" }

    /// The text of a percent-encoded one; nil for anything else, and for control characters in it.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// Which requests go through which proxy.
public struct HTTPProxySettings: Sendable, Equatable {
    /// The proxy of `http` URLs.
    public var plain: HTTPProxy?
    /// The proxy of `https` URLs, which sees no more than the host and the port.
    public var encrypted: HTTPProxy?
    /// Hosts that are spoken to directly.
    public var exceptions: HTTPProxyExceptions

    /// No proxy.
    public static let none = Self()

    /// Creates settings from their parts.
    public init(
        plain: HTTPProxy? = nil, encrypted: HTTPProxy? = nil, exceptions: HTTPProxyExceptions = HTTPProxyExceptions("")
    ) {
        self.plain = plain
        self.encrypted = encrypted
        self.exceptions = exceptions
    }

    /// One proxy for all.
    public init(_ proxy: HTTPProxy, exceptions: HTTPProxyExceptions = HTTPProxyExceptions("")) {
        self.init(plain: proxy, encrypted: proxy, exceptions: exceptions)
    }

    /// What the variables say that curl reads: `http_proxy` (in small letters only, for a CGI program's HTTP_PROXY is the word
    /// of a stranger), and `https_proxy`, `all_proxy` and `no_proxy`, which may be in capitals.
    ///
    /// - Throws: ``HTTPError`` if one of them is no URL of a proxy.
    public init(environment: [String: String]) throws(HTTPError) {
        let value = { (name: String) in
            [name, name.uppercased()].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        let plain = environment["http_proxy"].flatMap { $0.isEmpty ? nil : $0 } ?? value("all_proxy")
        self.plain = if let plain { try HTTPProxy(plain) } else { nil }
        let encrypted = value("https_proxy") ?? value("all_proxy")
        self.encrypted = if let encrypted { try HTTPProxy(encrypted) } else { nil }
        exceptions = HTTPProxyExceptions(value("no_proxy") ?? "")
    }

    /// The proxy on the way to a URL; nil if there is none.
    func proxy(for url: HTTPURL) -> HTTPProxy? {
        guard let proxy = url.isEncrypted ? encrypted : plain, !exceptions.contains(host: url.host, port: url.port)
        else {
            return nil
        }
        return proxy
    }
}
