import SystemPackage

/// A directory that becomes visible under its name only when it is complete and durable.
///
/// It is filled under a temporary name; the target must not exist, or be an empty directory. Beside its target it is renamed
/// to it. A target that is a mount point can't be replaced, nor one whose owner and label are to stay: then the temporary
/// directory is in it, and what was made there is renamed up into the target. The `lost+found` of a file system is nobody's
/// and counts for nothing there. Where a publication takes several renames, a ``PublicationNote`` tells the next run what to
/// take back if this one is killed between them.
public final class StagingDirectory {
    /// The directory to fill; mode 0700.
    public let directory: OpenDirectory
    /// The target, if it was there before and is what is filled.
    public let filled: OpenDirectory?
    /// What holds the temporary directory: the target's parent, or the target.
    private let parent: OpenDirectory
    private let temporaryName: EntryName
    /// The target's name in its parent; of no use if the target is filled.
    private let name: EntryName
    private var movedNames: [EntryName] = []
    private let record: StagingRegister.Record?
    private var isDone = false

    /// Makes the temporary directory.
    ///
    /// - Parameter keepsExisting: whether an empty directory that is there is filled, and not replaced.
    /// - Throws: ``Failure`` if the target exists and is not an empty directory; ``SystemCallError``.
    public init(target: String, keepsExisting: Bool = false) throws {
        let place = try StagingPlace(target, keepsExisting: keepsExisting)
        name = place.name
        temporaryName = place.temporaryName
        parent = place.parent
        self.filled = place.filled
        let filled = place.filled
        try place.interrupted?.settle()
        // Held while it is filled, also under its final name: whoever looks for leftovers sees that it is none.
        if let filled, (try? filled.tryLock()) == false { throw Self.busy(filled.path) }
        try Self.removeLeftover(parent, temporaryName)
        directory = try parent.makeDirectory(temporaryName)
        // What can't be locked looks like a leftover to others: then it is not recorded.
        let isLocked = try? directory.tryLock()
        record = isLocked == true ? StagingRegister.record(parent.path(of: temporaryName)) : nil
        guard isLocked != false, parent.isEntry(temporaryName.description, directory.descriptor) else {
            record?.remove()
            throw Self.busy(parent.path(of: temporaryName))
        }
        UnfinishedWork.add(self) { [parent, temporaryName, directory] in
            Self.remove(temporaryName, from: parent, ifIt: directory)
        }
    }

    deinit { UnfinishedWork.remove(self) }

    /// Makes the directory visible under its name; returns when that is durable.
    public func publish() throws { try Self.publish([self]) }

    /// Makes directories visible that belong together, in their order; returns when that is durable.
    ///
    /// What fails is taken back at once, and what is killed by the next run that comes to one of the targets: the directories
    /// are there together, or none of them.
    public static func publish(_ directories: [StagingDirectory]) throws {
        try UnfinishedWork.protecting {
            for directory in directories { try directory.complete() }
            let notes = try writeNotes(of: directories)
            defer { for note in notes { try? note.close() } }
            do {
                for directory in directories { try directory.move() }
                for directory in directories { try directory.removeNote() }
            } catch {
                // The notes go last, for this may be killed too.
                for directory in directories { directory.discard() }
                for directory in directories { try? directory.removeNote() }
                throw error
            }
            for directory in directories { directory.record?.remove() }
        }
    }

    private func complete() throws {
        try directory.syncFileSystem()
        guard parent.isEntry(temporaryName.description, directory.descriptor) else {
            throw Self.busy(parent.path(of: temporaryName))
        }
        try StagingPlace.checkVacant(filled, or: name, in: parent, aside: [temporaryName.bytes])
    }

    private func move() throws {
        if let filled { return try moveUp(into: filled) }
        if try parent.existingAttributes(of: name) != nil { try parent.removeEmptyDirectory(name) }
        try parent.rename(temporaryName, to: name, replacing: false)
    }

    // MARK: Notes

    /// Writes a note beside each of the temporary directories, if there is more than one rename.
    ///
    /// - Returns: what holds their locks.
    private static func writeNotes(of directories: [StagingDirectory]) throws -> [FileDescriptor] {
        let count = try directories.reduce(0) { try $0 + ($1.filled == nil ? 1 : $1.directory.names().count) }
        guard count > 1 else { return [] }
        let note = try PublicationNote(
            id: UInt64.random(in: 1...UInt64(Int64.max)), moves: directories.flatMap { try $0.moves() },
            files: directories.compactMap { directory in
                directory.noteName.map { PublicationNote.Place($0, in: directory.parent) }
            })
        var written: [FileDescriptor] = []
        do {
            for directory in directories {
                guard let name = directory.noteName else { continue }
                written.append(try note.write(to: name, in: directory.parent))
            }
            return written
        } catch {
            for directory in directories.prefix(written.count) { try? directory.removeNote() }
            for descriptor in written { try? descriptor.close() }
            throw error
        }
    }

    private var noteName: EntryName? { PublicationNote.fileName(of: name.bytes) }

    private func removeNote() throws {
        guard let noteName, try parent.existingAttributes(of: noteName) != nil else { return }
        try parent.removeFile(noteName)
        try parent.sync()
    }

    private func moves() throws -> [PublicationNote.Move] {
        guard let filled else {
            return [
                PublicationNote.Move(
                    source: .init(temporaryName, in: parent), destination: .init(name, in: parent),
                    entries: try PublicationNote.entries(of: temporaryName, in: parent))
            ]
        }
        return try directory.names().compactMap { EntryName($0) }.map { name in
            PublicationNote.Move(
                source: .init(name, in: directory), destination: .init(name, in: filled),
                entries: try PublicationNote.entries(of: name, in: directory))
        }
    }

    private func moveUp(into target: OpenDirectory) throws {
        for name in try directory.names().compactMap({ EntryName($0) }) {
            try directory.move(name, to: target)
            movedNames.append(name)
        }
        try target.sync()
        try target.removeEmptyDirectory(temporaryName)
        try target.sync()
    }

    /// Removes the directory with everything in it, as far as that is possible, also after ``publish()``; one that was there
    /// before is empty again.
    public func discard() {
        guard !isDone else { return }
        isDone = true
        UnfinishedWork.protecting {
            Self.remove(temporaryName, from: parent, ifIt: directory)
            record?.remove()
            if let filled {
                for name in movedNames { try? filled.removeTree(name) }
            } else {
                Self.remove(name, from: parent, ifIt: directory)
            }
        }
    }

    private static func remove(_ name: EntryName, from parent: OpenDirectory, ifIt directory: OpenDirectory) {
        guard parent.isEntry(name.description, directory.descriptor) else { return }
        try? parent.removeTree(name)
    }

    /// A directory that nobody holds locked was left by a process that is no more.
    private static func removeLeftover(_ parent: OpenDirectory, _ name: EntryName) throws {
        guard try parent.existingAttributes(of: name) != nil else { return }
        let leftover = try parent.openDirectory(name)
        do {
            guard try leftover.tryLock() else { throw busy(parent.path(of: name)) }
        } catch let error as SystemCallError {
            throw undecided(parent.path(of: name), cause: error)
        }
        // Locked until it is gone, so that nobody takes it for theirs.
        try withExtendedLifetime(leftover) { try parent.removeTree(name) }
    }

    private static func busy(_ path: String) -> Failure {
        Failure(
            .locked, "another run is filling \(quoted(path))",
            hint: "wait for it to end, or name another directory")
    }
}
