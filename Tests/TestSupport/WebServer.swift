import Foundation

/// nginx with the files of a directory, over HTTP and HTTPS, on the loopback interface.
///
/// Files can be written by PUT. Each response names its connection (`X-Connection`) and the target that was asked for, as it
/// came (`X-Target`). `/echo` answers with the method and the field `X-Value`, `/moved` with a redirect, `/broken` with
/// status 500 and a text, `/nothing` with status 204.
public final class WebServer: Sendable {
    /// How a port is spoken to.
    public struct Certificate: Sendable {
        /// The certificate with its key.
        public let pair: TestPKI.Pair
        /// The versions of TLS that are offered, as nginx names them.
        public let protocols: String

        /// A certificate for the versions of TLS that are usual today.
        public init(_ pair: TestPKI.Pair, protocols: String = "TLSv1.2 TLSv1.3") {
            self.pair = pair
            self.protocols = protocols
        }
    }

    private let directory: TemporaryDirectory
    private let process: BackgroundProcess

    /// The port without TLS.
    public let port: UInt16
    /// The ports with TLS, one for each certificate.
    public let encryptedPorts: [UInt16]

    /// Starts a server and waits for it.
    public init(certificates: [Certificate] = []) throws {
        directory = try TemporaryDirectory()
        let ports = try EtcdServer.freePorts(1 + certificates.count)
        port = ports[0]
        encryptedPorts = Array(ports.dropFirst())
        try FileManager.default.createDirectory(atPath: directory.file("files"), withIntermediateDirectories: false)
        let servers = zip(certificates, encryptedPorts).map { certificate, port in
            """
            ssl_certificate \(certificate.pair.certificatePath);
            ssl_certificate_key \(certificate.pair.keyPath);
            ssl_protocols \(certificate.protocols);
            ssl_ciphers DEFAULT:@SECLEVEL=0;
            \(Self.listen(port, " ssl"))
            """
        }
        try directory.write(
            Self.configuration(directory, servers: [Self.listen(port, "")] + servers), to: "nginx.conf")
        process = try BackgroundProcess(
            try WebTools.path(of: "nginx"),
            ["-p", directory.path, "-e", directory.file("error.log"), "-c", directory.file("nginx.conf")])
        try process.waitUntilListening(on: port)
    }

    /// The path of a file that is served.
    public func file(_ name: String) -> String { directory.file("files/\(name)") }

    private static func listen(_ port: UInt16, _ options: String) -> String {
        "listen 127.0.0.1:\(port)\(options); listen [::1]:\(port)\(options);"
    }

    private static func configuration(_ directory: TemporaryDirectory, servers: [String]) -> String {
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path \(directory.file($0));" }.joined(separator: "\n")
        let common = """
            root \(directory.file("files"));
            add_header X-Connection $connection always;
            add_header X-Target $request_uri always;
            location / { dav_methods PUT DELETE; create_full_put_path on; dav_access user:rw; }
            location = /echo { return 200 "$request_method $http_x_value"; }
            location = /moved { return 301 /elsewhere; }
            location = /broken { return 500 "it is broken"; }
            location = /nothing { return 204; }
            """
        return """
            daemon off;
            master_process off;
            pid \(directory.file("pid"));
            events { worker_connections 256; }
            http {
            access_log off;
            default_type application/octet-stream;
            client_max_body_size 0;
            keepalive_requests 100000;
            \(places)
            \(servers.map { "server {\n\($0)\n\(common)\n}" }.joined(separator: "\n"))
            }
            """
    }
}

/// tinyproxy on the loopback interface.
public final class ProxyServer: Sendable {
    private let directory: TemporaryDirectory
    private let process: BackgroundProcess

    /// The port to connect to.
    public let port: UInt16

    /// Starts a proxy and waits for it.
    ///
    /// - Parameters:
    ///   - connectPorts: those that it makes tunnels to.
    ///   - user: the user and the password that it asks for.
    public init(connectPorts: [UInt16] = [], user: (name: String, password: String)? = nil) throws {
        directory = try TemporaryDirectory()
        port = try EtcdServer.freePorts(1)[0]
        // Without any entry all ports are allowed.
        let lines =
            [
                "Port \(port)", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 50", "LogLevel Info",
                "LogFile \"\(directory.file("log"))\"", "ConnectPort 1",
            ] + connectPorts.map { "ConnectPort \($0)" } + (user.map { ["BasicAuth \($0.name) \($0.password)"] } ?? [])
        try directory.write(lines.joined(separator: "\n") + "\n", to: "tinyproxy.conf")
        process = try BackgroundProcess(
            try WebTools.path(of: "tinyproxy"), ["-d", "-c", directory.file("tinyproxy.conf")])
        try process.waitUntilListening(on: port)
    }

    /// What it has noted of its requests.
    public func log() throws -> String { try String(contentsOfFile: directory.file("log"), encoding: .utf8) }
}

/// Where scripts/setup puts the programs above.
private enum WebTools {
    static func path(of name: String) throws -> String {
        let path = "\(EtcdVersion.toolsDirectory)/web/\(name)"
        guard access(path, X_OK) == 0 else { throw TestSupportError("\(name) is not at \(path): run scripts/setup") }
        return path
    }
}
