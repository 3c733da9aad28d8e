import SystemPackage

/// A directory that becomes visible under its name only when it is complete and durable.
///
/// It is filled under a temporary name; the target must not exist, or be an empty directory. Beside its target it is renamed
/// to it. A target that is a mount point can't be replaced, nor one whose owner and label are to stay: then the temporary
/// directory is in it, and what was made there is renamed up into the target. The `lost+found` of a file system is nobody's
/// and counts for nothing there.
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
        let (above, lastName) = try OpenDirectory.parent(of: target)
        (name, temporaryName) = (try Self.entry(lastName), try Self.entry(PendingFile.temporaryPrefix + lastName))
        let filled = try Self.filled(target, name, in: above, keepsExisting: keepsExisting)
        self.filled = filled
        parent = filled ?? above
        try Self.checkVacant(filled, or: name, in: above, aside: temporaryName)
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

    private static func entry(_ name: String) throws -> EntryName {
        guard let entry = EntryName(name.utf8) else {
            throw Failure(.usage, "\(quoted(name)) is no name of a directory", hint: "name another one")
        }
        return entry
    }

    /// Makes the directory visible under its name; returns when that is durable.
    public func publish() throws {
        try UnfinishedWork.protecting {
            try directory.syncFileSystem()
            guard parent.isEntry(temporaryName.description, directory.descriptor) else {
                throw Self.busy(parent.path(of: temporaryName))
            }
            try Self.checkVacant(filled, or: name, in: parent, aside: temporaryName)
            if let filled {
                try moveUp(into: filled)
            } else {
                if try parent.existingAttributes(of: name) != nil { try parent.removeEmptyDirectory(name) }
                try parent.rename(temporaryName, to: name, replacing: false)
            }
            record?.remove()
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

    // MARK: What is there

    /// The directory that would be filled in the place of `target`; nil if nothing is there.
    ///
    /// - Throws: ``Failure`` if the target exists and is not an empty directory.
    public static func existing(_ target: String) throws -> OpenDirectory? {
        let (above, lastName) = try OpenDirectory.parent(of: target)
        let name = try entry(lastName)
        let filled = try filled(target, name, in: above, keepsExisting: true)
        try checkVacant(filled, or: name, in: above, aside: entry(PendingFile.temporaryPrefix + lastName))
        return filled
    }

    /// The target if it is to be filled where it is; nil if it is to be made or replaced.
    private static func filled(
        _ target: String, _ name: EntryName, in parent: OpenDirectory, keepsExisting: Bool
    ) throws -> OpenDirectory? {
        switch try parent.existingAttributes(of: name)?.kind {
        case .directory:
            let directory = try parent.openDirectory(name)
            if keepsExisting { return directory }
            if try directory.isMountRoot() { return directory }
            let names = try directory.names()
            return names.contains(lostAndFound) ? directory : nil
        case .symbolicLink where keepsExisting:
            do {
                return try OpenDirectory(path: target)
            } catch  where [.notDirectory, .noSuchFileOrDirectory].contains(error.errno) {
                return nil
            }
        default: return nil
        }
    }

    /// The directory that `mkfs` makes for `fsck` in an ext4.
    private static let lostAndFound = Array("lost+found".utf8)

    private static func checkVacant(
        _ filled: OpenDirectory?, or name: EntryName, in parent: OpenDirectory, aside temporaryName: EntryName
    ) throws {
        if let filled {
            let names = try filled.names().filter { $0 != temporaryName.bytes && $0 != lostAndFound }
            guard names.isEmpty else { throw occupied(filled.path, names) }
        } else if let existing = try parent.existingAttributes(of: name) {
            let names = existing.kind == .directory ? try parent.openDirectory(name).names() : [[]]
            guard names.isEmpty else { throw occupied(parent.path(of: name), names.filter { !$0.isEmpty }) }
        }
    }

    private static func occupied(_ path: String, _ names: [[UInt8]]) -> Failure {
        let found = names.first.map { ": it has \(quoted(String(decoding: $0, as: UTF8.self)))" } ?? ""
        return Failure(
            .failed, "\(quoted(path)) exists and is not an empty directory\(found)",
            hint: "nothing is ever replaced: name a directory that does not exist yet, or empty that one")
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
