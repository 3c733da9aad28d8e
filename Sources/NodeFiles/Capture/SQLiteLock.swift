import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a SQLite database and its log as they are, by SQLite's own locks, while its writers go on.
///
/// A shared lock keeps the database from being written outside of a log (`SHARED_FIRST`). With a write-ahead log, a shared
/// lock on its checkpoint byte keeps pages of the log from being copied into the database, and one on the first read mark
/// keeps the log from being started over: it only grows. So the database and then the log, each up to its size, are one
/// state. Locks are let go when this object is.
///
/// Source: SQLite, `os.h` (`PENDING_BYTE`, `SHARED_FIRST`, `SHARED_SIZE`) and "WAL-mode File Format", 2.3.1 "WAL Locks".
final class SQLiteLock {
    private static let pendingByte: Int64 = 0x4000_0000
    private static let sharedRange: (start: Int64, byteCount: Int64) = (0x4000_0002, 510)
    private static let checkpointByte: Int64 = 121
    private static let firstReadMarkByte: Int64 = 124
    private static let waitSeconds = 2.0

    private var descriptors: [FileDescriptor] = []

    /// Locks the database `name`; nil if a writer keeps it for itself for two seconds.
    init?(_ name: EntryName, in directory: OpenDirectory) {
        let deadline = ContinuousClock.now + .seconds(Self.waitSeconds)
        while !tryLock(name, directory) {
            release()
            guard ContinuousClock.now < deadline else { return nil }
            usleep(20_000)
        }
    }

    deinit { release() }

    private func release() {
        for descriptor in descriptors { try? descriptor.close() }
        descriptors = []
    }

    private func tryLock(_ name: EntryName, _ directory: OpenDirectory) -> Bool {
        guard let database = open(name, directory), tryLockShared(database, start: Self.pendingByte, byteCount: 1),
            tryLockShared(database, start: Self.sharedRange.start, byteCount: Self.sharedRange.byteCount)
        else { return false }
        unlock(database, start: Self.pendingByte, byteCount: 1)
        // Without shared memory nobody has a write-ahead log open.
        guard let memoryName = EntryName(name.bytes + Array("-shm".utf8)) else { return true }
        guard let memory = open(memoryName, directory) else {
            // What is there and can't be opened may be in use.
            return (try? directory.existingAttributes(of: memoryName)) == .some(.none)
        }
        return tryLockShared(memory, start: Self.checkpointByte, byteCount: 1)
            && tryLockShared(memory, start: Self.firstReadMarkByte, byteCount: 1)
    }

    private func open(_ name: EntryName, _ directory: OpenDirectory) -> FileDescriptor? {
        guard let descriptor = try? directory.openFile(name) else { return nil }
        descriptors.append(descriptor)
        return descriptor
    }
}
