import HostIO
import Operations

/// A plan for people.
struct RebuildText {
    private let plan: RebuildPlan

    init(_ plan: RebuildPlan) { self.plan = plan }

    /// All of it.
    var text: String { ([head] + inside + plan.nodes.map { text(of: $0) }).joined(separator: "\n\n") }

    private var head: String {
        var lines = [("cluster", plan.cluster), ("plan", plan.id)]
        if let layout = plan.layout { lines.append(("layout", layout.rawValue)) }
        if let situation = plan.situation { lines.append(("situation", situation.text)) }
        if let snapshot = plan.snapshot {
            lines.append(("snapshot", "\(snapshot.origin), \(snapshot.reason)"))
            lines.append(("database", size(snapshot.databaseByteCount)))
        }
        if let etcd = plan.etcd {
            lines.append(("initial cluster", etcd.initialCluster))
            lines.append(("token", etcd.token))
            lines.append(("revision bump", "\(etcd.revisionBump) (\(etcd.bumpReason))"))
        }
        let old = plan.oldEndpoint ?? "none"
        let new = plan.newEndpoint ?? "none"
        lines.append(("endpoint", old == new ? "\(new), as before" : "\(new), was \(old)"))
        lines.append(
            (
                "forecast",
                "\(plan.forecast.minutes) minutes with all hosts at once: \(Int(plan.forecast.restoreSeconds)) s to restore, "
                    + "\(Int(plan.forecast.startSeconds)) s to start, the rest for commands; by \(plan.forecast.basis)"
            ))
        lines.append(("workers", workers))
        let survivors = plan.survivors.map { "\n\n" + SurvivorText.comparison(of: $0) } ?? ""
        return fields(lines) + survivors + plan.notes.map { "\n\($0)" }.joined()
    }

    private var inside: [String] { RebuildInsideText(plan).map { [$0.text] } ?? [] }

    private var workers: String {
        plan.isEndpointChanged
            ? "each kubelet and kube-proxy has to learn the new endpoint: see the runbook" : "nothing to do"
    }

    /// A node's part.
    func text(of node: RebuildNodePlan) -> String {
        var parts = ["## \(node.name)", fields(summary(node))]
        parts.append(
            table(
                ["CERTIFICATE", "ACTION", "WHY", "NEW NAMES", "OLD NAMES"],
                node.certificates.map {
                    [
                        $0.path, $0.action, ($0.reasons + $0.remarks).joined(separator: "; "),
                        $0.added.joined(separator: " "), $0.removed.joined(separator: " "),
                    ]
                }))
        parts.append(
            table(
                ["FILE", "STEP", "ACTION"],
                node.files.filter { $0.byteCount > 0 }.map { [$0.path, $0.step, $0.action.rawValue] }))
        parts += node.changes.map(\.diff)
        if !node.leftovers.isEmpty {
            parts.append(
                "old names that stay, to be looked at:\n" + node.leftovers.map { "  \($0)" }.joined(separator: "\n"))
        }
        if !node.remarks.isEmpty { parts.append(node.remarks.map { "note: \($0)" }.joined(separator: "\n")) }
        parts.append(table(["STEP", "DOES", "CHECK"], node.steps.map { [$0.name, $0.what, $0.check] }))
        return parts.filter { !$0.isEmpty }.joined(separator: "\n")
    }

    private func summary(_ node: RebuildNodePlan) -> [(String, String)] {
        var lines = [
            ("takes the place of", node.oldName.isEmpty ? "none" : node.oldName),
            ("files from", node.archiveID + (node.isOwnBackup ? "" : ", which is another node's")),
            (
                "addresses",
                "\(node.addresses.joined(separator: ", ")), were \(node.oldAddresses.joined(separator: ", "))"
            ),
        ]
        if let member = node.member {
            lines.append(
                ("member", "\(member.name) \(member.peerURLs.joined(separator: ",")) in \(member.dataDirectory)"))
        }
        let count = node.files.count { $0.action == .change }
        lines.append(("files", "\(node.files.count), \(count) changed, \(node.leftOut.count) left out"))
        return lines
    }
}
