import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A new file of a member's directory, written by position.
final class MemberFile: Sendable {
    /// The most bytes of one write.
    ///
    /// For larger ones the page cache takes memory in larger pieces, which a busy host or the host of a virtual machine
    /// first has to make: a gigabyte then takes three times as long.
    private static let writeByteCount = 64 << 10

    let path: String
    private let descriptor: FileDescriptor

    /// Creates the file with mode 0600; one that exists is an error.
    init(in directory: OpenDirectory, name: String) throws(SystemCallError) {
        path = directory.path(of: name)
        let raw = try retryingInterrupts("create", directory.path(of: name)) {
            openat(directory.descriptor.rawValue, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        }
        descriptor = FileDescriptor(rawValue: raw)
    }

    deinit { try? descriptor.close() }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...].prefix(Self.writeByteCount))
            done += try retryingInterrupts("write to", path) {
                pwrite(descriptor.rawValue, rest.baseAddress, rest.count, off_t(offset + done))
            }
        }
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(SystemCallError) {
        try bytes.lend { (buffer) throws(SystemCallError) in try write(buffer, at: offset) }
    }

    /// Sets the length; what was not written reads as zero.
    func setByteCount(_ byteCount: Int) throws(SystemCallError) {
        try retryingInterrupts("set the size of", path) { ftruncate(descriptor.rawValue, off_t(byteCount)) }
    }

    /// Overwrites bytes with zeros.
    func clear(at offset: Int, byteCount: Int) throws(SystemCallError) {
        let zeros = [UInt8](repeating: 0, count: min(byteCount, 1 << 20))
        for start in stride(from: 0, to: byteCount, by: zeros.count) {
            try write(Array(zeros.prefix(byteCount - start)), at: offset + start)
        }
    }

    /// Reserves space for the first `byteCount` bytes, or only sets the length where the file system can't reserve.
    func reserve(_ byteCount: Int) throws(SystemCallError) {
        let code = posix_fallocate(descriptor.rawValue, 0, off_t(byteCount))
        switch code {
        case 0: return
        case EOPNOTSUPP, ENOSYS, EPERM, EINVAL, EINTR: try setByteCount(byteCount)
        default: throw SystemCallError("reserve space for", path, errno: Errno(rawValue: code))
        }
    }

    /// Makes this file share the blocks of another; false if the file system can't.
    func shareBlocks(of other: MemberFile) -> Bool {
        // FICLONE, `_IOW(0x94, 9, int)` of linux/fs.h.
        ioctl(descriptor.rawValue, 0x4004_9409, other.descriptor.rawValue) == 0
    }

    /// Starts writing back what was just written, so that the final sync finds little left to wait for.
    func startWriteback(at offset: Int, byteCount: Int) {
        HostIO.startWriteback(descriptor, offset: offset, byteCount: byteCount)
    }

    /// Returns after the file is durable.
    func sync() throws(SystemCallError) {
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
    }
}
