import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Places files one by one below a root so that a journal of its caller's can take each back.
///
/// What is there is first kept under a further name in a directory of the caller's, on the same file system if that is
/// possible, then replaced by a rename; ``putBack(_:)`` renames it back with its owner, mode, times and attributes. Nothing is
/// ever written into a file that was there, and a link on the way leads nowhere.
public final class ReversiblePlacement {
    /// What was at a path.
    public enum Before: String, Codable, Sendable {
        /// Nothing.
        case absent
        /// A file or link that is kept.
        case kept
    }

    /// What the target did not take of owners and attributes.
    public var refusals: PlacementRefusals { attributes.refusals }

    private let root: OpenDirectory
    private let kept: OpenDirectory
    /// Sets attributes as restores do.
    private let attributes: FilePlacement

    /// A placement below `root` that keeps what it replaces in `kept`.
    public init(root: OpenDirectory, keptIn kept: OpenDirectory) {
        self.root = root
        self.kept = kept
        attributes = FilePlacement(root: root)
    }

    // MARK: Directories

    /// The directories on the way to a path that are not there, outermost first.
    ///
    /// - Throws: ``Failure`` if something else than a directory is on the way.
    public func missingDirectories(to path: String) throws -> [String] {
        let names = try Self.names(path)
        var directory = root
        var missing: [String] = []
        for (index, name) in names.dropLast().enumerated() {
            if missing.isEmpty, try directory.existingAttributes(of: name) != nil {
                directory = try open(name, in: directory)
            } else {
                missing.append(Self.path(names.prefix(index + 1)))
            }
        }
        return missing
    }

    /// Makes a directory with its owner and mode, durably, unless it is there.
    public func makeDirectory(_ path: String, like metadata: EntryMetadata?) throws {
        let names = try Self.names(path)
        let parent = try parent(of: names)
        guard let name = names.last, try parent.existingAttributes(of: name) == nil else { return }
        let temporaryName = StagedName.random()
        do {
            let made = try parent.makeDirectory(temporaryName)
            if let metadata {
                try attributes.setAttributes(of: made.descriptor, metadata, path: made.path)
            } else {
                try OpenFileAttributes(of: made.descriptor, name: made.path).setMode(0o755)
            }
            try parent.rename(temporaryName, to: name, replacing: false)
        } catch {
            try? parent.removeEmptyDirectory(temporaryName)
            throw error
        }
        try parent.sync()
    }

    /// Removes a directory if nothing is in it.
    ///
    /// - Returns: whether it is gone.
    public func removeDirectory(_ path: String) throws -> Bool {
        let names = try Self.names(path)
        guard let name = names.last, let parent = try existingParent(of: names),
            try parent.existingAttributes(of: name) != nil
        else { return true }
        do {
            try parent.removeEmptyDirectory(name)
            try parent.sync()
            return true
        } catch {
            guard [.directoryNotEmpty, .fileExists].contains(error.errno) else { throw error }
            return false
        }
    }

    /// Removes what a killed run has staged in a directory.
    public func removeStaged(in path: String) throws {
        guard let directory = try existingParent(of: Self.names(path + "/entry")) else { return }
        for name in try directory.names().filter(StagedName.matches).compactMap({ EntryName($0) }) {
            try directory.removeEntry(name)
        }
    }

    // MARK: Files

    /// Checks that what is at a path can be replaced: nothing, a file or a link, in a directory on the way or none.
    ///
    /// - Throws: ``Failure`` for anything else.
    public func check(_ path: String) throws {
        let names = try Self.names(path)
        guard let name = names.last, let parent = try existingParent(of: names),
            let existing = try parent.existingAttributes(of: name)
        else { return }
        try Self.check(existing, parent.path(of: name))
    }

    private static func check(_ existing: EntryAttributes, _ path: String) throws(Failure) {
        guard existing.kind == .file || existing.kind == .symbolicLink else {
            throw Failure(
                .failed, "\(quoted(path)) is \(existing.kind.noun), which is not replaced", hint: "move it away")
        }
    }

