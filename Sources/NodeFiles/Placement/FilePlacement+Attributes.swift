import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What a target did not take of what files had beside their bytes, and links that its file system has none of; everything
/// else was restored.
public struct PlacementRefusals: Codable, Sendable, Equatable {
    /// What is refused.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// An owner or a group.
        case owner
        /// A label of SELinux.
        case label
        /// Another extended attribute.
        case attribute
        /// A mode or a time.
        case mode
        /// A symbolic link, which is left out.
        case link
    }

    /// Owners and groups, which are now those of the user who restores.
    public var ownerCount = 0
    /// Labels of SELinux, which are now those that the target gives.
    public var labelCount = 0
    /// Other extended attributes, ACLs among them.
    public var attributeCount = 0
    /// Modes and times.
    public var modeCount = 0
    /// Symbolic links, which are not there now.
    public var linkCount = 0
    /// The first refusal, as a sentence; nil if there is none.
    public var firstReason: String?
    /// The files that it was of, each once, by the raw value of ``Kind``; no more than a thousand of a kind.
    public var paths: [String: [String]] = [:]

    /// No refusals.
    public init() {}

    /// All of them.
    public var count: Int { Kind.allCases.reduce(0) { $0 + count(of: $1) } }

    /// Those of a kind.
    public func count(of kind: Kind) -> Int { self[keyPath: Self.counter(kind)] }

    /// The files of those of a kind, as far as they are listed.
    public func paths(of kind: Kind) -> [String] { paths[kind.rawValue] ?? [] }

    mutating func note(_ kind: Kind, of path: String, reason: String? = nil) {
        self[keyPath: Self.counter(kind)] += 1
        firstReason = firstReason ?? reason
        let listed = paths(of: kind)
        guard listed.last != path, listed.count < Self.maximumPathCount else { return }
        paths[kind.rawValue, default: []].append(path)
    }

    private static let maximumPathCount = 1000

    private static func counter(_ kind: Kind) -> WritableKeyPath<Self, Int> {
        switch kind {
        case .owner: \.ownerCount
        case .label: \.labelCount
        case .attribute: \.attributeCount
        case .mode: \.modeCount
        case .link: \.linkCount
        }
    }

    /// What is about attributes of this target and not about its health: file systems have no owners, no room in an inode
    /// or no such name, user namespaces don't know a number (chown(2) and setxattr(2): EINVAL, EOVERFLOW), and users may not.
    fileprivate static let codes: Set<Errno> = [
        .notPermitted, .permissionDenied, .notSupported, .noFunction, .invalidArgument, .noSpace, .diskQuotaExceeded,
        .argListTooLong, .outOfRange, .overflow, .fileNameTooLong, .noData,
    ]
}

extension FilePlacement {
    /// acl(5), "object creation and default ACLs".
    private static let inheritedAttributes = ["system.posix_acl_access", "system.posix_acl_default"].map {
        Array($0.utf8)
    }
    private static let labelName = Array("security.selinux".utf8)
    private static let setIDBits: UInt16 = 0o6000

    /// - Parameter path: what the file will be called, for messages.
    func setAttributes(of descriptor: FileDescriptor, _ metadata: EntryMetadata, path: String) throws {
        let file = OpenFileAttributes(of: descriptor, name: path)
        let isOwned = try settingOwner(metadata, path) {
            try file.setOwner(userID: metadata.userID, groupID: metadata.groupID)
        }
        // A directory with a default ACL gives it to what is made in it.
        for name in Self.inheritedAttributes where !metadata.extendedAttributes.contains(where: { $0.name == name }) {
            try permitting(.attribute, path) { try file.removeExtendedAttribute(name) }
        }
        for attribute in metadata.extendedAttributes {
            try permitting(attribute, path) { try file.setExtendedAttribute(attribute.name, attribute.value) }
        }
        // After the owner, which clears set-ID bits, and after the attributes, which may be ACLs. A program that was to run
        // as its owner must not run as another one.
        let mode = isOwned ? metadata.mode : metadata.mode & ~Self.setIDBits
        try permitting(.mode, path) { try file.setMode(mode) }
        try permitting(.mode, path) {
            try file.setModificationTime(
                seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
        }
    }

    /// - Returns: whether the owner is the one that the metadata names.
    func settingOwner(_ metadata: EntryMetadata, _ path: String, _ body: () throws -> Void) throws -> Bool {
        if isPrivileged || metadata.userID == geteuid() { return try permitting(.owner, path, body) }
        refusals.note(.owner, of: path)
        return false
    }

    func permitting(_ attribute: ExtendedAttribute, _ path: String, _ body: () throws -> Void) throws {
        try permitting(attribute.name == Self.labelName ? .label : .attribute, path, body)
    }

    /// - Returns: whether it was not refused.
    @discardableResult
    func permitting(
        _ kind: PlacementRefusals.Kind, _ path: String, _ body: () throws -> Void
    ) throws -> Bool {
        do {
            try body()
            return true
        } catch var error as SystemCallError where PlacementRefusals.codes.contains(error.errno) {
            error.subject = path
            refusals.note(kind, of: path, reason: error.description)
            return false
        }
    }
}
