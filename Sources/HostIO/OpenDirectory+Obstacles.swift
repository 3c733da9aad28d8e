internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

extension OpenDirectory {
    /// Why no entry can be made here or renamed, as a clause of a sentence with what to do about it; nil if nothing is known
    /// that keeps this user from it.
    public var obstacleToWriting: String? {
        let restrictions = clinux_restrictions(descriptor.rawValue, "")
        let directory = quoted(path)
        if restrictions & CInt(CLINUX_IMMUTABLE) != 0 { return "\(directory) is immutable: chattr -i" }
        if restrictions & CInt(CLINUX_APPEND_ONLY) != 0 { return "\(directory) is append-only: chattr -a" }
        // access(2): other errors than these tell nothing here.
        guard faccessat(descriptor.rawValue, ".", W_OK | X_OK, AT_EACCESS) != 0 else { return nil }
        switch Errno(rawValue: errno) {
        case .readOnlyFileSystem: return "\(directory) is on a read-only file system: remount it writable"
        case .permissionDenied: return "this user may not write to \(directory): run as root"
        default: return nil
        }
    }

    /// Why an entry that is there can't be replaced by a rename, like ``obstacleToWriting``, which counts besides.
    public func obstacle(toReplacing name: EntryName) -> String? {
        let restrictions = name.withCString { clinux_restrictions(descriptor.rawValue, $0) }
        if restrictions & CInt(CLINUX_MOUNT_ROOT) != 0 { return "it is a mount point: unmount it" }
        if restrictions & CInt(CLINUX_IMMUTABLE) != 0 { return "it is immutable: chattr -i" }
        if restrictions & CInt(CLINUX_APPEND_ONLY) != 0 { return "it is append-only: chattr -a" }
        return nil
    }
}
