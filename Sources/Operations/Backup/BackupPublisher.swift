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
    let writer: any StoreWriter
    /// The backup before this one.
    let previous: StoredBackup?
    private let estimate: ArchiveSizeEstimate
    /// The number of the new backup and the sidecar before it.
    private let link: ChainLink
    /// What does not hold among the backups before.
    let storeFindings: [Finding]

    /// Takes the store for writing, and says what an interrupted run had left there.
    ///
    /// - Throws: ``Failure``, among others with the code `locked`.
    init(_ plan: BackupPlan, observer: Observer) throws {
        self.plan = plan
        writer = try plan.store.writer(for: plan.scope)
        for name in writer.removedLeftovers { observer.warn("removed \(name), left over from an interrupted run") }
        for name in writer.remainingLeftovers {
            observer.warn("could not remove \(name), left over from an interrupted run: the next run tries again")
        }
        for id in writer.completedBackups {
            observer.warn("\(id) is complete: the run that was publishing or removing it was interrupted")
        }
        let listing = try Self.listing(of: plan, observer)
        // Without the one before it the backup would begin the count anew.
        if let obstacle = listing.obstacle { throw obstacle }
        for hidden in listing.hidden { observer.warn(hidden.failure.description) }
        previous = listing.latest(in: plan.scope)
        estimate = ArchiveSizeEstimate(after: listing, in: plan.scope)
        link = try writer.nextLink(after: listing)
        storeFindings = listing.stateFindings
    }

    /// What there is of the node; nothing is known of it where this host may only write.
    private static func listing(of plan: BackupPlan, _ observer: Observer) throws -> StoreListing {
        do {
            return try plan.store.list(cluster: plan.scope.cluster, node: plan.scope.node)
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
        try Self.checkSpace(targets, estimate, availableByteCount: writer.availableByteCount(), plan)
    }

    private static func checkSpace(
        _ targets: [EtcdTarget], _ estimate: ArchiveSizeEstimate, availableByteCount available: Int?, _ plan: BackupPlan
    ) throws {
        let databaseSize = targets.reduce(0) { $0 + Int($1.candidate.status.databaseByteCount) }
        guard let available else { return }
        let expected = try estimate.byteCount(exceeding: available, databases: databaseSize) {
            try plan.node.fileByteCount()
        }
        guard let expected else { return }
        throw Failure(
            .noSpace, "the archive will need about \(expected) bytes, \(quoted(plan.store.name)) has \(available) left",
            hint: "free some space there, or name another store", settings: [.store])
    }

    /// Makes the same checks of the store as a backup does, but for its lock; changes nothing.
    ///
    /// - Returns: what does not hold among the backups before.
    /// - Throws: what a backup would throw.
    static func check(_ plan: BackupPlan, _ targets: [EtcdTarget]) throws -> [Finding] {
        try plan.store.checkWritable(for: plan.scope)
        let space = try plan.store.space()
        let listing =
            space.exists ? try listing(of: plan, Observer()) : StoreListing()
        if let obstacle = listing.obstacle { throw obstacle }
        let estimate = ArchiveSizeEstimate(after: listing, in: plan.scope)
        try checkSpace(targets, estimate, availableByteCount: space.availableByteCount, plan)
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
