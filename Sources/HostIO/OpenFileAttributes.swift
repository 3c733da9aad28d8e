internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Sets attributes of an open file or directory, which no rename of it or of another can divert.
public struct OpenFileAttributes {
    private let descriptor: FileDescriptor
    private let name: String

    /// The attributes of what a descriptor is open on, which stays the caller's; `name` is for messages.
    public init(of descriptor: FileDescriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Sets owner and group; what has them already needs no leave, which a sandbox gives to nobody.
    public func setOwner(userID: UInt32, groupID: UInt32) throws(SystemCallError) {
        do {
            try retryingInterrupts("change the owner of", name) { fchown(descriptor.rawValue, userID, groupID) }
        } catch {
            let found = try attributesOf(descriptor, name: name)
            guard (found.userID, found.groupID) == (userID, groupID) else { throw error }
        }
    }

    /// Sets the permission bits, set-ID and sticky bits included.
    public func setMode(_ mode: UInt16) throws(SystemCallError) {
        try retryingInterrupts("change the mode of", name) { fchmod(descriptor.rawValue, mode_t(mode)) }
    }

    /// Sets the time of the last modification.
    public func setModificationTime(seconds: Int64, nanoseconds: Int) throws(SystemCallError) {
        let time = timespec(tv_sec: Int(seconds), tv_nsec: nanoseconds)
        try retryingInterrupts("change the time of", name) { futimens(descriptor.rawValue, [time, time]) }
    }

    /// Removes an extended attribute that may be there.
    public func removeExtendedAttribute(_ attribute: [UInt8]) throws(SystemCallError) {
        do {
            try retryingInterrupts("remove attribute \(String(decoding: attribute, as: UTF8.self)) of", name) {
                HostIO.withCString(attribute) { clinux_remove_open_attribute(descriptor.rawValue, $0) }
            }
        } catch {
            guard [.noData, .notSupported].contains(error.errno) else { throw error }
        }
    }

    /// Sets an extended attribute.
    public func setExtendedAttribute(
        _ attribute: [UInt8], _ value: some Collection<UInt8>
    ) throws(SystemCallError) {
        let value = Array(value)
        try retryingInterrupts("set attribute \(String(decoding: attribute, as: UTF8.self)) of", name) {
            HostIO.withCString(attribute) {
                clinux_set_open_attribute(descriptor.rawValue, $0, value, value.count)
            }
        }
    }
}
