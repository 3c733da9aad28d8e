#if canImport(Glibc)
    import Glibc
#endif

/// What this host is called and reached by, as its kernel has it.
public struct HostIdentity: Sendable {
    /// An address of an interface.
    private struct Place: Sendable {
        var address: IPAddress
        /// For loopback interfaces, of whose IPv4 networks every address is this host's; nil for others.
        var mask: [UInt8]?
    }

    /// ``hostName``.
    public let name: String
    private let places: [Place]

    /// Reads the name and the addresses of all interfaces, also of those that are down.
    ///
    /// - Throws: ``SystemCallError``.
    public init() throws(SystemCallError) {
        guard let name = Self.hostName else { throw SystemCallError("read", "the name of this host") }
        self.name = name
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { throw SystemCallError("list", "the addresses of this host") }
        defer { freeifaddrs(first) }
        var places: [Place] = []
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let address = entry.ifa_addr.flatMap(Self.address) else { continue }
            let isLoopback = entry.ifa_flags & UInt32(IFF_LOOPBACK) != 0 && address.bytes.count == 4
            let mask = isLoopback ? entry.ifa_netmask.flatMap(Self.address)?.bytes : nil
            places.append(Place(address: address, mask: mask))
        }
        self.places = places
    }

    /// The name of this host, as `gethostname(2)` gives it; what must not use the network may ask for it.
    public static var hostName: String? {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The addresses by which others may reach it, in the order of the interfaces.
    public var addresses: [IPAddress] {
        places.map(\.address).filter { address in
            let isLinkLocal = address.bytes.count == 16 && address.bytes[0] == 0xFE && address.bytes[1] & 0xC0 == 0x80
            return !isLinkLocal && !address.isLoopback
        }
    }

    /// Whether an address is one of this host's.
    public func has(_ address: IPAddress) -> Bool {
        places.contains { place in
            if place.address == address { return true }
            guard let mask = place.mask, address.bytes.count == mask.count else { return false }
            return zip(mask, zip(address.bytes, place.address.bytes)).allSatisfy { $0 & $1.0 == $0 & $1.1 }
        }
    }

    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>) -> IPAddress? {
        let raw = UnsafeRawPointer(pointer)
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET:
            return withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in.self).sin_addr) { IPAddress(bytes: $0) }
        case AF_INET6:
            return withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { IPAddress(bytes: $0) }
        default: return nil
        }
    }
}

extension IPAddress {
    /// Whether a host reaches only itself by it.
    public var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }
}
