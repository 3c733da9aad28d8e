import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

extension StoreFilling {
    /// An archive that the target lacks.
    struct Missing {
        var backup: StoredBackup
        /// The sources that have it.
        var sources: [NamedStore]
        /// Whether the target has the archive, and only lacks its sidecar.
        var isOrphan: Bool
    }

    /// What is to be done in one scope.
    struct ScopePlan {
        /// What comes, the oldest first.
        var missing: [Missing] = []
        /// What of that was removed from the target on purpose, and is to come back.
        var returning: [StoredBackup] = []
        /// What was removed from the target on purpose.
        var removed: [StoredBackup] = []
        /// What the target's rules would remove at once.
        var expired: [StoredBackup] = []
        /// What the target has and can't be relied on: nothing is replaced.
        var blocked: [StoredBackup] = []
        /// What has a later record of a drill in a source than the target has, or will have.
        var drilled: [StoredBackup] = []
        /// What the target is to know of as not there on purpose.
        var absent = AbsentBackups.none
        var findings: [Finding] = []

        /// Whether nothing is to be written.
        var isNothing: Bool { missing.isEmpty && absent.isEmpty && drilled.isEmpty }
    }

    /// What of a scope the target lacks.
    ///
    /// - Parameter there: what it has.
    func plan(_ scope: StoreScope, _ there: StoreListing) -> ScopePlan {
        var plan = ScopePlan()
        let own = Dictionary(
            there.backups.filter { $0.scope == scope }.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let unreliable = Dictionary(
            (there.unreadable + there.unpublished.map(\.backup)).filter { $0.scope == scope }.map { ($0.id, $0) },
            uniquingKeysWith: { first, _ in first })
        var candidates: [Missing] = []
        for (backup, sources) in offers(scope) {
            if let present = own[backup.id] {
                if let finding = Finding.differing(
                    present, in: target.label, backup, in: sources[0].label)
                {
                    plan.findings.append(finding)
                }
            } else if !includesRemoved, there.hasRemoved(backup) {
                plan.removed.append(backup)
            } else if let found = unreliable[backup.id], !found.isOrphan {
                plan.blocked.append(backup)
                plan.findings.append(.blocked(found, in: target))
            } else if !damaged.contains(backup.reference) {
                candidates.append(
                    Missing(backup: backup, sources: sources, isOrphan: unreliable[backup.id] != nil))
            }
        }
        let expired = expired(candidates.map(\.backup), besides: there)
        plan.expired = candidates.map(\.backup).filter { expired.contains($0.reference) }
        plan.missing = candidates.filter { !expired.contains($0.backup.reference) }
        plan.returning = plan.missing.map(\.backup).filter { there.hasRemoved($0) }
        plan.absent = there.absent(
            in: scope, of: sources.compactMap { $0.parts[scope] }, leavingOut: plan.expired)
        plan.findings += damagedOffers(scope, besides: own)
        plan.drilled = drilled(scope, besides: own, coming: Set(plan.missing.map(\.backup.id)))
        return plan
    }

    /// The backups with the newest records of drills that the sources have, as far as the target has the backup and no such
    /// record, or gets the backup now.
    private func drilled(
        _ scope: StoreScope, besides own: [BackupID: StoredBackup], coming: Set<BackupID>
    ) -> [StoredBackup] {
        var newest: [BackupID: StoredBackup] = [:]
        for backup in sources.flatMap({ $0.parts[scope]?.backups ?? [] }) where backup.drill != nil {
            if let known = newest[backup.id], known.isDrilledNoEarlier(than: backup) { continue }
            newest[backup.id] = backup
        }
        return newest.values.filter { backup in
            guard let present = own[backup.id] else { return coming.contains(backup.id) }
            return present.sidecarBytes == backup.sidecarBytes && !present.isDrilledNoEarlier(than: backup)
        }.sorted { $0.id < $1.id }
    }

    /// The archives of the sources, each once, with the sources that have it; by their numbers.
    private func offers(_ scope: StoreScope) -> [(backup: StoredBackup, sources: [NamedStore])] {
        var offers: [BackupID: (backup: StoredBackup, sources: [NamedStore])] = [:]
        for source in sources {
            for backup in source.parts[scope]?.backups ?? [] {
                offers[backup.id, default: (backup, [])].sources.append(source.store)
            }
        }
        return offers.values.sorted {
            ($0.backup.sidecar.sequence, $0.backup.id) < ($1.backup.sidecar.sequence, $1.backup.id)
        }
    }

    /// Which of the archives that would come the target's rules would remove.
    private func expired(_ candidates: [StoredBackup], besides there: StoreListing) -> Set<String> {
        guard let rules = target.rules, !rules.areEmpty, let scope = candidates.first?.scope else { return [] }
        var listing = there
        listing.backups = there.backups.filter { $0.scope == scope } + candidates
        listing = listing.joined(with: [])
        let removed = listing.retention(by: rules, now: Date()).decisions.filter(\.reasons.isEmpty)
        return Set(removed.map(\.backup.reference)).intersection(candidates.map(\.reference))
    }

    /// What of the sources is damaged, or lacks a part, as far as the target does not have it, nor another source.
    private func damagedOffers(_ scope: StoreScope, besides own: [BackupID: StoredBackup]) -> [Finding] {
        let whole = Set(sources.flatMap { $0.parts[scope]?.backups ?? [] }.map(\.id))
        return sources.flatMap { source in
            (source.parts[scope]?.unreadable ?? []).filter { own[$0.id] == nil && !whole.contains($0.id) }
                .map { $0.finding(in: source.store.label) }
        }
    }
}

extension StoredBackup {
    fileprivate func isDrilledNoEarlier(than other: StoredBackup) -> Bool {
        guard let own = drill?.startedAt, let others = other.drill?.startedAt else { return drill != nil }
        return own >= others
    }
}

extension Finding {
    fileprivate static func blocked(_ backup: UnreadableBackup, in store: NamedStore) -> Finding {
        var finding = backup.finding(in: store.label)
        finding.advice =
            "another store has it: remove what is left of it in \(store.label) with `etcd-snap delete`, and have `etcd-snap "
            + "sync` bring it over though it was removed"
        return finding
    }

    /// That two stores have different sidecars of one backup; nil if they don't, or one was made anew.
    static func differing(
        _ one: StoredBackup, in store: String, _ other: StoredBackup, in source: String
    ) -> Finding? {
        guard one.sidecarBytes != other.sidecarBytes, one.sidecar.rebuilt != true, other.sidecar.rebuilt != true else {
            return nil
        }
        return Finding(
            .warning, code: "backup-copies-differ", subject: one.reference,
            message: "\(store) and \(source) have different sidecars of it",
            advice:
                "one of them was changed or replaced: check both with `etcd-snap verify` and your key, and delete the "
                + "wrong one")
    }
}
