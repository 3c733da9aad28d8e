/// Where kubeadm puts a node's certificates.
public struct KubeadmLayout: Sendable, Hashable {
    /// What `certificatesDir` of a `ClusterConfiguration` says.
    public var certificatesDirectory: String
    /// The directory of kubeconfigs.
    public var kubeconfigDirectory: String
    /// Absolute paths of files that are elsewhere, by kubeadm's names such as `pki/etcd/peer.crt`; a certificate's key is beside
    /// it, as `NAME.key` for `NAME.crt` and as `NAME-key.pem` for `NAME.pem`.
    public var replacedPaths: [String: String] = [:]

    /// The layout that kubeadm has if nothing says another.
    public init(
        certificatesDirectory: String = "/etc/kubernetes/pki", kubeconfigDirectory: String = "/etc/kubernetes"
    ) {
        self.certificatesDirectory = certificatesDirectory
        self.kubeconfigDirectory = kubeconfigDirectory
    }

    /// The absolute path of the certificate of an authority.
    public func path(of authority: KubeadmCertificate.Authority) -> String { path(authority.certificatePath) }

    /// The absolute path of a file that ``KubeadmCertificate`` names.
    func path(_ name: String) -> String {
        if let path = replacedPaths[name] { return path }
        let prefix = "pki/"
        return name.hasPrefix(prefix)
            ? "\(certificatesDirectory)/\(name.dropFirst(prefix.count))" : "\(kubeconfigDirectory)/\(name)"
    }

    /// The path of the key that belongs to a certificate's.
    func keyPath(ofCertificate path: String) -> String {
        path.hasSuffix(".pem") ? "\(path.dropLast(4))-key.pem" : "\(path.dropLast(3))key"
    }
}
