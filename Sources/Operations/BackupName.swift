import ArchiveStore
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What a person's word for a backup or a snapshot is: a reference into a store, or the path of a file.
///
/// It is decided here for all commands. What can be an ID or its beginning is one, whatever lies in the working directory;
/// everything else that exists here is a file, whatever kind of one.
public enum BackupName: Sendable, Equatable {
    /// A reference, as ``BackupReference`` reads it.
    case reference(String)
    /// A path, of a file that need not exist.
    case path(String)

    /// Decides by the form of the word, and by what there is.
    ///
    /// - Parameter prefersFiles: whether a regular file of a name that could be an ID's beginning is what is meant, as with
    ///   snapshots, which people name by their dates.
    public init(_ text: String, prefersFiles: Bool = false) {
        self = Self.isPath(text, prefersFiles: prefersFiles) ? .path(text) : .reference(text)
    }

    private static func isPath(_ text: String, prefersFiles: Bool) -> Bool {
        let suffixes = [".age", ArchiveFormat.sidecarSuffix]
        if suffixes.contains(where: text.hasSuffix) || ["/", "./", "../"].contains(where: text.hasPrefix) {
            return true
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let name = parts.last ?? ""
        if [1, 3].contains(parts.count), name == BackupReference.latest { return false }
        let kind = kind(of: text)
        if [1, 3].contains(parts.count), BackupID.canBegin(with: name) { return prefersFiles && kind == .file }
        // No identifier has a dot, and no reference has more parts.
        return kind != nil || name.contains(".") || name.isEmpty && parts.count > 1 || parts.count > 3
    }

    /// What there is of that name, links followed; a link that leads nowhere counts as one.
    private static func kind(of path: String) -> EntryAttributes.Kind? {
        guard let (directory, name) = try? OpenDirectory.parent(of: path), let entry = EntryName(name.utf8),
            let kind = try? directory.existingAttributes(of: entry)?.kind
        else { return access(path, F_OK) == 0 ? .directory : nil }
        guard kind == .symbolicLink else { return kind }
        return (try? RandomAccessFile(path: path)) == nil ? .symbolicLink : .file
    }
}

extension RandomAccessFile {
    /// The file of a snapshot or an archive; what is no regular file holds neither, like one that is damaged.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what is no regular file, ``SystemCallError``.
    public convenience init(regular path: String) throws {
        do {
            try self.init(path: path)
        } catch let failure as Failure where failure.code == .failed {
            let isDataDirectory = access("\(path)/member/snap/db", F_OK) == 0
            throw Failure(
                .integrity, failure.message,
                hint: isDataDirectory
                    ? "it is a data directory of etcd: name the database in it, member/snap/db, of a member that is stopped"
                    : "name the file of a snapshot or an archive; a directory of archives can be named as the store",
                settings: isDataDirectory ? [] : [.store])
        }
    }
}
