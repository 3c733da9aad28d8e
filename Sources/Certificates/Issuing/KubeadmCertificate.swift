import HostIO
import X509

/// The certificates that kubeadm makes on a control-plane node, and what each of them has.
///
/// Source: `cmd/kubeadm/app/phases/certs/certlist.go`, `phases/kubeconfig/kubeconfig.go` and `util/pkiutil/pki_helpers.go`
/// of Kubernetes 1.36, and certificates made by it.
public enum KubeadmCertificate: String, Sendable, CaseIterable {
    /// The API server's, for its clients.
    case apiServer = "pki/apiserver.crt"
    /// The API server's as a client of kubelets.
    case apiServerKubeletClient = "pki/apiserver-kubelet-client.crt"
    /// The API server's as a client of etcd.
    case apiServerEtcdClient = "pki/apiserver-etcd-client.crt"
    /// The API server's as a client of aggregated API servers.
    case frontProxyClient = "pki/front-proxy-client.crt"
    /// etcd's for its clients.
    case etcdServer = "pki/etcd/server.crt"
    /// etcd's for other members.
    case etcdPeer = "pki/etcd/peer.crt"
    /// That of probes of etcd.
    case etcdHealthcheckClient = "pki/etcd/healthcheck-client.crt"
    /// The administrator's.
    case admin = "admin.conf"
    /// That of an administrator whom RBAC can't stop.
    case superAdmin = "super-admin.conf"
    /// The controller manager's.
    case controllerManager = "controller-manager.conf"
    /// The scheduler's.
    case scheduler = "scheduler.conf"
    /// The kubelet's of this node.
    case kubelet = "kubelet.conf"

    /// An authority of kubeadm's.
    public enum Authority: String, Sendable, CaseIterable {
        /// That of the cluster.
        case cluster = "pki/ca"
        /// That of clients of aggregated API servers.
        case frontProxy = "pki/front-proxy-ca"
        /// That of etcd.
        case etcd = "pki/etcd/ca"

        /// The file of the certificate below `/etc/kubernetes`.
        public var certificatePath: String { rawValue + ".crt" }
        /// The file of the key below `/etc/kubernetes`.
        public var keyPath: String { rawValue + ".key" }
    }

    /// The file below `/etc/kubernetes`: the certificate, or the kubeconfig that has it.
    public var path: String { rawValue }

    /// Whether it is a kubeconfig's.
    public var isEmbedded: Bool { rawValue.hasSuffix(".conf") }

    /// Who signs it.
    public var authority: Authority {
        switch self {
        case .frontProxyClient: .frontProxy
        case .apiServerEtcdClient, .etcdServer, .etcdPeer, .etcdHealthcheckClient: .etcd
        default: .cluster
        }
    }

    /// What it is for in TLS.
    public var extendedKeyUsages: [ExtendedKeyUsage.Usage] {
        switch self {
        case .apiServer: [.serverAuth]
        case .etcdServer, .etcdPeer: [.serverAuth, .clientAuth]
        default: [.clientAuth]
        }
    }

    /// The profile that kubeadm gives it on a node.
    public func profile(of node: NodeIdentity, in configuration: KubeadmConfiguration) -> CertificateProfile {
        let (organizations, commonName) = subject(node, configuration.version)
        return CertificateProfile(
            subject: .kubeadm(organizations: organizations, commonName: commonName),
            keyAlgorithm: configuration.keyAlgorithm, extendedKeyUsages: extendedKeyUsages,
            names: AlternativeNames(hosts(node, configuration)), lifetimeSeconds: configuration.validityHours * 3600)
    }

    /// Names of the configuration that are neither an address nor a DNS name; kubeadm warns of them and leaves them out.
    public func unusableNames(in configuration: KubeadmConfiguration) -> [String] {
        configuredNames(configuration).filter { CertificateHost($0) == nil }
    }

    /// The prefix of a node's user name.
    static let nodeUserPrefix = "system:node:"

    private func subject(
        _ node: NodeIdentity, _ version: KubernetesVersion
    ) -> (organizations: [String], commonName: String) {
        let masters = ["system:masters"]
        let isSplit = version >= KubernetesVersion(1, 29)
        let administrators = isSplit ? ["kubeadm:cluster-admins"] : masters
        return switch self {
        case .apiServer: ([], "kube-apiserver")
        case .apiServerKubeletClient:
            (Self.bindsKubeletClient(version) ? [] : administrators, "kube-apiserver-kubelet-client")
        case .apiServerEtcdClient: (isSplit ? [] : masters, "kube-apiserver-etcd-client")
        case .frontProxyClient: ([], "front-proxy-client")
        case .etcdServer, .etcdPeer: ([], node.nodeName)
        case .etcdHealthcheckClient: (isSplit ? [] : masters, "kube-etcd-healthcheck-client")
        case .admin: (administrators, "kubernetes-admin")
        case .superAdmin: (masters, "kubernetes-super-admin")
        case .controllerManager: ([], "system:kube-controller-manager")
        case .scheduler: ([], "system:kube-scheduler")
        case .kubelet: (["system:nodes"], Self.nodeUserPrefix + node.nodeName)
        }
    }

    /// Whether a binding to the user replaces the group of the API server as a client of kubelets: from 1.36.1 on, and in
    /// 1.35 from 1.35.5 on.
    private static func bindsKubeletClient(_ version: KubernetesVersion) -> Bool {
        let first = version.minor == 35 ? KubernetesVersion(1, 35, 5) : KubernetesVersion(1, 36, 1)
        return version >= first
    }

    private func hosts(_ node: NodeIdentity, _ configuration: KubeadmConfiguration) -> [CertificateHost] {
        let own: [CertificateHost]
        switch self {
        case .apiServer:
            own =
                [
                    .dns(node.nodeName), .dns("kubernetes"), .dns("kubernetes.default"),
                    .dns("kubernetes.default.svc"),
                    .dns("kubernetes.default.svc." + configuration.dnsDomain), .ip(configuration.serviceAddress),
                    .ip(node.advertiseAddress),
                ] + [node.endpoint].compactMap(\.self)
        case .etcdServer, .etcdPeer:
            own =
                [.dns(node.nodeName), .dns("localhost"), .ip(node.advertiseAddress)]
                + ["127.0.0.1", "::1"].compactMap(CertificateHost.init)
        default: return []
        }
        return own + configuredNames(configuration).compactMap(CertificateHost.init)
    }

    private func configuredNames(_ configuration: KubeadmConfiguration) -> [String] {
        switch self {
        case .apiServer: configuration.apiServerNames
        case .etcdServer: configuration.etcdServerNames
        case .etcdPeer: configuration.etcdPeerNames
        default: []
        }
    }
}
