internal import CLinux
import SystemPackage

/// Takes a shared lock on a range of bytes of an open file, which other processes see as one of fcntl(2).
///
/// - Returns: whether nobody holds it exclusively. The lock goes with the last descriptor of this opening of the file.
public func tryLockShared(_ descriptor: FileDescriptor, start: Int64, byteCount: Int64) -> Bool {
    clinux_lock_range(descriptor.rawValue, start, byteCount, 1) == 0
}

/// Drops a lock on a range of bytes.
public func unlock(_ descriptor: FileDescriptor, start: Int64, byteCount: Int64) {
    _ = clinux_lock_range(descriptor.rawValue, start, byteCount, 0)
}
