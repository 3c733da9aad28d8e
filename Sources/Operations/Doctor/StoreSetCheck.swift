import ArchiveStore
import HostIO
import SealedArchive

/// The checks of all stores of a node, what the last backup in any of them is, and what does not hold among the backups.
struct StoreSetCheck {
    let stores: StoreSet
    let scope: StoreScope
    /// The names of the etcds that the next backup would take; nil if they are not known.
    let etcds: [String]?

    func run(databaseByteCount: Int, fileByteCount: Int) -> (checks: [DoctorReport.Check], findings: [Finding]) {
        let results = stores.stores.map { store in
            StoreCheck(store: store.store, name: name(store), scope: scope)
                .run(databaseByteCount: databaseByteCount, fileByteCount: fileByteCount)
        }
        let read = zip(stores.stores, results).compactMap { store, result in
            result.listing.map { StoreContents(store: store, listing: $0) }
        }
        var last: [DoctorReport.Check] = []
        if let first = read.first {
            let all = first.listing.joined(with: read.dropFirst().map(\.listing))
            last = [
                LastBackupCheck(scope: scope, listing: all, etcds: etcds).run(),
                RecoveryCheck(scope: scope, listing: all, others: { clusterBackups(in: read.map(\.store)) })
                    .run(databaseByteCount: databaseByteCount, fileByteCount: fileByteCount),
            ].compactMap(\.self)
        } else if results.contains(where: \.isWrittenOnly) {
            last = [Self.unread]
        }
        return (
            results.flatMap(\.checks) + last + results.flatMap(\.hidden) + read.compactMap { lack(of: $0.store, read) },
            read.flatMap(\.listing.stateFindings)
        )
    }

    /// What this host may read of all nodes of the cluster.
    private func clusterBackups(in stores: [NamedStore]) -> [StoredBackup] {
        stores.flatMap { (try? $0.store.list(cluster: scope.cluster, node: nil))?.backups ?? [] }
    }

    private func name(_ store: NamedStore) -> String { stores.areSeveral ? "store \(store.label)" : "store" }

    private static let unread = DoctorReport.Check(
        name: "last backup", status: .ok,
        message: "it is not known: this host may only write to the store; see `etcd-snap list` on one that may read it")

    /// That a store lacks backups which others have, and which it should have; nil if it has them.
    private func lack(of store: NamedStore, _ read: [StoreContents]) -> DoctorReport.Check? {
        var filling = StoreFilling(target: store, sources: read, observer: Observer())
        guard read.count > 1, (try? filling.preview(cluster: scope.cluster, node: scope.node)) != nil else {
            return nil
        }
        let count = filling.result.copied.count
        guard count > 0 else { return nil }
        return .init(
            name: name(store), status: .warning,
            message: "it lacks \(count) backup\(count == 1 ? "" : "s") of \(scope) that other stores have",
            advice: "bring \(count == 1 ? "it" : "them") over with `etcd-snap sync`")
    }
}
