import FoundationEssentials
import HostIO
import KubernetesAPI

/// Nodes of lost hosts whose place one of another name has taken, and the mirror pods that stood for their static pods.
///
/// Only a cloud's controller deletes Nodes by itself. A Node goes only if the plan says that it was a control-plane host and was
/// replaced, and no kubelet speaks for it any more. Its labels tell nothing: whoever may edit Nodes may have removed them.
struct FinishedNodes {
    private let client: KubernetesClient
    private let request: RebuildFinishRequest

    private static let nodes = ResourcePath(resource: "nodes")
    private static let pods = ResourcePath(resource: "pods")
    private static let leases = ResourcePath(group: "coordination.k8s.io", resource: "leases")
    /// Kubernetes 1.36, `pkg/kubelet/types/pod_update.go` (`ConfigMirrorAnnotationKey`).
    private static let mirrorAnnotation = "kubernetes.io/config.mirror"
    /// What a kubelet asks for if nobody sets another (`KubeletConfiguration`, `nodeLeaseDurationSeconds`).
    private static let defaultLeaseSeconds: Int64 = 40

    init(_ client: KubernetesClient, _ request: RebuildFinishRequest) {
        self.client = client
        self.request = request
    }

    func run(_ observer: Observer) throws -> [RebuildFinishReport.Node] {
        let kept = Set(request.plan.nodes.map(\.name))
        let lost = request.plan.nodes.map(\.oldName).filter { !$0.isEmpty && !kept.contains($0) }
        return try lost.map { name in
            observer.detail("look at the Node \(name)")
            return try finish(name)
        }
    }

    private func finish(_ name: String) throws -> RebuildFinishReport.Node {
        var result = RebuildFinishReport.Node(name: name, outcome: .absent, reason: "it is gone", mirrorPods: [])
        if let node = try client.get(Self.nodes, name: name) {
            if let obstacle = try obstacle(to: node) {
                (result.outcome, result.reason) = (.kept, obstacle)
                return result
            }
            result.reason = "nothing has renewed its lease, and the plan has another in its place"
            result.outcome = request.isDryRun ? .wouldDelete : .deleted
            if !request.isDryRun {
                do {
                    // Whoever speaks for it now changes it: then it stays.
                    try client.delete(Self.nodes, node, isUnchanged: true)
                } catch let status as APIStatus where status.isConflict {
                    (result.outcome, result.reason) = (.kept, "it changed while it was to be deleted: run this again")
                    return result
                }
            }
        }
        result.mirrorPods = try deleteMirrorPods(of: name)
        return result
    }

    /// Why a Node is not to be deleted; nil for nothing.
    private func obstacle(to node: KubernetesObject) throws -> String? {
        let lease = try client.get(Self.leases, namespace: "kube-node-lease", name: node.name)
        if let lease, let renewed = lease.value["spec"]?["renewTime"]?.text.flatMap(Self.date) {
            let limit = 2 * (lease.value["spec"]?["leaseDurationSeconds"]?.integer ?? Self.defaultLeaseSeconds)
            let age = Int64(request.now.timeIntervalSince(renewed))
            guard age > limit else {
                return
                    "its kubelet has renewed its lease \(max(0, age)) s ago: it is not lost, or has been for less than "
                    + "\(limit) s"
            }
            return nil
        }
        let ready = node.value["status"]?["conditions"]?.elements.first { $0["type"]?.text == "Ready" }
        guard ready?["status"]?.text != "True" else {
            return "it is Ready, and has no lease that would say since when not: wait a minute, and run this again"
        }
        return nil
    }

    /// RFC 3339 as `MicroTime` has it; fractions of a second do not count.
    private static func date(_ text: String) -> Date? {
        let seconds = text.prefix { $0 != "." }
        return try? Date(seconds.hasSuffix("Z") ? String(seconds) : seconds + "Z", strategy: .iso8601)
    }

    /// - Returns: those that were deleted, or would be, as `NAMESPACE/NAME`.
    private func deleteMirrorPods(of name: String) throws -> [String] {
        let found = try client.list(Self.pods, fieldSelector: "spec.nodeName=\(name)").filter {
            // A server that knew no such selector would send all.
            $0.value["spec"]?["nodeName"]?.text == name && $0.annotations[Self.mirrorAnnotation] != nil
        }
        for pod in found where !request.isDryRun {
            do {
                try client.delete(Self.pods, pod, gracePeriod: 0)
            } catch let status as APIStatus where status.isConflict {
                // Another of its name, which is not what was looked at.
                continue
            }
        }
        return found.map { "\($0.namespace)/\($0.name)" }
    }
}
