import FoundationEssentials

/// What becomes of the backups of one cluster: that of each node by itself, and what the floor of the cluster keeps besides.
///
/// A pure function of the lists, the rules and the time, as ``RetentionPlan``.
struct ClusterRetention {
    /// The plan of each node, in the order of the nodes.
    let nodes: [RetentionPlan]

    /// Makes the plans.
    ///
    /// - Parameters:
    ///   - candidates: the backups of each node, the oldest first.
    ///   - now: the time here.
    init(_ candidates: [[RetentionCandidate]], rules: RetentionRules, now: Date) {
        var plans = candidates.map { RetentionPlan($0, rules: rules, now: now) }
        for place in Self.floor(candidates, rules.floor, now) {
            plans[place.node].keep(
                place.index, because: "\(RetentionFloor.reasonPrefix)\(rules.floor.count) of the cluster")
        }
        nodes = plans
    }

    private struct Place {
        var node: Int
        var index: Int
        var createdAt: Date
        var isProven: Bool
    }

    /// The newest of the cluster that have a snapshot and are proven; where there are too few, the newest others that have one.
    private static func floor(_ candidates: [[RetentionCandidate]], _ floor: RetentionFloor, _ now: Date) -> [Place] {
        let places = candidates.indices.flatMap { node in
            candidates[node].indices.filter {
                candidates[node][$0].hasSnapshot && !BackupOrder.isFuture(candidates[node][$0].createdAt, at: now)
            }.map { index in
                let candidate = candidates[node][index]
                return Place(
                    node: node, index: index, createdAt: candidate.createdAt,
                    isProven: candidate.isProven(by: floor))
            }
        }
        let newestFirst = places.sorted {
            ($0.createdAt, $0.node, $0.index) > ($1.createdAt, $1.node, $1.index)
        }
        let proven = newestFirst.filter(\.isProven).prefix(floor.count)
        let others = newestFirst.filter { !$0.isProven }.prefix(floor.count - proven.count)
        return Array(proven + others)
    }
}
