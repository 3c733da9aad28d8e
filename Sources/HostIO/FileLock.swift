import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Takes an exclusive `flock(2)` on an open file or directory without waiting; it goes with the last descriptor of this
/// opening, and stays with the file when that is renamed.
///
/// - Returns: whether nobody else holds it.
/// - Throws: ``SystemCallError`` where it can't be told, as on a file system without locks.
public func tryLockExclusively(_ descriptor: FileDescriptor, name: String) throws(SystemCallError) -> Bool {
    do {
        try retryingInterrupts("lock", name) { flock(descriptor.rawValue, LOCK_EX | LOCK_NB) }
        return true
    } catch  where error.errno == .wouldBlock {
        return false
    }
}

/// Takes a shared `flock(2)`, which others may share and which keeps everybody from an exclusive one, without waiting.
///
/// A file that is open for reading alone is enough, also where the file system is another host's.
///
/// - Returns: whether nobody holds it exclusively.
/// - Throws: ``SystemCallError`` where it can't be told, as on a file system without locks.
public func tryLockShared(_ file: RandomAccessFile) throws(SystemCallError) -> Bool {
    do {
        try retryingInterrupts("lock", file.name) { flock(file.descriptorNumber, LOCK_SH | LOCK_NB) }
        return true
    } catch  where error.errno == .wouldBlock {
        return false
    }
}

extension FileDescriptor {
    /// Lets go of a `flock(2)` that was taken on this opening, and closes it.
    ///
    /// Closing alone leaves the lock to a child process that was forked and has not yet executed its program.
    public func closeReleasingLock() {
        flock(rawValue, LOCK_UN)
        try? close()
    }
}

/// That there is something under a temporary name, and no lock tells whether it is in use.
func undecided(_ path: String, cause: SystemCallError) -> Failure {
    Failure(
        .failed, "\(quoted(path)) exists, and whether a run is filling it can't be told",
        hint: "remove it if none is, or name another place", cause: cause)
}
