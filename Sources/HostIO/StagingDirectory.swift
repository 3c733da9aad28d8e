/// A directory that becomes visible under its name only when it is complete and durable.
///
/// It is filled under a temporary name beside its target; ``publish()`` renames it. The target must not exist, or be an
/// empty directory, which is replaced.
public final class StagingDirectory {
    /// The directory to fill; mode 0700.
    public let directory: OpenDirectory
    private let parent: OpenDirectory
    private let temporaryName: String
    private let name: String

    /// Makes the temporary directory.
    ///
    /// - Throws: ``Failure`` if the target exists and is not an empty directory; ``SystemCallError``.
    public init(target: String) throws {
        (parent, name) = try OpenDirectory.parent(of: target)
        temporaryName = "\(PendingFile.temporaryPrefix)\(self.name)"
        try Self.checkVacant(parent, self.name)
        try Self.removeLeftover(parent, temporaryName)
        directory = try parent.makeDirectory(temporaryName)
        // Where the file system has no locks nobody can take it for a leftover either.
        let isTaken = (try? directory.tryLock()) == false
        guard !isTaken, parent.isEntry(temporaryName, directory.descriptor) else {
            throw Self.busy(parent, temporaryName)
        }
    }

    /// Makes the directory visible under its name; returns when that is durable.
    public func publish() throws {
        try directory.syncFileSystem()
        try Self.checkVacant(parent, name)
        guard parent.isEntry(temporaryName, directory.descriptor) else { throw Self.busy(parent, temporaryName) }
        if parent.contains(name) { try parent.removeEmptyDirectory(name) }
        try parent.rename(temporaryName, to: name, replacing: false)
    }

    /// Removes the directory with everything in it, as far as that is possible, also after ``publish()``.
    public func discard() {
        for name in [temporaryName, name] where parent.isEntry(name, directory.descriptor) {
            try? parent.removeTree(name)
        }
    }

    /// A directory that nobody holds locked was left by a process that is no more.
    private static func removeLeftover(_ parent: OpenDirectory, _ name: String) throws {
        guard parent.contains(name) else { return }
        let leftover = try parent.openDirectory(name)
        do {
            guard try leftover.tryLock() else { throw busy(parent, name) }
        } catch let error as SystemCallError {
            throw undecided(parent.path(of: name), cause: error)
        }
        // Locked until it is gone, so that nobody takes it for theirs.
        try withExtendedLifetime(leftover) { try parent.removeTree(name) }
    }

    private static func busy(_ parent: OpenDirectory, _ name: String) -> Failure {
        Failure(
            .locked, "another run is filling \(quoted(parent.path(of: name)))",
            hint: "wait for it to end, or name another directory")
    }

    private static func checkVacant(_ parent: OpenDirectory, _ name: String) throws {
        guard parent.contains(name) else { return }
        guard parent.isDirectory(name), try parent.openDirectory(name).names().isEmpty else {
            throw Failure(
                .failed, "\(quoted(parent.path(of: name))) exists and is not an empty directory",
                hint: "nothing is ever replaced: name a directory that does not exist yet")
        }
    }
}
