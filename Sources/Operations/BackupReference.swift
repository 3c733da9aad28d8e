import ArchiveStore
import HostIO
import SealedArchive

/// How a user names an archive in a store: an ID or the beginning of one, `latest`, or either behind `cluster/node/`.
public struct BackupReference: Sendable {
    /// The name of the newest archive.
    public static let latest = "latest"

    private let text: String
    private let cluster: String?
    private let node: String?
    private let name: Substring

    /// Reads a reference.
    ///
    /// - Parameters:
    ///   - cluster: the cluster to look in, when the text does not say.
    ///   - node: the node to look in, when the text does not say.
    public init(_ text: String, cluster: String? = nil, node: String? = nil) throws(Failure) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 1 || parts.count == 3, let name = parts.last, !name.isEmpty else {
            throw Failure(
                .usage, "\(quoted(text)) does not name a backup",
                hint: "write an ID from `etcd-snap list`, the beginning of one, cluster/node/ID, or latest")
        }
        self.text = text
        self.cluster = parts.count == 3 ? String(parts[0]) : cluster
        self.node = parts.count == 3 ? String(parts[1]) : node
        self.name = name
    }

    /// The one archive that is meant.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `usage` if there are several.
    public func find(in store: LocalStore) throws -> StoredBackup {
        try find(in: store, orElse: { nil })
    }

    /// The one archive that is meant, or what is left of its removal, so that this can be done again until it is done.
    ///
    /// - Throws: as ``find(in:)``.
    func findForRemoval(in store: LocalStore) throws -> StoredBackup {
        try find(in: store, orElse: { try interruptedRemoval(in: store) })
    }

    private func find(in store: LocalStore, orElse other: () throws -> StoredBackup?) throws -> StoredBackup {
        let listing = try store.list(cluster: cluster, node: node)
        let clusters = Set(listing.backups.map(\.scope.cluster)).sorted()
        guard name != Self.latest || clusters.count < 2 else {
            throw Failure(
                .usage, "the store \(quoted(store.root)) has backups of \(clusters.count) clusters",
                hint: "name one: \(clusters.prefix(5).joined(separator: ", "))", settings: [.cluster])
        }
        if name == Self.latest, let obstacle = listing.obstacle { throw obstacle }
        let matches =
            name == Self.latest
            ? listing.latest.map { [$0] } ?? []
            : listing.backups.filter { fits($0.id) }
        guard !matches.isEmpty else {
            if let damaged = listing.unreadable.first(where: { fits($0.id) }) { throw damaged.failure }
            if let found = try other() { return found }
            throw listing.obstacle ?? notFound(in: store)
        }
        let match = try single(matches, \.reference)
        if name == Self.latest { try refuseNewer(listing.unreadable, than: match) }
        return match
    }

    /// The one archive without a sidecar that is meant.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `usage` if there are several, `failed` for an archive
    ///   that has its sidecar.
    public func findOrphan(in store: LocalStore) throws -> UnreadableBackup {
        let listing = try store.list(cluster: cluster, node: node)
        let matches = listing.unreadable.filter { $0.isOrphan && fits($0.id) }
        guard matches.isEmpty else { return try single(matches, \.reference) }
        if let damaged = listing.unreadable.first(where: { fits($0.id) }) { throw damaged.failure }
        guard let whole = listing.backups.first(where: { fits($0.id) }) else {
            throw listing.obstacle ?? notFound(in: store)
        }
        throw Failure(.failed, "\(quoted(whole.reference)) has its sidecar", hint: "see `etcd-snap list`")
    }

    /// The one archive that is meant whose removal was interrupted after it was gone.
    private func interruptedRemoval(in store: LocalStore) throws -> StoredBackup? {
        guard name != Self.latest else { return nil }
        let matches = try store.interruptedRemovals(cluster: cluster, node: node).filter { fits($0.id) }
        return matches.isEmpty ? nil : try single(matches, \.reference)
    }

    private func fits(_ id: BackupID) -> Bool { name == Self.latest || id.description.hasPrefix(name) }

    private func single<Backup>(_ matches: [Backup], _ reference: (Backup) -> String) throws(Failure) -> Backup {
        guard matches.count == 1 else {
            throw Failure(
                .usage, "\(quoted(text)) fits \(matches.count) backups",
                hint: "write more of it: \(matches.prefix(3).map(reference).joined(separator: ", "))…")
        }
        return matches[0]
    }

    private func notFound(in store: LocalStore) -> Failure {
        Failure(
            .notFound, "the store \(quoted(store.root)) has no backup \(quoted(text))",
            hint: "see `etcd-snap list` of that store", settings: [.store])
    }

    /// An older backup must not pass for the latest because the latest is damaged.
    private func refuseNewer(_ unreadable: [UnreadableBackup], than match: StoredBackup) throws(Failure) {
        guard let newer = unreadable.first(where: { $0.id > match.id }) else { return }
        throw Failure(
            newer.failure.code, "the latest backup can't be relied on: \(newer.failure.message)",
            hint: "name the one before it if you want that: \(match.reference)")
    }
}
