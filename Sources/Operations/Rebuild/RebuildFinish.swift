import FoundationEssentials
import HostIO
import KubernetesAPI
import NodeRewrite

/// How a rebuild is finished.
public struct RebuildFinishRequest: Sendable {
    /// A part that can be left out.
    public enum Part: String, Sendable, CaseIterable, Codable {
        /// ConfigMaps that tell others where the control plane is.
        case configMaps = "configmaps"
        /// The Nodes of lost hosts, with their mirror pods.
        case nodes
    }

    /// The plan.
    public var plan: RebuildPlan
    /// The kubeconfig of an administrator.
    public var kubeconfig: String
    /// What is left out.
    public var skipped: Set<Part> = []
    /// Whether nothing is changed.
    public var isDryRun = false
    /// The time by which leases are stale.
    public var now = Date()

    /// A request to do all of a plan.
    public init(plan: RebuildPlan, kubeconfig: String) {
        self.plan = plan
        self.kubeconfig = kubeconfig
    }

    /// The kubeconfigs of administrators below a root, in the order in which they are tried.
    public static let kubeconfigs = ["/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"]
}

/// What was done to finish a rebuild, or would be.
public struct RebuildFinishReport: Codable, Sendable {
    /// A value of a ConfigMap.
    public struct ConfigMap: Codable, Sendable {
        /// `NAMESPACE/NAME`.
        public var name: String
        /// The key of the value.
        public var key: String
        /// What became of it.
        public var outcome: Outcome
        /// Each changed setting: place, old and new value, reason.
        public var settings: [String]
        /// The difference as `diff -u` shows it.
        public var diff: String
        /// What a person has to change.
        public var remarks: [String]
    }

    /// The Node of a lost host.
    public struct Node: Codable, Sendable {
        /// Its name.
        public var name: String
        /// What became of it.
        public var outcome: Outcome
        /// How it is known to be lost, or why it is kept.
        public var reason: String
        /// Mirror pods that were deleted after it, as `NAMESPACE/NAME`.
        public var mirrorPods: [String]
    }

    /// What became of an object.
    public enum Outcome: String, Codable, Sendable {
        /// It was changed.
        case changed
        /// It would be changed.
        case wouldChange
        /// It was deleted.
        case deleted
        /// It would be deleted.
        case wouldDelete
        /// It is as it is to be.
        case unchanged
        /// It is not there.
        case absent
        /// It is left alone, and that needs a person.
        case kept
    }

    /// The API server.
    public var server: String
    /// Its version.
    public var version: String
    /// Whether nothing was changed.
    public var isDryRun: Bool
    /// The values.
    public var configMaps: [ConfigMap] = []
    /// The Nodes.
    public var nodes: [Node] = []
    /// What to run on a host with kubectl.
    public var commands: [String] = []
    /// What becomes right by itself, and when.
    public var heals: [String] = []

    /// How many objects were changed or deleted, or would be.
    public var changeCount: Int {
        let outcomes = configMaps.map(\.outcome) + nodes.map(\.outcome)
        let count = outcomes.count { [.changed, .wouldChange, .deleted, .wouldDelete].contains($0) }
        return count + nodes.reduce(0) { $0 + $1.mirrorPods.count }
    }

    /// Whether something is left to a person.
    public var needsAttention: Bool {
        configMaps.contains { !$0.remarks.isEmpty } || nodes.contains { $0.outcome == .kept }
    }
}

/// Puts right through the API what still names lost hosts after the first boot of a rebuilt control plane, and does not heal.
///
/// Each object is changed or deleted only as it was read. A second run finds nothing to do.
public enum RebuildFinish {
    /// Does it.
    ///
    /// - Throws: ``Failure`` if the API server can't be asked, or refuses.
    public static func run(_ request: RebuildFinishRequest, observer: Observer) throws -> RebuildFinishReport {
        let client = try KubernetesClient(APIServerAccess(kubeconfig: request.kubeconfig))
        try checkReady(client)
        var report = RebuildFinishReport(
            server: client.access.server, version: try client.version(), isDryRun: request.isDryRun)
        if !request.skipped.contains(.configMaps) {
            report.configMaps = try FinishedConfigMaps(client, request).run(observer)
        }
        if !request.skipped.contains(.nodes) {
            report.nodes = try FinishedNodes(client, request).run(observer)
        }
        let isProxyMoved = report.configMaps.contains {
            $0.name == "kube-system/kube-proxy" && [.changed, .wouldChange].contains($0.outcome)
        }
        if isProxyMoved { report.commands.append("kubectl -n kube-system rollout restart daemonset kube-proxy") }
        report.heals = heals
        return report
    }

    private static func checkReady(_ client: KubernetesClient) throws {
        do {
            try client.checkReady()
        } catch let status as APIStatus where status.code >= 500 {
            throw Failure(
                .failed, "the API server \(client.access.server) is not ready: \(printable(status.message))",
                hint: "wait until its /readyz says ok, and run it again")
        }
    }

    /// Measured with Kubernetes 1.36.3.
    private static let heals = [
        "addresses of lost API servers in the service `kubernetes`: about 20 s after the API server is ready",
        "leases of the controller manager and the scheduler: 16 s after they start",
        "leases of lost API servers in kube-system: after an hour",
        "pods that ran on lost hosts: when the controller manager has seen that their Node is gone",
    ]
}

extension RebuildPlan {
    /// The plan of the rebuild that was made below a root, with its document.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `integrity` if it is damaged.
    public static func ofRebuild(root path: String) throws -> (plan: RebuildPlan, document: [UInt8]) {
        let root = try OpenDirectory(path: path)
        guard let journal = try RebuildJournal(root: root, makes: false), journal.begin != nil else {
            throw Failure(
                .notFound, "no rebuild is recorded below \(quoted(path))",
                hint: "name the plan that the hosts were rebuilt by", settings: [.plan])
        }
        return try read(of: journal)
    }
}
