import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A temporary file of a process that is no more, held while this object lives, so that nobody else takes it too.
///
/// Who fills a ``PendingFile`` holds a lock on it, which goes with the process. What can't be locked, for a living process
/// holds it or the file system has no locks, is not taken.
public final class LeftoverFile {
    private let directory: OpenDirectory
    private let name: String
    private let descriptor: FileDescriptor

    /// Takes the regular file `name`; nil if there is none, or it is a living process's.
    ///
    /// - Throws: ``Failure`` where it can't be told whether it is.
    public init?(_ name: String, in directory: OpenDirectory) throws(Failure) {
        // For writing, without which NFS gives no exclusive lock.
        let raw = openat(directory.descriptor.rawValue, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let descriptor = FileDescriptor(owningRaw: raw)
        let path = directory.path(of: name)
        // Its process may have ended it under another name before the lock was there to be taken.
        do throws(SystemCallError) {
            guard try attributesOf(descriptor, name: path).kind == .file,
                try tryLockExclusively(descriptor, name: path), directory.isEntry(name, descriptor)
            else {
                try? descriptor.close()
                return nil
            }
        } catch {
            try? descriptor.close()
            throw undecided(path, cause: error)
        }
        self.directory = directory
        self.name = name
        self.descriptor = descriptor
    }

    deinit { descriptor.closeReleasingLock() }

    /// Removes the file.
    public func remove() throws(SystemCallError) { try directory.removeFile(name) }

    /// Makes the file durable and gives it the name that it was meant to have; returns when that is durable too.
    public func publish(as target: String) throws(SystemCallError) {
        try retryingInterrupts("sync", directory.path(of: name)) { fsync(descriptor.rawValue) }
        try directory.rename(name, to: target, replacing: false)
    }
}
