import NodeFiles

/// What a captured file is in a control plane; its name is the `role` of the manifest's entries.
public enum CaptureClass: String, Codable, CaseIterable, Sendable {
    /// A CA's certificate, or a bundle of them.
    case caCertificate = "ca-certificate"
    /// A CA's private key.
    case caKey = "ca-key"
    /// A serving or client certificate.
    case certificate
    /// The private key of a serving or client certificate.
    case privateKey = "private-key"
    /// A key that signs service account tokens, or a public key that checks them.
    case serviceAccountKey = "service-account-key"
    /// A kubeconfig with the credentials it names.
    case kubeconfig
    /// The manifest of a static pod, or what a distribution starts its control plane from.
    case staticPod = "static-pod"
    /// kubeadm's own configuration.
    case kubeadmConfiguration = "kubeadm-configuration"
    /// The kubelet's configuration, flags and bootstrap files.
    case kubeletConfiguration = "kubelet-configuration"
    /// The kubelet's certificates and keys.
    case kubeletPKI = "kubelet-pki"
    /// An `EncryptionConfiguration` with its keys.
    case encryptionConfiguration = "encryption-configuration"
    /// An audit policy or the kubeconfig of an audit webhook.
    case auditPolicy = "audit-policy"
    /// An `AdmissionConfiguration` with the files it names.
    case admissionConfiguration = "admission-configuration"
    /// How users are authenticated: OIDC, webhooks, tokens, dex.
    case authenticationConfiguration = "authentication-configuration"
    /// How requests are authorized.
    case authorizationConfiguration = "authorization-configuration"
    /// A cloud provider's configuration and credentials.
    case cloudProvider = "cloud-provider"
    /// An `EgressSelectorConfiguration`.
    case egressSelector = "egress-selector"
    /// A token by which nodes join, such as that of k3s.
    case joinToken = "join-token"
    /// A distribution's own configuration and state, such as k3s' `config.yaml`.
    case distribution
    /// A file that is the cluster's database in place of an etcd, such as that of kine.
    case datastore
    /// The configuration of an etcd, and its certificates where they are not elsewhere.
    case etcdConfiguration = "etcd-configuration"
    /// The configuration of pod networks.
    case cniConfiguration = "cni-configuration"
    /// The state of pod networks, such as allocated addresses.
    case cniState = "cni-state"
    /// The node's own network: interfaces, load balancers, resolver.
    case network
    /// Services of the control plane: units of systemd with drop-ins, scripts of OpenRC.
    case systemd
    /// The configuration of the container runtime.
    case containerRuntime = "container-runtime"
    /// Facts about the host that were asked of it: OS, addresses, rule sets.
    case host
    /// A path that a static pod mounts or a flag names, of no better known class.
    case component
    /// A path that the configuration or a flag asked for.
    case include
}

extension CaptureClass {
    /// Whether what is of this class belongs to the node that it was taken from: another host would take on its name, its
    /// addresses or its credentials by it, or what is installed on it.
    public var belongsToNode: Bool {
        switch self {
        case .caCertificate, .caKey, .serviceAccountKey, .encryptionConfiguration, .auditPolicy,
            .admissionConfiguration, .authenticationConfiguration, .authorizationConfiguration, .cloudProvider,
            .egressSelector, .joinToken, .datastore, .component:
            false
        case .certificate, .privateKey, .kubeconfig, .staticPod, .kubeadmConfiguration, .kubeletConfiguration,
            .kubeletPKI, .distribution, .etcdConfiguration, .cniConfiguration, .cniState, .network, .systemd,
            .containerRuntime, .host, .include:
            true
        }
    }

    /// Whether a restore in place puts it back without being asked to: not what is true of one moment, such as addresses
    /// that pods had, nor what describes the host below the cluster.
    public var isPlacedByDefault: Bool { ![.network, .host, .cniState].contains(self) }

    /// When a restore in place puts it there; a kubelet that runs starts what is in the directory of static pods at once,
    /// so all that these need is there before.
    fileprivate var placementStep: PlacementStep {
        switch self {
        case .caCertificate, .caKey, .serviceAccountKey, .encryptionConfiguration: .authority
        case .certificate, .privateKey: .credentials
        case .kubeconfig: .kubeconfigs
        case .kubeletConfiguration, .kubeletPKI: .kubelet
        case .staticPod: .staticPods
        default: .configuration
        }
    }
}

extension PlacementOrder {
    /// The order of what has a role in the manifest; what this version does not know comes with the configuration.
    public init(role: String) {
        let step = CaptureClass(rawValue: role)?.placementStep ?? .configuration
        self.init(
            step: step.rawValue, waitsForAll: step == .staticPods, comesFirst: step == .staticPods ? Self.runsEtcd : nil
        )
    }

    /// Without etcd an API server does not start, so its manifest is first.
    @Sendable private static func runsEtcd(_ manifest: [UInt8]) -> Bool {
        guard let manifest = try? PodManifest(parsing: manifest, path: "") else { return false }
        return manifest.components.contains { $0.name == "etcd" }
    }
}

/// The steps of a restore in place, in their order.
private enum PlacementStep: Int, CaseIterable {
    case authority, configuration, credentials, kubeconfigs, kubelet, staticPods
}
