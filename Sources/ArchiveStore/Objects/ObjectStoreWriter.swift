import Age
import FoundationEssentials
import HostIO
import SealedArchive
import Synchronization

/// A scope of a store elsewhere that this host writes to while this object lives.
///
/// `@unchecked Sendable`: it is used by one thread at a time; the note of an upload, which the sending side makes, is the
/// only thing that another thread does.
final class ObjectStoreWriter: StoreWriter, @unchecked Sendable {
    let scope: StoreScope
    let removedLeftovers: [String]
    let remainingLeftovers: [String]
    /// Publishing is one write of the store, and is never half done.
    let completedBackups: [BackupID] = []
    private let store: ObjectStore
    private let state: OpenDirectory
    private let lock: DirectoryLock
    private var objects: any ObjectStorage { store.objects }

    init(_ store: ObjectStore, _ scope: StoreScope) throws {
        self.store = store
        self.scope = scope
        state = try OpenDirectory.make(path: store.home.statePath(of: store.place, scope))
        lock = try DirectoryLock(state)
        (removedLeftovers, remainingLeftovers) = Self.removeLeftovers(in: state, of: store.objects)
    }

    /// Ends the uploads that interrupted runs have noted; a backup does not fail because that fails.
    private static func removeLeftovers(
        in state: OpenDirectory, of objects: any ObjectStorage
    ) -> (removed: [String], remaining: [String]) {
        var removed: [String] = []
        var remaining: [String] = []
        for leftover in UnfinishedUploads.read(in: state).uploads {
            let name = "the upload of \(objects.name)/\(leftover.key)"
            do {
                try objects.removeLeftover(of: leftover.key, upload: leftover.upload)
                removed.append(name)
            } catch let error as ObjectError where error.kind == .denied {
                // Whoever may not end it leaves that to a rule of the store, or to who prunes it.
            } catch {
                remaining.append(name)
                continue
            }
            UnfinishedUploads.forget(leftover.key, in: state)
        }
        return (removed, remaining)
    }

    func availableByteCount() throws -> Int? { try objects.availableByteCount() }

    func begin(_ id: BackupID) throws -> any PendingArchive {
        let key = ObjectStore.archiveKey(id, in: scope)
        let object = try objects.begin(key, byteCount: nil) { [state] upload in
            try UnfinishedUploads.note(.init(key: key, upload: upload.isEmpty ? nil : upload), in: state)
        }
        return ObjectPendingArchive(object, id, self)
    }

    /// The numbers of what is listed, and of what this host has written, whichever is higher.
    func nextLink(after listing: StoreListing) throws -> ChainLink {
        var record = try record()
        record.removed = listing.records[scope]?.removed ?? []
        return listing.nextLink(in: scope, record)
    }

    func note(_ absent: AbsentBackups) throws {
        try amend { record in
            var chain = ChainRecord()
            chain.removed = record.removed
            absent.runs.forEach { chain.add($0) }
            record.removed = chain.removed
        }
    }

    func takeBack(_ backups: [StoredBackup]) throws {
        try amend { record in
            var chain = ChainRecord()
            chain.removed = record.removed
            backups.forEach { chain.takeBack($0) }
            record.removed = chain.removed
            record.removing.removeAll { id in backups.contains { $0.id == id } }
        }
    }

    /// Writes a record in the place of those that there are.
    private func amend(_ change: (inout RemovalRecord) -> Void) throws {
        let earlier = try removalRecords()
        var record = earlier.record
        change(&record)
        guard record != earlier.record else { return }
        _ = try write(record)
        if let failure = try objects.remove(earlier.keys).first { throw failure.error }
    }

