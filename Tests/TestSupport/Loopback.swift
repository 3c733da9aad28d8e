import Foundation

/// A socket that listens at a port of the loopback interface.
func listenAtLoopback(_ port: UInt16) throws -> Int32 {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var reuse: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
    guard withLoopback(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
        throw TestSupportError("cannot listen on port \(port): error \(errno)")
    }
    return listener
}

/// Lends the address of a port of the loopback interface.
func withLoopback(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    address.sin_port = port.bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}

/// Copies one direction of a connection to its end; the descriptors stay open, for the other direction uses them too.
///
/// - Parameters:
///   - allowance: waits until some of so many bytes may pass; 0 ends it.
///   - passed: is told how many did.
func forward(
    from source: Int32, to destination: Int32, allowance: (Int) -> Int = { $0 }, passed: (Int) -> Void = { _ in }
) {
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let allowed = allowance(bytes.count)
        guard allowed > 0 else { break }
        let count = recv(source, &bytes, allowed, 0)
        guard count > 0 else { break }
        passed(count)
        var sent = 0
        while sent < count {
            let written = bytes[sent..<count].withUnsafeBytes {
                send(destination, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else { break }
            sent += written
        }
        guard sent == count else { break }
    }
    shutdown(source, Int32(SHUT_RDWR))
    shutdown(destination, Int32(SHUT_RDWR))
}
