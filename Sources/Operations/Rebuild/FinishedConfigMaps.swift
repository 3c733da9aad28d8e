import Certificates
import FoundationEssentials
import HostIO
import KubernetesAPI
import NodeRewrite
import YAML

/// ConfigMaps of kubeadm that say where the control plane is, and that nothing else corrects.
struct FinishedConfigMaps {
    private let client: KubernetesClient
    private let request: RebuildFinishRequest

    /// Namespace, name and key, as in Kubernetes 1.36, kubeadm's `constants.go` and the bootstrap API's `ConfigMapClusterInfo`.
    ///
    /// Of `cluster-info` only this key is written: the controller manager's bootstrapsigner signs it anew then.
    private static let values = [
        ("kube-system", "kubeadm-config", "ClusterConfiguration"),
        ("kube-public", "cluster-info", "kubeconfig"),
        ("kube-system", "kube-proxy", "kubeconfig.conf"),
    ]
    /// Where a new name or address is also an old one a second change would be another: what was changed by a plan has this.
    private static let mark = "etcd-snap/rebuilt-by"
    private static let type = ResourcePath(resource: "configmaps")
    private static let maxTryCount = 4

    init(_ client: KubernetesClient, _ request: RebuildFinishRequest) {
        self.client = client
        self.request = request
    }

    func run(_ observer: Observer) throws -> [RebuildFinishReport.ConfigMap] {
        let change = try request.plan.clusterChange()
        return try Self.values.map { namespace, name, key in
            observer.detail("look at the ConfigMap \(namespace)/\(name)")
            return try finish(namespace, name, key, change)
        }
    }

    private func finish(
        _ namespace: String, _ name: String, _ key: String, _ change: NodeChange
    ) throws -> RebuildFinishReport.ConfigMap {
        var result = RebuildFinishReport.ConfigMap(
            name: "\(namespace)/\(name)", key: key, outcome: .absent, settings: [], diff: "", remarks: [])
        for number in 1... {
            guard let object = try client.get(Self.type, namespace: namespace, name: name),
                let text = object.value["data"]?[key]?.text
            else { return result }
            let isDone = object.annotations[Self.mark] == request.plan.mark
            let found =
                isDone
                ? nil
                : try NodeRewriter.rewrite(
                    documentsOf: "/configmaps/\(namespace)/\(name)/\(key)", bytes: Array(text.utf8), change: change)
            result.remarks = found?.remarks ?? []
            guard let found, !found.edits.isEmpty else {
                result.remarks += strangers(in: Array(text.utf8), change)
                result.outcome = .unchanged
                return result
            }
            result.remarks += strangers(in: found.newBytes, change)
            result.settings = found.edits.map {
                withoutSecrets("\($0.path): \($0.oldValue) -> \($0.newValue) (\($0.reason))")
            }
            result.diff = found.unifiedDiff
            guard !request.isDryRun else {
                result.outcome = .wouldChange
                return result
            }
            do {
                let value = JSONValue.string(String(decoding: found.newBytes, as: UTF8.self))
                var patch: [String: JSONValue] = ["data": .object([key: value])]
                if change.isAmbiguousWhenRepeated {
                    patch["metadata"] = ["annotations": .object([Self.mark: .string(request.plan.mark)])]
                }
                try client.patch(Self.type, object, patch)
                result.outcome = .changed
                return result
            } catch let status as APIStatus where status.isConflict && number < Self.maxTryCount {
                continue
            }
        }
        return result
    }

    /// Servers of a kubeconfig that are no place of the new control plane.
    private func strangers(in bytes: [UInt8], _ change: NodeChange) -> [String] {
        guard let root = try? Node.first(in: bytes), let kubeconfig = try? Kubeconfig(root, path: "") else { return [] }
        let nodes = request.plan.nodes
        let known = Set(nodes.flatMap { $0.addresses + [$0.name] } + [change.newEndpoint?.host].compactMap(\.self))
        return kubeconfig.clusters.compactMap(\.server).filter { server in
            guard let host = LostNode.hostAndPort(server)?.host else { return true }
            return !known.contains(host)
        }.map { "its server \($0) is no place of the new control plane: change it by hand" }
    }
}

extension NodeChange {
    /// Whether something new is the old name or address of something else.
    fileprivate var isAmbiguousWhenRepeated: Bool {
        let names = [(oldName, newName)] + members.map { ($0.oldName, $0.newName) }
        let places = (addresses + members.flatMap(\.addresses)).map { ($0.old.text, $0.new.text) }
        let changed = (names + places).filter { $0.0 != $0.1 }
        return !Set(changed.map(\.0)).isDisjoint(with: changed.map(\.1))
    }
}

extension RebuildPlan {
    /// What tells it from other plans.
    fileprivate var mark: String { etcd?.token ?? createdAt.formatted(.iso8601) }

    /// How names and addresses of the whole cluster change: as in the files of a node that has its own.
    ///
    /// Where a node got those of another, the two change places in its mapping.
    func clusterChange() throws(Failure) -> NodeChange {
        guard let node = nodes.first(where: \.isOwnBackup) ?? nodes.first else {
            throw Failure(.integrity, "the plan has no node")
        }
        return try node.mapping.nodeChange()
    }
}
