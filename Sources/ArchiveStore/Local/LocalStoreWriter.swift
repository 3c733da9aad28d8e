import Age
import HostIO
import SealedArchive
import SystemPackage

/// A scope of a local store, locked for writing while this object lives.
public final class LocalStoreWriter: StoreWriter {
    /// The scope.
    public let scope: StoreScope
    /// The names of temporary files that interrupted runs left, and that were removed.
    public let removedLeftovers: [String]
    /// The backups whose publishing or removal was interrupted when they were whole, and whose sidecar has its name again.
    public let completedBackups: [BackupID]
    private let contents: ScopeDirectory
    private let lock: DirectoryLock
    private var directory: OpenDirectory { contents.directory }

    /// Locks the directory of a scope, and clears up after interrupted runs.
    init(_ contents: ScopeDirectory, _ scope: StoreScope) throws {
        self.contents = contents
        self.scope = scope
        lock = try DirectoryLock(contents.directory)
        completedBackups = try Self.completeBackups(in: contents)
        removedLeftovers = try Self.removeLeftovers(in: contents)
    }

    /// The bytes that are free in the store.
    public func availableByteCount() throws -> Int? { try directory.availableByteCount() }

    /// Begins an archive; nothing of it is visible before it is published.
    public func begin(_ id: BackupID) throws -> any PendingArchive {
        let file = try PendingFile(in: directory, name: StoredBackup.archiveName(id))
        file.reservedByteCount = Self.reserve(directory)
        file.bypassPageCache()
        return LocalPendingArchive(file: file, writer: self)
    }

    /// The number of the next backup, and the sidecar that it names as the one before it.
    ///
    /// It goes on behind the highest number, whichever chain that is of: no number is given twice.
    ///
    /// - Parameter listing: what is there.
    /// - Throws: as ``delete(_:)``, if it is not known what was removed.
    public func nextLink(after listing: StoreListing) throws -> ChainLink {
        listing.nextLink(in: scope, try record())
    }

    /// Notes that backups of other stores are not in this one on purpose; returns when that is durable.
    public func note(_ absent: AbsentBackups) throws {
        try note { record in absent.runs.forEach { record.add($0) } }
    }

    /// Forgets that backups were removed; returns when that is durable.
    public func takeBack(_ backups: [StoredBackup]) throws {
        try note { record in backups.forEach { record.takeBack($0) } }
    }

    /// Publishes an archive with its sidecar; returns when both are durable, and leaves neither when it throws.
    fileprivate func publish(_ archive: PendingFile, _ document: SidecarDocument) throws {
        let sidecar = document.sidecar
        try archive.publish(withSidecar: document.bytes, named: StoredBackup.sidecarName(sidecar.archive.id))
        // It is published, whatever becomes of this: the next one says it again.
        try? note { $0.publish(sidecar, sidecarSHA256: SHA256Hasher.digest(of: document.bytes).hexadecimal) }
    }

    /// Gives an archive that has none a sidecar; returns when that is durable.
    ///
    /// - Throws: ``Failure`` if it has one by now, or is gone.
    public func adopt(_ sidecar: SidecarDocument) throws {
        let id = sidecar.sidecar.archive.id
        guard case .orphan = try contents.entry(id) else {
            throw Failure(.failed, "\(quoted("\(scope)/\(id)")) is no archive without a sidecar any more")
        }
        let file = try PendingFile(in: directory, name: StoredBackup.sidecarName(id))
        try file.write(sidecar.bytes)
        try file.publish()
    }

    /// Keeps the record of a drill beside a backup; the page first, for the record is what counts.
    public func keep(_ drill: DrillDocument, of backup: StoredBackup) throws {
        guard case .whole(let found) = try contents.entry(backup.id), found.sidecarBytes == backup.sidecarBytes else {
            throw Self.replaced(backup)
        }
        let earlier = try contents.drillNames().filter { $0.backup == backup.id }
        let name = DrillName.new(of: backup.id)
        for (name, bytes) in [(name.page, drill.page), (name, drill.bytes)] {
            let file = try PendingFile(in: directory, name: name.fileName)
            try file.write(bytes)
            try file.publish()
        }
        for name in earlier { try? directory.removeFile(name.fileName) }
        _ = try? directory.sync()
    }