    /// What the records say that there are.
    ///
    /// - Throws: ``Failure`` if one can't be read: what takes its place would lack what it says.
    private func removalRecords() throws -> (record: RemovalRecord, keys: [String]) {
        let keys = try objects.objects(below: "\(scope)/", behind: nil).map(\.key).filter {
            ObjectScope.parts(of: $0).map { RemovalRecord.isName($0.name) } == true
        }
        var record = RemovalRecord()
        for key in keys {
            let bytes = try objects.bytes(of: key, limit: RemovalRecord.maximumByteCount).bytes
            record.merge(try RemovalRecord.decode(bytes, name: "\(objects.name)/\(key)"))
        }
        return (record, keys)
    }

    private func record() throws -> ChainRecord {
        do {
            return try ChainRecord.read(in: state)
        } catch let failure as Failure where failure.code == .integrity {
            return ChainRecord()
        }
    }

    /// Publishes an archive that is there whole.
    fileprivate func publish(_ document: SidecarDocument) throws {
        let sidecar = document.sidecar
        try objects.create(ObjectStore.sidecarKey(sidecar.archive.id, in: scope), document.bytes, isLocked: true)
        forgetUpload(sidecar.archive.id)
        // It is published, whatever becomes of this: where the store can be listed the next run sees it there.
        try? remember(document)
    }

    private func remember(_ document: SidecarDocument) throws {
        var record = try record()
        let before = record
        record.publish(document.sidecar, sidecarSHA256: SHA256Hasher.digest(of: document.bytes).hexadecimal)
        if record != before { try record.write(in: state) }
    }

    /// Removes a sidecar that may have been created, though that failed.
    ///
    /// - Returns: false if it may still be there: then it counts as the last one where its store can't be asked.
    fileprivate func removeSidecar(_ document: SidecarDocument) -> Bool {
        let key = ObjectStore.sidecarKey(document.sidecar.archive.id, in: scope)
        guard let failures = try? objects.remove([key]) else { return false }
        if failures.contains(where: { $0.error.kind == .denied }) { try? remember(document) }
        return failures.isEmpty
    }

    fileprivate func forgetUpload(_ id: BackupID) {
        UnfinishedUploads.forget(ObjectStore.archiveKey(id, in: scope), in: state)
    }

    func adopt(_ document: SidecarDocument) throws {
        let id = document.sidecar.archive.id
        let isThere = try objects.object(ObjectStore.archiveKey(id, in: scope)) != nil
        guard isThere, try objects.object(ObjectStore.sidecarKey(id, in: scope)) == nil else {
            throw Failure(.failed, "\(quoted("\(scope)/\(id)")) is no archive without a sidecar any more")
        }
        try objects.create(ObjectStore.sidecarKey(id, in: scope), document.bytes, isLocked: true)
    }

    func keep(_ drill: DrillDocument, of backup: StoredBackup) throws {
        guard let found = try store.backup(backup.id, in: scope), found.sidecarBytes == backup.sidecarBytes else {
            throw Failure(
                .notFound, "\(quoted(backup.reference)) was removed or replaced meanwhile", hint: "see `etcd-snap list`"
            )
        }
        let name = DrillName.new(of: backup.id)
        try objects.create("\(scope)/\(name.page.fileName)", drill.page)
        try objects.create("\(scope)/\(name.fileName)", drill.bytes)
        // Whoever may only write leaves the earlier ones: the newest counts.
        try? removeDrills { $0.backup == backup.id && $0.drill != name.drill }
    }

    /// Removes the records and pages of drills.
    private func removeDrills(where isWanted: (DrillName) -> Bool) throws {
        let keys = try objects.objects(below: "\(scope)/", behind: nil).map(\.key).filter { key in
            ObjectScope.parts(of: key).flatMap { DrillName($0.name) }.map(isWanted) == true
        }
        if !keys.isEmpty { _ = try objects.remove(keys) }
    }

    // MARK: - Removing

