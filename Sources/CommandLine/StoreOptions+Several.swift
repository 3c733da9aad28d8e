import ArchiveStore
import HostIO
import Operations

extension StoreOptions {
    /// The stores: the one that is named, or those of the configuration.
    ///
    /// - Parameter patience: for how long a server is tried that does not answer.
    func stores(
        _ configuration: Configuration, patience: Duration = StoreOpening.watchedPatience
    ) throws -> StoreSet {
        guard s3.isGiven else {
            return try store.map { StoreSet([try Self.store($0, configuration, patience: patience)]) }
                ?? Self.all(configuration, patience: patience)
        }
        // Flags go before what the configuration says of the one store.
        var configuration = configuration
        let location = store ?? configuration.store ?? Self.defaultStore
        guard StoreLocation(location).isInS3 else {
            throw Failure(
                .usage, "the store \(quoted(location)) is not in S3, and it is said how that is reached",
                hint: "name a store as in s3://bucket/prefix", settings: [.store])
        }
        configuration.s3 = s3.section(configuration.s3)
        return StoreSet([try Self.store(location, configuration, patience: patience)])
    }

    /// The one store that is meant.
    ///
    /// - Parameter purpose: what it is for, where several would be possible.
    /// - Throws: ``Failure`` with the code `usage` if there are several.
    func onlyStore(_ configuration: Configuration, for purpose: String) throws -> NamedStore {
        let stores = try stores(configuration)
        guard !stores.areSeveral else {
            throw Failure(
                .usage, "there are several stores, and \(purpose) is done in one: \(stores.label)",
                hint: "name it", settings: [.store])
        }
        return stores.first
    }

    /// The stores of the configuration: several, or the one that it names, or the usual one.
    static func all(
        _ configuration: Configuration, patience: Duration = StoreOpening.watchedPatience
    ) throws -> StoreSet {
        if let several = try configured(configuration, patience) { return several }
        let location = configuration.store ?? defaultStore
        return StoreSet([
            NamedStore(try store(at: location, configuration, patience: patience))
        ])
    }

    /// A store by the name that the configuration has for it, or by its place.
    ///
    /// A name goes before a directory that is called the same, and a place of the configuration has its name and its rules.
    static func store(
        _ text: String, _ configuration: Configuration, patience: Duration = StoreOpening.watchedPatience
    ) throws -> NamedStore {
        let configured = try configured(configuration, patience)?.stores ?? []
        if let named = configured.first(where: { $0.name == text }) { return named }
        let store = try store(at: text, configuration, patience: patience)
        return configured.first { isSame($0.store, store) } ?? NamedStore(store)
    }

    /// Whether two stores are in one place.
    static func isSame(_ one: any Store, _ other: any Store) -> Bool {
        if one.name == other.name { return true }
        guard let one = one.directory, let other = other.directory else { return false }
        return isSameFile(one, other)
    }

    private static func configured(_ configuration: Configuration, _ patience: Duration) throws -> StoreSet? {
        try configuration.storeSet {
            // Its own sections go before those for all.
            var own = configuration
            own.s3 = $0.s3 ?? own.s3
            own.rclone = $0.rclone ?? own.rclone
            (own.store, own.lock) = ($0.location, $0.lock)
            return try store(at: $0.location, own, patience: patience)
        }
    }
}
