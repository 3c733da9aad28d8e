import ArchiveStore
import HostIO
import SealedArchive

/// Brings archives that are missing in stores over from others, and checks each on the way.
///
/// What is there is not copied again, what was interrupted is begun anew, and one that is damaged does not keep the others back.
public struct SyncOperation: Sendable {
    private let sources: StoreSet
    private let targets: StoreSet
    private let cluster: String?
    private let node: String?
    private let includesRemoved: Bool
    private let observer: Observer

    /// A synchronisation.
    ///
    /// - Parameters:
    ///   - sources: the stores to take archives from, those first whose copy is preferred.
    ///   - targets: the stores to fill; one may be a source for the others.
    ///   - cluster: only backups of this cluster.
    ///   - node: only backups of this node.
    ///   - includesRemoved: whether what was removed from a target on purpose comes back.
    public init(
        from sources: StoreSet, to targets: StoreSet, cluster: String? = nil, node: String? = nil,
        includesRemoved: Bool = false, observer: Observer = Observer()
    ) {
        self.sources = sources
        self.targets = targets
        self.cluster = cluster
        self.node = node
        self.includesRemoved = includesRemoved
        self.observer = observer
    }

    /// Says what would be brought over; changes nothing, and takes no lock.
    public func preview() throws -> SyncReport {
        try fill(isDryRun: true)
    }

    /// Brings it over.
    ///
    /// - Returns: also what failed: one store that can't be used does not keep the others back.
    /// - Throws: ``Failure`` if no source can be read; `CancellationError`.
    public func run() async throws -> SyncReport {
        try await withBlockingThread("etcd-snap.sync") { try fill(isDryRun: false) }
    }

    private func fill(isDryRun: Bool) throws -> SyncReport {
        let (read, failed) = sources.listings(cluster: cluster, node: node)
        guard !read.isEmpty else {
            throw failed.failure("no store can be read", hint: "see `etcd-snap doctor`")
        }
        var report = SyncReport(dryRun: isDryRun)
        report.failures = failed
        for failure in failed { observer.warn("the store \(failure.description)") }
        for source in read {
            for hidden in source.listing.hidden {
                observer.warn("\(source.store.label): \(hidden.failure.description)")
            }
        }
        for target in targets.stores {
            var filling = StoreFilling(target: target, sources: read, observer: observer)
            filling.includesRemoved = includesRemoved
            var problem: StoreFailure?
            do {
                try StorePlace.check(target.store)
                if isDryRun {
                    try filling.preview(cluster: cluster, node: node)
                } else {
                    try filling.run(cluster: cluster, node: node)
                }
            } catch  where !(error is CancellationError) {
                problem = StoreFailure(store: target, error: error)
            }
            var result = filling.result
            result.error = problem?.failure.description
            report.targets.append(result)
            report.findings += filling.findings
            report.failures += filling.deadSources.values.sorted { $0.store.label < $1.store.label }
            if let problem, !report.failures.contains(where: { $0.description == problem.description }) {
                report.failures.append(problem)
            }
        }
        report.findings = report.findings.withoutRepetitions
        return report
    }
}

extension [Finding] {
    /// Each once, though several stores lack the same archive.
    fileprivate var withoutRepetitions: [Finding] {
        var known: Set<String> = []
        return filter { known.insert("\($0.code) \($0.subject) \($0.message)").inserted }
    }
}
