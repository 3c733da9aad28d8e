internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What `lstat(2)` tells of an entry of a directory.
public struct EntryAttributes: Sendable, Equatable {
    /// The type of an entry.
    public enum Kind: Sendable {
        /// A regular file.
        case file
        /// A directory.
        case directory
        /// A symbolic link.
        case symbolicLink
        /// A named pipe.
        case fifo
        /// A socket.
        case socket
        /// A character or block device.
        case device

        /// What to call one.
        public var noun: String {
            switch self {
            case .file: "a file"
            case .directory: "a directory"
            case .symbolicLink: "a symbolic link"
            case .fifo: "a named pipe"
            case .socket: "a socket"
            case .device: "a device"
            }
        }
    }

    /// The type.
    public var kind: Kind
    /// The size in bytes.
    public var byteCount: Int
    /// The permission bits, set-ID and sticky bits included.
    public var mode: UInt16
    /// The owner's number.
    public var userID: UInt32
    /// The group's number.
    public var groupID: UInt32
    /// The last modification, in whole seconds since 1970.
    public var modificationSeconds: Int64
    /// The rest of that time in nanoseconds.
    public var modificationNanoseconds: Int
    /// The last change of the contents or the attributes, in nanoseconds since 1970.
    public var changeNanoseconds: Int64
    /// Which file it is: the device and the number on it.
    public var identity: FileIdentity
    /// The number of names the file has.
    public var linkCount: Int

    init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .symbolicLink
        case S_IFIFO: kind = .fifo
        case S_IFSOCK: kind = .socket
        default: kind = .device
        }
        byteCount = Int(status.st_size)
        mode = UInt16(status.st_mode & 0o7777)
        userID = status.st_uid
        groupID = status.st_gid
        modificationSeconds = Int64(status.st_mtim.tv_sec)
        modificationNanoseconds = status.st_mtim.tv_nsec
        changeNanoseconds = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
        identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        linkCount = Int(status.st_nlink)
    }
}

/// Which file it is, whatever its name.
public struct FileIdentity: Hashable, Sendable {
    /// The device.
    public var device: UInt64
    /// The number of the file on the device.
    public var inode: UInt64
}

extension OpenDirectory {
    /// What the entry is, without following it.
    public func attributes(of name: EntryName) throws(SystemCallError) -> EntryAttributes {
        var status = stat()
        try retryingInterrupts("examine", path(of: name)) {
            name.withCString { fstatat(descriptor.rawValue, $0, &status, AT_SYMLINK_NOFOLLOW) }
        }
        return EntryAttributes(status)
    }

    /// What the entry is, without following it; nil if there is none.
    public func existingAttributes(of name: EntryName) throws(SystemCallError) -> EntryAttributes? {
        do {
            return try attributes(of: name)
        } catch  where error.errno == .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Whether this directory is the root of a mount, so that it can't be renamed or replaced.
    public func isMountRoot() throws(SystemCallError) -> Bool {
        let result = clinux_is_mount_root(descriptor.rawValue)
        if result < 0 { throw SystemCallError("examine", path) }
        return result == 1
    }

    /// What this directory is.
    public func attributes() throws(SystemCallError) -> EntryAttributes {
        try attributesOf(descriptor, name: path)
    }

    /// Opens the directory `name` in this one; a symbolic link of that name is an error.
    public func openDirectory(_ name: EntryName) throws(SystemCallError) -> OpenDirectory {
        OpenDirectory(
            descriptor: try open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, "open directory"), path: path(of: name))
    }

