import ArchiveStore
import HostIO
import SealedArchive

/// Several stores as one that is only read: each backup once, wherever it is.
///
/// What can't be read is told and passed over, unless that is all of them.
struct CombinedStore: Store {
    let stores: StoreSet
    let observer: Observer
    /// The only one that is waited for; nil where all are.
    var waitsFor: NamedStore?

    var name: String { stores.label }
    var directory: String? { nil }

    func list(cluster: String?, node: String?) throws -> StoreListing {
        let (read, failed) =
            waitsFor.map { StoreGlance(store: $0, stores: stores).listings(cluster: cluster, node: node) }
            ?? stores.listings(cluster: cluster, node: node)
        for failure in failed { observer.warn("the store \(failure.description)") }
        guard let first = read.first else {
            throw failed.failure("none of the stores can be read", hint: "see `etcd-snap doctor`")
        }
        return first.listing.joined(with: read.dropFirst().map(\.listing))
    }

    func interruptedRemovals(cluster: String?, node: String?) throws -> [StoredBackup] { [] }

    /// The first store that has a backup.
    func holder(of backup: StoredBackup) throws -> NamedStore {
        for store in stores.stores {
            let listing = try? store.listing(cluster: backup.scope.cluster, node: backup.scope.node)
            let isThere = listing?.backups.contains { $0.id == backup.id && $0.scope == backup.scope }
            if isThere == true { return store }
        }
        throw Failure(
            .notFound, "\(quoted(backup.reference)) was removed or replaced meanwhile", hint: "see `etcd-snap list`")
    }

    func location(of backup: StoredBackup) -> String { (try? holder(of: backup))?.store.location(of: backup) ?? name }

    func location(of id: BackupID, in scope: StoreScope) -> String { stores.first.store.location(of: id, in: scope) }

    func open(_ backup: StoredBackup) throws -> any RandomAccessBytes { try holder(of: backup).store.open(backup) }

    func open(_ id: BackupID, in scope: StoreScope) throws -> any RandomAccessBytes { throw isOnlyRead }

    func writer(for scope: StoreScope) throws -> any StoreWriter { throw isOnlyRead }

    func checkWritable(for scope: StoreScope) throws { throw isOnlyRead }

    func space() throws -> StoreSpace { throw isOnlyRead }

    private var isOnlyRead: Failure {
        Failure(.usage, "\(quoted(name)) are several stores", hint: "name one of them", settings: [.store])
    }
}

extension StoreSet {
    /// All of them as one store that is only read; the only one as it is.
    public func asOne(observer: Observer = Observer()) -> any Store {
        areSeveral ? CombinedStore(stores: self, observer: observer) : first.store
    }

    /// The same, where only one is waited for.
    func asOne(waitingFor store: NamedStore) -> any Store {
        areSeveral ? CombinedStore(stores: self, observer: Observer(), waitsFor: store) : first.store
    }

    /// The one archive that a reference means, and the store to take it from: the first that has it.
    ///
    /// The latest is that of all stores that can be read, for the first of them may have missed it.
    ///
    /// - Throws: as ``BackupReference/find(in:observer:)``.
    public func find(
        _ reference: BackupReference, observer: Observer
    ) throws -> (store: NamedStore, backup: StoredBackup) {
        guard areSeveral else { return (first, try reference.find(in: first.store, observer: observer)) }
        if reference.isLatest {
            let combined = CombinedStore(stores: self, observer: observer)
            let backup = try reference.find(in: combined, observer: observer)
            return (try combined.holder(of: backup), backup)
        }
        var failed: [StoreFailure] = []
        for store in stores {
            do {
                return (store, try reference.find(in: store.store, observer: observer))
            } catch {
                let failure = StoreFailure(store: store, error: error)
                if failure.failure.code == .usage { throw error }
                if failure.failure.code != .notFound { observer.warn("the store \(failure.description)") }
                failed.append(failure)
            }
        }
        throw failed.failure("no store has it", hint: "see `etcd-snap list`")
    }

    /// The one archive without a sidecar that a reference means, and its store.
    public func findOrphan(_ reference: BackupReference) throws -> (store: NamedStore, orphan: UnreadableBackup) {
        var failed: [StoreFailure] = []
        for store in stores {
            do {
                return (store, try reference.findOrphan(in: store.store))
            } catch {
                if !areSeveral { throw error }
                failed.append(StoreFailure(store: store, error: error))
            }
        }
        throw failed.failure("no store has such an archive", hint: "see `etcd-snap list`")
    }
}
