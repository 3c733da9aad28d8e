import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// The address of one etcd member's client listener.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// Whether the connection uses TLS.
    public enum Transport: String, Sendable, Hashable {
        /// HTTP/2 without TLS.
        case plaintext = "http"
        /// HTTP/2 over TLS.
        case tls = "https"
        /// HTTP/2 without TLS over a socket of this host (unix(7)); never what a person writes.
        case socket = "unix"
    }

    /// Whether the connection uses TLS.
    public var transport: Transport
    /// A name, an IPv4 address or an IPv6 address without brackets.
    public var host: String
    /// The TCP port.
    public var port: UInt16
    /// The name that the server's certificate has to carry, where that is neither the host nor the configured one.
    public var expectedName: String?

    /// etcd's registered client port.
    public static let defaultPort: UInt16 = 2379

    /// Creates an endpoint from its parts.
    public init(transport: Transport, host: String, port: UInt16 = defaultPort, expectedName: String? = nil) {
        self.transport = transport
        self.host = host
        self.port = port
        self.expectedName = expectedName
    }

    /// The socket at a path of this host, as its ``host``.
    public init(socket path: String) { self.init(transport: .socket, host: path, port: 0, expectedName: "localhost") }

    /// The same endpoint, with another name in the server's certificate.
    public init(_ endpoint: Endpoint, expecting name: String) {
        self = endpoint
        expectedName = name
    }

    /// Reads `http://host:port`, `https://host:port` or `host:port`; an IPv6 address stands in brackets.
    ///
    /// - Parameter transport: what is meant where no scheme is written.
    /// - Throws: ``Failure`` with the code `usage`.
    public init(parsing text: String, transport: Transport = .tls) throws(Failure) {
        try Self.refuseCredentials(in: text)
        let text = text.trimming(while: \.isWhitespace)
        func invalid(_ why: String) -> Failure {
            Failure(
                .usage, "the endpoint \(quoted(String(text))) \(why)",
                hint: "write it as https://10.0.0.1:2379, or https://[fd00::1]:2379")
        }
        if let separator = text.first(where: { $0.isWhitespace || $0 == "," || $0 == ";" }) {
            throw Failure(
                .usage,
                "the endpoint \(quoted(String(text))) has \(separator.isWhitespace ? "a space" : "\"\(separator)\"") in it",
                hint: "separate several by commas, or in a configuration write each as an element of its own",
                settings: [.endpoints])
        }
        var rest = text
        self.transport = transport
        if let separator = rest.firstRange(of: "://") {
            guard let named = Transport(rawValue: rest[..<separator.lowerBound].lowercased()), named != .socket else {
                throw invalid("has a scheme other than http and https")
            }
            self.transport = named
            rest = rest[separator.upperBound...]
        }
        rest = Self.withoutPath(rest)
        let (host, portText) = try Self.split(rest, invalid)
        guard Self.isHost(host) else { throw invalid("has no valid host name or address") }
        self.host = Self.canonical(host)
        guard let portText else {
            port = Self.defaultPort
            return
        }
        let isNumber = portText.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isNumber, let port = UInt16(portText), port > 0 else {
            guard isNumber else { throw Self.invalidPort(text.dropLast(portText.count)) }
            throw invalid("has no valid port")
        }
        self.port = port
    }

    /// A path leads nowhere in gRPC, and etcdctl passes it over too.
    private static func withoutPath(_ text: Substring) -> Substring {
        guard let slash = text.firstIndex(of: "/") else { return text }
        let parts = text[..<slash].split(separator: ":", omittingEmptySubsequences: false)
        // What is no port may be a password with a slash in it.
        let hasPort = parts.count > 1 && parts.last.flatMap { UInt16($0) } != nil
        return hasPort || slash == text.indices.last ? text[..<slash] : text
    }

    /// An IPv6 address in its shortest form, as certificates are compared with it; anything else as it is.
    private static func canonical(_ host: Substring) -> String {
        var address = in6_addr()
        guard host.contains(":"), inet_pton(AF_INET6, String(host), &address) == 1 else { return String(host) }
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, &address, &text, socklen_t(text.count)) != nil else { return String(host) }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// What stands in place of a port may be a path, or a password: it is not shown.
    private static func invalidPort(_ beginning: Substring) -> Failure {
        Failure(
            .usage, "the endpoint \(quoted("\(beginning)…")) has something else than a number as its port",
            hint: "write it as https://10.0.0.1:2379, without a path or a password behind it", settings: [.endpoints])
    }

    /// Refuses a text of one or several endpoints that has a user or a password in it, none of which is shown.
    ///
    /// - Throws: ``Failure`` with the code `usage`.
    public static func refuseCredentials(in text: String) throws(Failure) {
        guard text.contains("@") else { return }
        throw Failure(
            .usage, "an endpoint has a user or a password in it",
            hint:
                "give the user and a file with the password apart, and take the password for known to others if it was "
                + "in the arguments of a command",
            settings: [.user, .passwordFile])
    }

    /// Separates host and port; an IPv6 address loses its brackets.
    private static func split(
        _ text: Substring, _ invalid: (String) -> Failure
    ) throws(Failure) -> (host: Substring, port: Substring?) {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw invalid("lacks the closing bracket") }
            let host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard isIPv6(host) else { throw invalid("has something other than an IPv6 address in its brackets") }
            if rest.isEmpty { return (host, nil) }
            guard rest.first == ":" else { throw invalid("has something other than a port after the bracket") }
            return (host, rest.dropFirst())
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return (parts[0], nil)
        case 2: return (parts[0], parts[1])
        default: throw invalid("has an IPv6 address without brackets")
        }
    }

    private static func isIPv6(_ text: Substring) -> Bool {
        text.contains(":") && text.utf8.allSatisfy { $0 == 0x3A || $0 == 0x2E || isHexDigit($0) }
    }

    private static func isHost(_ text: Substring) -> Bool {
        if text.contains(":") { return isIPv6(text) }
        let isMadeOfNameBytes = text.utf8.allSatisfy { byte in
            byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_")
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        }
        return isMadeOfNameBytes && !text.isEmpty && text.utf8.count <= 253
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }

    /// The endpoint as a URL.
    public var description: String { "\(transport.rawValue)://\(address)" }

    /// Host and port, an IPv6 address in brackets; of a socket its path.
    var address: String {
        if transport == .socket { return host }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// Whether it leads to this host, whatever becomes of its addresses.
    public var isLoopback: Bool { host == "localhost" || host == "::1" || isAddress && host.hasPrefix("127.") }

    /// Whether the host is an address and no name.
    public var isAddress: Bool {
        if host.contains(":") { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

extension StringProtocol {
    /// The text without characters of a kind at both ends.
    fileprivate func trimming(while isLeftOut: (Character) -> Bool) -> Substring {
        var rest = Substring(self)
        while let first = rest.first, isLeftOut(first) { rest.removeFirst() }
        while let last = rest.last, isLeftOut(last) { rest.removeLast() }
        return rest
    }
}
