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
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var reuse: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        guard withLoopback(port, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw TestSupportError("cannot listen on port \(port): error \(errno)")
        }
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
            Thread.detachNewThread { [self] in forward(from: client, to: server, isAnswer: false) }
            Thread.detachNewThread { [self] in forward(from: server, to: client, isAnswer: true) }
        }
        Foundation.close(listener)
    }

    /// Copies one direction to its end; the descriptors stay open, for the other direction uses them too.
    private func forward(from source: Int32, to destination: Int32, isAnswer: Bool) {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let allowed = isAnswer ? waitForAllowance(bytes.count) : bytes.count
            guard allowed > 0 else { break }
            let count = recv(source, &bytes, allowed, 0)
            guard count > 0 else { break }
            if isAnswer { condition.withLock { passed += count } }
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

    /// Waits until some bytes may pass; 0 after ``close()``.
    private func waitForAllowance(_ wanted: Int) -> Int {
        condition.withLock {
            while passed >= limit, !isClosed { condition.wait() }
            return isClosed ? 0 : min(wanted, limit - passed)
        }
    }
}

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