    /// Opens the regular file `name` for reading; the caller closes it.
    public func openFile(_ name: EntryName) throws(SystemCallError) -> FileDescriptor {
        try open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, "open")
    }

    /// Creates the file `name` for writing with mode 0600; the caller closes it.
    public func createFile(_ name: EntryName) throws(SystemCallError) -> FileDescriptor {
        try open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, "create")
    }

    /// Opens or makes the directory `name` in this one, with mode 0700 when it is made.
    public func makeDirectory(_ name: EntryName) throws(SystemCallError) -> OpenDirectory {
        _ = try makeDirectoryIfAbsent(name)
        return try openDirectory(name)
    }

    /// Makes the directory `name` in this one with mode 0700 unless something of that name is there.
    ///
    /// - Returns: whether it was made.
    public func makeDirectoryIfAbsent(_ name: EntryName) throws(SystemCallError) -> Bool {
        if name.withCString({ mkdirat(descriptor.rawValue, $0, 0o700) }) == 0 { return true }
        if Glibc.errno != EEXIST { throw SystemCallError("make directory", path(of: name)) }
        return false
    }

    /// Removes the entry `name`, which is no directory; without it nothing happens.
    public func removeFile(_ name: EntryName) throws(SystemCallError) {
        do {
            try retryingInterrupts("remove", path(of: name)) {
                name.withCString { unlinkat(descriptor.rawValue, $0, 0) }
            }
        } catch  where error.errno == .noSuchFileOrDirectory {}
    }

    /// Removes the directory `name`, which must be empty.
    public func removeEmptyDirectory(_ name: EntryName) throws(SystemCallError) {
        try retryingInterrupts("remove directory", path(of: name)) {
            name.withCString { unlinkat(descriptor.rawValue, $0, AT_REMOVEDIR) }
        }
    }

    /// Renames an entry over another one of this directory, or to a new name, and returns after the directory is synced.
    public func rename(_ source: EntryName, over target: EntryName) throws(SystemCallError) {
        try rename(source, to: target, replacing: true)
    }

    /// Renames an entry of this directory and returns after the directory is synced.
    ///
    /// - Parameter replacing: whether an existing `target` is replaced; otherwise it is an error.
    public func rename(_ source: EntryName, to target: EntryName, replacing: Bool) throws(SystemCallError) {
        try retryingInterrupts("rename to", path(of: target)) {
            source.withCString { source in
                target.withCString { target in
                    replacing
                        ? renameat(descriptor.rawValue, source, descriptor.rawValue, target)
                        : clinux_rename_exclusive(descriptor.rawValue, source, descriptor.rawValue, target)
                }
            }
        }
        try sync()
    }

    /// Gives an entry of this directory the same name in another one, where nothing of that name may be.
    public func move(_ name: EntryName, to directory: OpenDirectory) throws(SystemCallError) {
        try retryingInterrupts("rename to", directory.path(of: name)) {
            name.withCString {
                clinux_rename_exclusive(descriptor.rawValue, $0, directory.descriptor.rawValue, $0)
            }
        }
    }

    /// Where the symbolic link `name` points.
    public func readLink(_ name: EntryName) throws(SystemCallError) -> [UInt8] {
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = try retryingInterrupts("read link", path(of: name)) {
            name.withCString { readlinkat(descriptor.rawValue, $0, &target, target.count) }
        }
        return target[..<count].map { UInt8(bitPattern: $0) }
    }

    /// ``SystemCallError/action`` of a symbolic link that could not be made.
    public static let makingSymbolicLink = "make symbolic link"

    /// Makes the symbolic link `name`.
    public func makeSymbolicLink(_ name: EntryName, to target: [UInt8]) throws(SystemCallError) {
        try retryingInterrupts(Self.makingSymbolicLink, path(of: name)) {
            HostIO.withCString(target) { target in
                name.withCString { symlinkat(target, descriptor.rawValue, $0) }
            }
        }
    }

    /// Makes `name` a further name of the file `target` in another directory, without following `target`.
    public func makeHardLink(
        _ name: EntryName, to target: EntryName, in directory: OpenDirectory
    ) throws(SystemCallError) {
        try retryingInterrupts("make hard link", path(of: name)) {
            target.withCString { target in
                name.withCString { linkat(directory.descriptor.rawValue, target, descriptor.rawValue, $0, 0) }
            }
        }
    }

    /// Sets owner and group of the entry itself, as ``OpenFileAttributes/setOwner(userID:groupID:)`` does.
    public func setOwner(of name: EntryName, userID: UInt32, groupID: UInt32) throws(SystemCallError) {
        do {
            try retryingInterrupts("change the owner of", path(of: name)) {
                name.withCString { fchownat(descriptor.rawValue, $0, userID, groupID, AT_SYMLINK_NOFOLLOW) }
            }
        } catch {
            let found = try attributes(of: name)
            guard (found.userID, found.groupID) == (userID, groupID) else { throw error }
        }
    }

    /// Sets the time of the last modification of the entry itself.
    public func setModificationTime(of name: EntryName, seconds: Int64, nanoseconds: Int) throws(SystemCallError) {
        let time = timespec(tv_sec: Int(seconds), tv_nsec: nanoseconds)
        try retryingInterrupts("change the time of", path(of: name)) {
            name.withCString { utimensat(descriptor.rawValue, $0, [time, time], AT_SYMLINK_NOFOLLOW) }
        }
    }

    /// The extended attributes of the entry itself, sorted by name; none where the file system has none.
    public func extendedAttributes(of name: EntryName) throws(SystemCallError) -> [(name: [UInt8], value: [UInt8])] {
        try readAttributes(
            path(of: name),
            list: { buffer in
                name.withCString {
                    clinux_list_attributes_at(
                        descriptor.rawValue, $0, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
                }
            },
            get: { attribute, buffer in
                name.withCString { name in
                    HostIO.withCString(attribute) {
                        clinux_get_attribute_at(descriptor.rawValue, name, $0, buffer.baseAddress, buffer.count)
                    }
                }
            })
    }

    /// Sets an extended attribute of the entry itself.
    public func setExtendedAttribute(
        of name: EntryName, _ attribute: [UInt8], _ value: some Collection<UInt8>
    ) throws(SystemCallError) {
        let value = Array(value)
        try retryingInterrupts("set attribute \(String(decoding: attribute, as: UTF8.self)) of", path(of: name)) {
            name.withCString { name in
                HostIO.withCString(attribute) {
                    clinux_set_attribute_at(descriptor.rawValue, name, $0, value, value.count)
                }
            }
        }
    }

    /// Returns after everything written to the file system of this directory is durable.
    public func syncFileSystem() throws(SystemCallError) {
        try retryingInterrupts("sync the file system of", path) { clinux_sync_file_system(descriptor.rawValue) }
    }

    /// The path of an entry of this directory, for messages.
    public func path(of name: EntryName) -> String { path(of: name.description) }

    private func open(_ name: EntryName, _ flags: CInt, _ action: String) throws(SystemCallError) -> FileDescriptor {
        FileDescriptor(
            owningRaw: try retryingInterrupts(action, path(of: name)) {
                name.withCString { openat(descriptor.rawValue, $0, flags | O_CLOEXEC, 0o600) }
            })
    }
}

