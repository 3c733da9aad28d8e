import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Whether something on this host listens at one of its own addresses.
///
/// Nothing is connected to: what answers for an address of another host may be a proxy on the way.
enum LocalListener {
    /// The first of the addresses and ports that is taken; those of other hosts are passed over.
    static func first(of places: [(address: IPAddress, port: Int)]) -> (address: IPAddress, port: Int)? {
        places.first { isTaken($0.address, $0.port) }
    }

    private static func isTaken(_ address: IPAddress, _ port: Int) -> Bool {
        guard let port = UInt16(exactly: port) else { return false }
        let isFour = address.bytes.count == 4
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(isFour ? AF_INET : AF_INET6, kind, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // Connections that have ended a moment ago count for nothing.
        var isReused: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isReused, socklen_t(MemoryLayout<Int32>.size))
        let status = isFour ? bindFour(descriptor, address, port) : bindSix(descriptor, address, port)
        return status != 0 && errno == EADDRINUSE
    }

    private static func bindFour(_ descriptor: Int32, _ address: IPAddress, _ port: UInt16) -> Int32 {
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        withUnsafeMutableBytes(of: &place.sin_addr) { $0.copyBytes(from: address.bytes) }
        return withUnsafePointer(to: place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func bindSix(_ descriptor: Int32, _ address: IPAddress, _ port: UInt16) -> Int32 {
        var place = sockaddr_in6()
        place.sin6_family = sa_family_t(AF_INET6)
        place.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &place.sin6_addr) { $0.copyBytes(from: address.bytes) }
        return withUnsafePointer(to: place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}
