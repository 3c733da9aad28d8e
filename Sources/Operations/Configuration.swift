import HostIO
import SystemPackage
import YAML

/// What a configuration file may set; every field is optional, and a flag goes before it, but for `include` and `exclude`, to which flags add.
///
/// Secrets are named by path, never written here.
public struct Configuration: Codable, Sendable, Equatable, StrictlyKeyed {
    /// The cluster's name in the store.
    public var cluster: String?
    /// The node's name in the store.
    public var node: String?
    /// The store: a directory, `s3://BUCKET/PREFIX` or `rclone:REMOTE:PATH`.
    public var store: String?
    /// How a store in S3 is reached.
    public var s3: S3?
    /// How rclone is run for a store in one of its remotes.
    public var rclone: Rclone?
    /// Several stores in place of one, in the order in which they are tried.
    public var stores: [StoreSection]?
    /// How many of them must have an archive for its backup to succeed; default 1.
    public var quorum: Int?
    /// Public keys to seal for: `age1…` or `age1pq1…`.
    public var recipients: [ConfiguredRecipient]?
    /// Files of public keys, one a line.
    public var recipientsFiles: [String]?
    /// Whether the node itself is asked what to capture and which etcds it has; default true.
    public var discover: Bool?
    /// Further files and directories to capture.
    public var include: [IncludedPath]?
    /// Patterns of absolute paths to leave out.
    public var exclude: [String]?
    /// The most bytes of one file by class, such as `cni-state`; a larger file is left out, and that is a finding.
    public var fileByteLimits: [String: Int]?
    /// How many days before its end a certificate is a finding; default 30.
    public var expiryWarningDays: Int?
    /// Findings that are known and accepted.
    public var accept: [AcceptedFinding]?
    /// Whether addresses, routes, rule sets and versions are asked of this host; default true.
    public var hostFacts: Bool?
    /// How far a backup is verified: `streamed`, `structural`, `consistent` or `stored`.
    public var verify: String?
    /// The class of the backups that are made, which has rules of its own under `retention`.
    public var retentionClass: String?
    /// Which backups are kept when the store is pruned.
    public var retention: Retention?
    /// For how long nobody may remove what is written to the store.
    public var lock: Lock?
    /// How the nodes of a cluster share snapshots of its etcd.
    public var snapshot: Snapshot?
    /// How to reach the cluster's own etcd.
    public var etcd: Etcd?
    /// Further etcds to snapshot, each with a name.
    public var otherEtcds: [Etcd]?

    /// How the nodes that back up into one store share the snapshots of their etcd.
    public struct Snapshot: Codable, Sendable, Equatable, StrictlyKeyed {
        /// Whether every node takes its own; default false.
        public var everyNode: Bool?
        /// How long a slot is in which one node takes the snapshot, in minutes; default 60.
        public var slotMinutes: Int?
        /// After how many minutes without it the next node takes it; default 5.
        public var takeOverMinutes: Int?

        /// An empty section.
        public init() {}

        enum CodingKeys: String, CodingKey, CaseIterable {
            case everyNode, slotMinutes, takeOverMinutes
        }
    }

    /// How to reach an etcd cluster; the names are etcdctl's.
    public struct Etcd: Codable, Sendable, Equatable, StrictlyKeyed {
        /// The name of the snapshot in the archive: `etcd/<name>.db`.
        public var name: String?
        /// The members' client URLs.
        public var endpoints: [String]?
        /// The file of the CA's certificate.
        public var cacert: String?
        /// The file of the client's certificate.
        public var cert: String?
        /// The file of the client's private key.
        public var key: String?
        /// The name to expect in the server's certificate.
        public var serverName: String?
        /// The user of etcd's own authentication.
        public var user: String?
        /// The file whose first line is that user's password.
        public var passwordFile: String?
        /// The most seconds for a connection.
        public var dialTimeoutSeconds: Int?
        /// The most seconds between two messages of a snapshot.
        public var stallTimeoutSeconds: Int?
        /// The most seconds for a whole snapshot.
        public var timeoutSeconds: Int?

