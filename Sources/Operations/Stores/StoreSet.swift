import ArchiveStore
import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A store with what people call it, and what it keeps.
public struct NamedStore: Sendable {
    /// Its name in the configuration; nil for one that has none.
    public let name: String?
    /// The store.
    public let store: any Store
    /// Which backups it keeps when it is pruned; nil where nothing says that.
    public let rules: RetentionRules?

    /// A store of the configuration, or another one.
    public init(_ store: any Store, name: String? = nil, rules: RetentionRules? = nil) {
        self.name = name
        self.store = store
        self.rules = rules
    }

    /// What to call it: its name, or where it is.
    public var label: String { name ?? store.name }

    /// The same store, where what fails and may pass is tried again for no longer than `patience`.
    func waiting(atMost patience: Duration) -> NamedStore {
        NamedStore(store.waiting(atMost: patience), name: name, rules: rules)
    }

    /// What it holds; nil where there is nothing yet that could be a store.
    ///
    /// - Throws: errors of reading it.
    public func listing(cluster: String? = nil, node: String? = nil) throws -> StoreListing? {
        do {
            return try store.list(cluster: cluster, node: node)
        } catch let error as SystemCallError
            where error.errno == .noSuchFileOrDirectory && error.subject == store.name
        {
            return nil
        }
    }

    /// Takes a scope for writing, waiting for another run to let go of it, and says what an interrupted run had left there.
    ///
    /// - Throws: ``Failure`` with the code `locked` if the other run goes on for longer; `CancellationError`.
    func writer(for scope: StoreScope, waitingSeconds: Int, observer: Observer) throws -> any StoreWriter {
        let end = ContinuousClock.now + .seconds(waitingSeconds)
        while true {
            do {
                let writer = try store.writer(for: scope)
                for name in writer.removedLeftovers {
                    observer.warn("removed \(name), left over from an interrupted run")
                }
                for name in writer.remainingLeftovers {
                    observer.warn(
                        "could not remove \(name), left over from an interrupted run: the next run tries again")
                }
                for id in writer.completedBackups {
                    observer.warn("\(id) is complete: the run that was publishing or removing it was interrupted")
                }
                return writer
            } catch let failure as Failure where failure.code == .locked && ContinuousClock.now < end {
                try Task.checkCancellation()
                usleep(Self.pollMicroseconds)
            }
        }
    }

    /// Shorter than the pauses in which ``StoreFilling`` lets go.
    private static let pollMicroseconds: UInt32 = 20_000
}

/// The stores of a node, one or several.
public struct StoreSet: Sendable {
    /// All of them, in the order in which they are tried; at least one.
    public let stores: [NamedStore]
    /// How many must have an archive for its backup to succeed.
    public let quorum: Int

    /// Stores in their order.
    public init(_ stores: [NamedStore], quorum: Int = 1) {
        precondition((1...stores.count).contains(quorum), "a quorum of other stores than there are")
        self.stores = stores
        self.quorum = quorum
    }

    /// The first of them.
    public var first: NamedStore { stores[0] }
    /// Whether there are several.
    public var areSeveral: Bool { stores.count > 1 }
    /// Those of them that are directories of this host.
    public var directories: [String] { stores.compactMap(\.store.directory) }
    /// What to call them together.
    public var label: String { stores.map(\.label).joined(separator: ", ") }

    /// What each store holds that can be read.
    ///
    /// - Returns: the listings, and why others could not be read.
    public func listings(
        cluster: String? = nil, node: String? = nil
    ) -> (read: [StoreContents], failed: [StoreFailure]) {
        var read: [StoreContents] = []
        var failed: [StoreFailure] = []
        for store in stores {
            do {
                read.append(
                    StoreContents(store: store, listing: try store.listing(cluster: cluster, node: node) ?? .init()))
            } catch {
                failed.append(StoreFailure(store: store, error: error))
            }
        }
        return (read, failed)
    }
}

/// A store and what was read of it.
public struct StoreContents: Sendable {
    /// The store.
    public let store: NamedStore
    /// What it holds.
    public let listing: StoreListing

    /// A store with its listing.
    public init(store: NamedStore, listing: StoreListing) {
        self.store = store
        self.listing = listing
    }
}

/// Why something was not done with a store.
public struct StoreFailure: Sendable {
    /// The store.
    public let store: NamedStore
    /// Why.
    public let failure: Failure

    init(store: NamedStore, error: any Error) {
        self.store = store
        failure = Failure(wrapping: error)
    }

    /// The store's name, and why.
    public var description: String { "\(store.label): \(failure.description)" }
}

extension [StoreFailure] {
    /// What they have in common, as a failure of all of them.
    func failure(_ message: String, hint: String) -> Failure {
        let codes = Set(map(\.failure.code))
        return Failure(
            codes.count == 1 ? self[0].failure.code : .failed,
            "\(message): \(map(\.description).joined(separator: "; "))", hint: hint)
    }
}
