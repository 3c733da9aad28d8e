import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What a target did not take of what files had beside their bytes; everything else was restored.
public struct PlacementRefusals: Codable, Sendable, Equatable {
    /// Owners and groups, which are now those of the user who restores.
    public var ownerCount = 0
    /// Labels of SELinux, which are now those that the target gives.
    public var labelCount = 0
    /// Other extended attributes, ACLs among them.
    public var attributeCount = 0
    /// Modes and times.
    public var modeCount = 0
    /// The first refusal, as a sentence; nil if there is none.
    public var firstReason: String?

    /// No refusals.
    public init() {}

    /// All of them.
    public var count: Int { ownerCount + labelCount + attributeCount + modeCount }

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

    func setAttributes(of descriptor: FileDescriptor, _ metadata: EntryMetadata, path: String) throws {
        let file = OpenFileAttributes(of: descriptor, name: path)
        let isOwned = try settingOwner(metadata) {
            try file.setOwner(userID: metadata.userID, groupID: metadata.groupID)
        }
        // A directory with a default ACL gives it to what is made in it.
        for name in Self.inheritedAttributes where !metadata.extendedAttributes.contains(where: { $0.name == name }) {
            try permitting(\.attributeCount) { try file.removeExtendedAttribute(name) }
        }
        for attribute in metadata.extendedAttributes {
            try permitting(attribute) { try file.setExtendedAttribute(attribute.name, attribute.value) }
        }
        // After the owner, which clears set-ID bits, and after the attributes, which may be ACLs. A program that was to run
        // as its owner must not run as another one.
        let mode = isOwned ? metadata.mode : metadata.mode & ~Self.setIDBits
        try permitting(\.modeCount) { try file.setMode(mode) }
        try permitting(\.modeCount) {
            try file.setModificationTime(
                seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
        }
    }

    /// - Returns: whether the owner is the one that the metadata names.
    func settingOwner(_ metadata: EntryMetadata, _ body: () throws -> Void) throws -> Bool {
        if isPrivileged || metadata.userID == geteuid() { return try permitting(\.ownerCount, body) }
        refusals.ownerCount += 1
        return false
    }

    func permitting(_ attribute: ExtendedAttribute, _ body: () throws -> Void) throws {
        try permitting(attribute.name == Self.labelName ? \.labelCount : \.attributeCount, body)
    }

    /// - Returns: whether it was not refused.
    @discardableResult
    func permitting(
        _ counter: WritableKeyPath<PlacementRefusals, Int>, _ body: () throws -> Void
    ) throws -> Bool {
        do {
            try body()
            return true
        } catch let error as SystemCallError where PlacementRefusals.codes.contains(error.errno) {
            refusals[keyPath: counter] += 1
            refusals.firstReason = refusals.firstReason ?? error.description
            return false
        }
    }
}