    private static func replaced(_ backup: StoredBackup) -> Failure {
        Failure(
            .notFound, "\(quoted(backup.reference)) was removed or replaced meanwhile", hint: "see `etcd-snap list`")
    }

    /// Removes backups, one after the other.
    public func delete(_ backups: [StoredBackup], onRemoval: (StoredBackup) -> Void) throws {
        for backup in backups {
            try remove(backup)
            onRemoval(backup)
        }
    }

    private func remove(_ backup: StoredBackup) throws {
        precondition(backup.scope == scope, "an archive of another scope")
        guard case .whole(let found) = try contents.entry(backup.id), found.sidecarBytes == backup.sidecarBytes else {
            // An interrupted removal came to its end with the leftovers.
            if removedLeftovers.contains(PendingFile.temporaryPrefix + backup.sidecarName) { return }
            throw Self.replaced(backup)
        }
        let others = try contents.contents().backups.filter { $0.id != backup.id }.inOrderOfNumbers
        let isNoted = try noteIfThereIsRoom { $0.remove(backup, among: others) }
        // Under temporary names both are leftovers. The archive's rename decides: before it the backup is whole.
        let names = [backup.sidecarName, backup.archiveName]
        do {
            for name in names {
                try directory.rename(name, to: PendingFile.temporaryPrefix + name, replacing: true)
            }
            try directory.removeFile(PendingFile.temporaryPrefix + backup.archiveName)
        } catch {
            putBack(names.reversed())
            throw error
        }
        // What of this fails or is lost is done by the next writer.
        _ = try? directory.removeFile(PendingFile.temporaryPrefix + backup.sidecarName)
        _ = try? contents.removeDrills { $0 == backup.id }
        // Now there is room; if there is still none the number is missed later, which is said.
        if !isNoted { try? note { $0.remove(backup, among: others) } }
        _ = try? directory.sync()
    }

    /// Removes what is left of a backup that can't be relied on: its archive, its sidecar, or both.
    ///
    /// - Throws: ``Failure`` with the code `failed` if it can be relied on by now; ``SystemCallError``, and what is left then
    ///   can be removed again.
    public func remove(_ backup: UnreadableBackup) throws {
        if case .whole = try? contents.entry(backup.id) {
            throw Failure(
                .failed, "\(quoted(backup.reference)) is whole by now", hint: "look at it again with `etcd-snap list`")
        }
        let found = try contents.contents()
        let removal: (inout ChainRecord) -> Void = { record in
            guard let run = record.run(of: backup.id, among: found.backups.inOrderOfNumbers) else { return }
            record.remove(run)
        }
        let isNoted = try noteIfThereIsRoom(removal)
        for name in [StoredBackup.archiveName(backup.id), StoredBackup.sidecarName(backup.id)] {
            try directory.removeFile(name)
            try directory.removeFile(PendingFile.temporaryPrefix + name)
        }
        try contents.removeDrills { $0 == backup.id }
        if !isNoted { try? note(removal) }
        try directory.sync()
    }

    /// What is remembered of removed backups; without a file nothing, and so if it is damaged, which ``StoreListing`` says.
    private func record() throws -> ChainRecord {
        do {
            return try ChainRecord.read(in: directory)
        } catch let failure as Failure where failure.code == .integrity {
            return ChainRecord()
        }
    }

    /// Changes what is remembered; returns when that is durable.
    private func note(_ change: (inout ChainRecord) -> Void) throws {
        var record = try record()
        let before = record
        change(&record)
        if record != before { try record.write(in: directory) }
    }

