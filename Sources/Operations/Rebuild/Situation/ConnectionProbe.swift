import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Tells where connections are accepted: nothing is sent, and each is closed at once.
enum ConnectionProbe {
    /// An address and a port.
    struct Place: Hashable, CustomStringConvertible {
        var address: IPAddress
        var port: UInt16

        var description: String {
            address.bytes.count == 4 ? "\(address.text):\(port)" : "[\(address.text)]:\(port)"
        }
    }

    /// How long is waited for all of them together.
    private static let limitMilliseconds = 1000

    /// The places that accept a connection within a second.
    static func answering(_ places: [Place]) -> Set<Place> {
        var open: [(place: Place, descriptor: Int32)] = []
        var answering: Set<Place> = []
        defer { for item in open { close(item.descriptor) } }
        for place in Set(places) {
            let (descriptor, isConnected) = start(place)
            guard descriptor >= 0 else { continue }
            open.append((place, descriptor))
            if isConnected { answering.insert(place) }
        }
        let end = ContinuousClock.now + .milliseconds(limitMilliseconds)
        var waiting = open.filter { !answering.contains($0.place) }
        while !waiting.isEmpty, ContinuousClock.now < end {
            var polled = waiting.map { pollfd(fd: $0.descriptor, events: Int16(POLLOUT), revents: 0) }
            guard poll(&polled, nfds_t(polled.count), 50) >= 0 || errno == EINTR else { break }
            for (item, state) in zip(waiting, polled) where state.revents != 0 {
                if error(of: item.descriptor) == 0, state.revents & Int16(POLLOUT) != 0 { answering.insert(item.place) }
            }
            waiting = zip(waiting, polled).filter { $0.1.revents == 0 }.map(\.0)
        }
        return answering
    }

    /// Begins a connection; the descriptor is -1 where that fails at once.
    private static func start(_ place: Place) -> (descriptor: Int32, isConnected: Bool) {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(place.address.socketFamily, kind, 0)
        guard descriptor >= 0 else { return (-1, false) }
        let status = place.address.withSocketAddress(port: place.port) { connect(descriptor, $0, $1) }
        if status == 0 { return (descriptor, true) }
        guard errno == EINPROGRESS else {
            close(descriptor)
            return (-1, false)
        }
        return (descriptor, false)
    }

    private static func error(of descriptor: Int32) -> Int32 {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno
    }
}
