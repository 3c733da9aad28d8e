import ArchiveStore
import HostIO
import YAML

extension Configuration {
    /// One of several stores.
    public struct StoreSection: Codable, Sendable, Equatable, StrictlyKeyed {
        /// What it is called on the command line and in reports.
        public var name: String
        /// Where it is: a path, or a URL.
        public var location: String
        /// How it is reached if it is in S3; without it what the configuration says for all.
        public var s3: S3?
        /// How rclone is run if it is in one of its remotes; without it what the configuration says for all.
        public var rclone: Rclone?
        /// Which backups it keeps; without it what the configuration says for all.
        public var retention: Retention?
        /// For how long nobody may remove what is written to it.
        public var lock: Lock?

        /// A store from its parts.
        public init(name: String, location: String, retention: Retention? = nil) {
            self.name = name
            self.location = location
            self.retention = retention
        }

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name, location, s3, rclone, retention, lock
        }
    }

    /// The stores of the configuration with what it says of them; nil where it has no list of them.
    ///
    /// - Parameter make: makes a store of a section.
    /// - Throws: ``Failure`` with the code `usage` that names the place of what is wrong.
    public func storeSet(_ make: (StoreSection) throws -> any Store) throws -> StoreSet? {
        guard let stores else {
            guard quorum == nil else {
                return try locating("quorum") {
                    throw Failure(
                        .usage, "it counts several stores, and there is no list of stores", hint: Self.example)
                }
            }
            return nil
        }
        try checkLock()
        try checkStores(stores)
        try check(quorum, isIn: 1...stores.count, at: "quorum")
        let named = try stores.enumerated().map { index, section in
            let store = try locating("stores.\(index).location") { try make(section) }
            return NamedStore(store, name: section.name, rules: try rules(of: section, index))
        }
        try checkPlaces(named)
        return StoreSet(named, quorum: quorum ?? 1)
    }

    /// What the configuration says of what a store keeps: its own section, or without one that of all.
    ///
    /// - Parameter name: of one of several stores; nil for the only one.
    public func retention(ofStore name: String?) -> Retention? {
        stores?.first { $0.name == name }?.retention ?? retention
    }

    private static let example = "write stores: [{name: local, location: /var/lib/etcd-snap}, …]"

    private func checkStores(_ stores: [StoreSection]) throws {
        try locating("stores") {
            guard store == nil else {
                throw Failure(
                    .usage, "there is a store too, which would be one of them", hint: "leave one of the two out")
            }
            guard !stores.isEmpty else { throw Failure(.usage, "there is none in the list", hint: Self.example) }
        }
        for (index, section) in stores.enumerated() {
            try locating("stores.\(index).name") {
                try StoreScope.checkName(section.name, "store", .store)
                guard stores.firstIndex(where: { $0.name == section.name }) == index else {
                    throw Failure(
                        .usage, "two stores are called \(quoted(section.name))", hint: "give each a name of its own")
                }
            }
        }
    }

    /// Copies in one place would count for several.
    private func checkPlaces(_ stores: [NamedStore]) throws {
        for (index, store) in stores.enumerated() {
            let same = stores[..<index].first { other in
                if other.store.place == store.store.place { return true }
                guard let one = other.store.directory, let two = store.store.directory else { return false }
                return absolutePath(one) == absolutePath(two) || isSameFile(one, two)
            }
            guard let same else { continue }
            try locating("stores.\(index).location") {
                throw Failure(
                    .usage, "it is where \(quoted(same.label)) is too", hint: "name another place, or leave one out")
            }
        }
    }

    /// The rules of a store; nil if there are none.
    private func rules(of section: StoreSection, _ index: Int) throws -> RetentionRules? {
        guard let own = section.retention else {
            return try retention.map { retention in try locating("retention") { try retention.rules() } }
        }
        return try locating("stores.\(index).retention") { try own.rules() }
    }
}
