import Foundation

/// A port that takes connections and never says anything.
public final class SilentServer: Sendable {
    /// The port to connect to.
    public let port: UInt16
    private let listener: Int32

    /// Starts to listen; the kernel takes the connections.
    public init() throws {
        port = try EtcdServer.freePorts(1)[0]
        listener = try listenAtLoopback(port)
    }

    deinit { close(listener) }
}
