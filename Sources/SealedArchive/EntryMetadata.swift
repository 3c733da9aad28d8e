import FoundationEssentials

/// The type of a member of an archive.
public enum EntryKind: String, Codable, Sendable {
    /// A regular file.
    case file
    /// A directory.
    case directory
    /// A symbolic link.
    case symbolicLink
    /// A further name of a file that comes earlier in the archive.
    case hardLink
}

/// An extended attribute of a file: its name and its value.
public struct ExtendedAttribute: Sendable, Equatable {
    /// The full name, such as `security.selinux`, as bytes: it need not be UTF-8.
    public var name: [UInt8]
    /// The value.
    public var value: Data

    /// An attribute from its parts.
    public init(name: [UInt8], value: Data) {
        self.name = name
        self.value = value
    }

    /// An attribute whose name is text.
    public init(name: String, value: Data) { self.init(name: Array(name.utf8), value: value) }
}

/// What a member of an archive is, apart from its bytes: what pax tar can keep of a file.
public struct EntryMetadata: Sendable, Equatable {
    /// The path in the archive, relative, as bytes: file names need not be UTF-8.
    public var path: [UInt8]
    /// The type.
    public var kind: EntryKind
    /// The size in bytes; 0 unless the kind is `file`.
    public var byteCount: Int
    /// The permission bits, set-ID and sticky bits included.
    public var mode: UInt16
    /// The owner's number.
    public var userID: UInt32
    /// The group's number.
    public var groupID: UInt32
    /// The owner's name on the host of the backup.
    public var userName: String?
    /// The group's name on the host of the backup.
    public var groupName: String?
    /// The time of the last modification, in whole seconds since 1970.
    public var modificationSeconds: Int64
    /// The rest of that time in nanoseconds.
    public var modificationNanoseconds: Int
    /// Where a symbolic link points, or the archive path that a hard link repeats.
    public var linkTarget: [UInt8]?
    /// Extended attributes; POSIX ACLs and SELinux labels are among them.
    public var extendedAttributes: [ExtendedAttribute]

    /// Metadata of a file that this program makes itself: mode 0600, root, now or at the given time.
    public init(path: String, byteCount: Int, time: Date) {
        self.init(path: Array(path.utf8), kind: .file, byteCount: byteCount, mode: 0o600, modifiedAt: time)
    }

    /// Metadata from the parts that every member has.
    public init(path: [UInt8], kind: EntryKind, byteCount: Int = 0, mode: UInt16, modifiedAt: Date) {
        self.path = path
        self.kind = kind
        self.byteCount = byteCount
        self.mode = mode
        userID = 0
        groupID = 0
        modificationSeconds = Int64(modifiedAt.timeIntervalSince1970.rounded(.down))
        modificationNanoseconds = 0
        extendedAttributes = []
    }

    /// The path for messages, with bytes that are not UTF-8 replaced.
    public var displayPath: String { String(decoding: path, as: UTF8.self) }
}
