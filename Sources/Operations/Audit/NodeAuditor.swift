import ArchiveStore
import HostIO
import FoundationEssentials
import SealedArchive

/// The answers for one node, from what stores list of it and the time.
struct NodeAuditor {
    /// What one store has of the node.
    struct Part {
        var store: String
        var listing: StoreListing
        var retention: RetentionAudit?
    }

    let scope: StoreScope
    /// Of each store that was read.
    let parts: [Part]
    /// The backups of all of them, each once, in their order.
    let backups: [StoredBackup]
    /// How many stores were to be read.
    let storeCount: Int
    let quorum: Int
    /// The references of all backups that are there; nil where not all that could be there were looked at.
    let references: Set<String>?
    let criteria: AuditCriteria
    let now: Date

    /// The backups of the period, those from the future left out.
    private var judged: [StoredBackup] {
        timed.filter { backup in criteria.since.map { backup.sidecar.archive.createdAt >= $0 } ?? true }
    }

    /// Those whose times can be, by these.
    private var timed: [StoredBackup] {
        backups.filter { !isFromTheFuture($0) }.sorted { $0.isOlder(than: $1) }
    }

    private func isFromTheFuture(_ backup: StoredBackup) -> Bool { backup.isFromTheFuture(at: now) }

    func run() -> NodeAudit {
        let (judged, timed) = (self.judged, self.timed)
        let chains = parts.map { $0.listing.chain(of: scope) }
        let gaps = gaps(timed, highest: chains.map(\.highest).max() ?? 0)
        let maximum = criteria.maximumGapSeconds(before: now)
        var audit = NodeAudit(
            cluster: scope.cluster, node: scope.node, backupCount: backups.count, countInPeriod: judged.count,
            snapshotCount: judged.count { !$0.sidecar.etcd.isEmpty }, first: timed.first?.moment,
            last: timed.last?.moment, longestGap: gaps.max { $0.seconds < $1.seconds },
            gaps: gaps.filter { $0.seconds > maximum },
            lowestLevel: judged.compactMap(\.sidecar.verification.known).min().map { OpenValue($0) },
            newestLevel: timed.last?.sidecar.verification, levels: levels(judged),
            recipients: counts(judged.map(\.sidecar.recipients.count)).map {
                .init(recipientCount: $0.key, backupCount: $0.count)
            },
            copies: nil, belowQuorum: nil, unread: parts.flatMap(unread),
            fromTheFuture: backups.filter(isFromTheFuture).map(\.reference),
            failedChecks: judged.filter(\.hasFailedCheck).map(\.reference),
            drills: DrillAudit(backups, judged: judged, now: now), stores: zip(parts, chains).map(storeAudit),
            findings: [], verdict: .passed)
        if storeCount > 1 { addCopies(of: judged, to: &audit) }
        audit.findings = criteria.accepted.applied(to: findings(audit, judged, chains), at: now)
        audit.verdict = AuditReport.Verdict(audit.findings)
        return audit
    }

    private func levels(_ judged: [StoredBackup]) -> [NodeAudit.LevelCount] {
        let counts = Dictionary(grouping: judged, by: \.sidecar.verification).mapValues(\.count)
        let known = VerificationLevel.allCases.map { OpenValue($0) }
        let others = counts.keys.filter { $0.known == nil }.sorted { $0.rawValue < $1.rawValue }
        return (known + others).compactMap { level in
            counts[level].map { .init(level: level, backupCount: $0) }
        }
    }

    private func counts(_ values: [Int]) -> [(key: Int, count: Int)] {
        Dictionary(grouping: values, by: \.self).map { (key: $0.key, count: $0.value.count) }
            .sorted { $0.key < $1.key }
    }