    /// Keeps what is at a path, durably; what an earlier run has kept stays.
    ///
    /// - Throws: ``Failure`` for what is neither a file nor a link.
    public func keep(_ path: String) throws -> Before {
        let names = try Self.names(path)
        guard let name = names.last, let parent = try existingParent(of: names),
            let existing = try parent.existingAttributes(of: name)
        else { return .absent }
        try Self.check(existing, parent.path(of: name))
        let directory = try makeKeptDirectory(names.dropLast())
        if try directory.existingAttributes(of: name) == nil {
            try link(name, existing, in: parent, to: name, in: directory)
            try directory.sync()
        }
        return .kept
    }

    /// Puts a file at a path, complete and durable, over what is there.
    ///
    /// - Parameter write: writes its bytes.
    public func put(
        _ path: String, _ metadata: EntryMetadata, write: (any ByteSink) throws -> Void
    ) throws {
        let names = try Self.names(path)
        guard let name = names.last else { return }
        let parent = try parent(of: names)
        let temporaryName = StagedName.random()
        do {
            try make(temporaryName, metadata, in: parent, path, write)
            try commit(temporaryName, as: name, in: parent)
        } catch {
            try? parent.removeEntry(temporaryName)
            throw error
        }
    }

    private func make(
        _ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory, _ path: String,
        _ write: (any ByteSink) throws -> Void
    ) throws {
        let descriptor = try parent.createFile(name)
        defer { try? descriptor.close() }
        let sink = DescriptorSink(descriptor, name: path)
        try write(sink)
        try attributes.setAttributes(of: descriptor, metadata, path: path)
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
    }

    /// Puts a symbolic link at a path, over what is there.
    public func putLink(_ path: String, _ metadata: EntryMetadata) throws {
        let names = try Self.names(path)
        guard let name = names.last else { return }
        let parent = try parent(of: names)
        let temporaryName = StagedName.random()
        do {
            try attributes.makeSymbolicLink(temporaryName, metadata, in: parent, path: path)
            try commit(temporaryName, as: name, in: parent)
        } catch {
            try? parent.removeEntry(temporaryName)
            throw error
        }
    }

    /// Makes a path what it was before.
    ///
    /// Done once, it may be done again.
    public func putBack(_ path: String, _ before: Before) throws {
        let names = try Self.names(path)
        guard let name = names.last, let parent = try existingParent(of: names) else { return }
        switch before {
        case .absent:
            guard try parent.existingAttributes(of: name) != nil else { return }
            try parent.removeFile(name)
        case .kept:
            guard let directory = try keptDirectory(names.dropLast()),
                let existing = try directory.existingAttributes(of: name)
            else { return }
            let temporaryName = StagedName.random()
            try link(name, existing, in: directory, to: temporaryName, in: parent)
            // Of two names of one file, rename(2) removes none.
            if let now = try parent.existingAttributes(of: name), now.identity == existing.identity {
                try parent.removeFile(temporaryName)
            } else {
                try parent.rename(temporaryName, over: name)
            }
            try parent.sync()
            try directory.removeFile(name)
        }
        try parent.sync()
    }

    // MARK: What is kept

    /// The paths that something is kept of.
    public func keptPaths() throws -> [String] { try Self.paths(in: kept, below: "") }

    private static func paths(in directory: OpenDirectory, below path: String) throws -> [String] {
        var found: [String] = []
        for name in try directory.names().compactMap({ EntryName($0) }) where !StagedName.matches(name.bytes) {
            let below = "\(path)/\(name)"
            if try directory.existingAttributes(of: name)?.kind == .directory {
                found += try paths(in: directory.openDirectory(name), below: below)
            } else {
                found.append(below)
            }
        }
        return found
    }

