import SealedArchive

/// Numbers of a node's backups that are not in a store on purpose: another store has removed them, or rules leave them out.
public struct AbsentBackups: Sendable {
    /// With others between them.
    var runs: [ChainRecord.RemovedRun]

    /// Whether there are none.
    public var isEmpty: Bool { runs.isEmpty }

    /// No numbers.
    public static var none: AbsentBackups { AbsentBackups(runs: []) }
}

extension StoredBackup {
    /// A backup with the sidecar that it was published with.
    public init(_ document: SidecarDocument, in scope: StoreScope) {
        self.init(
            scope: scope, id: document.sidecar.archive.id, sidecar: document.sidecar, sidecarBytes: document.bytes,
            isFlat: false)
    }
}

extension StoreListing {
    /// The listing with the backups of other stores that are not in this one, as one chain; what one store has whole, another
    /// may have damaged.
    public func joined(with others: [StoreListing]) -> StoreListing {
        var joined = self
        var references = Set(backups.map(\.reference))
        var drills: [String: DrillRecord] = [:]
        for backup in ([self] + others).flatMap(\.backups) {
            guard let drill = backup.drill else { continue }
            drills[backup.reference] = [drills[backup.reference], drill].compactMap(\.self).max {
                $0.startedAt < $1.startedAt
            }
        }
        for other in others {
            joined.backups += other.backups.filter { references.insert($0.reference).inserted }
            joined.unreadable += other.unreadable
            joined.hidden += other.hidden
            joined.unpublished += other.unpublished
            joined.records.merge(other.records) { first, _ in first }
        }
        for index in joined.backups.indices { joined.backups[index].drill = drills[joined.backups[index].reference] }
        joined.unreadable.removeAll { references.contains($0.reference) }
        joined.unpublished.removeAll { references.contains($0.backup.reference) }
        joined.chain = []
        joined.sort()
        return joined
    }

    /// What the listing has of each scope.
    public func byScope() -> [StoreScope: StoreListing] {
        var parts: [StoreScope: StoreListing] = [:]
        for backup in backups { parts[backup.scope, default: .init()].backups.append(backup) }
        for backup in unreadable {
            if let scope = backup.scope { parts[scope, default: .init()].unreadable.append(backup) }
        }
        for archive in unpublished {
            if let scope = archive.backup.scope { parts[scope, default: .init()].unpublished.append(archive) }
        }
        for (scope, record) in records { parts[scope, default: .init()].records[scope] = record }
        return parts
    }

    /// The number of the next backup of a scope, and the sidecar that it names as the one before it.
    public func nextLink(in scope: StoreScope) -> ChainLink { nextLink(in: scope, records[scope] ?? ChainRecord()) }

    /// - Parameter record: what the store, or this host, remembers.
    func nextLink(in scope: StoreScope, _ record: ChainRecord) -> ChainLink {
        let orphans = unreadable.filter { $0.isOrphan && $0.scope == scope }.map(\.id)
        return ChainLink(after: inOrderOfNumbers(in: scope).reversed(), orphans: orphans, record)
    }

    /// Whether a backup that another store has was removed from this one, or left out of it, on purpose.
    public func hasRemoved(_ backup: StoredBackup) -> Bool {
        let number = backup.sidecar.sequence
        return (records[backup.scope]?.removed ?? []).contains { run in
            guard (run.firstSequence...run.lastSequence).contains(number) else { return false }
            // One that only has the same number, as where two hosts used one name, is another one.
            guard run.lastSequence == number, let digest = run.sidecarSHA256, backup.sidecar.rebuilt != true else {
                return true
            }
            return digest == backup.sidecarSHA256
        }
    }

    /// What of a scope this store need not have: what others have removed, and none of them has, and what is left out of it.
    ///
    /// - Parameters:
    ///   - others: the other stores.
    ///   - leftOut: backups of the scope that they have, and that do not come here.
    public func absent(
        in scope: StoreScope, of others: [StoreListing], leavingOut leftOut: [StoredBackup]
    ) -> AbsentBackups {
        let present = Set(
            (backups + others.flatMap(\.backups)).filter { $0.scope == scope }.map(\.sidecar.sequence))
        var record = ChainRecord()
        for run in others.flatMap({ $0.records[scope]?.removed ?? [] }) {
            var start = run.firstSequence
            let taken = present.filter { (run.firstSequence...run.lastSequence).contains($0) }.sorted()
            for end in taken + [run.lastSequence + 1] {
                if start < end { record.add(run.part(start...end - 1)) }
                start = end + 1
            }
        }
        for backup in leftOut { record.remove(backup, among: []) }
        let known = records[scope] ?? ChainRecord()
        return AbsentBackups(
            runs: record.removed.flatMap { run in
                known.kept(of: run.firstSequence...run.lastSequence).map(run.part)
            })
    }
}

extension ChainLink {
    /// The one with the higher number; of two with the same the one that knows what is before it.
    public static func later(_ one: ChainLink, _ other: ChainLink) -> ChainLink {
        guard one.sequence == other.sequence else { return one.sequence > other.sequence ? one : other }
        return one.previousSidecarSHA256 == nil ? other : one
    }
}
