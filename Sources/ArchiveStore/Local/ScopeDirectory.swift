import HostIO
import SealedArchive
import SystemPackage

/// The directory of one scope: which archives are in it, and whether each of them is whole.
///
/// An archive is whole from the moment that it has its name: its sidecar is complete and durable by then, at first under its
/// temporary name. So publishing and deleting are done by one rename of the archive, and whoever is interrupted beside that
/// leaves a backup whole or not there at all.
struct ScopeDirectory {
    let directory: OpenDirectory
    /// Nil for a flat directory of archives, each of which says itself whose it is.
    let scope: StoreScope?

    /// The largest sidecar that is read.
    private static let maximumSidecarSize = 16 << 20

    /// What there is of an archive.
    enum Entry {
        case whole(StoredBackup)
        /// The archive has no sidecar.
        case orphan
        case absent
    }

    /// Everything that is here, and what of the chain does not hold.
    func contents() throws -> StoreListing {
        var listing = StoreListing()
        // Read first: what is published or removed later is then in neither.
        let isRecorded = directory.contains(ChainRecord.fileName)
        let record = Result { try ChainRecord.read(in: directory) }
        let drills = try drillNames().newestRecords
        for id in try ids() {
            do {
                switch try entry(id) {
                case .whole(var backup):
                    backup.drill = drills[id].flatMap { drill($0, of: backup) }
                    listing.backups.append(backup)
                case .orphan: listing.unreadable.append(.orphan(scope: scope, id: id))
                case .absent: break
                }
            } catch {
                listing.unreadable.append(
                    UnreadableBackup(scope: scope, id: id, isOrphan: false, failure: Failure(wrapping: error)))
            }
        }
        if let scope {
            listing.records[scope] = try? record.get()
            listing.chain = chain(of: listing, scope, record)
            if !isRecorded, Self.mustHaveRecord(listing) { listing.chain.insert(.unrecorded(scope), at: 0) }
        }
        listing.sort()
        return listing
    }

    /// Whether something was published here before the newest; the very first backup gets its name before the record does.
    private static func mustHaveRecord(_ listing: StoreListing) -> Bool {
        listing.backups.count > 1 || listing.backups.contains { $0.sidecar.sequence > 1 }
    }

    private func chain(
        of listing: StoreListing, _ scope: StoreScope, _ record: Result<ChainRecord, any Error>
    ) -> [ChainProblem] {
        do {
            return BackupChain(
                scope: scope, backups: listing.backups, unreadableCount: listing.unreadable.count,
                record: try record.get()
            ).problems()
        } catch {
            let failure = Failure(wrapping: error)
            return [
                ChainProblem(
                    code: .record, subject: "\(scope)",
                    message: "which backups were removed is not known: \(failure.message)",
                    advice: failure.hint ?? "check the store")
            ]
        }
    }

    /// The archives and sidecars that are here, each of which may lack the other.
    func ids() throws -> [BackupID] { try ids(named: "") }

    /// The backups whose removal was interrupted after they were gone: what is left of them are temporary files.
    func interruptedRemovals() throws -> [StoredBackup] {
        try ids(named: PendingFile.temporaryPrefix).compactMap { id in
            let name = PendingFile.temporaryPrefix + StoredBackup.sidecarName(id)
            guard try !containsArchive(id), (try? LeftoverFile(name, in: directory)) != nil else {
                return nil
            }
            return try? read(id, name)
        }
    }

    /// The temporary names of archives and sidecars that are in use or left over.
    func temporaryNames() throws -> [String] {
        try directory.utf8Names().filter { name in
            guard name.hasPrefix(PendingFile.temporaryPrefix) else { return false }
            return Self.id(name, behind: PendingFile.temporaryPrefix) != nil
                || DrillName(name.dropFirst(PendingFile.temporaryPrefix.count)) != nil
        }
    }

    // MARK: Drills

    /// The records and pages of drills that are here.
    func drillNames() throws -> [DrillName] { try directory.utf8Names().compactMap { DrillName($0) } }

    /// What a record says, if it can be read and is of this backup.
    private func drill(_ name: DrillName, of backup: StoredBackup) -> DrillRecord? {
        let path = directory.path(of: name.fileName)
        guard let file = try? RandomAccessFile(path: path), file.byteCount <= DrillDocument.maximumByteCount,
            let bytes = try? file.bytes(at: 0, count: file.byteCount)
        else { return nil }
        return DrillDocument.record(bytes, of: backup.sidecar, name: path)
    }

