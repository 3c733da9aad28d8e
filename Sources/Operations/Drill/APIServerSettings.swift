import Certificates
import FoundationEssentials
import HostIO
import KubernetesAPI
import NodeFiles
import PKIBackup

/// What the archive's API server ran with, as far as a drill's has to have it: keys of tokens, authority, encryption, ranges.
struct APIServerSettings: Sendable {
    /// What its keys in etcd begin with.
    let prefix: String
    /// Why none can be booted with what the archive has; nil for nothing.
    let obstacle: String?
    private let component: Component?
    private let root: String

    /// - Parameter root: where the archive's files are restored.
    init(root: String, etcd name: String) throws {
        self.root = root
        let node = NodeRoot(prefix: root)
        let layout = NodeDiscovery(root: node).discover()
        component = layout.components.first { $0.name == "kube-apiserver" }
        prefix = component?.flags["etcd-prefix"]?.last ?? "/registry"
        obstacle = Self.obstacle(component, root)
    }

    private static let neededFlags = [
        "client-ca-file", "service-account-issuer", "service-account-key-file", "service-account-signing-key-file",
        "service-cluster-ip-range",
    ]

    private static func obstacle(_ component: Component?, _ root: String) -> String? {
        guard let component else { return "the archive does not tell with which flags its API server ran" }
        if let flag = neededFlags.first(where: { component.flags[$0]?.last?.isEmpty != false }) {
            return "the API server of \(component.source) has no flag \(flag)"
        }
        guard let path = component.flags["encryption-provider-config"]?.last else { return nil }
        guard let place = component.nodePath(of: path),
            let content = try? RandomAccessFile(regular: joinPath(root, place)).secret(),
            let configuration = try? content.withBytes({ try EncryptionKinds(copy $0, path: path) })
        else { return "the archive lacks the encryption configuration \(path)" }
        return configuration.needsService ? "the encryption configuration needs a KMS, which a drill has not" : nil
    }

    /// The flags that decide what the server makes of the database and of tokens, with paths in the restored files.
    func flags() -> [(String, String)] {
        guard let component else { return [] }
        var flags: [(String, String)] = []
        for name in [
            "service-account-issuer", "service-cluster-ip-range", "etcd-prefix", "feature-gates", "runtime-config",
            "api-audiences",
        ] { flags += (component.flags[name] ?? []).map { (name, $0) } }
        for name in [
            "client-ca-file", "service-account-key-file", "service-account-signing-key-file",
            "encryption-provider-config",
        ] { flags += (component.flags[name] ?? []).compactMap(path).map { (name, $0) } }
        return flags
    }

    /// Where a file that the server names is restored.
    private func path(_ named: String) -> String? { component?.nodePath(of: named).map { joinPath(root, $0) } }

    func file(_ flag: String) -> String? { component?.flags[flag]?.last.flatMap(path) }

    /// Who signs tokens, which is the first of several.
    var issuer: String { component?.flags["service-account-issuer"]?.first ?? "" }

    /// Whom tokens are for: by default the issuers.
    var audience: String {
        component?.flags["api-audiences"]?.last?.split(separator: ",").first.map(String.init) ?? issuer
    }

    /// A signer with the restored key.
    func tokenSigner() throws -> TokenSigner {
        guard let path = file("service-account-signing-key-file") else {
            throw Failure(.notFound, "the archive has no key that tokens are signed with")
        }
        return try TokenSigner(keyPEM: RandomAccessFile(regular: path).secret(), path: path)
    }

    /// The kubeconfigs of administrators, with where they are restored.
    var kubeconfigs: [(name: String, path: String)] {
        ["/etc/kubernetes/super-admin.conf", "/etc/kubernetes/admin.conf"].map { (lastName($0), joinPath(root, $0)) }
    }

    /// The authority of clients with its key; nil if the archive does not have that.
    func authority() throws -> CertificateAuthority? {
        guard let path = file("client-ca-file"), path.hasSuffix(".crt") else { return nil }
        let keyPath = path.dropLast(3) + "key"
        guard let key = try? RandomAccessFile(regular: String(keyPath)).secret() else { return nil }
        return try CertificateAuthority(
            certificatePEM: RandomAccessFile(regular: path).all(), keyPEM: key, path: path)
    }
}

extension RandomAccessFile {
    private static let maxByteCount = 4 << 20

    func all() throws -> [UInt8] { try bytes(at: 0, count: min(byteCount, Self.maxByteCount)) }

    func secret() throws -> SecretBytes {
        var bytes = try all()
        defer { bytes.wipe() }
        return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
    }
}
