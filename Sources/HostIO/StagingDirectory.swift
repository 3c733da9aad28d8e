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
        let place = try StagingPlace(target, keepsExisting: keepsExisting)
        name = place.name
        temporaryName = place.temporaryName
        parent = place.parent
        self.filled = place.filled
        let filled = place.filled
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
    public func publish() throws {
        try UnfinishedWork.protecting {
            try directory.syncFileSystem()
            guard parent.isEntry(temporaryName.description, directory.descriptor) else {
                throw Self.busy(parent.path(of: temporaryName))
            }
            try StagingPlace.checkVacant(filled, or: name, in: parent, aside: temporaryName)
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
