internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Whom a file belongs to: the numbers of a user and a group.
public struct FileOwner: Sendable, Hashable, CustomStringConvertible {
    /// The user's number.
    public var userID: UInt32
    /// The group's number.
    public var groupID: UInt32

    /// An owner from its parts.
    public init(userID: UInt32, groupID: UInt32) {
        self.userID = userID
        self.groupID = groupID
    }

    /// The owner of what has these attributes.
    public init(of attributes: EntryAttributes) {
        self.init(userID: attributes.userID, groupID: attributes.groupID)
    }

    /// The owner that `uid:gid` names; nil if it is not of that form.
    public init?(numbers text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let userID = UInt32(parts[0]), let groupID = UInt32(parts[1]) else { return nil }
        self.init(userID: userID, groupID: groupID)
    }

    /// The owner that chown(1) would take `USER[:GROUP]` for, where each may be a number; without a group it is the user's own.
    ///
    /// - Throws: ``Failure`` with the code `usage` for a name that this host does not know.
    public init(named text: String) throws(Failure) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let user = getpwnam(parts[0])?.pointee
        guard let userID = UInt32(parts[0]) ?? user?.pw_uid, userID != .max else {
            throw Failure(
                .usage, "this host has no user \(quoted(parts[0]))", hint: "name its number and that of its group")
        }
        guard parts.count == 2 else {
            guard let groupID = user?.pw_gid ?? getpwuid(userID)?.pointee.pw_gid else {
                throw Failure(
                    .usage, "this host has no user \(userID), so its group is not known",
                    hint: "name the group too, as in \(userID):\(userID)")
            }
            self.init(userID: userID, groupID: groupID)
            return
        }
        guard let groupID = UInt32(parts[1]) ?? getgrnam(parts[1])?.pointee.gr_gid, groupID != .max else {
            throw Failure(.usage, "this host has no group \(quoted(parts[1]))", hint: "name its number")
        }
        self.init(userID: userID, groupID: groupID)
    }

    /// Checks that this process may give a file to this owner, whatever the file system says of that; writes nothing.
    ///
    /// - Throws: ``Failure`` with the code `failed`.
    public func checkMayBeGiven() throws(Failure) {
        // A file without a name, in memory: the kernel asks the same of it as of any other.
        let descriptor = clinux_memory_file("etcd-snap-owner")
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        do {
            try OpenFileAttributes(of: FileDescriptor(rawValue: descriptor), name: "a file")
                .setOwner(userID: userID, groupID: groupID)
        } catch { throw failure(error) }
    }

    /// That files can't be given to this owner.
    public func failure(_ refusal: SystemCallError) -> Failure {
        Failure(
            .failed, "the data can't be given to \(self): \(refusal.errno)",
            hint:
                "run this as root, outside of a user namespace that lacks these numbers and on a file system that has "
                + "owners, or don't name an owner",
            settings: [.owner])
    }

    /// The owner that new files of this process get.
    public static var ofThisProcess: FileOwner { FileOwner(userID: geteuid(), groupID: getegid()) }

    /// The numbers as `uid:gid`.
    public var description: String { "\(userID):\(groupID)" }
}

extension OpenDirectory {
    /// Gives everything in this directory, and then itself, to an owner; links are not followed.
    public func setOwnerOfTree(_ owner: FileOwner) throws(SystemCallError) {
        for name in try names().compactMap({ EntryName($0) }) {
            if try attributes(of: name).kind == .directory {
                try openDirectory(name).setOwnerOfTree(owner)
            } else {
                try setOwner(of: name, userID: owner.userID, groupID: owner.groupID)
            }
        }
        try OpenFileAttributes(of: descriptor, name: path).setOwner(userID: owner.userID, groupID: owner.groupID)
    }
}
