import ArchiveStore
import HostIO
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A look at several stores of which one is waited for: an archive is made for that one, and must not be late because another
/// one refuses, or says nothing.
struct StoreGlance {
    /// The one that is waited for.
    let store: NamedStore
    let stores: StoreSet

    /// For how long the others are waited for altogether; on the way to it what fails is tried again for the time of
    /// ``patience``.
    private static let seconds = 5.0
    private static let patience = Duration.seconds(2)
    private static let pollMicroseconds: UInt32 = 10_000

    /// What has come of the others, by their labels.
    private final class Answers: Sendable {
        let results = Mutex<[String: Result<StoreListing, any Error>]>([:])
    }

    /// What each store holds, in their order; of the others what they tell at once.
    func listings(cluster: String?, node: String?) -> (read: [StoreContents], failed: [StoreFailure]) {
        let others = stores.stores.filter { $0.label != store.label }
        let answers = Answers()
        for other in others {
            let hurried = other.waiting(atMost: Self.patience)
            // A read that hangs can't be ended from here: its thread goes on, and nobody waits for it.
            runBeside("etcd-snap.glance") {
                let result = Result { try hurried.listing(cluster: cluster, node: node) ?? StoreListing() }
                answers.results.withLock { $0[other.label] = result }
            }
        }
        let end = ContinuousClock.now + .seconds(Self.seconds)
        let own = Result { try store.listing(cluster: cluster, node: node) ?? StoreListing() }
        while answers.results.withLock({ $0.count }) < others.count, ContinuousClock.now < end, !Task.isCancelled {
            usleep(Self.pollMicroseconds)
        }
        var results = answers.results.withLock { $0 }
        results[store.label] = own
        return sorted(results)
    }

    private func sorted(
        _ results: [String: Result<StoreListing, any Error>]
    ) -> (read: [StoreContents], failed: [StoreFailure]) {
        var read: [StoreContents] = []
        var failed: [StoreFailure] = []
        for store in stores.stores {
            switch results[store.label] ?? .failure(Self.silence) {
            case .success(let listing): read.append(StoreContents(store: store, listing: listing))
            case .failure(let error): failed.append(StoreFailure(store: store, error: error))
            }
        }
        return (read, failed)
    }

    private static var silence: Failure {
        Failure(
            .failed, "it says nothing within \(Int(seconds)) s",
            hint: "it is tried again when the archive is made; see `etcd-snap doctor`")
    }
}
