import FoundationEssentials
import Operations
import SealedArchive

/// The report of an audit for people.
struct AuditText {
    let report: AuditReport

    /// So many lines of a kind are shown for each node.
    private static let lineCount = 10

    init(_ report: AuditReport) { self.report = report }

    private var areSeveral: Bool { report.stores.count > 1 }

    /// All of it.
    var text: String {
        var sections = [fields(head)]
        if report.nodes.count > 1 { sections.append(overview) }
        sections += shownNodes.map(section)
        if !report.findings.isEmpty { sections.append(findingLines(report.findings)) }
        return (sections + [lastLine]).joined(separator: "\n\n")
    }

    /// Of a fleet those that something is against.
    private var shownNodes: [NodeAudit] {
        report.nodes.count <= Self.lineCount ? report.nodes : report.nodes.filter { $0.verdict != .passed }
    }

    private var head: [(String, String)] {
        [
            ("audit of", report.stores.map(\.store).joined(separator: ", ")),
            ("made at", time(report.auditedAt)),
            (
                "judged by",
                "no more than \(AuditReport.span(report.maximumGapSeconds)) without a backup, at least "
                    + report.minimumLevel.rawValue
                    + (report.maximumDrillAgeSeconds.map { ", a drill within \(AuditReport.span($0))" } ?? "")
                    + (areSeveral ? ", in \(report.quorum) of \(report.stores.count) stores" : "")
                    + (report.since.map { ", since \(time($0))" } ?? "")
            ),
        ] + report.lookedAt.map { ("looked at", $0) } + report.notLookedAt.map { ("not looked at", $0) }
    }

    private var overview: String {
        table(
            [
                "CLUSTER", "NODE", "BACKUPS", Column("LAST", rank: 3), Column("CHAIN", rank: 4),
                Column("LONGEST GAP", rank: 2), Column("LOWEST", rank: 1), "VERDICT",
            ],
            report.nodes.map { node in
                [
                    node.cluster, node.node, "\(node.backupCount)", node.last.map { age($0.createdAt) } ?? "",
                    node.stores.map(\.chain.rawValue).joined(separator: ","),
                    node.longestGap.map { AuditReport.span($0.seconds) } ?? "", node.lowestLevel?.rawValue ?? "",
                    node.verdict.rawValue,
                ]
            })
    }

    private func section(_ node: NodeAudit) -> String {
        var lines = [
            ("node", "\(node.cluster)/\(node.node)"),
            (
                "backups",
                "\(node.backupCount)" + (report.since == nil ? "" : ", \(node.countInPeriod) in the period")
                    + ", \(node.snapshotCount) with a snapshot of etcd"
            ),
        ]
        if let first = node.first { lines.append(("first", moment(first))) }
        if let last = node.last { lines.append(("last", "\(moment(last)), \(distance(last.createdAt))")) }
        lines += node.stores.flatMap(storeLines)
        if let gap = node.longestGap { lines.append(("longest gap", self.gap(gap))) }
        lines += limited(node.gaps.filter { $0 != node.longestGap || !$0.isCertain }.map { ("gap", gap($0)) })
        if !node.levels.isEmpty {
            lines.append(("levels", levels(node)))
        }
        lines += node.recipients.map { ("recipients", recipients($0)) }
        lines += (node.copies ?? []).map { copies in
            ("copies", "\(copies.backupCount) in \(copies.storeCount) of \(report.stores.count) stores")
        }
        lines += limited(
            (node.belowQuorum ?? []).map { few in
                let removed = few.removedFrom.isEmpty ? "" : ", removed from \(few.removedFrom.joined(separator: ", "))"
                return ("too few", "\(few.reference) in \(few.stores.joined(separator: ", "))\(removed)")
            })
        lines += limited(
            node.unread.map {
                (areSeveral ? "unread in \($0.store)" : "unread", "\($0.reference): \($0.kind.rawValue)")
            })
        lines += limited(node.fromTheFuture.map { ("from the future", $0) })
        lines += limited(node.failedChecks.map { ("failed check", $0) })
        lines.append(("drills", drills(node.drills)))
        lines += limited(node.drills.failed.map { ("failed drill", $0) })
        lines.append(("verdict", verdict(node)))
        return fields(lines) + (node.findings.isEmpty ? "" : "\n" + findings(node.findings))
    }

