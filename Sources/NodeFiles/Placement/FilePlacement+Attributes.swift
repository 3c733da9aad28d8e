import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

extension FilePlacement {
    /// acl(5), "object creation and default ACLs".
    private static let inheritedAttributes = ["system.posix_acl_access", "system.posix_acl_default"]

    func setAttributes(of descriptor: FileDescriptor, _ metadata: EntryMetadata, path: String) throws {
        let file = OpenFileAttributes(of: descriptor, name: path)
        try settingOwner(metadata) { try file.setOwner(userID: metadata.userID, groupID: metadata.groupID) }
        // A directory with a default ACL gives it to what is made in it.
        for name in Self.inheritedAttributes where !metadata.extendedAttributes.contains(where: { $0.name == name }) {
            try permitting { try file.removeExtendedAttribute(name) }
        }
        for attribute in metadata.extendedAttributes {
            try permitting { try file.setExtendedAttribute(attribute.name, attribute.value) }
        }
        // After the owner, which clears set-ID bits, and after the attributes, which may be ACLs.
        try file.setMode(metadata.mode)
        try file.setModificationTime(
            seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
    }

    func settingOwner(_ metadata: EntryMetadata, _ body: () throws -> Void) throws {
        if isPrivileged {
            try permitting(body)
        } else if metadata.userID != geteuid() {
            refusedAttributeCount += 1
        }
    }

    func permitting(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as SystemCallError
            where [.notPermitted, .permissionDenied, .notSupported].contains(error.errno)
        {
            refusedAttributeCount += 1
        }
    }
}
