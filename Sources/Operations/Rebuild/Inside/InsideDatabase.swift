import EtcdStorage
import HostIO
import KubernetesObjects
import SealedArchive

/// What a snapshot's database has of lost nodes: keys that are deleted before the first start, and all others by what becomes
/// of them.
struct InsideDatabase {
    /// What is deleted, by key.
    let deletions: [RebuildPlan.Deletion]
    let report: RebuildPlan.Inside
    /// For how many seconds certificates are valid, where the cluster's configuration says so.
    let certificateSeconds: Int?

    /// What was decided by what is there.
    var notes: [String] {
        certificateSeconds.map {
            ["certificates that are made anew are valid for \($0 / 3600) hours, as the ConfigMap kubeadm-config has it"]
        } ?? []
    }

    /// Reads the database twice: its structure, and its rows.
    ///
    /// - Returns: nil where every old name and address is also a new one, or the database is not at hand.
    static func search(
        _ change: TopologyChange, _ sources: RebuildSources, keepsLeases: Bool, observer: Observer
    ) throws -> InsideDatabase? {
        guard let database = try sources.plannedDatabase() else { return nil }
        let backups =
            sources.backups.filter { $0.manifest.archive.id.description == sources.snapshot?.archiveID }
            + sources.backups
        let members = (sources.snapshot?.record.members ?? []).compactMap { LostNode(member: $0) }
            .filter { member in !sources.backups.contains { $0.node.memberName == member.memberName } }
        let gone = GoneNames(change, lost: sources.backups.map(\.node) + members)
        guard !gone.isEmpty else { return nil }
        let store = StoredObjects(backups)
        let search = RowSearch(gone, store)
        let bytes = WatchedBytes(database, phase: "search etcd", observer: observer)
        let rows = try stoppable {
            try SnapshotStatus.verify(bytes, checksTrailer: false)
                .liveRows(rereading: bytes) { search.found($0, $1) }
        }
        return InsideDatabase(rows, gone, store, keepsLeases: keepsLeases)
    }

    init(_ rows: LiveRows<FoundRow>, _ gone: GoneNames, _ store: StoredObjects, keepsLeases: Bool) {
        var sorting = RowSorting(gone: gone, store: store, keepsLeases: keepsLeases)
        for row in rows.rows { sorting.add(row) }
        deletions = sorting.deletions
        certificateSeconds = rows.rows.lazy.compactMap(\.kept.certificateSeconds).first
        report = RebuildPlan.Inside(
            names: gone.names.sorted(), addresses: gone.addresses.map(\.text).sorted(), keyCount: rows.liveKeyCount,
            heals: sorting.groups(\.heals), finished: sorting.groups { !$0.heals }, others: sorting.others,
            unread: sorting.unread, isComplete: rows.isComplete)
    }
}

/// Puts what was found where it belongs.
private struct RowSorting {
    let gone: GoneNames
    let store: StoredObjects
    let keepsLeases: Bool
    private(set) var deletions: [RebuildPlan.Deletion] = []
    private var objects: [ObjectFate: [RebuildPlan.Found]] = [:]
    private var counts: [ObjectFate: Int] = [:]
    private var unreadCounts: [String: Int] = [:]

    init(gone: GoneNames, store: StoredObjects, keepsLeases: Bool) {
        self.gone = gone
        self.store = store
        self.keepsLeases = keepsLeases
    }

    mutating func add(_ row: LiveRows<FoundRow>.Row) {
        let parts = row.key.withUnsafeBytes { store.parts(of: $0) }
        let fate = parts.map { ObjectFate($0, row.kept, gone) } ?? .other
        if row.kept.isUnread { unreadCounts[Self.resource(parts), default: 0] += 1 }
        if !keepsLeases, let parts, let deletion = deletion(row, parts, fate) {
            deletions.append(deletion)
            return
        }
        guard !row.kept.words.isEmpty else { return }
        counts[fate, default: 0] += 1
        if fate != .event { objects[fate, default: []].append(Self.found(row, parts)) }
    }

    func groups(_ isWanted: (ObjectFate) -> Bool) -> [RebuildPlan.Healing] {
        ObjectFate.all.filter(isWanted).compactMap { fate in
            guard let count = counts[fate], let (what, how, seconds) = fate.description else { return nil }
            return RebuildPlan.Healing(
                what: what, how: how, seconds: seconds, count: count, objects: objects[fate] ?? [])
        }
    }

    var others: [RebuildPlan.Found] { objects[.other] ?? [] }

    var unread: [RebuildPlan.Unread] {
        unreadCounts.sorted { $0.key < $1.key }.map { RebuildPlan.Unread(resource: $0.key, count: $0.value) }
    }

    /// What an API server of a lost node, or a leader on one, has left, and others would wait for.
    private func deletion(
        _ row: LiveRows<FoundRow>.Row, _ parts: [String], _ fate: ObjectFate
    ) -> RebuildPlan.Deletion? {
        guard let key = String(validating: row.key, as: UTF8.self) else { return nil }
        switch fate {
        case .masterLease:
            guard parts.count == 2, let address = IPAddress(parts[1]), gone.nodeAddresses.contains(address) else {
                return nil
            }
            return RebuildPlan.Deletion(
                kind: .masterLease, key: key, reason: "no new node has the address \(address.text)", gainSeconds: 20)
        case .leaderElection:
            guard parts.count == 3, parts[1] == "kube-system", let node = gone.holder(row.kept.facts?.holderIdentity)
            else { return nil }
            return RebuildPlan.Deletion(
                kind: .leaderElection, key: key, reason: "it is held on \(node), and no new node has that name",
                gainSeconds: (row.kept.facts?.leaseDurationSeconds ?? 15) + 1)
        default: return nil
        }
    }

    private static func found(_ row: LiveRows<FoundRow>.Row, _ parts: [String]?) -> RebuildPlan.Found {
        let resource = resource(parts)
        let rest = parts.map { $0.dropFirst(resource.split(separator: "/").count).joined(separator: "/") }
        return RebuildPlan.Found(
            resource: resource, name: rest ?? String(decoding: row.key, as: UTF8.self), words: row.kept.words.sorted(),
            fields: row.kept.fields.sorted())
    }

    /// The first part of a key, or two where the first is a group.
    private static func resource(_ parts: [String]?) -> String {
        guard let parts, let first = parts.first else { return "" }
        return (first.contains(".") || first == "services") && parts.count > 2 ? "\(first)/\(parts[1])" : first
    }
}