/// The extended attributes of an open file, sorted by name; none where the file system has none.
public func extendedAttributes(
    of descriptor: FileDescriptor, name: String
) throws(SystemCallError) -> [(name: [UInt8], value: [UInt8])] {
    try readAttributes(
        name,
        list: { buffer in
            clinux_list_open_attributes(
                descriptor.rawValue, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        },
        get: { attribute, buffer in
            HostIO.withCString(attribute) {
                clinux_get_open_attribute(descriptor.rawValue, $0, buffer.baseAddress, buffer.count)
            }
        })
}

private func readAttributes(
    _ subject: @autoclosure () -> String, list: (UnsafeMutableRawBufferPointer) -> Int,
    get: ([UInt8], UnsafeMutableRawBufferPointer) -> Int
) throws(SystemCallError) -> [(name: [UInt8], value: [UInt8])] {
    let names: [UInt8]
    do {
        names = try readAll("list the attributes of", subject(), list)
    } catch let error where error.errno == .notSupported {
        return []
    }
    var attributes: [(name: [UInt8], value: [UInt8])] = []
    for part in names.split(separator: 0).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
        let attribute = Array(part)
        let value = try readAll("read an attribute of", subject()) { get(attribute, $0) }
        attributes.append((attribute, value))
    }
    return attributes
}

/// What an open file is.
public func attributesOf(_ descriptor: FileDescriptor, name: String) throws(SystemCallError) -> EntryAttributes {
    var status = stat()
    try retryingInterrupts("examine", name) { fstat(descriptor.rawValue, &status) }
    return EntryAttributes(status)
}

/// Calls `read` for the size, then for the bytes, again while the size changes between.
private func readAll(
    _ action: String, _ subject: @autoclosure () -> String, _ read: (UnsafeMutableRawBufferPointer) -> Int
) throws(SystemCallError) -> [UInt8] {
    while true {
        let size = try retryingInterrupts(action, subject()) {
            read(UnsafeMutableRawBufferPointer(start: nil, count: 0))
        }
        if size == 0 { return [] }
        var bytes = [UInt8](repeating: 0, count: size)
        let count = bytes.withUnsafeMutableBytes(read)
        if count >= 0 { return Array(bytes[..<count]) }
        let error = SystemCallError(action, subject())
        if error.errno != .outOfRange { throw error }
    }
}
