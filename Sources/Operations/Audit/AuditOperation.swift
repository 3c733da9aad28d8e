import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// Answers what an auditor asks of stores: a list of each, nothing more.
public enum AuditOperation {
    /// Lists the stores, and judges what is there.
    ///
    /// - Parameters:
    ///   - cluster: only backups of this cluster.
    ///   - node: only backups of this node.
    ///   - configuration: what each store keeps.
    ///   - now: the time here.
    /// - Throws: errors of reading the only store, or all of several; ``Failure`` with the code `notFound` if nothing is there.
    public static func run(
        on stores: StoreSet, cluster: String?, node: String?, criteria: AuditCriteria, configuration: Configuration,
        now: Date
    ) throws -> AuditReport {
        for (index, accepted) in criteria.accepted.enumerated() {
            try configuration.locating("accept.\(index)") { try accepted.check() }
        }
        var read: [StoreContents]
        var failed: [StoreFailure] = []
        if stores.areSeveral {
            (read, failed) = stores.listings(cluster: cluster, node: node)
            guard !read.isEmpty else {
                throw failed.failure(
                    "none of the stores can be read", hint: "repair one of them, or name another store")
            }
        } else {
            let store = stores.first.store
            read = [StoreContents(store: stores.first, listing: try store.list(cluster: cluster, node: node))]
        }
        if failed.isEmpty, read.allSatisfy({ $0.listing.isEmpty }) {
            let store = stores.first.store
            throw (stores.areSeveral ? nil : BackupReference.nothing(in: store, cluster: cluster, node: node))
                ?? Failure(
                    .notFound, "there is no backup in \(stores.label)",
                    hint: "make one with `etcd-snap backup`, or name another store", settings: [.store])
        }
        read = try read.map { contents in
            let retention = configuration.retention(ofStore: contents.store.name)
            let rules = try contents.store.rules ?? configuration.locating("retention") { try retention?.rules() }
            let named = NamedStore(contents.store.store, name: contents.store.name, rules: rules)
            return StoreContents(store: named, listing: contents.listing)
        }
        return report(
            read, failed, quorum: stores.quorum, isOfOneNode: node != nil, criteria: criteria, now: now)
    }

    /// The report of what stores list, and of the time.
    ///
    /// - Parameter isOfOneNode: whether other nodes were not asked for.
    static func report(
        _ read: [StoreContents], _ failed: [StoreFailure] = [], quorum: Int = 1, isOfOneNode: Bool = false,
        criteria: AuditCriteria, now: Date
    ) -> AuditReport {
        let retention = read.map { RetentionAudit.ofNodes($0, now: now) }
        let lists = read.map { $0.listing.byScope() }
        let backups = read.dropFirst().reduce(read[0].listing) { $0.joined(with: [$1.listing]) }.backups
        let joined = Dictionary(grouping: backups, by: \.scope)
        let references = isOfOneNode || !failed.isEmpty ? nil : Set(backups.map(\.reference))
        let nodes = Set(read.flatMap(\.listing.knownScopes)).sorted().map { scope in
            NodeAuditor(
                scope: scope,
                parts: read.indices.map { index in
                    var listing = lists[index][scope] ?? StoreListing()
                    listing.chain = read[index].listing.chain
                    return .init(
                        store: read[index].store.label, listing: listing, retention: retention[index][scope])
                },
                backups: joined[scope] ?? [], storeCount: read.count + failed.count, quorum: quorum,
                references: references, criteria: criteria, now: now
            ).run()
        }
        let stores =
            read.map {
                AuditReport.AuditedStore(store: $0.store.label, sidecarCount: $0.listing.backups.count, error: nil)
            }
            + failed.map {
                AuditReport.AuditedStore(store: $0.store.label, sidecarCount: 0, error: $0.failure.description)
            }
        let areSeveral = stores.count > 1
        let findings = criteria.accepted.applied(
            to: failed.map(\.auditFinding) + read.flatMap { placeless($0, areSeveral) }
                + (criteria.maximumDrillAge.map { AuditReport.overdueDrills(nodes, $0, now: now) } ?? []), at: now)
        var report = AuditReport(
            auditedAt: now, since: criteria.since, maximumGapSeconds: criteria.maximumGapSeconds(before: now),
            maximumDrillAgeSeconds: criteria.maximumDrillAge.map { Int(now.timeIntervalSince($0.start(before: now))) },
            minimumLevel: .init(criteria.minimumLevel), quorum: quorum, stores: stores, lookedAt: [], notLookedAt: [],
            nodes: nodes, findings: findings, verdict: .passed)
        report.verdict = .init(report.allFindings)
        report.sayWhatWasLookedAt(isOfOneNode: isOfOneNode, hasRules: retention.contains { !$0.isEmpty })
        return report
    }

