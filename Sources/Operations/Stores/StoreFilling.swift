import ArchiveStore
import HostIO
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// Brings into one store what others have of a node's archives, the oldest first.
///
/// The store is held for seconds at a time, or for one archive, and let go of between: a backup gets in. Each time it is looked
/// at anew, so that what others write or remove meanwhile counts.
struct StoreFilling {
    let target: NamedStore
    /// The other stores, with what each has of each scope.
    let sources: [(store: NamedStore, parts: [StoreScope: StoreListing])]
    /// Whether what was removed from the store on purpose comes back.
    var includesRemoved = false
    /// When no further archive is begun; nil for no end.
    var end: ContinuousClock.Instant?
    let observer: Observer

    /// What became of the store.
    private(set) var result: SyncReport.Target
    /// What needs attention.
    private(set) var findings: [Finding] = []
    /// Why sources could not be read any further, by their labels.
    private(set) var deadSources: [String: StoreFailure] = [:]
    /// References of archives that no source gave whole.
    private(set) var damaged: Set<String> = []
    private var doneByteCount = 0
    private var totalByteCount = 0

    private static let turnSeconds = 5
    /// Longer than whoever waits for the store needs to see that it is free.
    private static let pauseMicroseconds: UInt32 = 100_000
    private static let waitingSeconds = 60

    init(target: NamedStore, sources: [StoreContents], observer: Observer) {
        self.target = target
        self.sources = sources.filter { $0.store.store.name != target.store.name }.map {
            ($0.store, $0.listing.byScope())
        }
        self.observer = observer
        result = SyncReport.Target(store: target.label, location: target.store.name)
    }

    /// Says what would be brought over; changes nothing.
    mutating func preview(cluster: String?, node: String?) throws {
        for (scope, there) in try scopesThere(cluster, node) {
            let plan = plan(scope, there)
            note(plan)
            result.copied += plan.missing.map { copy($0) }
            result.drilled += plan.drilled.map(\.reference)
            guard !plan.isNothing else { continue }
            try target.store.checkWritable(for: scope)
        }
    }

    /// Brings it over.
    ///
    /// - Throws: errors of the target; what came until then stays, and is in ``result``.
    mutating func run(cluster: String?, node: String?) throws {
        let scopes = try scopesThere(cluster, node)
        let plans = scopes.map { plan($0.scope, $0.there) }
        totalByteCount = plans.flatMap(\.missing).reduce(0) { $0 + $1.backup.sidecar.object.size }
        var locked: Failure?
        for (index, plan) in plans.enumerated() {
            guard !plan.isNothing else {
                note(plan)
                continue
            }
            do {
                while try !turn(scopes[index].scope) { usleep(Self.pauseMicroseconds) }
            } catch let failure as Failure where failure.code == .locked {
                // The other nodes' places may be free.
                locked = failure
            }
        }
        if let locked { throw locked }
    }

    /// The scopes of the sources, with what the target has of each.
    private func scopesThere(_ cluster: String?, _ node: String?) throws -> [(scope: StoreScope, there: StoreListing)] {
        let scopes = Set(sources.flatMap { $0.parts.filter { !$0.value.backups.isEmpty }.keys }).filter { scope in
            (cluster == nil || scope.cluster == cluster) && (node == nil || scope.node == node)
        }
        let there = try target.listing(cluster: cluster, node: node)?.byScope() ?? [:]
        return scopes.sorted().map { ($0, there[$0] ?? StoreListing()) }
    }

