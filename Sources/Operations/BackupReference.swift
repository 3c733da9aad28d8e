import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// How a user names an archive in a store: an ID or the beginning of one, `latest`, or either behind `cluster/node/`.
public struct BackupReference: Sendable {
    /// The name of the newest archive.
    public static let latest = "latest"

    private let text: String
    /// The cluster that it is of; nil if neither it nor the caller says.
    public let cluster: String?
    /// The node that it is of; nil if neither it nor the caller says.
    public let node: String?
    private let name: Substring

    /// Whether it means the newest.
    public var isLatest: Bool { name == Self.latest }

    /// Reads a reference.
    ///
    /// - Parameters:
    ///   - cluster: the cluster to look in, when the text does not say.
    ///   - node: the node to look in, when the text does not say.
    public init(_ text: String, cluster: String? = nil, node: String? = nil) throws(Failure) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 1 || parts.count == 3, let name = parts.last, !name.isEmpty else {
            throw Failure(
                .usage, "\(quoted(text)) does not name a backup, and there is no such file",
                hint: "write an ID from `etcd-snap list`, the beginning of one, cluster/node/ID, latest, or a path")
        }
        self.text = text
        self.cluster = parts.count == 3 ? String(parts[0]) : cluster
        self.node = parts.count == 3 ? String(parts[1]) : node
        self.name = name
    }

    /// The one archive that is meant.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `usage` if there are several.
    public func find(in store: any Store, observer: Observer = Observer()) throws -> StoredBackup {
        if let cluster, let node, let id = BackupID(name), let scope = try? StoreScope(cluster: cluster, node: node),
            let found = try store.backup(id, in: scope)
        {
            return found
        }
        let listing = try listing(of: store)
        if name == Self.latest { return try latest(of: listing, in: store, observer: observer) }
        let matches = listing.backups.filter { fits($0.id) }
        guard !matches.isEmpty else {
            if let damaged = listing.unreadable.first(where: { fits($0.id) }) { throw damaged.failure }
            throw listing.obstacle ?? notFound(in: store)
        }
        return try single(matches, \.reference)
    }

    /// What is meant to be removed: an archive, whether it can be relied on or not, or what is left of its removal, so that
    /// this can be done again until it is done.
    ///
    /// - Throws: as ``find(in:observer:)``; `usage` for the latest where it is not certain which one that is.
    func findForRemoval(in store: any Store, observer: Observer) throws -> StoreRemoval {
        let listing = try listing(of: store)
        if name == Self.latest {
            if let backup = listing.backups.first(where: \.isFromTheFuture) {
                throw Failure(
                    .usage, "which backup is the latest is not certain: \(backup.reference) is from the future",
                    hint: "name what is to be removed by its ID")
            }
            if let dispute = listing.disputes.first {
                throw Failure(.usage, dispute.message, hint: "name what is to be removed by its ID")
            }
            return .whole(try latest(of: listing, in: store, observer: observer))
        }
        let matches =
            listing.backups.filter { fits($0.id) }.map(StoreRemoval.whole)
            + listing.unreadable.filter { fits($0.id) && !$0.isOrphan }.map(StoreRemoval.damaged)
        guard matches.isEmpty else { return try single(matches, \.reference) }
        // It may be all there is of a backup: first it is adopted, and known.
        if let orphan = listing.unreadable.first(where: { fits($0.id) }) { throw orphan.failure }
        if let found = try interruptedRemoval(in: store) { return .whole(found) }
        throw listing.obstacle ?? notFound(in: store)
    }

    /// Whether it can't be an ID, so that a file may have been meant.
    private var mayBeFile: Bool { name != Self.latest && !BackupID.canBegin(with: name) }

    /// - Throws: as ``Store/list(cluster:node:)``; where there is no store, what that means for the reference.
    private func listing(of store: any Store) throws -> StoreListing {
        do {
            return try store.list(cluster: cluster, node: node)
        } catch let error as SystemCallError
            where error.errno == .noSuchFileOrDirectory && error.subject == store.name
        {
            throw Failure(
                .notFound,
                mayBeFile
                    ? "there is neither a file \(quoted(text)) here nor a store in \(quoted(store.name))"
                    : "there is no store in \(quoted(store.name))",
                hint: mayBeFile ? "check the path, or name the store" : "name the store", settings: [.store])
        }
    }

    /// The newest archive: of one node the newest of its chain, of several nodes by the time, which then must not be in the
    /// future.
    private func latest(of listing: StoreListing, in store: any Store, observer: Observer) throws -> StoredBackup {
        let clusters = Set(listing.backups.map(\.scope.cluster)).sorted()
        guard clusters.count < 2 else {
            throw Failure(
                .usage, "the store \(quoted(store.name)) has backups of \(clusters.count) clusters",
                hint: "name one: \(clusters.prefix(5).joined(separator: ", "))", settings: [.cluster])
        }
        if let obstacle = listing.obstacle { throw obstacle }
        for dispute in listing.disputes { observer.warn("\(dispute.message) (\(dispute.advice))") }
        var candidates = listing.latestOfNodes
        if candidates.count > 1 {
            for backup in candidates where backup.isFromTheFuture {
                observer.warn("\(backup.reference) is from the future, and is passed over: its node's clock was wrong")
            }
            var past = listing
            past.backups.removeAll(where: \.isFromTheFuture)
            if !past.backups.isEmpty { candidates = past.latestOfNodes }
        }
        let newest = candidates.max { $0.isOlder(than: $1) }
        guard let newest else {
            if let damaged = listing.unreadable.max(by: { $0.id < $1.id }) { throw damaged.failure }
            throw notFound(in: store)
        }
        if newest.isFromTheFuture {
            observer.warn("\(newest.reference) is from the future: its node's clock was wrong, or this host's is")
        }
        try refuseNewer(listing.unreadable, than: newest)
        return newest
    }

    /// The one archive without a sidecar that is meant.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `usage` if there are several, `failed` for an archive
    ///   that has its sidecar.
    public func findOrphan(in store: any Store) throws -> UnreadableBackup {
        let listing = try listing(of: store)
        let matches = listing.unreadable.filter { $0.isOrphan && fits($0.id) }
        guard matches.isEmpty else { return try single(matches, \.reference) }
        if let damaged = listing.unreadable.first(where: { fits($0.id) }) { throw damaged.failure }
        guard let whole = listing.backups.first(where: { fits($0.id) }) else {
            throw listing.obstacle ?? notFound(in: store)
        }
        throw Failure(.failed, "\(quoted(whole.reference)) has its sidecar", hint: "see `etcd-snap list`")
    }

    /// The one archive that is meant whose removal was interrupted after it was gone.
    private func interruptedRemoval(in store: any Store) throws -> StoredBackup? {
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

    private func notFound(in store: any Store) -> Failure {
        Self.nothing(in: store, cluster: cluster, node: node)
            ?? Failure(
                .notFound,
                "the store \(quoted(store.name)) has no backup \(quoted(text))"
                    + (mayBeFile ? ", and there is no file of that name here" : ""),
                hint: "see `etcd-snap list` of that store", settings: [.store])
    }

    /// That a store has nothing of a cluster or a node, with the names that it has; nil if it has.
    public static func nothing(in store: any Store, cluster: String?, node: String?) -> Failure? {
        guard let listing = try? store.list() else { return nil }
        let scopes = Set(listing.backups.map(\.scope) + listing.unreadable.compactMap(\.scope))
        func failure(_ what: String, _ names: [String], _ setting: Failure.Setting) -> Failure {
            let names = Set(names).sorted()
            let others = names.count > 10 ? ", …" : ""
            return Failure(
                .notFound, "the store \(quoted(store.name)) has \(what)",
                hint: "it has \(names.prefix(10).joined(separator: ", "))\(others)", settings: [setting])
        }
        if scopes.isEmpty {
            return StorePath.failure(besideStore: store)
                ?? Failure(
                    .notFound, "there is no backup in \(quoted(store.name))",
                    hint: "make one with `etcd-snap backup`, or name another store", settings: [.store])
        }
        let own = scopes.filter { cluster == nil || $0.cluster == cluster }
        if let cluster, own.isEmpty {
            return failure("no cluster \(quoted(cluster))", scopes.map(\.cluster), .cluster)
        }
        if let node, !own.contains(where: { $0.node == node }) {
            let place = cluster.map { " in the cluster \(quoted($0))" } ?? ""
            return failure("no node \(quoted(node))\(place)", own.map(\.node), .node)
        }
        return nil
    }

    /// An older backup must not pass for the latest because the latest is damaged.
    private func refuseNewer(_ unreadable: [UnreadableBackup], than match: StoredBackup) throws(Failure) {
        guard let newer = unreadable.max(by: { $0.id < $1.id }), newer.id > match.id else { return }
        throw Failure(
            newer.failure.code, "the latest backup can't be relied on: \(newer.failure.message)",
            hint: "name the one before it if you want that: \(match.reference)")
    }
}
