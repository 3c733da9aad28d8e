import FoundationEssentials
import HostIO
import SealedArchive

/// The objects of one scope: which archives are there, and whether each of them is whole.
///
/// An archive is whole from the moment that its sidecar is there, which is created last and removed first.
struct ObjectScope {
    let scope: StoreScope
    /// The archives, by their identifiers.
    private(set) var archives: [BackupID: StoredObject] = [:]
    /// The sidecars, by their identifiers.
    private(set) var sidecars: [BackupID: StoredObject] = [:]
    /// What says which backups were removed.
    private(set) var removalRecords: [StoredObject] = []
    /// The records and pages of drills.
    private(set) var drills: [DrillName: StoredObject] = [:]

    /// What cluster, node and file name a key has; nil for what is not ours.
    static func parts(of key: String) -> (scope: StoreScope, name: String)? {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let scope = try? StoreScope(cluster: parts[0], node: parts[1]) else { return nil }
        return (scope, parts[2])
    }

    /// Groups the objects of a list.
    static func scopes(_ objects: [StoredObject]) -> [ObjectScope] {
        var scopes: [StoreScope: ObjectScope] = [:]
        for object in objects {
            guard let (scope, name) = parts(of: object.key) else { continue }
            scopes[scope, default: ObjectScope(scope: scope)].add(object, name)
        }
        return scopes.values.sorted { $0.scope < $1.scope }
    }

    private init(scope: StoreScope) { self.scope = scope }

    private mutating func add(_ object: StoredObject, _ name: String) {
        if RemovalRecord.isName(name) { return removalRecords.append(object) }
        if let drill = DrillName(name) { return drills[drill] = object }
        if name.hasSuffix(ArchiveFormat.archiveSuffix) {
            if let id = BackupID(name.dropLast(ArchiveFormat.archiveSuffix.count)) { archives[id] = object }
        } else if name.hasSuffix(ArchiveFormat.sidecarSuffix) {
            if let id = BackupID(name.dropLast(ArchiveFormat.sidecarSuffix.count)) { sidecars[id] = object }
        }
    }

    /// The small objects that have to be read to know the scope.
    var documents: [StoredObject] {
        sidecars.values.sorted { $0.key < $1.key } + removalRecords + newestDrills.values.sorted { $0.key < $1.key }
    }

    /// The newest record of each backup's drills, of those that are small enough to be one.
    private var newestDrills: [BackupID: StoredObject] {
        Array(drills.keys).newestRecords.compactMapValues { drills[$0] }
            .filter { sidecars[$0.key] != nil && $0.value.byteCount <= DrillDocument.maximumByteCount }
    }

    /// What is there, by the bytes of its documents.
    ///
    /// - Parameters:
    ///   - documents: of each key what was read, or why it could not be.
    ///   - store: the name of the store.
    ///   - own: what this host remembers of the scope.
    func listing(_ documents: [String: Result<[UInt8], any Error>], in store: String, own: ChainRecord) -> StoreListing
    {
        var listing = StoreListing()
        var removal = RemovalRecord()
        var recordFailure: Failure?
        for object in removalRecords {
            do {
                removal.merge(try RemovalRecord.decode(Self.bytes(object, documents), name: "\(store)/\(object.key)"))
            } catch {
                recordFailure = Failure(wrapping: error)
            }
        }
        for id in Set(archives.keys).union(sidecars.keys).sorted() where !removal.removing.contains(id) {
            add(id, documents, store, to: &listing)
        }
        var record = own
        record.removed = removal.removed
        listing.records[scope] = record
        listing.removing[scope] = removal.removing.filter { archives[$0] != nil || sidecars[$0] != nil }
        listing.chain = chain(of: listing, record, recordFailure)
        listing.sort()
        return listing
    }

    /// Whether something was listed that was gone when it was read, or something is missing: half of what belongs together, or
    /// what the host itself has written meanwhile.
    func contradictsItself(_ documents: [String: Result<[UInt8], any Error>], _ listing: StoreListing) -> Bool {
        let isGone = documents.values.contains { result in
            if case .failure(let error as ObjectError) = result { return error.kind == .absent }
            return false
        }
        return isGone || !listing.chain.isEmpty
            || listing.unreadable.contains { sidecars[$0.id] != nil && archives[$0.id] == nil }
    }

    private func add(
        _ id: BackupID, _ documents: [String: Result<[UInt8], any Error>], _ store: String,
        to listing: inout StoreListing
    ) {
        guard let sidecar = sidecars[id] else {
            // It may be in the making: its writer publishes it last.
            return listing.unpublished.append(
                UnpublishedArchive(
                    backup: .orphan(scope: scope, id: id), byteCount: archives[id]?.byteCount ?? 0,
                    modifiedAt: archives[id]?.modifiedAt))
        }
        do {
            var backup = try backup(id, Self.bytes(sidecar, documents), "\(store)/\(sidecar.key)", in: store)
            if let drill = newestDrills[id], let bytes = try? Self.bytes(drill, documents) {
                backup.drill = DrillDocument.record(bytes, of: backup.sidecar, name: "\(store)/\(drill.key)")
            }
            listing.backups.append(backup)
        } catch let error as ObjectError where error.kind == .absent {
            return
        } catch {
            listing.unreadable.append(
                UnreadableBackup(scope: scope, id: id, isOrphan: false, failure: Failure(wrapping: error)))
        }
    }

    /// The backup of a sidecar whose archive is there.
    private func backup(_ id: BackupID, _ bytes: [UInt8], _ name: String, in store: String) throws -> StoredBackup {
        let sidecar = try Sidecar.decode(bytes, name: name)
        let backup = StoredBackup(scope: scope, id: id, sidecar: sidecar, sidecarBytes: bytes, isFlat: false)
        try sidecar.archive.check(
            isOf: backup.reference, path: name,
            hint: "the object was moved or replaced: compare it with another copy of the store")
        guard let archive = archives[id] else {
            throw Failure(
                .integrity, "\(quoted(backup.reference)) has a sidecar and no archive",
                hint: "bring \(backup.archiveName) back from another copy of the store, or delete the backup")
        }
        try sidecar.object.checkSize(archive.byteCount, of: "\(store)/\(archive.key)")
        return backup
    }

    private static func bytes(
        _ object: StoredObject, _ documents: [String: Result<[UInt8], any Error>]
    ) throws -> [UInt8] {
        guard let result = documents[object.key] else {
            throw Failure(.failed, "\(quoted(object.key)) was not read")
        }
        return try result.get()
    }

    private func chain(of listing: StoreListing, _ record: ChainRecord, _ failure: Failure?) -> [ChainProblem] {
        if let failure {
            return [
                ChainProblem(
                    code: .record, subject: "\(scope)",
                    message: "which backups were removed is not known: \(failure.message)",
                    advice: failure.hint ?? "check the store")
            ]
        }
        return BackupChain(
            scope: scope, backups: listing.backups,
            unreadableCount: listing.unreadable.count + listing.unpublished.count, record: record
        ).problems()
    }
}

/// An archive without a sidecar in a store where writers publish what is complete: it is being written, or its writer was
/// interrupted.
public struct UnpublishedArchive: Sendable {
    /// The archive.
    public var backup: UnreadableBackup
    /// Its size in bytes.
    public var byteCount: Int
    /// When it was complete, by the clock of the store.
    public var modifiedAt: Date?

    /// What it is for people, in a sentence.
    public var explanation: String { "it has no sidecar: it is being written, or its writer was interrupted" }
}
