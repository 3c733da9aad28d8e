import ArchiveStore
import EtcdSnap
import FoundationEssentials
import HostIO
import NodeFiles
import SealedArchive

/// The stage that gives an archive its place in the store, once everything is known of it.
///
/// `@unchecked Sendable`: the writer, which is not, is used by one attempt at a time and by nobody else.
struct BackupPublisher: @unchecked Sendable {
    let plan: BackupPlan
    /// The store that the archive goes to first.
    let store: NamedStore
    let writer: any StoreWriter
    /// The backup before this one.
    let previous: StoredBackup?
    private let estimate: ArchiveSizeEstimate
    /// The number of the new backup and the sidecar before it.
    private let link: ChainLink
    /// What does not hold among the backups before.
    let storeFindings: [Finding]
    /// The stores that were tried before, and why they could not be used.
    private let failed: [StoreFailure]

    /// Longer than another run holds a store to bring over one archive, as a rule.
    private static let waitingSeconds = 120

    /// Takes the first store for writing that can be written to, and says what an interrupted run had left there.
    ///
    /// - Parameter failed: the stores that were tried before.
    /// - Throws: ``Failure``, among others with the code `locked`, for another run may be making the same backup.
    static func open(
        _ plan: BackupPlan, after failed: [StoreFailure] = [], observer: Observer
    ) throws -> BackupPublisher {
        var failed = failed
        for store in plan.stores.stores.dropFirst(failed.count) {
            do {
                return try BackupPublisher(plan, store, failed, observer)
            } catch  where plan.stores.areSeveral && !(error is CancellationError) {
                failed.append(StoreFailure(store: store, error: error))
                if failed.last?.failure.code == .locked { throw error }
                if failed.count < plan.stores.stores.count {
                    observer.warn("the store \(failed[failed.count - 1].description); trying the next one")
                }
            }
        }
        throw failed.failure("the archive can be stored nowhere", hint: "see `etcd-snap doctor`")
    }

    /// The same in the next store that can be written to; nil if there is none left to try.
    ///
    /// - Parameter error: why this one can't be used any more.
    func inNextStore(after error: any Error, observer: Observer) throws -> BackupPublisher? {
        guard plan.stores.areSeveral else { return nil }
        let failed = failed + [StoreFailure(store: store, error: error)]
        guard failed.count < plan.stores.stores.count else {
            throw failed.failure("the archive can be stored nowhere", hint: "see `etcd-snap doctor`")
        }
        observer.warn("the store \(failed[failed.count - 1].description); beginning again in the next one")
        return try Self.open(plan, after: failed, observer: observer)
    }

    private init(_ plan: BackupPlan, _ store: NamedStore, _ failed: [StoreFailure], _ observer: Observer) throws {
        self.plan = plan
        self.store = store
        self.failed = failed
        let scope = plan.scope
        writer = try store.writer(
            for: scope, waitingSeconds: plan.stores.areSeveral ? Self.waitingSeconds : 0, observer: observer)
        let listing = try Self.listing(of: store, scope, observer)
        // Without the one before it the backup would begin the count anew.
        if let obstacle = listing.obstacle { throw obstacle }
        for hidden in listing.hidden { observer.warn(hidden.failure.description) }
        // The numbers of all stores are one chain.
        let others = try Self.others(than: store, plan, observer)
        let all = listing.joined(with: others)
        previous = all.latest(in: scope)
        estimate = ArchiveSizeEstimate(after: all, in: scope)
        let links = [try writer.nextLink(after: listing)] + others.map { $0.nextLink(in: scope) }
        link = links.reduce(links[0]) { ChainLink.later($0, $1) }
        storeFindings = listing.stateFindings + failed.map { Finding.storeSkipped($0) }
    }

    /// What the other stores tell at once of the node.
    private static func others(
        than store: NamedStore, _ plan: BackupPlan, _ observer: Observer
    ) throws -> [StoreListing] {
        guard plan.stores.areSeveral else { return [] }
        let glance = StoreGlance(store: store, stores: plan.stores)
        let (read, failed) = glance.listings(cluster: plan.scope.cluster, node: plan.scope.node)
        try Task.checkCancellation()
        for failure in failed where failure.store.label != store.label {
            observer.note("numbers go on without those in \(failure.description)")
        }
        return read.filter { $0.store.label != store.label }.map(\.listing)
    }

    /// What there is of the node; nothing is known of it where this host may only write.
    private static func listing(
        of store: NamedStore, _ scope: StoreScope, _ observer: Observer
    ) throws -> StoreListing {
        do {
            return try store.store.list(cluster: scope.cluster, node: scope.node)
        } catch let error as ObjectError where error.kind == .denied {
            observer.note("this host may not read the store: numbers go on behind the last backup that it remembers")
            return StoreListing()
        }
    }