        /// An empty section.
        public init() {}

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name, endpoints, cacert, cert, key, serverName, user, passwordFile
            case dialTimeoutSeconds, stallTimeoutSeconds, timeoutSeconds
        }
    }

    /// A path to capture, in YAML a string or a mapping with `path` and `class`.
    public struct IncludedPath: Codable, Sendable, Equatable, StrictlyKeyed, ExpressibleByStringLiteral {
        /// The absolute path of a file or directory.
        public var path: String
        /// The class that the manifest names for it, such as `cloud-provider`; default `include`.
        public var captureClass: String?

        /// A path of a class.
        public init(path: String, captureClass: String? = nil) {
            self.path = path
            self.captureClass = captureClass
        }

        /// A path without a class.
        public init(stringLiteral path: String) { self.init(path: path) }

        /// Reads either form.
        public init(from decoder: any Decoder) throws {
            if let path = try? decoder.singleValueContainer().decode(String.self) {
                self.init(path: path)
            } else {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                self.init(
                    path: try container.decode(String.self, forKey: .path),
                    captureClass: try container.decodeIfPresent(String.self, forKey: .captureClass))
            }
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case path
            case captureClass = "class"
        }
    }

    /// Where the values were read.
    var origin = ConfigurationOrigin()

    /// An empty configuration.
    public init() {}

    enum CodingKeys: String, CodingKey, CaseIterable {
        case cluster, node, store, s3, rclone, stores, quorum, recipients, recipientsFiles, discover, include, exclude
        case fileByteLimits, expiryWarningDays, accept, hostFacts, verify, retention, lock, snapshot, etcd, otherEtcds
        case retentionClass = "class"
    }

    /// Where the configuration is looked for when no file is named.
    public static let defaultPath = "/etc/etcd-snap/config.yaml"
    private static let maximumByteCount = 1 << 20

    /// Reads a configuration file.
    ///
    /// - Parameter path: the file, or nil for ``defaultPath``, which need not exist.
    /// - Throws: ``Failure`` with the code `usage` that names the line or the unknown key.
    public static func load(path: String?) throws -> Configuration {
        let file: RandomAccessFile
        do {
            file = try RandomAccessFile(path: path ?? defaultPath)
        } catch let error as SystemCallError where path == nil && error.errno == .noSuchFileOrDirectory {
            return Configuration()
        }
        guard file.byteCount <= maximumByteCount else {
            throw Failure(.usage, "\(quoted(file.name)) has \(file.byteCount) bytes, too many for a configuration")
        }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        if let kind = FileKind(Array(bytes.prefix(FileKind.headByteCount)), byteCount: bytes.count),
            ![.empty, .json].contains(kind)
        {
            throw kind.failure(file.name, insteadOf: "a configuration", code: .usage)
        }
        return try parse(bytes, name: file.name)
    }

    /// Reads a configuration from YAML.
    public static func parse(_ bytes: [UInt8], name: String) throws -> Configuration {
        do {
            let bytes = try convertedToUTF8(bytes, name: name) ?? bytes
            guard let node = try Node.only(in: bytes), !node.isNull else { return Configuration() }
            try checkKeys(of: node, name: name)
            try checkSections(of: node, name: name)
            let origin = ConfigurationOrigin(node, name: name)
            do {
                var configuration = try node.decode(Configuration.self)
                configuration.origin = origin
                return configuration
            } catch DecodingError.keyNotFound(let key, let context) {
                let path = context.codingPath.map(\.stringValue).joined(separator: ".")
                throw Failure(
                    .usage,
                    "\(quoted(name)) is not a valid configuration: \(field(context)) has no "
                        + "\(quoted(key.stringValue))\(origin.lines[path].map { ", line \($0)" } ?? "")",
                    hint: exampleHint)
            }
        } catch let error as Failure {
            throw error
        } catch {
            throw Failure(
                .usage, "\(quoted(name)) is not a valid configuration: \(describe(error))",
                hint: exampleHint)
        }
    }

    private static let exampleHint = "see the example in /usr/share/doc/etcd-snap or `man etcd-snap`"

    private static func checkSections(of node: Node, name: String) throws(Failure) {
        if let section = node["etcd"] { try Etcd.checkKeys(of: section, name: "\(name): etcd") }
        if let section = node["snapshot"] { try Snapshot.checkKeys(of: section, name: "\(name): snapshot") }
        if let section = node["retention"] { try Retention.checkAll(section, name: "\(name): retention") }
        if let section = node["lock"] { try Lock.checkKeys(of: section, name: "\(name): lock") }
        if let section = node["s3"] { try S3.checkKeys(of: section, name: "\(name): s3") }
        if let section = node["rclone"] { try Rclone.checkKeys(of: section, name: "\(name): rclone") }
        for section in node["stores"]?.sequence ?? [] {
            try StoreSection.checkKeys(of: section, name: "\(name): stores")
            if let s3 = section["s3"] { try S3.checkKeys(of: s3, name: "\(name): stores.s3") }
            if let rclone = section["rclone"] { try Rclone.checkKeys(of: rclone, name: "\(name): stores.rclone") }
            if let lock = section["lock"] { try Lock.checkKeys(of: lock, name: "\(name): stores.lock") }
            guard let retention = section["retention"] else { continue }
            try Retention.checkAll(retention, name: "\(name): stores.retention")
        }
        for section in node["otherEtcds"]?.sequence ?? [] {
            try Etcd.checkKeys(of: section, name: "\(name): otherEtcds")
        }
        for path in node["include"]?.sequence ?? [] where path.scalar == nil {
            try IncludedPath.checkKeys(of: path, name: "\(name): include")
        }
        for recipient in node["recipients"]?.sequence ?? [] where recipient.scalar == nil {
            try ConfiguredRecipient.checkKeys(of: recipient, name: "\(name): recipients")
        }
    }

    private static func describe(_ error: any Error) -> String {
        switch error {
        case DecodingError.typeMismatch(_, let context), DecodingError.dataCorrupted(let context),
            DecodingError.valueNotFound(_, let context):
            return "\(field(context)) has the wrong type: \(context.debugDescription)"
        case let error as SyntaxError: return error.description
        default: return "it can't be read as YAML"
        }
    }

    private static func field(_ context: DecodingError.Context) -> String {
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? "it" : quoted(path)
    }
}

/// A section whose keys are all known, so that a misspelt one is an error and not ignored.
protocol StrictlyKeyed {
    associatedtype CodingKeys: CodingKey & CaseIterable & RawRepresentable<String>
}

extension StrictlyKeyed {
    static func checkKeys(of node: Node, name: String) throws(Failure) {
        let known = CodingKeys.allCases.map(\.rawValue)
        guard let mapping = node.mapping else {
            throw Failure(
                .usage, "\(quoted(name)) is not a mapping of keys to values, on line \(node.mark.line)",
                hint: "known keys are: \(known.joined(separator: ", "))")
        }
        for key in mapping.map(\.key) {
            let text = key.text ?? "?"
            guard !known.contains(text) else { continue }
            throw Failure(
                .usage, "\(quoted(name)) has the unknown key \(quoted(text)) on line \(key.mark.line)",
                hint: "known are: \(known.joined(separator: ", "))")
        }
    }
}
