import FoundationEssentials
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A publication whose process is no more, found by its ``PublicationNote``, which is locked while this object lives.
final class InterruptedPublication {
    private let note: PublicationNote
    private let descriptor: FileDescriptor
    private let file: (name: EntryName, directory: OpenDirectory)

    /// Looks for the note of a target; changes nothing.
    ///
    /// - Returns: nil if there is none, or what has its name is something else.
    /// - Throws: ``Failure`` with the code `locked` while the process that publishes lives.
    init?(of target: some Collection<UInt8>, in directory: OpenDirectory) throws {
        guard let name = PublicationNote.fileName(of: target), let descriptor = Self.open(name, in: directory) else {
            return nil
        }
        let path = directory.path(of: name)
        do {
            guard let note = try PublicationNote.read(descriptor, name: path) else {
                try? descriptor.close()
                return nil
            }
            guard try Self.lock(descriptor, path) else {
                throw Failure(
                    .locked, "another run is filling \(quoted(directory.path))",
                    hint: "wait for it to end, or name another directory")
            }
            // Its process may have just ended with it.
            guard directory.isEntry(name.description, descriptor) else {
                try? descriptor.close()
                return nil
            }
            self.note = note
        } catch {
            try? descriptor.close()
            throw error
        }
        self.descriptor = descriptor
        file = (name, directory)
    }

    deinit { descriptor.closeReleasingLock() }

    private static func open(_ name: EntryName, in directory: OpenDirectory) -> FileDescriptor? {
        // For writing, without which NFS gives no exclusive lock.
        let raw = name.withCString {
            openat(directory.descriptor.rawValue, $0, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        }
        return raw < 0 ? nil : FileDescriptor(owningRaw: raw)
    }

    private static func lock(_ descriptor: FileDescriptor, _ path: String) throws -> Bool {
        do throws(SystemCallError) {
            return try tryLockExclusively(descriptor, name: path)
        } catch {
            throw undecided(path, cause: error)
        }
    }

    // MARK: What it has made

    /// Whether something is still under a temporary name; otherwise the publication was done, and only the note was left.
    private func isUnfinished() throws -> Bool {
        try note.moves.contains { move in
            guard let (name, directory) = try move.source.open() else { return false }
            return try directory.existingAttributes(of: name) != nil
        }
    }

    /// The moves that were made and whose entries are still there.
    private func made() throws -> [(move: PublicationNote.Move, name: EntryName, directory: OpenDirectory)] {
        guard try isUnfinished() else { return [] }
        return try note.moves.compactMap { move in
            guard let entry = move.entries.first, let (name, directory) = try move.destination.open(),
                let existing = try directory.existingAttributes(of: name),
                PublicationNote.Entry([], existing).inode == entry.inode,
                (existing.kind == .directory) == entry.isDirectory
            else { return nil }
            return (move, name, directory)
        }
    }

    /// The names in a directory that ``settle()`` will remove: what the publication has made there.
    ///
    /// - Throws: ``Failure`` if some of that was changed since.
    func names(in directory: OpenDirectory) throws -> Set<[UInt8]> {
        let identity = try directory.attributes().identity
        var names: Set<[UInt8]> = []
        for (move, name, place) in try made() where try place.attributes().identity == identity {
            try Self.checkUnchanged(move, name, in: place)
            names.insert(name.bytes)
        }
        return names
    }

    /// Takes the publication back unless it was done, and removes its note.
    ///
    /// - Throws: ``Failure`` if something of it was changed since; then everything stays as it is.
    func settle() throws {
        let made = try made()
        for (move, name, directory) in made { try Self.checkUnchanged(move, name, in: directory) }
        for (_, name, directory) in made {
            try directory.removeTree(name)
            try directory.sync()
        }
        for place in note.files { try Self.removeFile(place, of: note) }
        try file.directory.removeFile(file.name)
        try file.directory.sync()
    }

    private static func checkUnchanged(
        _ move: PublicationNote.Move, _ name: EntryName, in directory: OpenDirectory
    ) throws {
        let written = Dictionary(move.entries.map { ($0.path, $0) }) { first, _ in first }
        for entry in try PublicationNote.entries(of: name, in: directory)
        where written[entry.path]?.isSame(as: entry) != true {
            let path = directory.path(of: name) + String(decoding: entry.path, as: UTF8.self)
            throw Failure(
                .failed,
                "\(quoted(directory.path)) has a part of what an interrupted run was to place there, and "
                    + "\(quoted(path)) was made or changed since",
                hint: "move away what is yours, and run it again: it removes that part and begins anew")
        }
    }

    /// Removes the note's other files, each only if it is of the same publication.
    private static func removeFile(_ place: PublicationNote.Place, of note: PublicationNote) throws {
        guard let (name, directory) = try place.open(), let descriptor = open(name, in: directory) else { return }
        defer { try? descriptor.close() }
        guard try PublicationNote.read(descriptor, name: directory.path(of: name))?.id == note.id else { return }
        try directory.removeFile(name)
    }
}
