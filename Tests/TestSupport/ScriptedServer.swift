import Foundation

/// A TCP server that does with each connection what a test says, such as breaking it in the middle of an answer.
public final class ScriptedServer: @unchecked Sendable {
    // `@unchecked Sendable`: what changes is guarded by `lock`.
    private let lock = NSLock()
    private let listener: Int32
    private var count = 0

    /// The port to connect to.
    public let port: UInt16

    /// How many connections there were.
    public var connectionCount: Int { lock.withLock { count } }

    /// Starts a server.
    ///
    /// - Parameter script: is run on a thread of its own for each connection, with the number of those before it; the
    ///   connection is closed when it returns.
    public init(_ script: @escaping @Sendable (ScriptedConnection, Int) -> Void) throws {
        port = try EtcdServer.freePorts(1)[0]
        let listener = try listenAtLoopback(port)
        self.listener = listener
        Thread.detachNewThread { [weak self] in
            while true {
                let client = Foundation.accept(listener, nil, nil)
                if client < 0 {
                    if errno == EINTR { continue }
                    break
                }
                let index = self?.next() ?? 0
                Thread.detachNewThread {
                    let connection = ScriptedConnection(client)
                    script(connection, index)
                    connection.close()
                }
            }
            Foundation.close(listener)
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    private func next() -> Int {
        lock.withLock {
            count += 1
            return count - 1
        }
    }
}

/// A connection to a ``ScriptedServer``, used by one thread.
public final class ScriptedConnection {
    private let descriptor: Int32
    private var pending: [UInt8] = []
    private var isOpen = true
    /// Guards `isOpen`, for what is closed here may be something else of this process at once.
    private let lock = NSLock()

    init(_ descriptor: Int32, limitSeconds: Int = 30) {
        self.descriptor = descriptor
        // No test waits for ever.
        var limit = timeval(tv_sec: limitSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    /// Reads a request's head, its empty line included; what was read before the connection ended otherwise.
    public func readHead() -> String {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let range = Data(pending).range(of: Data(end)) {
                let head = pending[..<range.upperBound]
                pending.removeFirst(range.upperBound)
                return String(decoding: head, as: UTF8.self)
            }
            guard receive() else { return String(decoding: pending, as: UTF8.self) }
        }
    }

    /// Reads so many bytes, or as many as come before the connection ends.
    public func read(_ count: Int) -> [UInt8] {
        while pending.count < count, receive() {}
        let bytes = Array(pending.prefix(count))
        pending.removeFirst(bytes.count)
        return bytes
    }

    /// Reads what is there of at most so many bytes; nil at the end of the connection.
    func readSome(_ count: Int) -> [UInt8]? {
        if pending.isEmpty, !receive() { return nil }
        let bytes = Array(pending.prefix(count))
        pending.removeFirst(bytes.count)
        return bytes
    }

    /// Reads a line with its end; nil if the connection ends before.
    func readLine() -> String? {
        while true {
            if let end = pending.firstIndex(of: 0x0A) {
                let line = Array(pending[...end])
                pending.removeFirst(line.count)
                return String(decoding: line, as: UTF8.self)
            }
            guard receive() else { return nil }
        }
    }

    /// Waits until the other side closes the connection.
    public func waitForEnd() {
        while receive() { pending = [] }
    }

    /// Sends a text; returns false when the connection is gone.
    @discardableResult
    public func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// Sends bytes; returns false when the connection is gone.
    @discardableResult
    public func send(_ bytes: [UInt8]) -> Bool {
        guard isOpen else { return false }
        var sent = 0
        while sent < bytes.count {
            let written = bytes[sent...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else { return false }
            sent += written
        }
        return true
    }

    /// Ends the connection by a reset, without waiting for what is under way.
    public func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Foundation.linger>.size))
        close()
    }

    /// Ends the connection for both directions, from any thread; it is closed by its own.
    func breakOff() { lock.withLock { if isOpen { shutdown(descriptor, Int32(SHUT_RDWR)) } } }

    /// Ends the connection.
    public func close() {
        lock.withLock {
            guard isOpen else { return }
            isOpen = false
            Foundation.close(descriptor)
        }
    }

    private func receive() -> Bool {
        guard isOpen else { return false }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return false }
        pending += bytes[..<count]
        return true
    }
}
