import ArchiveStore
import HostIO
import SealedArchive

/// The stage that brings a published archive to the other stores, and after it what they lack of earlier ones.
struct BackupCopies: Sendable {
    let plan: BackupPlan
    /// The store that the archive was published in.
    let first: NamedStore
    let observer: Observer

    private static let waitingSeconds = 60
    /// How long what is missing from earlier runs may take altogether, in seconds: the rest is for the next run.
    private static let catchUpSeconds = 600

    /// Copies the archive.
    ///
    /// - Returns: the report, with where the archive is, and a finding for each store that does not have it.
    /// - Throws: ``Failure`` with the code `tooFewStores` if fewer than the quorum have it.
    func run(_ report: BackupReport, _ backup: StoredBackup) async throws -> BackupReport {
        guard plan.stores.areSeveral else { return report }
        return try await withBlockingThread("etcd-snap.copies") {
            // Whoever ends the run while a store says nothing has to know this.
            observer.note("\(report.reference) is published in \(first.label); it is brought to the other stores")
            var failed: [StoreFailure] = []
            do {
                for store in plan.stores.stores where store.store.name != first.store.name {
                    if let failure = try copy(backup, to: store) { failed.append(failure) }
                }
                try catchUp(besides: failed)
            } catch let error as CancellationError {
                observer.warn(
                    "\(report.reference) is published in \(first.label); it was not brought to all other stores")
                throw error
            }
            return try told(report, backup, failed)
        }
    }

    private func copy(_ backup: StoredBackup, to target: NamedStore) throws -> StoreFailure? {
        do {
            try StorePlace.check(target.store)
            let writer = try target.writer(for: backup.scope, waitingSeconds: Self.waitingSeconds, observer: observer)
            let size = backup.sidecar.object.size
            let (observer, phase) = (observer, "copy to \(target.label)")
            var copy = ArchiveCopy(backup: backup, source: first)
            copy.progress = { count in
                observer.progress(Progress(phase: phase, doneByteCount: count, totalByteCount: size))
            }
            try copy.run(to: writer)
            observer.note("copied to \(target.label)")
            return nil
        } catch let error as ArchiveCopy.SourceError {
            return StoreFailure(store: target, error: error.failure)
        } catch  where !(error is CancellationError) {
            return StoreFailure(store: target, error: error)
        }
    }

    /// Brings over what is missing of earlier runs in stores that can be used; it is done for the next run's sake, and no failure
    /// of this one.
    private func catchUp(besides failed: [StoreFailure]) throws {
        let scope = plan.scope
        let sources = plan.stores.listings(cluster: scope.cluster, node: scope.node).read
        let end = ContinuousClock.now + .seconds(Self.catchUpSeconds)
        for store in plan.stores.stores where !failed.contains(where: { $0.store.label == store.label }) {
            var filling = StoreFilling(target: store, sources: sources, observer: observer)
            filling.end = end
            do {
                try filling.run(cluster: scope.cluster, node: scope.node)
            } catch let error as ObjectError where error.kind == .denied {
                // A host that may only write does not see what is missing.
                continue
            } catch  where !(error is CancellationError) {
                observer.warn("the store \(store.label) lacks earlier backups: \(Failure(wrapping: error).description)")
            }
            let leftCount = filling.result.omittedCount(.later)
            guard leftCount > 0 else { continue }
            observer.warn(
                "\(store.label) still lacks \(leftCount) earlier backups: the next run, or `etcd-snap sync`, goes on")
        }
    }

    private func told(_ report: BackupReport, _ backup: StoredBackup, _ failed: [StoreFailure]) throws -> BackupReport {
        var report = report
        let stores = plan.stores.stores
        report.stores = stores.map { store in
            let failure = failed.first { $0.store.label == store.label }?.failure
            return BackupReport.Place(
                store: store.label, path: failure == nil ? store.store.location(of: backup) : nil,
                error: failure?.description)
        }
        // Those that could not be used at first, and still can't, are told once.
        let labels = Set(failed.map(\.store.label))
        report.findings.removeAll { $0.code == Finding.storeFailedCode && labels.contains($0.subject) }
        let holders = stores.filter { $0.label != first.label && !labels.contains($0.label) }
        let header = backup.sidecar.archive
        report.findings += plan.node.judged(holders.flatMap { $0.lockFindings(of: header, observer: observer) })
        report.findings += plan.node.judged(failed.map { Finding.storeFailed($0, backup.reference) })
        let holderCount = stores.count - failed.count
        guard holderCount >= plan.stores.quorum else {
            throw tooFew(backup, failed, holderCount)
        }
        return report
    }

    private func tooFew(_ backup: StoredBackup, _ failed: [StoreFailure], _ holderCount: Int) -> Failure {
        let stores = plan.stores.stores
        let holders = stores.filter { store in !failed.contains { $0.store.label == store.label } }.map(\.label)
        return Failure(
            .tooFewStores,
            "\(quoted(backup.reference)) is in \(holderCount) of \(stores.count) stores, and the quorum is "
                + "\(plan.stores.quorum): \(holders.joined(separator: ", ")) "
                + "\(holders.count == 1 ? "has" : "have") it; \(failed.map(\.description).joined(separator: "; "))",
            hint: "it stays where it is: when the other stores work, the next run or `etcd-snap sync` brings it there")
    }
}

extension Finding {
    fileprivate static let storeFailedCode = "store-failed"

    /// That a store could not be used when a backup began, or while it was written there.
    static func storeSkipped(_ failure: StoreFailure) -> Finding {
        Finding(
            .warning, code: storeFailedCode, subject: failure.store.label,
            message: "it could not be used: \(failure.failure.description)",
            advice: "when it works again the next run, or `etcd-snap sync`, brings over what it lacks")
    }

    /// That a store does not have a backup that was made for it.
    static func storeFailed(_ failure: StoreFailure, _ reference: String) -> Finding {
        Finding(
            .warning, code: storeFailedCode, subject: failure.store.label,
            message: "it does not have \(reference): \(failure.failure.description)",
            advice: "when it works again the next run, or `etcd-snap sync`, brings over what it lacks")
    }
}
