import Foundation

/// A stand-in for kube-apiserver that keeps objects in memory, `Tests/APIServer/kube-apiserver`.
public final class APIServer: Sendable {
    /// The port, on 127.0.0.1.
    public let port: UInt16
    private let directory: TemporaryDirectory
    private let process: BackgroundProcess

    /// The program, which is started as kube-apiserver is.
    public static let program = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "APIServer/kube-apiserver").path

    /// Starts a server.
    ///
    /// - Parameters:
    ///   - objects: a list of objects in JSON.
    ///   - pair: the server's certificate; whoever its authority has signed may come, and is asked for its groups.
    ///   - faults: what goes wrong, as the program has it.
    public init(objects: String, pki: TestPKI, pair: TestPKI.Pair, faults: [String] = []) throws {
        directory = try TemporaryDirectory()
        port = try EtcdServer.freePorts(1)[0]
        let file = try directory.write(objects, to: "objects.json")
        process = try BackgroundProcess(
            Self.program,
            [
                "--secure-port=\(port)", "--bind-address=127.0.0.1", "--client-ca-file=\(pki.caPath)",
                "--tls-cert-file=\(pair.certificatePath)", "--tls-private-key-file=\(pair.keyPath)",
            ],
            environment: [
                "STAND_IN_OBJECTS": file, "STAND_IN_LOG": directory.file("log"),
                "STAND_IN_FAULTS": faults.joined(separator: " "),
            ])
        try process.waitUntilListening(on: port)
    }

    /// What was asked: method, target, user and status of each request.
    public func requests() -> [String] {
        ((try? String(contentsOfFile: directory.file("log"), encoding: .utf8)) ?? "").split(separator: "\n")
            .map(String.init)
    }

    /// A kubeconfig for it.
    public func kubeconfig(_ pki: TestPKI, client: TestPKI.Pair, serverName: String? = nil) throws -> String {
        func data(_ path: String) throws -> String { try Data(contentsOf: URL(filePath: path)).base64EncodedString() }
        let name = serverName.map { "    tls-server-name: \($0)\n" } ?? ""
        return """
            apiVersion: v1
            kind: Config
            clusters:
            - name: kubernetes
              cluster:
                certificate-authority-data: \(try data(pki.caPath))
                server: https://127.0.0.1:\(port)
            \(name)contexts:
            - name: admin@kubernetes
              context: {cluster: kubernetes, user: admin}
            current-context: admin@kubernetes
            users:
            - name: admin
              user:
                client-certificate-data: \(try data(client.certificatePath))
                client-key-data: \(try data(client.keyPath))
            """
    }
}
