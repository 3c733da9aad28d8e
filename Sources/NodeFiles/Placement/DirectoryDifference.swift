import HostIO
import SealedArchive

/// A directory that was there already, and that others may use in another way than the one in the archive.
///
/// A placement leaves it: what else is in it is not the archive's.
public struct DirectoryDifference: Codable, Sendable, Equatable {
    /// Its path.
    public var path: String
    /// The mode in octal and the numbers of owner and group that it has, such as `0755 0:0`.
    public var found: String
    /// Those in the archive.
    public var archived: String

    init?(_ path: String, _ found: EntryAttributes, _ archived: EntryMetadata) {
        self.path = path
        self.found = Self.text(found.mode, FileOwner(of: found))
        self.archived = Self.text(
            archived.mode, FileOwner(userID: archived.userID, groupID: archived.groupID))
        if self.found == self.archived { return nil }
    }

    private static func text(_ mode: UInt16, _ owner: FileOwner) -> String {
        "0\(String(mode, radix: 8)) \(owner)"
    }
}
