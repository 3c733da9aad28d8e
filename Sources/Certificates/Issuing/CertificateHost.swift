import HostIO

/// What a server is reached by and its certificate is checked against: a DNS name or an IP address.
public enum CertificateHost: Hashable, Sendable, CustomStringConvertible {
    /// A name in lower case, which may begin with `*.`.
    case dns(String)
    /// An address.
    case ip(IPAddress)

    /// A host from its text, nil if it is neither an address, with brackets or without, nor a DNS name.
    ///
    /// Names are checked as kubeadm does (`IsDNS1123Subdomain`, `IsWildcardDNS1123Subdomain`): capitals and anything
    /// beyond ASCII are none, so an internationalised name has to be in its `xn--` form.
    public init?(_ text: String) {
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        if let address = IPAddress(bare) {
            self = .ip(address)
        } else if Self.isDNSName(text.hasPrefix("*.") ? String(text.dropFirst(2)) : text) {
            self = .dns(text)
        } else {
            return nil
        }
    }

    /// Whether a text is a subdomain as RFC 1123 has it, in lower case.
    public static func isDNSName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.first, let last = label.last else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last)
                && label.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    /// The name or the address.
    public var description: String {
        switch self {
        case .dns(let name): printable(name)
        case .ip(let address): address.text
        }
    }
}
