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
        listener = try listenAtLoopback(port)
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
            Thread.detachNewThread { forward(from: client, to: server) }
            Thread.detachNewThread { [self] in
                forward(from: server, to: client, passed: { count in lock.withLock { byteCounts[index] += count } })
            }
        }
        Foundation.close(listener)
    }
}