    /// Whether what is kept of a path is there too, by a second name or as a copy: then it was not replaced.
    public func isStillThere(_ path: String) throws -> Bool {
        let names = try Self.names(path)
        guard let name = names.last, let parent = try existingParent(of: names),
            let now = try parent.existingAttributes(of: name), let directory = try keptDirectory(names.dropLast()),
            try directory.existingAttributes(of: name) != nil
        else { return false }
        return try parent.isSame(name, now, as: name, in: directory, isLink: false)
    }

    // MARK: Steps

    private func commit(_ temporaryName: EntryName, as name: EntryName, in parent: OpenDirectory) throws {
        try parent.rename(temporaryName, over: name)
        try parent.sync()
    }

    /// A further name, or a copy where there can be none.
    private func link(
        _ name: EntryName, _ existing: EntryAttributes, in parent: OpenDirectory, to newName: EntryName,
        in directory: OpenDirectory
    ) throws {
        do {
            return try directory.makeHardLink(newName, to: name, in: parent)
        } catch {
            let reasons: [Errno] = [.improperLink, .tooManyLinks, .notPermitted, .notSupported, .noFunction]
            guard reasons.contains(error.errno) else { throw error }
        }
        let temporaryName = StagedName.random()
        do {
            if existing.kind == .symbolicLink {
                var metadata = try attributes.metadata(of: existing, parent.extendedAttributes(of: name))
                metadata.linkTarget = try parent.readLink(name)
                try attributes.makeSymbolicLink(
                    temporaryName, metadata, in: directory, path: directory.path(of: newName))
            } else {
                try attributes.copyFile(
                    name, in: parent, to: temporaryName, in: directory, path: directory.path(of: newName))
            }
            try directory.syncFileSystem()
            try directory.rename(temporaryName, to: newName, replacing: false)
        } catch {
            try? directory.removeFile(temporaryName)
            throw error
        }
    }

    // MARK: Paths

    private static func names(_ path: String) throws(Failure) -> [EntryName] {
        guard let names = EntryName.components(of: path.drop { $0 == "/" }.utf8), !names.isEmpty else {
            throw Failure(.integrity, "\(quoted(path)) leads elsewhere", hint: "the archive was not made by etcd-snap")
        }
        return names
    }

    private static func path(_ names: some Collection<EntryName>) -> String {
        "/" + names.map(\.description).joined(separator: "/")
    }

    private func parent(of names: [EntryName]) throws -> OpenDirectory {
        var directory = root
        for name in names.dropLast() { directory = try open(name, in: directory) }
        return directory
    }

    private func makeKeptDirectory(_ names: ArraySlice<EntryName>) throws -> OpenDirectory {
        var directory = kept
        for name in names {
            if try directory.makeDirectoryIfAbsent(name) { try directory.sync() }
            directory = try directory.openDirectory(name)
        }
        return directory
    }

    /// Nil if nothing is kept there.
    private func keptDirectory(_ names: ArraySlice<EntryName>) throws -> OpenDirectory? {
        var directory = kept
        for name in names {
            guard try directory.existingAttributes(of: name) != nil else { return nil }
            directory = try directory.openDirectory(name)
        }
        return directory
    }

    /// Nil if a directory on the way is not there.
    private func existingParent(of names: [EntryName]) throws -> OpenDirectory? {
        var directory = root
        for name in names.dropLast() {
            guard try directory.existingAttributes(of: name) != nil else { return nil }
            directory = try open(name, in: directory)
        }
        return directory
    }

    private func open(_ name: EntryName, in directory: OpenDirectory) throws -> OpenDirectory {
        do {
            return try directory.openDirectory(name)
        } catch {
            guard [.notDirectory, .tooManySymbolicLinkLevels].contains(error.errno) else { throw error }
            throw Failure(
                .failed,
                "\(quoted(directory.path(of: name))) is a link or no directory, and files are to be placed below it",
                hint: "make it a directory")
        }
    }
}
