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
    /// Publishing is one write of the store, and is never half done.
    let completedBackups: [BackupID] = []
    private let store: ObjectStore
    private let state: OpenDirectory
    private let lock: DirectoryLock
    private var objects: any ObjectStorage { store.objects }

    init(_ store: ObjectStore, _ scope: StoreScope) throws {
        self.store = store
        self.scope = scope
        state = try OpenDirectory.make(path: store.home.statePath(of: store.name, scope))
        lock = try DirectoryLock(state)
        removedLeftovers = try Self.removeLeftover(in: state, of: store.objects)
    }

    /// Ends the upload that an interrupted run has noted.
    private static func removeLeftover(in state: OpenDirectory, of objects: any ObjectStorage) throws -> [String] {
        guard let leftover = UnfinishedUpload.read(in: state) else { return [] }
        do {
            try objects.removeLeftover(of: leftover.key, upload: leftover.upload)
        } catch let error as ObjectError where error.kind == .denied {
            // Whoever may not end it leaves that to a rule of the store, or to who prunes it.
            UnfinishedUpload.remove(in: state)
            return []
        }
        UnfinishedUpload.remove(in: state)
        return ["the upload of \(objects.name)/\(leftover.key)"]
    }

    func availableByteCount() throws -> Int? { try objects.availableByteCount() }

    func begin(_ id: BackupID) throws -> any PendingArchive {
        let key = ObjectStore.archiveKey(id, in: scope)
        let object = try objects.begin(key, byteCount: nil) { [state] upload in
            try UnfinishedUpload(key: key, upload: upload.isEmpty ? nil : upload).write(in: state)
        }
        return ObjectPendingArchive(object, id, self)
    }

    /// The numbers of what is listed, and of what this host has written, whichever is higher.
    func nextLink(after listing: StoreListing) throws -> ChainLink {
        var record = try record()
        record.removed = listing.records[scope]?.removed ?? []
        let orphans = listing.unreadable.filter { $0.isOrphan && $0.scope == scope }.map(\.id)
        return ChainLink(after: listing.inOrderOfNumbers(in: scope).reversed(), orphans: orphans, record)
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
        try objects.create(ObjectStore.sidecarKey(sidecar.archive.id, in: scope), document.bytes)
        UnfinishedUpload.remove(in: state)
        // It is published, whatever becomes of this: where the store can be listed the next run sees it there.
        try? remember(document)
    }

    private func remember(_ document: SidecarDocument) throws {
        var record = try record()
        guard document.sidecar.sequence >= record.last?.sequence ?? 0 else { return }
        record.last = .init(
            id: document.sidecar.archive.id, sequence: document.sidecar.sequence,
            sidecarSHA256: SHA256Hasher.digest(of: document.bytes).hexadecimal)
        try record.write(in: state)
    }

    /// Removes a sidecar that may have been created, though that failed; false if it may still be there.
    fileprivate func removeSidecar(_ id: BackupID) -> Bool {
        (try? objects.remove([ObjectStore.sidecarKey(id, in: scope)]))?.isEmpty == true
    }

    fileprivate func forgetUpload() { UnfinishedUpload.remove(in: state) }

    func adopt(_ document: SidecarDocument) throws {
        let id = document.sidecar.archive.id
        let isThere = try objects.object(ObjectStore.archiveKey(id, in: scope)) != nil
        guard isThere, try objects.object(ObjectStore.sidecarKey(id, in: scope)) == nil else {
            throw Failure(.failed, "\(quoted("\(scope)/\(id)")) is no archive without a sidecar any more")
        }
        try objects.create(ObjectStore.sidecarKey(id, in: scope), document.bytes)
    }

    // MARK: - Removing

    func delete(_ backup: StoredBackup) throws {
        precondition(backup.scope == scope, "an archive of another scope")
        let listing = try store.list(cluster: scope.cluster, node: scope.node)
        let isRemoving = listing.removing[scope]?.contains(backup.id) == true
        guard isRemoving || listing.backups.contains(where: { $0.id == backup.id && $0.sidecarBytes == backup.sidecarBytes })
        else {
            throw Failure(
                .notFound, "\(quoted(backup.reference)) was removed or replaced meanwhile", hint: "see `etcd-snap list`"
            )
        }
        try remove(backup.id, from: listing) { record in
            record.remove(backup, among: listing.inOrderOfNumbers(in: self.scope).filter { $0.id != backup.id })
        }
    }

    func remove(_ backup: UnreadableBackup) throws {
        let listing = try store.list(cluster: scope.cluster, node: scope.node)
        if listing.backups.contains(where: { $0.id == backup.id }) {
            throw Failure(
                .failed, "\(quoted(backup.reference)) is whole by now", hint: "look at it again with `etcd-snap list`")
        }
        try remove(backup.id, from: listing) { record in
            guard let run = record.run(of: backup.id, among: listing.inOrderOfNumbers(in: self.scope)) else { return }
            record.remove(run)
        }
    }

    /// Removes an archive: what says that it is removed comes first, and decides.
    private func remove(_ id: BackupID, from listing: StoreListing, _ note: (inout ChainRecord) -> Void) throws {
        let keys = [ObjectStore.sidecarKey(id, in: scope), ObjectStore.archiveKey(id, in: scope)]
        try refuseLocked(keys, of: id)
        var chain = listing.records[scope] ?? ChainRecord()
        note(&chain)
        let earlier = try removalRecordKeys()
        var record = RemovalRecord()
        record.removed = chain.removed
        record.removing = Set((listing.removing[scope] ?? []) + [id]).sorted()
        let key = "\(scope)/\(RemovalRecord.newName())"
        try objects.create(key, DocumentCoding.encode(record))
        do {
            for key in keys {
                if let failure = try objects.remove([key]).first { throw failure.error }
            }
        } catch {
            // With its sidecar it is whole, and is there again without the record.
            if (try? objects.object(keys[0])) != nil { _ = try? objects.remove([key]) }
            throw error
        }
        // Each record has all that those before it had.
        _ = try objects.remove(earlier)
    }

    private func removalRecordKeys() throws -> [String] {
        try objects.objects(below: "\(scope)/", behind: nil).map(\.key).filter {
            ObjectScope.parts(of: $0).map { RemovalRecord.isName($0.name) } == true
        }
    }

    private func refuseLocked(_ keys: [String], of id: BackupID) throws {
        for key in keys {
            guard let lock = try objects.lock(of: key) else { continue }
            let time = lock.until.map { " until \($0.formatted(.iso8601))" } ?? ""
            throw ObjectError(
                .locked(until: lock.until),
                Failure(
                    .failed, "\(quoted("\(scope)/\(id)")) can't be deleted: \(lock.mode) locks it\(time)",
                    hint: "wait until then, or have a legal hold taken away"))
        }
    }
}

/// An archive that is being written to a store elsewhere.
private final class ObjectPendingArchive: PendingArchive {
    private let object: any PendingObject
    private let id: BackupID
    private let writer: ObjectStoreWriter
    private var stored_: StoredObject?
    private var isPublished = false
    private var mayHaveSidecar = false

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
        mayHaveSidecar = true
        try writer.publish(document)
        isPublished = true
    }

    func discard() {
        guard !isPublished else { return }
        // Without its archive a sidecar would be damage: then both stay.
        if mayHaveSidecar, !writer.removeSidecar(id) { return }
        object.discard()
        writer.forgetUpload()
    }
}

extension ObjectStoreWriter {
    fileprivate func location(of id: BackupID) -> String { store.location(of: id, in: scope) }

    fileprivate func open(_ object: StoredObject) -> any RandomAccessBytes {
        CoalescedBytes(object, in: store.objects)
    }
}
