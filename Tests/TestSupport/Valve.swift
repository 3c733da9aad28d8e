import Foundation

/// A TCP forwarder that lets through only so many bytes of a server's answers, and holds the rest back.
///
/// It puts an event at an exact place of a stream, however fast the machine is.
public final class Valve: @unchecked Sendable {
    // `@unchecked Sendable`: everything that changes is guarded by `condition`.
    private let condition = NSCondition()
    private let listener: Int32
    private let serverPort: UInt16
    private var descriptors: [Int32] = []
    private var limit: Int
    private var passed = 0
    private var isClosed = false

    /// The port to connect to.
    public let port: UInt16

    /// Forwards a new port to another one of the loopback interface.
    ///
    /// - Parameter limit: how many bytes of all answers together go through.
    public init(to serverPort: UInt16, limit: Int = .max) throws {
        self.serverPort = serverPort
        self.limit = limit
        port = try EtcdServer.freePorts(1)[0]
        listener = try listenAtLoopback(port)
        Thread.detachNewThread { [self] in accept() }
    }

    /// How many bytes of answers went through.
    public var passedByteCount: Int { condition.withLock { passed } }

    /// How many connections were made.
    public var connectionCount: Int { condition.withLock { descriptors.count / 2 } }

    /// Lets more bytes through, counted from the first.
    public func open(limit: Int = .max) {
        condition.withLock {
            self.limit = limit
            condition.broadcast()
        }
    }

    /// Waits until the limit is reached.
    ///
    /// - Parameter isNeeded: whether it still makes sense to wait.
    public func waitUntilHeld(while isNeeded: () -> Bool = { true }) throws {
        let end = ContinuousClock.now + .seconds(60)
        while !condition.withLock({ passed >= limit }) {
            guard isNeeded(), ContinuousClock.now < end else {
                throw TestSupportError("only \(passedByteCount) bytes came through the valve")
            }
            usleep(1000)
        }
    }

    /// Breaks the connections that there are; others may follow.
    public func breakConnections() {
        condition.withLock {
            for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Breaks all connections and takes no more.
    public func close() {
        condition.withLock {
            isClosed = true
            shutdown(listener, Int32(SHUT_RDWR))
            for descriptor in descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
            condition.broadcast()
        }
    }

    private func accept() {
        while true {
            let client = Foundation.accept(listener, nil, nil)
            if client < 0 {
                if errno == EINTR { continue }
                break
            }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            guard withLoopback(serverPort, { connect(server, $0, $1) }) == 0 else {
                Foundation.close(server)
                Foundation.close(client)
                continue
            }
            condition.withLock { descriptors += [client, server] }
            Thread.detachNewThread { forward(from: client, to: server) }
            Thread.detachNewThread { [self] in
                forward(
                    from: server, to: client, allowance: waitForAllowance,
                    passed: { count in condition.withLock { passed += count } })
            }
        }
        Foundation.close(listener)
    }

    /// Waits until some bytes may pass; 0 after ``close()``.
    private func waitForAllowance(_ wanted: Int) -> Int {
        condition.withLock {
            while passed >= limit, !isClosed { condition.wait() }
            return isClosed ? 0 : min(wanted, limit - passed)
        }
    }
}
