import ArchiveStore
import EtcdSnap
import HostIO
import SystemPackage
import Yams

/// Where a snapshot is taken from: flags and configuration, and for the rest what kubeadm puts on a node.
public struct EtcdSource: Sendable {
    /// The name of the snapshot in the archive.
    public var name: String
    /// How to reach the cluster.
    public var client: ClientConfiguration
    /// What was found on the node rather than given, for the log.
    public var discovered: [String]
}

/// kubeadm's places for a stacked etcd.
///
/// Source: kubeadm 1.36, `cmd/kubeadm/app/constants`: `EtcdCACertName`, `EtcdHealthcheckClientCertAndKeyBaseName`,
/// `Etcd` in `ManifestsSubDirName`.
public struct KubeadmLayout: Sendable {
    /// The file system root under which the places are looked for.
    public var root: String

    /// The layout of this host, or of another root.
    public init(root: String = "") { self.root = root }

    var certificateAuthority: String { "\(root)/etc/kubernetes/pki/etcd/ca.crt" }
    var clientCertificate: String { "\(root)/etc/kubernetes/pki/etcd/healthcheck-client.crt" }
    var clientKey: String { "\(root)/etc/kubernetes/pki/etcd/healthcheck-client.key" }
    var manifest: String { "\(root)/etc/kubernetes/manifests/etcd.yaml" }

    /// The client URLs that the static pod's etcd listens on, or advertises.
    ///
    /// - Returns: an empty list if there is no manifest or it names none.
    func clientURLs() -> [String] {
        guard let file = try? RandomAccessFile(path: manifest), file.byteCount < 1 << 20,
            let bytes = try? file.bytes(at: 0, count: file.byteCount),
            let pod = try? Yams.compose(yaml: String(decoding: bytes, as: UTF8.self)),
            let command = pod["spec"]?["containers"]?.sequence?.first?["command"]?.array(of: String.self)
        else { return [] }
        for flag in ["--listen-client-urls=", "--advertise-client-urls="] {
            guard let argument = command.first(where: { $0.hasPrefix(flag) }) else { continue }
            let urls = argument.dropFirst(flag.count).split(separator: ",").map { url in
                // An address that stands for all of the host's is none to connect to.
                ["://0.0.0.0:", "://[::]:"].reduce(String(url)) { $0.replacing($1, with: "://127.0.0.1:") }
            }
            // The loopback one first: it works whatever becomes of the node's address.
            return urls.sorted { $0.contains("127.0.0.1") && !$1.contains("127.0.0.1") }
        }
        return []
    }
}

extension EtcdSource {
    /// Resolves a configuration section, already merged with the flags, against this host.
    ///
    /// - Throws: ``Failure`` with the code `usage` if an endpoint can't be read.
    public static func resolve(
        _ section: Configuration.Etcd, layout: KubeadmLayout = KubeadmLayout()
    ) throws -> EtcdSource {
        var discovered: [String] = []
        var section = section
        if section.endpoints?.isEmpty ?? true {
            section.endpoints = layout.clientURLs()
            if section.endpoints?.isEmpty == false { discovered.append("endpoints from \(layout.manifest)") }
        }
        let endpoints = section.endpoints?.isEmpty == false ? section.endpoints ?? [] : ["https://127.0.0.1:2379"]
        let parsed = try endpoints.map { try Endpoint(parsing: $0) }
        if parsed.contains(where: { $0.transport == .tls }) {
            discovered += try fillCertificates(&section, layout)
        }
        var client = ClientConfiguration(endpoints: parsed)
        client.tls = TLSFiles(
            caPath: section.cacert, certificatePath: section.cert, keyPath: section.key, serverName: section.serverName)
        if let user = section.user {
            guard let path = section.passwordFile else {
                throw Failure(
                    .usage, "the etcd user \(quoted(user)) has no password file",
                    hint: "name a file whose first line is the password with --password-file")
            }
            _ = try RandomAccessFile(path: path)
            client.credentials = .file(user: user, passwordPath: path)
        }
        if let seconds = section.dialTimeoutSeconds { client.dialTimeout = .seconds(seconds) }
        if let seconds = section.stallTimeoutSeconds { client.stallTimeout = .seconds(seconds) }
        if let seconds = section.timeoutSeconds { client.totalTimeout = .seconds(seconds) }
        let name = section.name ?? "etcd"
        try StoreScope.checkName(name, "snapshot", "--name")
        return EtcdSource(name: name, client: client, discovered: discovered)
    }

    private static func fillCertificates(
        _ section: inout Configuration.Etcd, _ layout: KubeadmLayout
    ) throws -> [String] {
        var discovered: [String] = []
        if section.cacert == nil, try fileExists(layout.certificateAuthority) {
            section.cacert = layout.certificateAuthority
            discovered.append("CA \(layout.certificateAuthority)")
        }
        if section.cert == nil, section.key == nil, try fileExists(layout.clientCertificate) {
            section.cert = layout.clientCertificate
            section.key = layout.clientKey
            discovered.append("client certificate \(layout.clientCertificate)")
        }
        return discovered
    }

    /// A file that is there and can't be read is an error, not a reason to go on without it.
    private static func fileExists(_ path: String) throws -> Bool {
        do {
            _ = try RandomAccessFile(path: path)
            return true
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return false
        }
    }
}
