import Foundation

/// A TCP balancer: one address, behind which each connection leads to the next of several servers.
public final class Balancer: @unchecked Sendable {
    // `@unchecked Sendable`: everything that changes is guarded by `lock`.
    private let lock = NSLock()
    private let listener: Int32
    private let serverPorts: [UInt16]
    private var nextIndex: Int
    private var byteCounts: [Int]
    private var descriptors: [Int32] = []

    /// The port to connect to.
    public let port: UInt16

    /// Balances a new port over others of the loopback interface.
    ///
    /// - Parameter first: which of them the first connection leads to.
    public init(over serverPorts: [UInt16], first: Int = 0) throws {
        self.serverPorts = serverPorts
        nextIndex = first
        byteCounts = serverPorts.map { _ in 0 }
        port = try EtcdServer.freePorts(1)[0]
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var reuse: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        guard withLoopback(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw TestSupportError("cannot listen on port \(port): error \(errno)")
        }
        Thread.detachNewThread { [self] in accept() }
    }

    /// How many bytes of answers came from each server.
    public var answeredByteCounts: [Int] { lock.withLock { byteCounts } }

    /// Breaks all connections and takes no more.
    public func close() {
        lock.withLock {
            shutdown(listener, Int32(SHUT_RDWR))
            for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            if client < 0 {
                if errno == EINTR { continue }
                break
            }
            let index = lock.withLock {
                defer { nextIndex = (nextIndex + 1) % serverPorts.count }
                return nextIndex
            }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard withLoopback(serverPorts[index], { connect(server, $0, $1) }) == 0 else {
                Foundation.close(server)
                Foundation.close(client)
                continue
            }
            lock.withLock { descriptors += [client, server] }
            Thread.detachNewThread { [self] in forward(from: client, to: server) { _ in } }
            Thread.detachNewThread { [self] in
                forward(from: server, to: client) { [self] count in lock.withLock { byteCounts[index] += count } }
            }
        }
        Foundation.close(listener)
    }

    private func forward(from source: Int32, to destination: Int32, _ passed: (Int) -> Void) {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = recv(source, &bytes, bytes.count, 0)
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
}