    /// Changes what is remembered, unless the store is full, for a removal is what makes room, or a directory has the name of
    /// the record, which is a finding already.
    ///
    /// - Returns: whether it was done.
    private func noteIfThereIsRoom(_ change: (inout ChainRecord) -> Void) throws -> Bool {
        do {
            try note(change)
            return true
        } catch  where Failure(wrapping: error).code == .noSpace {
            return false
        } catch let error as SystemCallError where error.errno == .isDirectory {
            return false
        }
    }

    /// Undoes the renames of a removal, as far as they were done and that is possible.
    private func putBack(_ names: [String]) {
        for name in names where directory.contains(PendingFile.temporaryPrefix + name) {
            _ = try? directory.rename(PendingFile.temporaryPrefix + name, to: name, replacing: false)
        }
    }

    /// A backup with its archive in its place is whole, see ``ScopeDirectory``.
    private static func completeBackups(in contents: ScopeDirectory) throws -> [BackupID] {
        let directory = contents.directory
        return try contents.ids().filter { id in
            let name = StoredBackup.sidecarName(id)
            // What can't be relied on stays as it is, and is listed as that.
            guard !directory.contains(name), case .whole = try? contents.entry(id),
                let leftover = try? LeftoverFile(PendingFile.temporaryPrefix + name, in: directory)
            else { return false }
            try leftover.publish(as: name)
            return true
        }
    }

    /// Removes the temporary files of runs that are no more.
    ///
    /// An archive without its sidecar is none of these: it may have been copied here, and have lost it on the way. Nor is the
    /// only sidecar of an archive that is in its place, whether it can be read now or not.
    private static func removeLeftovers(in contents: ScopeDirectory) throws -> [String] {
        let removed = try contents.temporaryNames().filter { name in
            if let id = ScopeDirectory.pendingSidecarID(name), try contents.containsArchive(id),
                !contents.directory.contains(StoredBackup.sidecarName(id))
            {
                return false
            }
            guard let leftover = try? LeftoverFile(name, in: contents.directory) else { return false }
            try leftover.remove()
            return true
        }
        let drills = try contents.removeDrills { try !contents.mayHaveDrills($0) }
        if !removed.isEmpty || !drills.isEmpty { try contents.directory.sync() }
        return removed + drills
    }

    /// What is left free for others, for a full disk under etcd stops the cluster: 2 % of the file system, at most 256 MiB.
    private static func reserve(_ directory: OpenDirectory) -> Int {
        min(256 << 20, ((try? directory.totalByteCount()) ?? 0) / 50)
    }
}

/// An archive that is being written to a local store.
private final class LocalPendingArchive: PendingArchive {
    private let file: PendingFile
    private let writer: LocalStoreWriter

    init(file: PendingFile, writer: LocalStoreWriter) {
        self.file = file
        self.writer = writer
    }

    var location: String { file.path }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try file.write(bytes) }

    func stored() throws -> any RandomAccessBytes { try file.reopen() }

    func publish(_ sidecar: SidecarDocument) throws { try writer.publish(file, sidecar) }

    func discard() { file.discard() }
}

extension PendingFile {
    /// Publishes an archive with its sidecar beside it; returns when both are durable, and leaves neither when it throws.
    ///
    /// The sidecar is complete and durable under its temporary name before the archive has its own: who is killed between
    /// leaves all that it takes to go on.
    ///
    /// - Parameters:
    ///   - document: the sidecar's bytes.
    ///   - name: the sidecar's file name.
    public func publish(withSidecar document: [UInt8], named name: String) throws {
        let sidecar = try PendingFile(in: directory, name: name)
        do {
            try sidecar.write(document)
            try sidecar.sync()
            try publish()
            try sidecar.publish()
        } catch {
            // An archive whose sidecar can't be removed stays, for together they are whole.
            if sidecar.withdraw() { withdraw() }
            throw error
        }
    }
}
