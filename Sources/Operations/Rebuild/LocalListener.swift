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
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.socketFamily, kind, 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        // Connections that have ended a moment ago count for nothing.
        var isReused: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isReused, socklen_t(MemoryLayout<Int32>.size))
        let status = address.withSocketAddress(port: port) { bind(descriptor, $0, $1) }
        return status != 0 && errno == EADDRINUSE
    }
}
