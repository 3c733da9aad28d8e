import HostIO

/// A list of hosts as `no_proxy` has them, which are spoken to without a proxy.
///
/// Entries are separated by commas or blanks: `*` is every host; a name is that host and all below it, a dot or `*.` in front
/// changes nothing; an address is that one; `10.0.0.0/8` and `fd00::/8` are networks. `:port` behind an entry restricts it.
public struct HTTPProxyExceptions: Sendable, Equatable {
    private enum Place: Sendable, Equatable {
        case everywhere
        case domain(String)
        case network(IPAddress, prefixBitCount: Int)
    }

    private struct Entry: Sendable, Equatable {
        var place: Place
        var port: UInt16?
    }

    private let entries: [Entry]

    /// Reads a list; what is no entry is passed over.
    public init(_ list: String) {
        entries = list.split { ",\t \n".contains($0) }.compactMap { Self.entry($0) }
    }

    /// Whether a host is in the list.
    ///
    /// - Parameter host: a name or an address without brackets.
    public func contains(host: String, port: UInt16) -> Bool {
        let address = IPAddress(host)
        let name = Self.normalized(host)
        return entries.contains { entry in
            guard entry.port == nil || entry.port == port else { return false }
            switch entry.place {
            case .everywhere: return true
            case .domain(let domain): return address == nil && (name == domain || name.hasSuffix(".\(domain)"))
            case .network(let network, let count):
                return address.map { Self.isIn($0, network, prefixBitCount: count) } ?? false
            }
        }
    }

    private static func entry(_ text: Substring) -> Entry? {
        if text == "*" { return Entry(place: .everywhere) }
        if let address = IPAddress(text) {
            return Entry(place: .network(address, prefixBitCount: 8 * address.bytes.count))
        }
        if let slash = text.firstIndex(of: "/") {
            guard let address = IPAddress(text[..<slash]), let count = Int(text[text.index(after: slash)...]),
                (0...8 * address.bytes.count).contains(count)
            else { return nil }
            return Entry(place: .network(address, prefixBitCount: count))
        }
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text.hasPrefix(".") ? text.dropFirst() : text
        guard let place = HostAndPort(name) else { return nil }
        if let address = IPAddress(place.host) {
            return Entry(place: .network(address, prefixBitCount: 8 * address.bytes.count), port: place.port)
        }
        return Entry(place: .domain(normalized(place.host)), port: place.port)
    }

    /// Without case and without the dot that says that a name is complete.
    private static func normalized(_ name: String) -> String {
        let lower = name.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }

    private static func isIn(_ address: IPAddress, _ network: IPAddress, prefixBitCount: Int) -> Bool {
        guard address.bytes.count == network.bytes.count else { return false }
        return zip(address.bytes, network.bytes).enumerated().allSatisfy { index, pair in
            let bitCount = min(max(prefixBitCount - 8 * index, 0), 8)
            return bitCount == 0 || (pair.0 ^ pair.1) >> (8 - bitCount) == 0
        }
    }
}