    /// The times without a backup that end in the period, the last of them now.
    ///
    /// What was removed meanwhile shortens none of them as it is seen here, so a longer one is only certain where so many
    /// backups could not have divided it into allowed ones.
    private func gaps(_ timed: [StoredBackup], highest: Int) -> [NodeAudit.Gap] {
        let maximum = Double(criteria.maximumGapSeconds(before: now))
        return timed.indices.compactMap { index in
            let (before, next) = (timed[index], index + 1 < timed.count ? timed[index + 1] : nil)
            let end = next?.sidecar.archive.createdAt ?? now
            if let since = criteria.since, end < since { return nil }
            let seconds = max(0, end.timeIntervalSince(before.sidecar.archive.createdAt))
            let number = next?.sidecar.sequence ?? highest + 1
            let absent = max(0, number - before.sidecar.sequence - 1)
            return NodeAudit.Gap(
                after: before.moment, before: next?.moment, seconds: Int(seconds), absentCount: absent,
                isCertain: seconds / (Double(absent) + 1) > maximum)
        }
    }

    private func unread(_ part: Part) -> [NodeAudit.Unread] {
        let known = part.listing.unreadable.filter { $0.scope == scope }.map { backup in
            NodeAudit.Unread(
                store: part.store, reference: backup.reference,
                kind: backup.isOrphan
                    ? .withoutSidecar : backup.failure.code == .integrity ? .damaged : .unreadable,
                message: backup.failure.description)
        }
        return known
            + part.listing.unpublished.filter { $0.backup.scope == scope }.map {
                NodeAudit.Unread(
                    store: part.store, reference: $0.backup.reference, kind: .unpublished,
                    message: $0.explanation)
            }
    }

    private func storeAudit(_ part: Part, _ chain: NodeChain) -> NodeStoreAudit {
        let own = part.listing.backups.filter { $0.scope == scope }
        let loose = own.count(where: \.isFlat)
        let state: NodeStoreAudit.ChainState =
            if chain.problems.contains(where: { $0.code != .record }) {
                .broken
            } else if !chain.problems.isEmpty || chain.provenLinkCount < chain.linkCount || loose > 0 {
                .unproven
            } else {
                chain.linkCount == 0 ? .none : .unbroken
            }
        return NodeStoreAudit(
            store: part.store, backupCount: own.count, looseCount: loose,
            present: chain.present.map(NodeStoreAudit.Numbers.init),
            removed: chain.removed.map(NodeStoreAudit.Numbers.init),
            missing: chain.missing.map(NodeStoreAudit.Numbers.init),
            removedCount: chain.removed.reduce(0) { $0 + $1.count },
            missingCount: chain.missing.reduce(0) { $0 + $1.count }, chain: state, linkCount: chain.linkCount,
            provenLinkCount: chain.provenLinkCount, retention: part.retention)
    }

    private func addCopies(of judged: [StoredBackup], to audit: inout NodeAudit) {
        let holders = parts.map { part in
            (part, Set(part.listing.backups.filter { $0.scope == scope }.map(\.id)))
        }
        let unreadCount = storeCount - parts.count
        var few: [NodeAudit.FewCopies] = []
        var storeCounts: [Int] = []
        for backup in judged {
            let having = holders.filter { $0.1.contains(backup.id) }.map(\.0.store)
            storeCounts.append(having.count)
            let removed = holders.filter { !$0.1.contains(backup.id) && $0.0.listing.hasRemoved(backup) }
                .map(\.0.store)
            // A store that could not be read may have it.
            guard having.count + removed.count + unreadCount < quorum else { continue }
            few.append(.init(reference: backup.reference, stores: having, removedFrom: removed))
        }
        audit.copies = counts(storeCounts).map { .init(storeCount: $0.key, backupCount: $0.count) }
        audit.belowQuorum = few
    }
}

extension StoredBackup {
    var moment: NodeAudit.Moment { .init(id: id, createdAt: sidecar.archive.createdAt) }

    /// Whether the check of the sealed archive found that a restore would lack something.
    var hasFailedCheck: Bool { sidecar.checkFindings.contains { $0.severity == Finding.Severity.error } }
}
