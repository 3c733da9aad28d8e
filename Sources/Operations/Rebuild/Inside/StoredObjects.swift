import EncryptionAtRest
import HostIO
import PKIBackup
import SealedArchive

/// How the API servers of a backup store their objects.
struct StoredObjects: Sendable {
    /// What their keys begin with, with a slash at its end.
    let prefix: [UInt8]
    /// Decrypts what is encrypted at rest; nil where the backups have no configuration for that.
    let reader: EncryptionReader?

    /// - Parameter backups: the first that has an API server tells.
    init(_ backups: [NodeBackup]) {
        let flags = backups.lazy.compactMap { backup in
            backup.files.values.lazy.filter { $0.entry.role == CaptureClass.staticPod.rawValue }
                .compactMap { StaticPodFlags(of: $0, program: "kube-apiserver") }.first
        }.first
        let root = flags?["etcd-prefix"] ?? "/registry"
        prefix = Array("/\(root.split(separator: "/").joined(separator: "/"))/".utf8)
        let named = flags?["encryption-provider-config"]
        let configuration =
            named == nil ? nil : backups.lazy.compactMap { Self.configuration($0, named: named ?? "") }.first
        reader = configuration.map { EncryptionReader(subject: named ?? "", prefix: root, configuration: $0) }
    }

    /// The configuration at the path of the flag, or, as that may be a container's, the only one that there is.
    private static func configuration(_ backup: NodeBackup, named path: String) -> EncryptionConfiguration? {
        let others = backup.files.values.filter { $0.entry.role == CaptureClass.encryptionConfiguration.rawValue }
            .compactMap(\.content)
        guard let content = backup.content(path) ?? (others.count == 1 ? others[0] : nil) else { return nil }
        return content.withBytes {
            try? EncryptionConfiguration(parsing: copy $0, path: path, keepingSecrets: true)
        }
    }

    /// The parts of a key behind the prefix; nil for what is no API server's.
    func parts(of key: UnsafeRawBufferPointer) -> [String]? {
        guard key.starts(with: prefix) else { return nil }
        return String(decoding: key[prefix.count...], as: UTF8.self)
            .split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    }
}
