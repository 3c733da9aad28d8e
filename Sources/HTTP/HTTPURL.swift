import HostIO

/// What of an absolute URL has to be known before it is sent: where it leads.
struct HTTPURL: Sendable, Equatable {
    var isEncrypted: Bool
    /// A name or an address, IPv6 addresses without brackets.
    var host: String
    var port: UInt16

    /// Reads a URL; the path and the query are not looked at, but must be encoded.
    init(_ text: String) throws(HTTPError) {
        let problem = { (what: String) in HTTPError(.invalidRequest("its URL \(what)")) }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw problem("has blanks, control characters or letters that must be encoded")
        }
        guard let end = text.firstRange(of: "://") else { throw problem("has no scheme") }
        switch text[..<end.lowerBound].lowercased() {
        case "http": isEncrypted = false
        case "https": isEncrypted = true
        default: throw problem("has another scheme than http and https")
        }
        let rest = text[end.upperBound...]
        let authority = rest.prefix { !"/?#".contains($0) }
        guard !rest.contains("#") else { throw problem("has a fragment") }
        guard !authority.contains("@") else { throw problem("has a user in it") }
        guard let place = HostAndPort(authority) else { throw problem("has no host and port that could be understood") }
        host = place.host
        port = place.port ?? (isEncrypted ? 443 : 80)
    }

    /// The host and the port for people.
    var server: String { HostAndPort.text(host, port) }
}

/// `host`, `host:port`, `[address]:port`.
struct HostAndPort: Sendable, Equatable {
    var host: String
    var port: UInt16?

    init?(_ text: some StringProtocol) {
        var host = String(text)
        var port: Substring?
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
            host = String(host[..<end].dropFirst())
            guard IPAddress(host)?.bytes.count == 16 else { return nil }
        } else if let colon = host.firstIndex(of: ":") {
            port = host[host.index(after: colon)...]
            host = String(host[..<colon])
        }
        guard !host.isEmpty, host.utf8.count <= 255, host.utf8.allSatisfy({ Self.isAllowed($0) }) else { return nil }
        if let port, !port.isEmpty {
            guard port.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt16(port), number > 0 else {
                return nil
            }
            self.port = number
        } else {
            self.port = nil
        }
        self.host = host
    }

    static func text(_ host: String, _ port: UInt16) -> String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x3A, 0x41...0x5A, 0x61...0x7A: true
        default: "-._".utf8.contains(byte)
        }
    }
}
