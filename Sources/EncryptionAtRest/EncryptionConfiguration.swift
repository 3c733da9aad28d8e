import HostIO
import YAML

/// An `EncryptionConfiguration` of the API server: by which keys values in etcd are encrypted.
///
/// Fields as in Kubernetes' `apiserver.config.k8s.io/v1` and in the older `EncryptionConfig` of `v1`. Secrets are checked
/// while they are read, and kept only where that is asked for.
public struct EncryptionConfiguration: Sendable {
    /// A key of a provider.
    public struct Key: Sendable {
        /// The name, which stands before each value in etcd.
        public var name: String
        /// The length of the secret in bytes, nil if it is not valid base64.
        public var byteCount: Int?
        /// The secret; nil if it is not valid base64 or not kept.
        var secret: SecretBytes?
    }

    /// Something that encrypts.
    public struct Provider: Sendable {
        /// `aescbc`, `aesgcm`, `secretbox`, `identity`, `kms`, or what else the file says.
        public var kind: String
        /// The keys; a KMS and `identity` have none.
        public var keys: [Key]
        /// The name of a KMS plugin.
        public var pluginName: String?
        /// Where the KMS plugin listens, such as `unix:///run/kms.sock`.
        public var endpoint: String?
        /// `v1` or `v2` of the KMS protocol.
        public var pluginVersion: String?

        /// What stands behind `k8s:enc:` of values that this provider decrypts, such as `aescbc:v1:key1`.
        public var prefixes: [String] {
            kind == "kms" ? ["kms:\(pluginVersion ?? "v1"):\(pluginName ?? "")"] : keys.map { "\(kind):v1:\($0.name)" }
        }
    }

    /// Resources and the providers for them, the one that writes first.
    public struct Rule: Sendable {
        /// The resources, such as `secrets` or `*.apps`.
        public var resources: [String]
        /// The providers.
        public var providers: [Provider]
    }

    /// The rules in their order.
    public var rules: [Rule]

    /// How many rules, providers or keys are read in one list.
    static let itemCountLimit = 1024

    /// Every provider of every rule.
    public var providers: [Provider] { rules.flatMap(\.providers) }

    /// What may stand behind `k8s:enc:` of values that this configuration decrypts, for whatever resource.
    public var prefixes: Set<String> { Set(providers.flatMap(\.prefixes)) }

    /// Reads a configuration in YAML or JSON.
    ///
    /// - Parameters:
    ///   - bytes: the configuration, which is the caller's to wipe.
    ///   - keepingSecrets: whether the secrets are needed to try values with.
    /// - Throws: ``Failure`` that names `path` and the place, and never a key.
    public init(parsing bytes: [UInt8], path: String, keepingSecrets: Bool = false) throws {
        let kinds = ["EncryptionConfiguration", "EncryptionConfig"]
        guard let root = try Self.document(bytes, path), kinds.contains(root.text("kind") ?? "") else {
            throw Failure(.failed, "\(quoted(path)) is not an EncryptionConfiguration by its kind")
        }
        rules = try Self.items(root, "resources", path).map { item in
            Rule(
                resources: try Self.items(item, "resources", path).compactMap(\.presentText),
                providers: try Self.items(item, "providers", path).compactMap {
                    try Self.provider($0, path, keepingSecrets)
                })
        }
        guard !providers.isEmpty else { throw Failure(.failed, "\(quoted(path)) names no encryption provider") }
    }

    private static func document(_ bytes: [UInt8], _ path: String) throws -> Node? {
        do {
            return try Node.first(in: bytes)
        } catch {
            throw Failure(.failed, "\(quoted(path)) is not valid YAML: \(error)")
        }
    }

    private static func items(_ node: Node, _ key: String, _ path: String) throws -> [Node] {
        let items = node.items(key)
        guard items.count <= itemCountLimit else {
            throw Failure(
                .failed, "\(quoted(path)) lists \(items.count) \(key), more than the \(itemCountLimit) allowed")
        }
        return items
    }

    private static func provider(_ node: Node, _ path: String, _ keepingSecrets: Bool) throws -> Provider? {
        guard let entry = node.mapping?.first, let kind = entry.key.presentText else { return nil }
        let keys = try items(entry.value, "keys", path).map { key in
            var secret = Base64.decode((key.text("secret") ?? "").utf8)
            defer { secret?.wipe() }
            return Key(
                name: key.text("name") ?? "", byteCount: secret?.count,
                secret: keepingSecrets ? secret?.withUnsafeBytes { SecretBytes(copying: $0) } : nil)
        }
        return Provider(
            kind: kind, keys: keys, pluginName: entry.value.text("name"), endpoint: entry.value.text("endpoint"),
            pluginVersion: kind == "kms" ? entry.value.text("apiVersion") ?? "v1" : nil)
    }
}
