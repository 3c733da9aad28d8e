import HostIO
import YAML

/// A kubeconfig: clusters, users and what they prove themselves with.
///
/// Fields as in Kubernetes' `clientcmd/api/v1` `Config` (reference page "kubeconfig (v1)"). Relative paths are resolved
/// against the directory of the file, and embedded data goes before a path, as client-go's `clientcmd` does both.
public struct Kubeconfig: Sendable {
    /// A cluster and how its API server is trusted.
    public struct Cluster: Sendable {
        /// The name in this file.
        public var name: String
        /// The URL of the API server.
        public var server: String?
        /// The absolute path of the CA bundle, nil if it is embedded.
        public var certificateAuthorityPath: String?
        /// The embedded CA bundle.
        public var certificateAuthorityData: [UInt8]?
        /// The name that the server's certificate must have instead of the URL's host.
        public var serverName: String?
        /// Whether the server's certificate is not checked.
        public var skipsVerification: Bool
    }

    /// A user and its credentials.
    public struct User: Sendable {
        /// The name in this file.
        public var name: String
        /// The absolute path of the client certificate, nil if it is embedded.
        public var certificatePath: String?
        /// The embedded client certificate.
        public var certificateData: [UInt8]?
        /// The absolute path of the private key, nil if it is embedded.
        public var keyPath: String?
        /// The embedded private key.
        public var keyData: SecretBytes?
        /// The absolute path of a file with a bearer token.
        public var tokenPath: String?
        /// The embedded bearer token.
        public var token: SecretBytes?
        /// Whether a bearer token is embedded.
        public var hasToken: Bool { token != nil }
        /// Whether a user name and a password are embedded.
        public var hasPassword: Bool
        /// The program that fetches credentials; absolute if the file names it with a directory.
        public var execCommand: String?
        /// The name of an authentication provider of old releases.
        public var authProvider: String?
    }

    /// A pair of a cluster and a user.
    public struct Context: Sendable {
        /// The name in this file.
        public var name: String
        /// The name of the cluster.
        public var cluster: String?
        /// The name of the user.
        public var user: String?
    }

    /// The clusters.
    public var clusters: [Cluster]
    /// The users.
    public var users: [User]
    /// The contexts.
    public var contexts: [Context]
    /// The name of the context that is used.
    public var currentContext: String?

    /// How many clusters, users or contexts are read; more is no kubeconfig of a node.
    public static let itemCountLimit = 256

    /// Every file that the kubeconfig names and that something would read: CA, certificates, keys, tokens.
    public var referencedFiles: [String] {
        clusters.compactMap(\.certificateAuthorityPath)
            + users.flatMap { [$0.certificatePath, $0.keyPath, $0.tokenPath].compactMap(\.self) }
    }

    /// Takes a kubeconfig out of a document.
    ///
    /// - Parameter path: its absolute path on the node.
    /// - Throws: ``Failure`` that names the path and the place, and never the content.
    public init(_ root: Node?, path: String) throws {
        guard let root, root.text("kind") == "Config" else {
            throw Failure(.failed, "\(quoted(path)) is not a kubeconfig: its kind is not Config")
        }
        let reader = Reader(path: path)
        clusters = try reader.items(root, "clusters").map(reader.cluster)
        users = try reader.items(root, "users").map(reader.user)
        contexts = try reader.items(root, "contexts").map(reader.context)
        currentContext = root.text("current-context")
    }
}

/// Takes the parts of one kubeconfig out of its YAML.
private struct Reader {
    let path: String

    func items(_ root: Node, _ key: String) throws -> [Node] {
        let items = root.items(key)
        guard items.count <= Kubeconfig.itemCountLimit else {
            throw Failure(
                .failed,
                "\(quoted(path)) lists \(items.count) \(key), more than the \(Kubeconfig.itemCountLimit) allowed")
        }
        return items
    }

    func cluster(_ item: Node) throws -> Kubeconfig.Cluster {
        let name = item.text("name") ?? ""
        let value = item.value("cluster")
        let data = try data(value, "certificate-authority-data", of: "cluster \(quoted(name))")
        return Kubeconfig.Cluster(
            name: name, server: value?.text("server"),
            certificateAuthorityPath: data == nil ? absolute(value?.text("certificate-authority")) : nil,
            certificateAuthorityData: data, serverName: value?.text("tls-server-name"),
            skipsVerification: value?.text("insecure-skip-tls-verify") == "true")
    }

    func user(_ item: Node) throws -> Kubeconfig.User {
        let name = item.text("name") ?? ""
        let value = item.value("user")
        let certificate = try data(value, "client-certificate-data", of: "user \(quoted(name))")
        var key = try data(value, "client-key-data", of: "user \(quoted(name))")
        defer { key?.wipe() }
        return Kubeconfig.User(
            name: name, certificatePath: certificate == nil ? absolute(value?.text("client-certificate")) : nil,
            certificateData: certificate, keyPath: key == nil ? absolute(value?.text("client-key")) : nil,
            keyData: key.map { $0.withUnsafeBytes { SecretBytes(copying: $0) } },
            tokenPath: absolute(value?.text("tokenFile")),
            token: value?.text("token").map { secret($0) }, hasPassword: value?.text("password") != nil,
            execCommand: value?.value("exec")?.text("command").map { $0.contains("/") ? absolute($0) ?? $0 : $0 },
            authProvider: value?.value("auth-provider")?.text("name"))
    }

    func context(_ item: Node) -> Kubeconfig.Context {
        let value = item.value("context")
        return Kubeconfig.Context(
            name: item.text("name") ?? "", cluster: value?.text("cluster"), user: value?.text("user"))
    }

    private func data(_ value: Node?, _ key: String, of owner: String) throws -> [UInt8]? {
        guard let text = value?.text(key) else { return nil }
        guard let data = Base64.decode(text.utf8) else {
            throw Failure(.failed, "\(key) of \(owner) in \(quoted(path)) is not valid base64")
        }
        return data
    }

    private func secret(_ text: String) -> SecretBytes {
        var bytes = Array(text.utf8)
        defer { bytes.wipe() }
        return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
    }

    private func absolute(_ path: String?) -> String? {
        path.map { absolutePath($0, from: parentPath(self.path)) }
    }
}
