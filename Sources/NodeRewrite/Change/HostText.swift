internal import HostIO

/// Whether two hosts are the same name, whatever their case, or the same address, however written.
func isSameHost(_ one: some StringProtocol, _ other: some StringProtocol) -> Bool {
    if let address = IPAddress(one) { return IPAddress(other) == address }
    return one.lowercased() == other.lowercased()
}

/// A host as URLs have it.
func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

/// Host and port of `HOST:PORT`, `[HOST]:PORT`, `HOST` or an IPv6 address; nil if the port is none.
func splitHostPort(_ text: some StringProtocol) -> (host: String, port: Int?)? {
    if text.hasPrefix("[") {
        guard let end = text.firstIndex(of: "]") else { return nil }
        let host = String(text[text.index(after: text.startIndex)..<end])
        let rest = text[text.index(after: end)...]
        guard !rest.isEmpty else { return (host, nil) }
        guard rest.first == ":", let port = portNumber(rest.dropFirst()) else { return nil }
        return (host, port)
    }
    if IPAddress(text) != nil { return (String(text), nil) }
    guard let colon = text.lastIndex(of: ":") else { return (String(text), nil) }
    let host = text[..<colon]
    guard !host.contains(":"), let port = portNumber(text[text.index(after: colon)...]) else { return nil }
    return (String(host), port)
}

private func portNumber(_ text: some StringProtocol) -> Int? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text).flatMap { $0 <= 65535 ? $0 : nil }
}

/// A URL, or a host with a port, in pieces that give the same text again.
struct URLText {
    /// What stands before the host: scheme, `//`, user.
    var head: String
    /// Without brackets.
    var host: String
    var port: Int?
    /// Path, query and fragment.
    var tail: String
    private let hadBrackets: Bool

    /// Nil for text that is none.
    init?(_ text: some StringProtocol) {
        var head = ""
        var rest = text[...]
        if let scheme = rest.firstRange(of: "://") {
            head = String(rest[..<scheme.upperBound])
            rest = rest[scheme.upperBound...]
        }
        var authority = rest.prefix { !"/?#".contains($0) }
        tail = String(rest[authority.endIndex...])
        if let at = authority.lastIndex(of: "@") {
            head += authority[...at]
            authority = authority[authority.index(after: at)...]
        }
        guard let (host, port) = splitHostPort(authority), !host.isEmpty else { return nil }
        self.head = head
        self.host = host
        self.port = port
        hadBrackets = authority.hasPrefix("[")
    }

    /// The text; of pieces that were not changed what it was.
    var text: String {
        let host = hadBrackets && host.contains(":") || port != nil || !head.isEmpty ? bracketed(host) : host
        return head + host + (port.map { ":\($0)" } ?? "") + tail
    }
}