    private func storeLines(_ store: NodeStoreAudit) -> [(String, String)] {
        let place = areSeveral ? " in \(store.store)" : ""
        let chain =
            switch store.chain {
            case .unbroken: "unbroken: all \(store.linkCount) links are proved by digests"
            case .unproven: "not proved: \(store.provenLinkCount) of \(store.linkCount) links are proved by digests"
            case .broken: "broken: \(store.provenLinkCount) of \(store.linkCount) links are proved by digests"
            case .none: "none: no backup comes after another"
            }
        var lines = [
            (
                "numbers\(place)",
                "there \(numbers(store.present)); removed \(numbers(store.removed)); missing \(numbers(store.missing))"
                    + (store.looseCount == 0 ? "" : "; \(store.looseCount) lie loose, and are of no chain")
            ),
            ("chain\(place)", chain),
        ]
        guard let retention = store.retention else {
            return lines + [("retention\(place)", "no rules: everything stays")]
        }
        let held = retention.heldByFloor.map { "\($0.backupCount) by the \($0.reason)" }
        lines.append(
            (
                "retention\(place)",
                "\(retention.rules.joined(separator: ", ")); never removed are the newest \(retention.floor) that "
                    + "reached \(retention.floorLevel), and as many of files alone: \(held.isEmpty ? "none is there" : held.joined(separator: ", ")); "
                    + "\(retention.expiredCount) would go now"
            ))
        return lines
    }

    private func numbers(_ ranges: [NodeStoreAudit.Numbers]) -> String {
        guard !ranges.isEmpty else { return "none" }
        let shown = ranges.prefix(Self.lineCount).map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }
        return shown.joined(separator: ",") + (ranges.count > Self.lineCount ? ",…" : "")
    }

    private func moment(_ moment: NodeAudit.Moment) -> String { "\(time(moment.createdAt)) (\(moment.id))" }

    private func gap(_ gap: NodeAudit.Gap) -> String {
        let absent =
            gap.absentCount == 0
            ? "" : ", \(gap.absentCount) in between not there any more\(gap.isCertain ? "" : ": not judged")"
        return "\(AuditReport.span(gap.seconds)), from \(time(gap.after.createdAt)) to "
            + (gap.before.map { time($0.createdAt) } ?? "now") + absent
    }

    private func levels(_ node: NodeAudit) -> String {
        let counts = node.levels.map { "\($0.backupCount) \($0.level)" }.joined(separator: ", ")
        let (lowest, newest) = (node.lowestLevel?.rawValue, node.newestLevel?.rawValue)
        return "\(counts); lowest \(lowest ?? "not known"), newest \(newest ?? "not known")"
    }

    private func drills(_ drills: DrillAudit) -> String {
        guard let last = drills.last else { return "none that succeeded" }
        let etcd = last.etcdVersion.map { ", etcd \(printable($0))" } ?? ""
        let recovery = last.recoverySeconds.map { ", brought back in \(seconds($0))" } ?? ""
        return
            "\(drills.drilledCount) drilled; the last at \(time(last.startedAt)) (\(last.reference)\(etcd)\(recovery))"
    }

    private func recipients(_ count: NodeAudit.RecipientCount) -> String {
        let keys = count.recipientCount == 0 ? "keys that are not named" : "\(count.recipientCount) recipients"
        return "\(count.backupCount) sealed for \(count.recipientCount == 1 ? "1 recipient" : keys)"
    }

    private func verdict(_ node: NodeAudit) -> String {
        let defects = node.findings.filter(\.isDefect)
        guard !defects.isEmpty else {
            return "nothing is against it" + (node.findings.isEmpty ? "" : ", and what is known is accepted")
        }
        var codes: [String] = []
        for finding in defects where !codes.contains(finding.code) { codes.append(finding.code) }
        let counted = codes.map { code in
            let count = defects.count { $0.code == code }
            return count == 1 ? code : "\(code) (\(count))"
        }
        return "\(node.verdict.rawValue): \(counted.joined(separator: ", "))"
    }

    private func limited(_ lines: [(String, String)]) -> [(String, String)] {
        guard lines.count > Self.lineCount else { return lines }
        return lines.prefix(Self.lineCount) + [("more", "\(lines.count - Self.lineCount); -o json has all")]
    }

    private func findings(_ findings: [Finding]) -> String {
        let shown = findingLines(Array(findings.prefix(Self.lineCount)))
        let others = findings.count - Self.lineCount
        return others > 0 ? "\(shown)\n  and \(others) more; -o json has all" : shown
    }

    private var lastLine: String {
        let count = report.allFindings.defectCount
        let nodes = report.nodes.count { $0.verdict != .passed }
        let of = "\(report.nodes.count) node\(report.nodes.count == 1 ? "" : "s")"
        return switch report.verdict {
        case .passed: "passed: nothing is against the backups of \(of), as far as sidecars tell"
        case .findings: "findings: \(count), against \(nodes) of \(of)"
        case .incomplete: "incomplete: not all could be read; findings: \(count), against \(nodes) of \(of)"
        case .damaged: "damaged: backups can't be relied on; findings: \(count), against \(nodes) of \(of)"
        }
    }
}