    /// Whether there is anything that a record of a drill can belong to.
    func mayHaveDrills(_ id: BackupID) throws -> Bool {
        let names = [StoredBackup.archiveName(id), StoredBackup.sidecarName(id)]
        return names.contains { directory.contains($0) || directory.contains(PendingFile.temporaryPrefix + $0) }
    }

    /// Removes the records and pages of drills of some backups.
    ///
    /// - Returns: their names.
    @discardableResult
    func removeDrills(where isWanted: (BackupID) throws -> Bool) throws -> [String] {
        let names = try drillNames().filter { try isWanted($0.backup) }.map(\.fileName)
        for name in names { try directory.removeFile(name) }
        return names
    }

    // MARK: Archives

    private func ids(named prefix: String) throws -> [BackupID] {
        Set(try directory.utf8Names().compactMap { Self.id($0, behind: prefix) }).sorted()
    }

    private static func id(_ name: String, behind prefix: String) -> BackupID? {
        let suffix = [ArchiveFormat.archiveSuffix, ArchiveFormat.sidecarSuffix].first(where: name.hasSuffix)
        guard name.hasPrefix(prefix), let suffix else { return nil }
        return BackupID(name.dropFirst(prefix.count).dropLast(suffix.count))
    }

    /// Looks at one archive; others may be publishing or deleting it meanwhile.
    ///
    /// - Throws: ``Failure`` for what can't be relied on, ``SystemCallError``.
    func entry(_ id: BackupID) throws -> Entry {
        guard let backup = try sidecar(of: id) ?? pendingSidecar(of: id) ?? sidecar(of: id) else {
            return try containsArchive(id) ? .orphan : .absent
        }
        guard let byteCount = try byteCount(backup.archiveName) else {
            // A sidecar that is being removed went before its archive.
            guard try self.byteCount(backup.sidecarName) != nil else { return .absent }
            throw Failure(
                .integrity, "\(quoted(backup.reference)) has a sidecar and no archive",
                hint: "restore \(backup.archiveName) from a copy of the store, or remove \(backup.sidecarName)")
        }
        try backup.sidecar.object.checkSize(byteCount, of: directory.path(of: backup.archiveName))
        return .whole(backup)
    }

    /// Whether the archive has its name.
    func containsArchive(_ id: BackupID) throws -> Bool { try byteCount(StoredBackup.archiveName(id)) != nil }

    /// The identifier in the temporary name of a sidecar; nil for other names.
    static func pendingSidecarID(_ name: String) -> BackupID? {
        name.hasSuffix(ArchiveFormat.sidecarSuffix) ? id(name, behind: PendingFile.temporaryPrefix) : nil
    }

    /// The backup whose archive is in its place and whose sidecar is still, or again, under its temporary name.
    private func pendingSidecar(of id: BackupID) throws -> StoredBackup? {
        guard try containsArchive(id) else { return nil }
        do {
            return try read(id, PendingFile.temporaryPrefix + StoredBackup.sidecarName(id))
        } catch let failure as Failure where failure.code == .integrity {
            // One that was cut short is none: it is being written for an archive that is without one, or was.
            return nil
        }
    }

    /// Whose an archive is by its sidecar, wherever that lies; nil if nothing tells.
    func statedScope(of id: BackupID) -> StoreScope? {
        try? ScopeDirectory(directory: directory, scope: nil).sidecar(of: id)?.scope
    }

    private func sidecar(of id: BackupID) throws -> StoredBackup? { try read(id, StoredBackup.sidecarName(id)) }

    /// The size of an entry; nil if there is none.
    private func byteCount(_ name: String) throws -> Int? {
        guard let name = EntryName(name.utf8) else { return nil }
        do {
            return try directory.attributes(of: name).byteCount
        } catch  where error.errno == .noSuchFileOrDirectory {
            return nil
        }
    }

    private func read(_ id: BackupID, _ name: String) throws -> StoredBackup? {
        let path = directory.path(of: name)
        let file: RandomAccessFile
        do {
            file = try RandomAccessFile(path: path)
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return nil
        }
        guard file.byteCount <= Self.maximumSidecarSize else {
            throw Failure(.integrity, "\(quoted(path)) has \(file.byteCount) bytes, too many for a sidecar")
        }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        let sidecar = try Sidecar.decode(bytes, name: path)
        let place = try scope ?? StoreScope(cluster: sidecar.archive.cluster, node: sidecar.archive.node)
        let backup = StoredBackup(scope: place, id: id, sidecar: sidecar, sidecarBytes: bytes, isFlat: scope == nil)
        try sidecar.archive.check(
            isOf: backup.reference, path: path,
            hint: "the file was moved or replaced: compare it with another copy of the store")
        return backup
    }
}
