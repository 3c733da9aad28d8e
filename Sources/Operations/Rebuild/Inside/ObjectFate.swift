import KubernetesObjects

/// What becomes of an object that has a lost node's name or address.
///
/// Times that were measured are those of Kubernetes 1.36 after a restore; others are its documented periods.
enum ObjectFate: Hashable, Sendable {
    case masterLease, kubernetesService, leaderElection, serverIdentity, event, signingRequest, stayingNode, stayingPod
    case edited, deletedNode, mirrorPod, followsNode, followsPods
    case other

    /// Whether nobody has to do anything.
    var heals: Bool { description?.seconds != nil }

    /// What they are, who changes them, and after how many seconds; nil for what a person has to judge.
    var description: (what: String, how: String, seconds: Int?)? {
        switch self {
        case .masterLease: ("masterleases", "their leases in etcd run out once it runs", 35)
        case .kubernetesService:
            ("the service `kubernetes`", "the new API servers list themselves, at first beside the old ones", 20)
        case .leaderElection: ("leases of leaders", "the next one takes over when they have not been renewed", 16)
        case .serverIdentity: ("leases of API servers", "the API servers collect those of others", 3600)
        case .event: ("events", "they expire", 3600)
        case .signingRequest: ("certificate signing requests", "the controller manager removes old ones", 86400)
        case .stayingNode: ("nodes that keep their names", "their kubelets write their new addresses", 10)
        case .stayingPod: ("pods of nodes that keep their names", "their kubelets write what they are", 60)
        case .edited: ("ConfigMaps of kubeadm", "`rebuild finish` edits them", nil)
        case .deletedNode: ("lost nodes", "`rebuild finish` deletes them", nil)
        case .mirrorPod: ("static pods of lost nodes", "`rebuild finish` deletes them", nil)
        case .followsNode: ("what belongs to lost nodes", "it goes when the node is deleted", nil)
        case .followsPods: ("endpoints of pods on lost nodes", "they go when these pods are gone", nil)
        case .other: nil
        }
    }

    /// In the order in which they are shown.
    static let all: [ObjectFate] = [
        .masterLease, .kubernetesService, .leaderElection, .serverIdentity, .event, .signingRequest, .stayingNode,
        .stayingPod, .edited, .deletedNode, .mirrorPod, .followsNode, .followsPods, .other,
    ]

    /// - Parameter parts: of the key behind the prefix.
    init(_ parts: [String], _ row: FoundRow, _ gone: GoneNames) {
        let name = parts.last ?? ""
        let path = parts.joined(separator: "/")
        switch parts.first {
        case "masterleases": self = .masterLease
        case "events": self = .event
        case "certificatesigningrequests": self = .signingRequest
        case "leases": self = Self.lease(parts, row, gone)
        case "minions" where gone.nodes.contains(name): self = .deletedNode
        case "minions" where gone.staying.contains(name): self = .stayingNode
        case "csinodes" where gone.nodes.contains(name): self = .followsNode
        case "pods": self = Self.pod(row, gone)
        case "configmaps" where Self.editedPaths.contains(path): self = .edited
        case "endpointslices", "services": self = Self.endpoints(path, row)
        default: self = .other
        }
    }

    private static let editedPaths: Set<String> = [
        "configmaps/kube-system/kubeadm-config", "configmaps/kube-public/cluster-info",
        "configmaps/kube-system/kube-proxy",
    ]

    private static func lease(_ parts: [String], _ row: FoundRow, _ gone: GoneNames) -> ObjectFate {
        let name = parts.last ?? ""
        if parts.count == 3, parts[1] == "kube-node-lease" { return gone.nodes.contains(name) ? .followsNode : .other }
        return name.hasPrefix("apiserver-") ? .serverIdentity : .leaderElection
    }

    private static func pod(_ row: FoundRow, _ gone: GoneNames) -> ObjectFate {
        let node = row.facts?.nodeName?.lowercased() ?? ""
        if gone.nodes.contains(node) { return row.facts?.isMirrorPod == true ? .mirrorPod : .followsNode }
        let isMirror = row.facts?.isMirrorPod == true
        // What its template says would be there again.
        let isOwn = row.fields.allSatisfy { $0.hasPrefix("status") || $0.hasPrefix("metadata.annotations") }
        return gone.staying.contains(node) && (isMirror || isOwn) ? .stayingPod : .other
    }

    private static func endpoints(_ path: String, _ row: FoundRow) -> ObjectFate {
        if ["endpointslices/default/kubernetes", "services/endpoints/default/kubernetes"].contains(path) {
            return .kubernetesService
        }
        guard path.hasPrefix("endpointslices/") || path.hasPrefix("services/endpoints/") else { return .other }
        let isOfController =
            row.facts?.labels["endpointslice.kubernetes.io/managed-by"] == "endpointslice-controller.k8s.io"
            || row.facts?.labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"
            || row.facts?.annotations["endpoints.kubernetes.io/last-change-trigger-time"] != nil
        return isOfController ? .followsPods : .other
    }
}
