import Foundation

/// A server that says the same to everybody, once it was spoken to, and closes the connection: nothing, garbage, a greeting.
public final class RawServer: Sendable {
    /// The port to connect to.
    public let port: UInt16
    private let listener: Int32

    /// Starts a server.
    ///
    /// - Parameters:
    ///   - answer: what it says.
    ///   - resets: whether the connection ends by a reset.
    public init(answer: [UInt8], resets: Bool = false) throws {
        port = try EtcdServer.freePorts(1)[0]
        let listener = try listenAtLoopback(port)
        self.listener = listener
        Thread.detachNewThread {
            while true {
                let client = Foundation.accept(listener, nil, nil)
                if client < 0 {
                    if errno == EINTR { continue }
                    break
                }
                var bytes = [UInt8](repeating: 0, count: 4096)
                _ = recv(client, &bytes, bytes.count, 0)
                _ = send(client, answer, answer.count, Int32(MSG_NOSIGNAL))
                // Without waiting for what is under way, see SO_LINGER in socket(7).
                var linger = linger(l_onoff: resets ? 1 : 0, l_linger: 0)
                setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Foundation.linger>.size))
                Foundation.close(client)
            }
            Foundation.close(listener)
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }
}
