import FoundationEssentials
import SealedArchive

/// What becomes of one backup.
public struct RetentionDecision: Sendable {
    /// The backup.
    public let backup: StoredBackup
    /// Why it is kept; nothing for one that is to be removed.
    public let reasons: [String]
}

/// What becomes of the backups in a store.
public struct StoreRetention: Sendable {
    /// One for each backup, by scope, the oldest first.
    public internal(set) var decisions: [RetentionDecision] = []
    /// Why a person should look at it before it is carried out, with the node.
    public internal(set) var cautions: [String] = []
}

extension StoreRetention {
    /// Decides nothing of some of the backups, which count for the others all the same.
    public mutating func leaveOut(_ isLeftOut: (RetentionDecision) -> Bool) { decisions.removeAll(where: isLeftOut) }

    /// The same with other decisions.
    public func with(_ change: (RetentionDecision) -> RetentionDecision) -> StoreRetention {
        var retention = self
        retention.decisions = decisions.map(change)
        return retention
    }
}

extension StoreListing {
    /// What rules make of the backups of each cluster and its nodes; those that lie flat in a directory are kept.
    public func retention(by rules: RetentionRules, now: Date) -> StoreRetention {
        var retention = StoreRetention()
        let disputed = Set(disputes.map(\.subject))
        let clusters = Dictionary(grouping: scopes, by: \.0.cluster).sorted { $0.key < $1.key }.map(\.value)
        for nodes in clusters {
            let own = nodes.map { $0.1.filter { !$0.isFlat } }
            let plans = ClusterRetention(own.map { $0.map(\.retentionCandidate) }, rules: rules, now: now).nodes
            for (index, (scope, backups)) in nodes.enumerated() {
                let plan = plans[index]
                retention.decisions += zip(own[index], plan.reasons).map { RetentionDecision(backup: $0, reasons: $1) }
                retention.decisions += backups.filter(\.isFlat).map {
                    RetentionDecision(backup: $0, reasons: ["only read"])
                }
                var cautions = plan.cautions
                if plan.reasons.contains(where: \.isEmpty), disputed.contains("\(scope)") {
                    cautions.append("it is not certain which backup is the newest, see what `etcd-snap list` warns of")
                }
                retention.cautions += cautions.map { "\(scope): \($0)" }
            }
        }
        retention.keepShared()
        return retention
    }
}

extension StoreRetention {
    /// Keeps the snapshots that files which are kept were backed up with, by whichever node: without them these are half a
    /// backup.
    fileprivate mutating func keepShared() {
        var users: [String: String] = [:]
        for decision in decisions where !decision.reasons.isEmpty {
            for shared in decision.backup.sidecar.sharedSnapshots ?? [] {
                if let reference = shared.reference { users[reference] = decision.backup.reference }
            }
        }
        decisions = decisions.map { decision in
            guard decision.reasons.isEmpty, let user = users[decision.backup.reference] else { return decision }
            return RetentionDecision(backup: decision.backup, reasons: ["snapshot of \(user)"])
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