    /// The header of an archive that begins now.
    func header() -> ArchiveHeader {
        let createdAt = Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down))
        return ArchiveHeader(
            id: BackupID(time: createdAt), cluster: plan.scope.cluster, node: plan.scope.node, createdAt: createdAt)
    }

    /// A manifest in which nothing is yet but the place in the chain.
    func manifest(_ header: ArchiveHeader) -> Manifest {
        Manifest(
            archive: header, sequence: link.sequence, previousSidecarSHA256: link.previousSidecarSHA256)
    }

    /// Fails early where the archive can't fit, as far as an estimate tells.
    func checkSpace(_ targets: [EtcdTarget]) throws {
        try Self.checkSpace(targets, estimate, availableByteCount: writer.availableByteCount(), plan, store)
    }

    private static func checkSpace(
        _ targets: [EtcdTarget], _ estimate: ArchiveSizeEstimate, availableByteCount available: Int?,
        _ plan: BackupPlan, _ store: NamedStore
    ) throws {
        let databaseSize = targets.reduce(0) { $0 + Int($1.candidate.status.databaseByteCount) }
        guard let available else { return }
        let expected = try estimate.byteCount(exceeding: available, databases: databaseSize) {
            try plan.node.fileByteCount()
        }
        guard let expected else { return }
        throw Failure(
            .noSpace,
            "the archive will need about \(expected) bytes, \(quoted(store.store.name)) has \(available) left",
            hint: "free some space there, or name another store", settings: [.store])
    }

    /// Makes the same checks of the stores as a backup does, but for their locks; changes nothing.
    ///
    /// - Returns: what does not hold among the backups before, and which of several stores could not be used.
    /// - Throws: what a backup would throw.
    static func check(_ plan: BackupPlan, _ targets: [EtcdTarget]) throws -> [Finding] {
        var findings: [Finding]?
        var failed: [StoreFailure] = []
        for store in plan.stores.stores {
            do {
                let found = try check(plan, store, targets)
                findings = findings ?? found
            } catch  where plan.stores.areSeveral {
                failed.append(StoreFailure(store: store, error: error))
            }
        }
        guard let findings, plan.stores.stores.count - failed.count >= plan.stores.quorum else {
            throw failed.failure(
                "\(failed.count) of \(plan.stores.stores.count) stores can't be used, and the quorum is \(plan.stores.quorum)",
                hint: "see `etcd-snap doctor`")
        }
        return findings + failed.map { Finding.storeSkipped($0) }
    }

    private static func check(_ plan: BackupPlan, _ store: NamedStore, _ targets: [EtcdTarget]) throws -> [Finding] {
        try store.store.checkWritable(for: plan.scope)
        let space = try store.store.space()
        let listing =
            space.exists ? try listing(of: store, plan.scope, Observer()) : StoreListing()
        if let obstacle = listing.obstacle { throw obstacle }
        let estimate = ArchiveSizeEstimate(after: listing, in: plan.scope)
        try checkSpace(targets, estimate, availableByteCount: space.availableByteCount, plan, store)
        return listing.stateFindings
    }

    /// Makes the archive durable and lists it.
    ///
    /// - Parameter unread: that it was to be read back, and could not be.
    func publish(
        _ file: any PendingArchive, _ manifest: Manifest, _ sealed: SealedArchiveSummary, _ checks: [SnapshotCheck],
        _ unread: Finding?
    ) throws -> BackupReport {
        let sidecar = sidecar(manifest, sealed, checks, unread)
        // A server may claim numbers that no reader takes; a backup that can't be listed is none.
        let document = try SidecarDocument(sidecar)
        _ = try Sidecar.decode(document.bytes, name: manifest.archive.id.description)
        try file.publish(document)
        return BackupReport(
            reference: "\(plan.scope)/\(manifest.archive.id)", path: file.location, sidecar: sidecar,
            findings: manifest.findings + sidecar.checkFindings, skipped: manifest.skipped, durationSeconds: 0)
    }

    private func sidecar(
        _ manifest: Manifest, _ sealed: SealedArchiveSummary, _ checks: [SnapshotCheck], _ unread: Finding?
    ) -> Sidecar {
        var sidecar = Sidecar(
            manifest: manifest, sealed: sealed, recipients: Keys.records(plan.recipients, labels: plan.recipientLabels),
            completedAt: Date(), sequence: manifest.sequence ?? 1, previousSidecarSHA256: manifest.previousSidecarSHA256
        )
        // Without a snapshot there is nothing between the files that were read whole and the archive that was read back.
        let levelOfFilesAlone = plan.verification >= .stored && unread == nil ? VerificationLevel.stored : .streamed
        sidecar.verification = OpenValue(checks.map(\.level).min() ?? levelOfFilesAlone)
        for (index, check) in checks.enumerated() { check.fill(&sidecar.etcd[index]) }
        sidecar.checkFindings = plan.node.accepted.applied(to: checks.flatMap(\.findings) + [unread].compactMap(\.self))
        sidecar.findingCount += sidecar.checkFindings.defectCount
        return sidecar
    }
}
