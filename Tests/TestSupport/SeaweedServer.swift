import Foundation

/// A server of S3 on the loopback interface (SeaweedFS) with identities of its own, stopped at the latest when its last
/// reference goes.
public final class SeaweedServer: Sendable {
    /// Who may do what.
    public struct Identity: Sendable {
        /// The access key.
        public var key: String
        /// Its secret.
        public var secret: String
        /// What it may do: `Admin`, `Read`, `Write`, `List`, each perhaps with `:BUCKET`.
        public var actions: [String]

        /// An identity from its parts.
        public init(key: String, secret: String, actions: [String]) {
            self.key = key
            self.secret = secret
            self.actions = actions
        }
    }

    /// The port of S3.
    public let port: UInt16
    /// Whether it speaks TLS.
    public let isEncrypted: Bool
    private let directory: TemporaryDirectory
    private let process: BackgroundProcess

    /// The program, which scripts/setup has installed.
    public static func executable() throws -> String {
        let tools = EtcdVersion.toolsDirectory
        let names = (try? FileManager.default.contentsOfDirectory(atPath: tools)) ?? []
        for name in names where name.hasPrefix("s3-") {
            let path = "\(tools)/\(name)/bin/weed"
            if access(path, X_OK) == 0 { return path }
        }
        throw TestSupportError("SeaweedFS is not in \(tools); scripts/setup installs it")
    }

    /// Starts a server without buckets, and waits until it answers.
    ///
    /// - Parameters:
    ///   - pki: makes it speak TLS, with the certificate of this authority.
    ///   - volumes: how many files it keeps objects in, and from which size on none gets more; a bucket takes several at once.
    public init(
        _ identities: [Identity], pki: TestPKI? = nil, volumes: (count: Int, mebibytes: Int) = (100, 64)
    ) throws {
        let ports = try EtcdServer.freePorts(8)
        port = ports[0]
        isEncrypted = pki != nil
        directory = try TemporaryDirectory()
        let listed: [[String: Any]] = identities.map {
            [
                "name": $0.key, "actions": $0.actions,
                "credentials": [["accessKey": $0.key, "secretKey": $0.secret]],
            ]
        }
        let json = try JSONSerialization.data(withJSONObject: ["identities": listed])
        let configuration = try directory.write(String(decoding: json, as: UTF8.self), to: "identities.json")
        let encryption = pki.map {
            ["-s3.cert.file=\($0.server.certificatePath)", "-s3.key.file=\($0.server.keyPath)"]
        }
        process = try BackgroundProcess(
            Self.executable(),
            [
                "-logdir=\(directory.path)", "server", "-dir=\(directory.path)", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                "-master.port=\(ports[1])", "-master.port.grpc=\(ports[2])",
                "-master.volumeSizeLimitMB=\(volumes.mebibytes)",
                "-volume.port=\(ports[3])", "-volume.port.grpc=\(ports[4])", "-volume.max=\(volumes.count)", "-filer",
                "-filer.port=\(ports[5])", "-filer.port.grpc=\(ports[6])", "-s3", "-s3.port=\(port)",
                "-s3.port.grpc=\(ports[7])", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
                "-s3.config=\(configuration)",
            ] + (encryption ?? []))
        try process.waitUntilListening(on: port)
    }

    /// The endpoint.
    public var url: String { "\(isEncrypted ? "https" : "http")://127.0.0.1:\(port)" }

    /// Ends the server and waits.
    public func stop() { process.stop() }
}
