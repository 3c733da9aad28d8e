#if canImport(Glibc)
    import Glibc
#endif

extension IPAddress {
    /// The family of sockets of this address: `AF_INET` or `AF_INET6`.
    public var socketFamily: Int32 { bytes.count == 4 ? AF_INET : AF_INET6 }

    /// Lends this address with a port as `bind(2)` and `connect(2)` take it.
    public func withSocketAddress<Result>(
        port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        guard bytes.count == 4 else {
            var place = sockaddr_in6()
            place.sin6_family = sa_family_t(AF_INET6)
            place.sin6_port = port.bigEndian
            Swift.withUnsafeMutableBytes(of: &place.sin6_addr) { $0.copyBytes(from: bytes) }
            return try Self.lend(place, body)
        }
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        Swift.withUnsafeMutableBytes(of: &place.sin_addr) { $0.copyBytes(from: bytes) }
        return try Self.lend(place, body)
    }

    private static func lend<Place, Result>(
        _ place: Place, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Result
    ) rethrows -> Result {
        try withUnsafePointer(to: place) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try body($0, socklen_t(MemoryLayout<Place>.size))
            }
        }
    }
}