    func delete(_ backups: [StoredBackup], onRemoval: (StoredBackup) -> Void) throws {
        precondition(backups.allSatisfy { $0.scope == scope }, "an archive of another scope")
        let listing = try store.list(cluster: scope.cluster, node: scope.node)
        let present = Dictionary(
            uniqueKeysWithValues: listing.inOrderOfNumbers(in: scope).map { ($0.id, $0.sidecarBytes) })
        let removing = Set(listing.removing[scope] ?? [])
        for backup in backups where !removing.contains(backup.id) && present[backup.id] != backup.sidecarBytes {
            throw Failure(
                .notFound, "\(quoted(backup.reference)) was removed or replaced meanwhile", hint: "see `etcd-snap list`"
            )
        }
        let failures = try remove(backups.map(\.id), removing) { ids in
            var chain = listing.records[self.scope] ?? ChainRecord()
            var others = listing.inOrderOfNumbers(in: self.scope)
            for backup in backups where ids.contains(backup.id) {
                others.removeAll { $0.id == backup.id }
                chain.remove(backup, among: others)
            }
            return chain.removed
        }
        for backup in backups where failures[backup.id] == nil { onRemoval(backup) }
        if let failure = failures.min(by: { $0.key < $1.key }) { throw failure.value }
    }

    func remove(_ backup: UnreadableBackup) throws {
        let listing = try store.list(cluster: scope.cluster, node: scope.node)
        if listing.backups.contains(where: { $0.id == backup.id }) {
            throw Failure(
                .failed, "\(quoted(backup.reference)) is whole by now", hint: "look at it again with `etcd-snap list`")
        }
        let failures = try remove([backup.id], Set(listing.removing[scope] ?? [])) { _ in
            var chain = listing.records[self.scope] ?? ChainRecord()
            if let run = chain.run(of: backup.id, among: listing.inOrderOfNumbers(in: self.scope)) { chain.remove(run) }
            return chain.removed
        }
        if let failure = failures.values.first { throw failure }
    }

    /// Removes archives: what says that they are removed comes first, and decides.
    ///
    /// - Parameters:
    ///   - removing: those whose removal was begun before.
    ///   - removedRuns: the numbers that are gone when some of them are.
    /// - Returns: those that are still there, each with why.
    private func remove(
        _ ids: [BackupID], _ removing: Set<BackupID>, removedRuns: (Set<BackupID>) -> [ChainRecord.RemovedRun]
    ) throws -> [BackupID: ObjectError] {
        let locked = try locked(ids)
        let ids = ids.filter { locked[$0] == nil }
        guard !ids.isEmpty else { return locked }
        let earlier = try removalRecords().keys
        let key = try write(RemovalRecord(removed: removedRuns(Set(ids)), removing: removing.union(ids).sorted()))
        let failures: [BackupID: ObjectError]
        do {
            failures = try removeObjects(removing.union(ids).sorted())
        } catch {
            // With their sidecars they are whole, and are there again without the record.
            if try ids.allSatisfy({ try objects.object(ObjectStore.sidecarKey($0, in: scope)) != nil }) {
                _ = try objects.remove([key])
            }
            throw error
        }
        guard failures.isEmpty else {
            // What has its sidecar is whole: a record that says so of the others takes the place of the first.
            if ids.contains(where: { failures[$0] == nil }) {
                let gone = Set(ids).subtracting(failures.keys)
                _ = try write(RemovalRecord(removed: removedRuns(gone), removing: removing.union(gone).sorted()))
                try? removeDrills { gone.contains($0.backup) }
            }
            _ = try objects.remove([key])
            return failures.merging(locked) { $1 }
        }
        // Each record has all that those before it had.
        _ = try objects.remove(earlier)
        // What is left of a drill is of no archive, and nobody counts it.
        try? removeDrills { ids.contains($0.backup) || removing.contains($0.backup) }
        return locked
    }

    private func write(_ record: RemovalRecord) throws -> String {
        let key = "\(scope)/\(RemovalRecord.newName())"
        try objects.create(key, DocumentCoding.encode(record))
        return key
    }

