import Foundation

/// A second server of S3 (moto), which checks neither signatures nor digests, stopped at the latest when its last reference
/// goes.
public final class MotoServer: Sendable {
    /// The port.
    public let port: UInt16
    private let process: BackgroundProcess

    /// Starts a server without buckets, and waits until it answers.
    public init() throws {
        port = try EtcdServer.freePorts(1)[0]
        let tools = EtcdVersion.toolsDirectory
        let names = (try? FileManager.default.contentsOfDirectory(atPath: tools)) ?? []
        guard let name = names.first(where: { $0.hasPrefix("moto-") }) else {
            throw TestSupportError("moto is not in \(tools); scripts/setup installs it")
        }
        process = try BackgroundProcess(
            "python3", ["-m", "moto.server", "-H", "127.0.0.1", "-p", "\(port)"],
            environment: ["PYTHONPATH": "\(tools)/\(name)", "PYTHONDONTWRITEBYTECODE": "1"])
        try process.waitUntilListening(on: port)
    }

    /// The endpoint.
    public var url: String { "http://127.0.0.1:\(port)" }
}
