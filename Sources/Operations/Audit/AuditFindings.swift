import ArchiveStore
import SealedArchive

extension NodeAuditor {
    /// So many references are in a sentence; the report has all.
    private static let namedCount = 3

    /// What is against the backups of the node.
    func findings(_ audit: NodeAudit, _ judged: [StoredBackup], _ chains: [NodeChain]) -> [Finding] {
        var findings: [Finding] = []
        for (part, chain) in zip(parts, chains) {
            let label = storeCount > 1 ? part.store : nil
            findings += part.listing.unreadable.filter { $0.scope == scope }.map { backup in
                label.map(backup.finding(in:)) ?? backup.finding
            }
            findings += chain.problems.map { problem in
                var finding = problem.finding
                if let label { finding.message = "in \(label): \(finding.message)" }
                return finding
            }
        }
        findings += audit.fromTheFuture.map(Self.future)
        findings += audit.failedChecks.map(Self.failedCheck)
        findings += judged.compactMap(Finding.failedDrill)
        findings += [level(judged), snapshots(judged), copies(audit.belowQuorum ?? [])].compactMap(\.self)
        findings += differingCopies()
        if audit.last == nil { findings.append(nothing(audit)) }
        return findings + audit.gaps.filter(\.isCertain).map(gap)
    }

    private static func future(_ reference: String) -> Finding {
        Finding(
            .warning, code: "backup-from-future", subject: reference,
            message: "it says that it was made later than now",
            advice:
                "see whether a clock is wrong, here or on the node; what is from the future counts for no rule of `prune`"
        )
    }

    private static func failedCheck(_ reference: String) -> Finding {
        Finding(
            .warning, code: "backup-check-failed", subject: reference,
            message: "when it was read back after it was made, something was wrong",
            advice:
                "`etcd-snap describe \(reference)` says what; `etcd-snap verify` it with your key, and make another one"
        )
    }

    private func nothing(_ audit: NodeAudit) -> Finding {
        Finding(
            .warning, code: "backup-gap", subject: "\(scope)",
            message: "no backup of \(scope) is there that can be relied on",
            advice: "make one with `etcd-snap backup`; of a node that is gone for good this can be accepted in the "
                + "configuration by this code and subject")
    }

    private func gap(_ gap: NodeAudit.Gap) -> Finding {
        let end = gap.before.map { "until \($0.id)" } ?? "until now"
        let absent =
            gap.absentCount == 0
            ? ""
            : "; \(gap.absentCount) that \(gap.absentCount == 1 ? "is" : "are") not there any more can't have filled it"
        return Finding(
            .warning, code: "backup-gap", subject: "\(scope)/\(gap.after.id)",
            message: "after it there was no backup for \(AuditReport.span(gap.seconds)) \(end), and "
                + "\(criteria.maximumGap) are allowed\(absent)",
            advice: gap.before == nil
                ? "see `systemctl status etcd-snap-backup` on \(scope.node) for why there is no newer one; of a node that "
                    + "is gone for good this can be accepted in the configuration by this code and subject"
                : "the journal of \(scope.node) says why; what is known can be accepted in the configuration by this code "
                    + "and subject")
    }

    private func level(_ judged: [StoredBackup]) -> Finding? {
        let low = judged.filter { !reaches($0) }
        guard !low.isEmpty else { return nil }
        return Finding(
            .warning, code: "backup-level-low", subject: "\(scope)",
            message: "\(low.count) of \(judged.count) backups reached less than \(criteria.minimumLevel.rawValue): "
                + Self.names(low.map(\.reference)),
            advice:
                "`etcd-snap verify` checks what is there with your key; have backups made with the level that is wanted"
        )
    }

    /// Files are half a backup without the snapshot that another node took for them.
    private func snapshots(_ judged: [StoredBackup]) -> Finding? {
        guard let references else { return nil }
        let halves = judged.filter { backup in
            (backup.sidecar.sharedSnapshots ?? []).contains { $0.reference.map { !references.contains($0) } == true }
        }
        guard !halves.isEmpty else { return nil }
        return Finding(
            .warning, code: "backup-snapshot-missing", subject: "\(scope)",
            message:
                "\(halves.count) of files alone \(halves.count == 1 ? "names" : "name") a snapshot of another node "
                + "that is not there: " + Self.names(halves.map(\.reference)),
            advice: "a restore takes an earlier snapshot of the same etcd; copy the missing one back, or back up anew")
    }

    /// Files alone can't reach more than that they were read whole.
    private func reaches(_ backup: StoredBackup) -> Bool {
        guard !backup.hasFailedCheck, let level = backup.sidecar.verification.known else { return false }
        return level >= (backup.sidecar.etcd.isEmpty ? .streamed : criteria.minimumLevel)
    }

    private func copies(_ few: [NodeAudit.FewCopies]) -> Finding? {
        guard !few.isEmpty else { return nil }
        return Finding(
            .warning, code: "backup-copies-few", subject: "\(scope)",
            message:
                "\(few.count) backup\(few.count == 1 ? " is" : "s are") in fewer stores than the quorum of \(quorum): "
                + Self.names(few.map(\.reference)),
            advice: "bring \(few.count == 1 ? "it" : "them") over with `etcd-snap sync`")
    }

    /// Where stores have different sidecars of one backup.
    private func differingCopies() -> [Finding] {
        var seen: [String: (store: String, backup: StoredBackup)] = [:]
        var findings: [Finding] = []
        for part in parts {
            for backup in part.listing.backups where backup.scope == scope {
                guard let first = seen[backup.reference] else {
                    seen[backup.reference] = (part.store, backup)
                    continue
                }
                if let finding = Finding.differing(first.backup, in: first.store, backup, in: part.store) {
                    findings.append(finding)
                }
            }
        }
        return findings
    }

    private static func names(_ references: [String]) -> String {
        let others = references.count > namedCount ? ", and \(references.count - namedCount) more" : ""
        return references.prefix(namedCount).joined(separator: ", ") + others
    }
}

extension AuditReport {
    /// A length of time for a person: `26h`, `3d`, `3d 4h`.
    public static func span(_ seconds: Int) -> String {
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60)
        if seconds < 60 { return "\(seconds)s" }
        if days >= 2 { return hours == 0 ? "\(days)d" : "\(days)d \(hours)h" }
        if seconds >= 3600 { return minutes == 0 ? "\(seconds / 3600)h" : "\(seconds / 3600)h \(minutes)m" }
        return "\(minutes)m"
    }
}

extension AuditReport.Verdict {
    /// What findings come to; what is accepted does not count.
    init(_ findings: [Finding]) {
        let codes = Set(findings.filter(\.isDefect).map(\.code))
        if codes.contains("backup-damaged") {
            self = .damaged
        } else if !codes.isDisjoint(with: ["backup-unreadable", "store-failed", "store-directory-unread"]) {
            self = .incomplete
        } else {
            self = codes.isEmpty ? .passed : .findings
        }
    }
}
