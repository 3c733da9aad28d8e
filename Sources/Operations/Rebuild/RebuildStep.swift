import NodeFiles
import PKIBackup

/// The parts of a node's rebuild, in their order; each is recorded in the journal before and after.
public enum RebuildStep: String, Codable, Sendable, CaseIterable {
    /// Certificates and keys of authorities, keys of service accounts, encryption at rest.
    case authorities
    /// The data directory of the member of etcd.
    case etcdData = "etcd-data"
    /// What API server, kubelet and the host read besides.
    case configuration
    /// Leaf certificates and their keys.
    case certificates
    /// Kubeconfigs.
    case kubeconfigs
    /// The kubelet's own files.
    case kubelet
    /// Manifests of static pods, etcd's first: a kubelet that runs starts them at once.
    case staticPods = "static-pods"

    /// The step that places what has a role in the manifest.
    init(role: String) {
        let order = PlacementOrder(role: role)
        self =
            order.waitsForAll
            ? .staticPods : [.authorities, .configuration, .certificates, .kubeconfigs, .kubelet][min(4, order.step)]
    }

    /// What is done, for people.
    var what: String {
        switch self {
        case .authorities: "place the keys of authorities and service accounts, and the encryption configuration"
        case .etcdData: "make the data directory of the member from the snapshot"
        case .configuration: "place what API server, kubelet and host read besides"
        case .certificates: "place and issue leaf certificates"
        case .kubeconfigs: "place kubeconfigs"
        case .kubelet: "place the kubelet's files"
        case .staticPods: "place the manifests of static pods, etcd's first"
        }
    }
}
