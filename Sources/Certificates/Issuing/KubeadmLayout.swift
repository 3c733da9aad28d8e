/// Where kubeadm puts a node's certificates.
public struct KubeadmLayout: Sendable, Hashable {
    /// What `certificatesDir` of a `ClusterConfiguration` says.
    public var certificatesDirectory: String
    /// The directory of kubeconfigs.
    public var kubeconfigDirectory: String

    /// The layout that kubeadm has if nothing says another.
    public init(
        certificatesDirectory: String = "/etc/kubernetes/pki", kubeconfigDirectory: String = "/etc/kubernetes"
    ) {
        self.certificatesDirectory = certificatesDirectory
        self.kubeconfigDirectory = kubeconfigDirectory
    }

    /// The absolute path of a file that ``KubeadmCertificate`` names.
    func path(_ name: String) -> String {
        let prefix = "pki/"
        return name.hasPrefix(prefix)
            ? "\(certificatesDirectory)/\(name.dropFirst(prefix.count))" : "\(kubeconfigDirectory)/\(name)"
    }
}
