import FoundationEssentials
import SealedArchive

/// What becomes of one backup.
public struct RetentionDecision: Sendable {
    /// The backup.
    public let backup: StoredBackup
    /// Why it is kept; nothing for one that is to be removed.
    public let reasons: [String]

    /// Those of them by which it is one of the floor.
    public var floorReasons: [String] { reasons.filter { $0.hasPrefix(RetentionFloor.reasonPrefix) } }
}

/// What becomes of the backups in a store.
public struct StoreRetention: Sendable {
    /// One for each backup, by scope, the oldest first.
    public fileprivate(set) var decisions: [RetentionDecision] = []
    /// Why a person should look at it before it is carried out, with the node.
    public fileprivate(set) var cautions: [String] = []
}

extension StoreListing {
    /// What rules make of the backups of each cluster and its nodes; those that lie flat in a directory are kept.
    ///
    /// - Parameter isChosen: what is decided on. All others stay, whatever the rules say of them: they count for the chosen ones,
    ///   and the snapshots that they need stay too.
    public func retention(
        by rules: RetentionRules, now: Date, of isChosen: (StoredBackup) -> Bool = { _ in true }
    ) -> StoreRetention {
        let clusters = Dictionary(grouping: scopes, by: \.0.cluster).sorted { $0.key < $1.key }.map(\.value)
        var nodes = clusters.flatMap { NodeRetention.plans(of: $0, rules, now) }
        for index in nodes.indices { nodes[index].keepOthers(than: isChosen) }
        keepShared(&nodes)
        var retention = StoreRetention()
        let disputed = Set(disputes.map(\.subject))
        for node in nodes {
            retention.decisions += node.decisions.filter { isChosen($0.backup) }
            var cautions = node.plan.cautions
            if node.plan.reasons.contains(where: \.isEmpty), disputed.contains("\(node.scope)") {
                cautions.append("it is not certain which backup is the newest, see what `etcd-snap list` warns of")
            }
            retention.cautions += cautions.map { "\(node.scope): \($0)" }
        }
        return retention
    }

    /// Keeps the snapshots that files which are kept were backed up with, by whichever node: without them these are half a
    /// backup.
    private func keepShared(_ nodes: inout [NodeRetention]) {
        var users: [String: String] = [:]
        for decision in nodes.flatMap(\.decisions) where !decision.reasons.isEmpty {
            for shared in decision.backup.sidecar.sharedSnapshots ?? [] {
                if let reference = shared.reference { users[reference] = decision.backup.reference }
            }
        }
        for index in nodes.indices {
            for (place, backup) in nodes[index].backups.enumerated() where nodes[index].plan.reasons[place].isEmpty {
                guard let user = users[backup.reference] else { continue }
                nodes[index].plan.keep(place, because: "snapshot of \(user)")
            }
        }
    }
}

/// What becomes of the backups of one node.
private struct NodeRetention {
    var scope: StoreScope
    /// Those that the plan is of, in its order.
    var backups: [StoredBackup]
    /// Those that are never removed.
    var flat: [StoredBackup]
    var plan: RetentionPlan

    /// - Parameter nodes: of one cluster.
    static func plans(of nodes: [(StoreScope, [StoredBackup])], _ rules: RetentionRules, _ now: Date) -> [Self] {
        let own = nodes.map { $0.1.filter { !$0.isFlat } }
        let plans = ClusterRetention(own.map { $0.map(\.retentionCandidate) }, rules: rules, now: now).nodes
        return nodes.indices.map { index in
            NodeRetention(
                scope: nodes[index].0, backups: own[index], flat: nodes[index].1.filter(\.isFlat), plan: plans[index])
        }
    }

    var decisions: [RetentionDecision] {
        zip(backups, plan.reasons).map { RetentionDecision(backup: $0, reasons: $1) }
            + flat.map { RetentionDecision(backup: $0, reasons: ["only read"]) }
    }

    mutating func keepOthers(than isChosen: (StoredBackup) -> Bool) {
        for (index, backup) in backups.enumerated() where !isChosen(backup) {
            plan.keep(index, because: "not looked at")
        }
    }
}

extension StoredBackup {
    fileprivate var retentionCandidate: RetentionCandidate {
        let hasFailed = sidecar.checkFindings.contains { $0.severity == Finding.Severity.error }
        return RetentionCandidate(
            createdAt: sidecar.archive.createdAt, hasSnapshot: !sidecar.etcd.isEmpty,
            level: hasFailed ? nil : sidecar.verification.known, retentionClass: sidecar.retentionClass)
    }
}
