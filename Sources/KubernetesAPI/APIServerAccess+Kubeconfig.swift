public import Certificates
import HostIO
import YAML

extension APIServerAccess {
    /// The most bytes of a kubeconfig, and of a file that it names.
    private static let byteCountLimit = 4 << 20

    /// Access as a kubeconfig's current context has it.
    ///
    /// - Parameter path: a file of this host; files that it names are read from where it says.
    /// - Throws: ``Failure`` that names the file and what is missing in it, and never a credential.
    public init(kubeconfig path: String) throws {
        var bytes = try RandomAccessFile(path: path).allBytes(limit: Self.byteCountLimit)
        defer { bytes.wipe() }
        let root: Node?
        do {
            root = try Node.first(in: bytes)
        } catch {
            throw Failure(.failed, "\(quoted(path)) is not valid YAML: \(error)")
        }
        try self.init(try Kubeconfig(root, path: path), path: path)
    }

    /// Access as the current context of a kubeconfig has it.
    ///
    /// - Parameter path: what messages call it.
    public init(_ kubeconfig: Kubeconfig, path: String) throws {
        func refusal(_ what: String, _ hint: String? = nil) -> Failure {
            Failure(
                .failed, "\(quoted(path)) can't be used: \(what)",
                hint: hint ?? "use the kubeconfig of an administrator, such as /etc/kubernetes/admin.conf")
        }
        let name = kubeconfig.currentContext ?? ""
        guard let context = kubeconfig.contexts.first(where: { $0.name == name }) else {
            throw refusal("its current context \(quoted(name)) is not in it")
        }
        guard let cluster = kubeconfig.clusters.first(where: { $0.name == context.cluster }),
            let server = cluster.server
        else { throw refusal("the context \(quoted(name)) has no cluster with a server") }
        guard let user = kubeconfig.users.first(where: { $0.name == context.user }) else {
            throw refusal("the context \(quoted(name)) has no user")
        }
        guard !cluster.skipsVerification else {
            throw refusal(
                "it skips the verification of the server's certificate",
                "write the cluster's authority into it as certificate-authority-data")
        }
        let authorities =
            try cluster.certificateAuthorityData
            ?? cluster.certificateAuthorityPath.map { try Self.bytes(of: $0) }
        guard let authorities else { throw refusal("the cluster \(quoted(cluster.name)) has no certificate authority") }
        guard let credentials = try Self.credentials(of: user) else {
            throw refusal("the user \(quoted(user.name)) has neither a client's certificate with its key nor a token")
        }
        self.init(
            server: server, authorities: authorities, serverName: cluster.serverName, credentials: credentials,
            origin: quoted(path))
    }

    /// As client-go has it a certificate goes before a token, and a file with a token before an embedded one.
    private static func credentials(of user: Kubeconfig.User) throws -> Credentials? {
        let certificate = try user.certificateData ?? user.certificatePath.map { try bytes(of: $0) }
        if let certificate, let key = try user.keyData ?? user.keyPath.map({ try secret(of: $0) }) {
            return .certificate(certificate, key: key)
        }
        if let path = user.tokenPath { return .token(try secret(of: path)) }
        return user.token.map { .token($0) }
    }

    private static func bytes(of path: String) throws -> [UInt8] {
        try RandomAccessFile(path: path).allBytes(limit: byteCountLimit)
    }

    private static func secret(of path: String) throws -> SecretBytes {
        var bytes = try bytes(of: path)
        defer { bytes.wipe() }
        return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
    }
}

extension RandomAccessFile {
    fileprivate func allBytes(limit: Int) throws -> [UInt8] {
        guard byteCount <= limit else {
            throw Failure(.failed, "\(quoted(name)) has \(byteCount) bytes, more than the \(limit) that are expected")
        }
        return try bytes(at: 0, count: byteCount)
    }
}