    /// Removes sidecars, and then the archives of those that are gone.
    ///
    /// - Returns: those whose sidecar is still there; an archive that stays is one that counts as removed.
    private func removeObjects(_ ids: [BackupID]) throws -> [BackupID: ObjectError] {
        let keys = Dictionary(uniqueKeysWithValues: ids.map { (ObjectStore.sidecarKey($0, in: scope), $0) })
        var failures: [BackupID: ObjectError] = [:]
        for failure in try objects.remove(keys.keys.sorted()) {
            if let id = keys[failure.key] { failures[id] = failure.error }
        }
        let gone = ids.filter { failures[$0] == nil }
        guard !gone.isEmpty else { return failures }
        let left = try objects.remove(gone.map { ObjectStore.archiveKey($0, in: scope) })
        if let first = left.first { throw first.error }
        return failures
    }

    /// Those that can't be removed now: nothing of them is touched.
    private func locked(_ ids: [BackupID]) throws -> [BackupID: ObjectError] {
        var locked: [BackupID: ObjectError] = [:]
        guard try objects.mayLock() else { return locked }
        for id in ids {
            if let lock = try lock(of: id) { locked[id] = Self.error(lock, of: "\(scope)/\(id)") }
        }
        return locked
    }

    /// A lock of the sidecar or of the archive; who may not ask is told by the server when something is removed.
    private func lock(of id: BackupID) throws -> ObjectLock? {
        do {
            return try objects.lock(of: ObjectStore.sidecarKey(id, in: scope))
                ?? objects.lock(of: ObjectStore.archiveKey(id, in: scope))
        } catch let error as ObjectError where error.kind == .denied {
            return nil
        }
    }

    private static func error(_ lock: ObjectLock, of reference: String) -> ObjectError {
        let time = lock.until.map { " until \($0.formatted(.iso8601))" } ?? ""
        return ObjectError(
            .locked(until: lock.until),
            Failure(
                .failed, "\(quoted(reference)) can't be deleted: \(lock.mode) locks it\(time)",
                hint: "wait until then, or have a legal hold taken away"))
    }
}

/// An archive that is being written to a store elsewhere.
private final class ObjectPendingArchive: PendingArchive {
    private let object: any PendingObject
    private let id: BackupID
    private let writer: ObjectStoreWriter
    private var stored_: StoredObject?
    private var isPublished = false
    /// What was to publish it, and may be there.
    private var document: SidecarDocument?

    init(_ object: any PendingObject, _ id: BackupID, _ writer: ObjectStoreWriter) {
        self.object = object
        self.id = id
        self.writer = writer
    }

    var location: String { writer.location(of: id) }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try object.write(bytes) }

    func stored() throws -> any RandomAccessBytes { writer.open(try finished()) }

    private func finished() throws -> StoredObject {
        if let stored_ { return stored_ }
        let finished = try object.finish()
        stored_ = finished
        return finished
    }

    func publish(_ document: SidecarDocument) throws {
        _ = try finished()
        self.document = document
        do {
            try UnfinishedWork.protecting { try writer.publish(document) }
        } catch let error as ObjectError where error.kind == .exists || error.isCertainlyUndone {
            // What is there is another's.
            self.document = nil
            throw error
        }
        isPublished = true
    }

    func discard() {
        guard !isPublished else { return }
        UnfinishedWork.protecting {
            // Without its archive a sidecar would be damage: then both stay.
            if let document, !writer.removeSidecar(document) { return }
            object.discard()
            if !object.mayBeLeft { writer.forgetUpload(id) }
        }
    }

    var interruption: (@Sendable () -> Void)? { object.interruption }
}

extension ObjectStoreWriter {
    fileprivate func location(of id: BackupID) -> String { store.location(of: id, in: scope) }

    fileprivate func open(_ object: StoredObject) -> any RandomAccessBytes {
        CoalescedBytes(object, in: store.objects)
    }
}
