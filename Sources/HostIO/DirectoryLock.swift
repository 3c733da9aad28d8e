internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// An exclusive lock on a directory, held until it is dropped or the process ends.
///
/// It is a `flock(2)` on the file `.lock` in the directory, which holds the process ID of the last holder. The file is
/// never removed: removing it would let two processes hold locks on two files of the same name.
public final class DirectoryLock: Sendable {
    /// The name of the file that is locked.
    public static let fileName = ".lock"
    private let descriptor: FileDescriptor

    /// Takes the lock without waiting.
    ///
    /// - Throws: ``Failure`` with the code `locked` and the holder's process ID when another process has it.
    public init(_ directory: OpenDirectory) throws {
        let path = directory.path(of: Self.fileName)
        let raw = try retryingInterrupts("open", path) {
            openat(directory.descriptor.rawValue, Self.fileName, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        }
        descriptor = FileDescriptor(owningRaw: raw)
        guard try tryLockExclusively(descriptor, name: path) else {
            let holder = Self.holder(raw)
            throw Failure(
                .locked, "another run\(holder.map { " (process \($0))" } ?? "") holds the lock \(quoted(path))",
                hint: "wait for it to end; the lock goes with its process, so it never has to be removed by hand")
        }
        // Only a message needs it; on a full disk there must be a lock to remove something under.
        let line = Array("\(getpid())\n".utf8)
        ftruncate(raw, 0)
        pwrite(raw, line, line.count, 0)
    }

    // It also runs when the initializer throws, for `descriptor` is set then.
    deinit { descriptor.closeReleasingLock() }

    private static func holder(_ descriptor: CInt) -> Int? {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        return Int(String(decoding: bytes[..<count], as: UTF8.self).filter { $0.isNumber })
    }
}
