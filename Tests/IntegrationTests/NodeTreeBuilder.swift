import Foundation
import TestSupport

/// Builds the file system of a node, with real keys and certificates, in a directory of its own.
struct NodeTreeBuilder {
    /// A certificate and its key, as paths of the node.
    struct Pair {
        let certificate: String
        let key: String
    }

    private let directory: TemporaryDirectory
    /// The directory that is the node's root.
    let root: String

    init() throws {
        directory = try TemporaryDirectory()
        root = directory.file("node")
        try run("mkdir", [root])
    }

    /// A path of the node as this host sees it.
    func file(_ path: String) -> String { root + path }

    /// Writes a file with the directories above it.
    func write(_ text: String, to path: String, mode: Int = 0o644) throws {
        let url = URL(fileURLWithPath: file(path))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: url.path)
    }

    /// Changes the tree by a script that runs in the node's root.
    @discardableResult
    func change(_ script: String) throws -> String { try shell("cd \"$1\"; \(script)", root).text }

    /// Everything below the root but for directories: absolute paths of the node.
    func files() throws -> Set<String> {
        Set(try change("find . ! -type d -printf '/%P\\0'").split(separator: "\0").map(String.init))
    }

    /// Puts the kubeadm fixture's `/etc` there, with the modes that kubeadm sets.
    func addKubeadm() throws {
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm/etc").path
        try shell(
            """
            cp -R "$2" "$1/etc"; find "$1" -type d -exec chmod 0755 {} +; find "$1" -type f -exec chmod 0644 {} +
            find "$1" -type f '(' -name '*.key' -o -name '*.conf' ')' -exec chmod 0600 {} +
            """, root, fixture)
    }

    // MARK: Certificates

    private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    private func pair(_ path: String, _ ending: String) throws -> Pair {
        try run("mkdir", ["-p", URL(fileURLWithPath: file(path)).deletingLastPathComponent().path])
        return ending == "pem"
            ? Pair(certificate: "\(path).pem", key: "\(path)-key.pem")
            : Pair(certificate: "\(path).crt", key: "\(path).key")
    }

    /// Makes a CA at `PATH.crt` and `PATH.key`, or with the ending `pem` at `PATH.pem` and `PATH-key.pem`.
    @discardableResult
    func authority(_ path: String, _ name: String, ending: String = "crt") throws -> Pair {
        let pair = try pair(path, ending)
        let configuration = try directory.write(
            """
            [req]
            distinguished_name = name
            x509_extensions = authority
            [name]
            [authority]
            basicConstraints = critical,CA:TRUE
            keyUsage = critical,digitalSignature,keyEncipherment,keyCertSign
            """, to: "authority.cnf")
        try run(
            "openssl",
            ["req", "-x509", "-config", configuration, "-days", "3650", "-subj", "/CN=\(name)"] + Self.newKey
                + ["-keyout", file(pair.key), "-out", file(pair.certificate)])
        return pair
    }

    /// Makes a certificate for a server and a client, of a year.
    @discardableResult
    func issue(
        _ path: String, _ subject: String, by authority: Pair, names: [String] = [], ending: String = "crt"
    ) throws -> Pair {
        let pair = try pair(path, ending)
        let request = directory.file("request.csr")
        try run(
            "openssl", ["req", "-new", "-subj", subject] + Self.newKey + ["-keyout", file(pair.key), "-out", request])
        let extensions = try directory.write(
            "extendedKeyUsage = serverAuth,clientAuth\n"
                + (names.isEmpty ? "" : "subjectAltName = \(names.joined(separator: ","))\n"), to: "extensions.cnf")
        try run(
            "openssl",
            ["x509", "-req", "-in", request, "-days", "365", "-extfile", extensions, "-out", file(pair.certificate)]
                + ["-CA", file(authority.certificate), "-CAkey", file(authority.key)]
                + ["-set_serial", String(UInt32.random(in: 1...UInt32.max))])
        return pair
    }

    /// Makes an RSA key pair that signs service account tokens.
    func serviceAccountKey(_ key: String, public publicKey: String? = nil) throws {
        try run("mkdir", ["-p", URL(fileURLWithPath: file(key)).deletingLastPathComponent().path])
        try run("openssl", ["genrsa", "-out", file(key), "2048"])
        if let publicKey { try run("openssl", ["rsa", "-in", file(key), "-pubout", "-out", file(publicKey)]) }
    }

    /// Writes a kubeconfig with embedded credentials.
    func kubeconfig(_ path: String, ca: String, pair: Pair, server: String = "https://127.0.0.1:6443") throws {
        func data(_ path: String) throws -> String {
            try Data(contentsOf: URL(fileURLWithPath: file(path))).base64EncodedString()
        }
        try write(
            """
            apiVersion: v1
            kind: Config
            clusters:
            - name: default
              cluster: {server: "\(server)", certificate-authority-data: \(try data(ca))}
            contexts:
            - name: default
              context: {cluster: default, user: default}
            current-context: default
            users:
            - name: default
              user: {client-certificate-data: \(try data(pair.certificate)), client-key-data: \(try data(pair.key))}
            """, to: path, mode: 0o600)
    }

    // MARK: etcd

    /// The names that the certificate of an etcd on loopback needs.
    static let loopback = ["IP:127.0.0.1", "IP:::1", "DNS:localhost"]

    /// Starts a real etcd with certificates of the tree.
    func startEtcd(ca: String, server: Pair, client: Pair) throws -> EtcdServer {
        func host(_ pair: Pair) -> TestPKI.Pair {
            TestPKI.Pair(certificatePath: file(pair.certificate), keyPath: file(pair.key))
        }
        return try EtcdServer.start(
            .v3_5, pki: TestPKI(existing: file(ca), server: host(server), client: host(client)))
    }
}

extension EtcdServer {
    var peerURL: String { "http://127.0.0.1:\(peerPort)" }
}