    /// Works on a scope for a while.
    ///
    /// - Returns: whether there is nothing left to do.
    private mutating func turn(_ scope: StoreScope) throws -> Bool {
        try Task.checkCancellation()
        let writer = try target.writer(for: scope, waitingSeconds: Self.waitingSeconds, observer: observer)
        let there = try target.store.list(cluster: scope.cluster, node: scope.node)
        if let obstacle = there.obstacle { throw obstacle }
        let plan = plan(scope, there)
        if !plan.absent.isEmpty { try writer.note(plan.absent) }
        if !plan.returning.isEmpty { try writer.takeBack(plan.returning) }
        let turnEnd = ContinuousClock.now + .seconds(Self.turnSeconds)
        for (index, missing) in plan.missing.enumerated() {
            if let end, ContinuousClock.now >= end {
                result.omitted += plan.missing[index...].map { .init(reference: $0.backup.reference, reason: .later) }
                break
            }
            guard index == 0 || ContinuousClock.now < turnEnd else { return false }
            try bring(missing, writer)
        }
        try keepDrills(of: plan.drilled, writer)
        note(plan)
        return true
    }

    /// Writes the records of drills, as far as their archives have come.
    private mutating func keepDrills(of backups: [StoredBackup], _ writer: any StoreWriter) throws {
        for backup in backups {
            guard let drill = backup.drill else { continue }
            do {
                try writer.keep(DrillDocument(drill, page: DrillPage.bytes(drill)), of: backup)
                result.drilled.append(backup.reference)
            } catch let failure as Failure where failure.code == .notFound {
                continue
            }
        }
    }

    /// Copies from the first source that gives the archive whole.
    private mutating func bring(_ missing: Missing, _ writer: any StoreWriter) throws {
        let reference = missing.backup.reference
        for source in missing.sources where deadSources[source.label] == nil {
            do {
                var copy = ArchiveCopy(backup: missing.backup, source: source)
                if missing.isOrphan {
                    try adopt(copy, writer)
                } else {
                    let (observer, phase) = (observer, "copy to \(target.label)")
                    let (done, total) = (doneByteCount, totalByteCount)
                    copy.progress = { count in
                        observer.progress(Progress(phase: phase, doneByteCount: done + count, totalByteCount: total))
                    }
                    try copy.run(to: writer)
                }
                doneByteCount += missing.backup.sidecar.object.size
                result.copied.append(self.copy(missing, from: source))
                findings += target.lockFindings(of: missing.backup.sidecar.archive, observer: observer)
                observer.note("\(reference) was copied from \(source.label) to \(target.label)")
                return
            } catch let error as ArchiveCopy.SourceError {
                observer.warn("\(reference) can't be copied from \(source.label): \(error.failure.line)")
                guard error.isOfArchive else {
                    deadSources[source.label] = StoreFailure(store: source, error: error.failure)
                    continue
                }
                // Who was removed meanwhile is nobody's fault.
                if error.failure.code == .integrity { findings.append(.damaged(reference, in: source, error.failure)) }
            }
        }
        damaged.insert(reference)
        result.omitted.append(.init(reference: reference, reason: .damaged))
    }

    private func adopt(_ copy: ArchiveCopy, _ writer: any StoreWriter) throws {
        do {
            try copy.adopt(in: target.store, writer)
        } catch let failure as Failure where failure.code == .integrity {
            throw ArchiveCopy.SourceError(failure: failure)
        }
    }

    private func copy(_ missing: Missing, from source: NamedStore? = nil) -> SyncReport.Copy {
        let label = (source ?? missing.sources[0]).label
        return SyncReport.Copy(
            reference: missing.backup.reference, source: label, byteCount: missing.backup.sidecar.object.size,
            isSidecarAlone: missing.isOrphan)
    }

    private mutating func note(_ plan: ScopePlan) {
        result.omitted += plan.removed.map { .init(reference: $0.reference, reason: .removed) }
        result.omitted += plan.expired.map { .init(reference: $0.reference, reason: .expired) }
        result.omitted += plan.blocked.map { .init(reference: $0.reference, reason: .damaged) }
        findings += plan.findings
    }
}

extension Failure {
    fileprivate var line: String { description + (hint.map { " (\($0))" } ?? "") }
}

extension Finding {
    fileprivate static func damaged(_ reference: String, in store: NamedStore, _ failure: Failure) -> Finding {
        Finding(
            .warning, code: "backup-damaged", subject: reference, message: "in \(store.label): \(failure.message)",
            advice: failure.hint ?? "use another copy")
    }
}