    /// What can't be told to be of a node.
    private static func placeless(_ contents: StoreContents, _ areSeveral: Bool) -> [Finding] {
        let label = contents.store.label
        let loose = contents.listing.unreadable.filter { $0.scope == nil }.map { backup in
            areSeveral ? backup.finding(in: label) : backup.finding
        }
        return loose
            + contents.listing.hidden.map { directory in
                Finding(
                    .warning, code: directory.isLink ? "store-link-not-followed" : "store-directory-unread",
                    subject: label, message: directory.failure.description, advice: directory.failure.hint)
            }
    }
}

extension StoreListing {
    fileprivate var isEmpty: Bool { knownScopes.isEmpty && unreadable.isEmpty && hidden.isEmpty && chain.isEmpty }
}

extension StoreFailure {
    fileprivate var auditFinding: Finding {
        Finding(
            .warning, code: "store-failed", subject: store.label,
            message: "it could not be read, so nothing is known of what it has: \(failure.description)",
            advice: failure.hint ?? "repair it, and audit again")
    }
}

extension RetentionAudit {
    /// What the rules of a store make of each node; nothing where there are none.
    fileprivate static func ofNodes(_ contents: StoreContents, now: Date) -> [StoreScope: RetentionAudit] {
        guard let rules = contents.store.rules, !rules.areEmpty else { return [:] }
        let decisions = contents.listing.retention(by: rules, now: now).decisions
        return Dictionary(grouping: decisions, by: \.backup.scope).mapValues { own in
            let reasons = Dictionary(grouping: own.flatMap(\.floorReasons), by: \.self)
            return RetentionAudit(
                rules: rules.descriptions, floor: rules.floor.count, floorLevel: .init(rules.floor.level),
                heldByFloor: reasons.map { .init(reason: $0.key, backupCount: $0.value.count) }
                    .sorted { $0.reason < $1.reason },
                expiredCount: own.count(where: \.reasons.isEmpty))
        }
    }
}

extension RetentionRules {
    /// Each rule in words, those of classes last.
    fileprivate var descriptions: [String] {
        let named = classes.sorted { $0.key < $1.key }.map { name, rules in
            let own = rules.ownDescriptions
            return "of the class \(name): \(own.isEmpty ? "all" : own.joined(separator: ", "))"
        }
        return ownDescriptions + named
    }

    private var ownDescriptions: [String] {
        let counts = [
            ("last", last), ("hourly", hourly), ("daily", daily), ("weekly", weekly), ("monthly", monthly),
            ("yearly", yearly),
        ]
        return counts.compactMap { name, count in
            count.flatMap { $0 == 0 ? nil : "\(name) \($0 == .max ? "unlimited" : "\($0)")" }
        } + (within.map { ["within \($0)"] } ?? [])
    }
}

extension AuditReport {
    /// Says what the answers come from, and what they don't prove.
    fileprivate mutating func sayWhatWasLookedAt(isOfOneNode: Bool, hasRules: Bool) {
        let read = stores.filter { $0.error == nil }
        let count = read.reduce(0) { $0 + $1.sidecarCount }
        lookedAt = [
            "\(count) sidecars in \(read.count) of \(stores.count) store\(stores.count == 1 ? "" : "s") read, and the records of what was removed",
            "numbers, digests and unread archives of all backups"
                + (since == nil ? "; all else too" : "; all else of those since \(since?.formatted(.iso8601) ?? "")"),
        ]
        notLookedAt = [
            "archives were not opened: `etcd-snap verify` does that; levels and recipients are what sidecars say, and drills what their records say",
            "sidecars are not signed: who may write to a store can have made all of them anew, or put back an older state "
                + "of it as a whole; only another copy tells",
        ]
        notLookedAt += stores.compactMap { store in store.error.map { "the store \(store.store): \($0)" } }
        let possible = nodes.flatMap(\.gaps).count { !$0.isCertain }
        if possible > 0 {
            notLookedAt.append(
                "when backups were made that are not there any more: times longer than allowed that they may have filled, "
                    + "and that are not judged: \(possible)")
        }
        if isOfOneNode {
            notLookedAt.append("whether the snapshots that files alone were backed up with are there, by other nodes")
        }
        if hasRules {
            notLookedAt.append(
                "by which rules backups were removed: those of the configuration are those of today"
                    + (isOfOneNode ? "; other nodes, which the floor of a cluster counts, were not asked for" : ""))
        }
    }
}
