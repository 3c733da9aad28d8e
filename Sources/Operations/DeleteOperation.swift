import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// Something in a store that can be removed.
public enum StoreRemoval: Sendable {
    /// A backup.
    case whole(StoredBackup)
    /// What is left of one, or can't be relied on.
    case damaged(UnreadableBackup)

    /// `cluster/node/id`.
    public var reference: String {
        switch self {
        case .whole(let backup): backup.reference
        case .damaged(let backup): backup.reference
        }
    }

    /// The reference, and what is wrong with it.
    public var description: String {
        guard case .damaged(let backup) = self else { return reference }
        return "\(reference) (which can't be relied on: \(backup.failure.message))"
    }

    fileprivate var scope: StoreScope? {
        switch self {
        case .whole(let backup): backup.isFlat ? nil : backup.scope
        case .damaged(let backup): backup.scope
        }
    }
}

/// Removes archives from a store.
public enum DeleteOperation {
    /// What references mean, each once; also what is damaged, but no archive that only lacks its sidecar.
    ///
    /// One whose removal was interrupted is found by its reference too, so that this can be done again until it is done.
    public static func find(
        _ references: [BackupReference], in store: any Store, observer: Observer = Observer()
    ) throws -> [StoreRemoval] {
        var found: [StoreRemoval] = []
        for reference in references {
            let removal = try reference.findForRemoval(in: store, observer: observer)
            if !found.contains(where: { $0.reference == removal.reference }) { found.append(removal) }
        }
        return found
    }

    /// Which backups that stay would lose the snapshot that they were made with; nothing where that can't be told.
    public static func warnings(of removals: [StoreRemoval], in store: any Store) -> [String] {
        let references = Set(removals.map(\.reference))
        let clusters = Set(references.compactMap { $0.split(separator: "/").first.map(String.init) })
        let others = clusters.sorted().flatMap { (try? store.list(cluster: $0))?.backups ?? [] }
            .filter { !references.contains($0.reference) }
        return references.sorted().compactMap { reference in
            let users = others.filter { $0.sidecar.sharedSnapshots?.contains { $0.reference == reference } == true }
            guard let last = users.last else { return nil }
            let more = users.count > 1 ? " and \(users.count - 1) more" : ""
            return "\(reference) has the snapshot that \(last.reference)\(more), of files only, was made with"
        }
    }

    /// Checks that archives could be removed; changes nothing, and takes no lock.
    ///
    /// - Throws: what ``run(_:in:)`` would throw before the first removal, but for `locked`.
    public static func check(_ removals: [StoreRemoval], in store: any Store) throws {
        try refuseFlat(removals)
        for scope in Set(removals.compactMap(\.scope)).sorted() { try store.checkWritable(for: scope) }
    }

    /// Checks that nothing keeps archives from being removed now, as far as this host may ask.
    ///
    /// - Throws: ``Failure`` that names the first one that is locked, and until when.
    public static func checkLocks(_ removals: [StoreRemoval], in store: any Store, now: Date = Date()) throws {
        for backup in removals.compactMap(\.whole) {
            let lock: ObjectLock?
            do {
                lock = try store.lock(of: backup.id, in: backup.scope)
            } catch let error as ObjectError where error.kind == .denied {
                continue
            }
            guard let lock, lock.until.map({ $0 > now }) ?? true else { continue }
            let end = lock.until.map { " until \($0.formatted(.iso8601))" } ?? ""
            throw Failure(
                .failed, "\(quoted(backup.reference)) is locked\(end) (\(lock.mode))",
                hint: lock.until == nil
                    ? "have the hold taken off first" : "wait until then: nobody can remove it before")
        }
    }

    private static func refuseFlat(_ removals: [StoreRemoval]) throws(Failure) {
        guard let flat = removals.first(where: { $0.scope == nil }) else { return }
        throw Failure(
            .usage, "\(quoted(flat.reference)) lies in a directory that is no store of cluster and node",
            hint: "such a directory is only read: remove its files yourself")
    }

    /// Removes archives with their sidecars.
    ///
    /// - Throws: ``Failure`` with the code `usage` for what lies flat in a directory, `locked`, before anything is removed,
    ///   while a backup is running in one of the places; for any other error it names what was removed before.
    public static func run(_ removals: [StoreRemoval], in store: any Store) throws {
        try refuseFlat(removals)
        let writers = try Set(removals.compactMap(\.scope)).sorted().map { try store.writer(for: $0) }
        var removed: [String] = []
        do {
            var locked: ObjectError?
            for writer in writers {
                let own = removals.filter { $0.scope == writer.scope }
                do {
                    try writer.delete(own.compactMap(\.whole)) { removed.append($0.reference) }
                } catch let error as ObjectError where error.isLock {
                    // What is locked keeps nothing else.
                    locked = locked ?? error
                }
                for backup in own.compactMap(\.damaged) {
                    try writer.remove(backup)
                    removed.append(backup.reference)
                }
            }
            if let locked { throw locked }
        } catch {
            var failure = Failure(wrapping: error)
            if !removed.isEmpty { failure.message += "; removed before: \(removed.joined(separator: ", "))" }
            throw failure
        }
    }
}

extension ObjectError {
    fileprivate var isLock: Bool {
        if case .locked = kind { return true }
        return false
    }
}

extension StoreRemoval {
    fileprivate var whole: StoredBackup? {
        if case .whole(let backup) = self { return backup }
        return nil
    }

    fileprivate var damaged: UnreadableBackup? {
        if case .damaged(let backup) = self { return backup }
        return nil
    }
}
