import HostIO
import Operations

/// What a plan says of the database's own names and addresses.
struct RebuildInsideText {
    private let inside: RebuildPlan.Inside
    private let deletions: [RebuildPlan.Deletion]

    /// How many objects of a kind are named; JSON has all.
    private static let shownCount = 20

    /// Nil where nothing was searched.
    init?(_ plan: RebuildPlan) {
        guard let inside = plan.inside else { return nil }
        self.inside = inside
        deletions = plan.etcd?.deletions ?? []
    }

    /// For the plan as text.
    var text: String {
        var parts = ["## inside etcd", fields(summary)]
        if !deletions.isEmpty {
            parts.append(
                "deleted before the first start:\n"
                    + table(
                        ["KEY", "GAIN", "WHY"], deletions.map { [printable($0.key), "\($0.gainSeconds) s", $0.reason] })
            )
        }
        parts += groups("heals by itself:", inside.heals)
        parts += groups("when the cluster runs:", inside.finished)
        parts += Self.objects(inside.finished.filter { $0.count == $0.objects.count }.flatMap(\.objects))
        if !inside.others.isEmpty {
            parts.append("old names and addresses that stay, to be looked at:")
            parts += Self.objects(inside.others)
        }
        return parts.joined(separator: "\n")
    }

    private var summary: [(String, String)] {
        let count = inside.keyCount.map { "\($0) keys" } ?? "all keys"
        let found = (inside.heals + inside.finished).reduce(inside.others.count) { $0 + $1.count }
        var lines = [
            ("searched", "\(count), for \((inside.names + inside.addresses).joined(separator: ", "))"),
            (
                "found",
                "\(found) objects besides: \(inside.heals.reduce(0) { $0 + $1.count }) heal by themselves, "
                    + "\(inside.finished.reduce(0) { $0 + $1.count }) are for `rebuild finish`, "
                    + "\(inside.others.count) are to be looked at"
            ),
            ("deleted", "\(deletions.count) keys"),
        ]
        if let unread { lines.append(("not readable", unread)) }
        if !inside.isComplete { lines.append(("not complete", "there are too many keys to know all of them apart")) }
        return lines
    }

    private var unread: String? {
        guard !inside.unread.isEmpty else { return nil }
        let counts = inside.unread.map { "\($0.count) \(printable($0.resource))" }.joined(separator: ", ")
        return
            "\(counts): they are encrypted, and no backup has their keys; whether they have old names can't be judged"
    }

    private func groups(_ title: String, _ groups: [RebuildPlan.Healing]) -> [String] {
        guard !groups.isEmpty else { return [] }
        let rows = groups.map { [$0.what, "\($0.count)", $0.seconds.map { "\($0) s" } ?? "", $0.how] }
        return [title, table(["WHAT", "COUNT", "AFTER", "HOW"], rows)]
    }

    private static func objects(_ objects: [RebuildPlan.Found]) -> [String] {
        let lines = objects.prefix(shownCount).map { found in
            let fields = found.fields.isEmpty ? "" : " in \(found.fields.prefix(4).joined(separator: ", "))"
            return "  \(printable("\(found.path): \(found.words.joined(separator: ", "))\(fields)"))"
        }
        let more = objects.count - shownCount
        return lines + (more > 0 ? ["  and \(more) more: `-o json` has all"] : [])
    }

    // MARK: For the runbook

    /// What a runbook says where the database was not searched.
    static let usualHealing =
        "For about 20 seconds the service `kubernetes` also lists old addresses, and the controller manager and the "
        + "scheduler wait 15 seconds for their leases: both heal by themselves."

    /// What heals by itself, and needs no hand.
    var healing: String {
        let deleted =
            deletions.isEmpty
            ? ""
            : "\(deletions.count) leases of lost nodes are deleted from the database before its first start: the new API "
                + "servers, the controller manager and the scheduler do not wait for them.\n\n"
        guard !inside.heals.isEmpty else { return deleted + "Nothing else in the database needs time to heal." }
        let lines = inside.heals.map { "- \($0.count) of \($0.what): \($0.how), after \($0.seconds ?? 0) s\n" }.joined()
        return deleted + "What still has old names or addresses and heals by itself:\n\n" + lines
    }

    /// What a person has to look at.
    var list: String {
        var text = ""
        if !inside.others.isEmpty {
            let lines = Self.objects(inside.others).map { "  - \($0.dropFirst(2))\n" }.joined()
            text += "- Objects with old names or addresses that nothing changes, \(inside.others.count):\n\(lines)"
        }
        if let unread { text += "- Not searched: \(unread).\n" }
        return text
    }
}
