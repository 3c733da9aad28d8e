import ArchiveStore
import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What there is under a name that a person gave, links followed; a link that leads to no regular file counts as a link.
func entryKind(at path: String) -> EntryAttributes.Kind? {
    guard let (directory, name) = try? OpenDirectory.parent(of: path), let entry = EntryName(name.utf8),
        let kind = try? directory.existingAttributes(of: entry)?.kind
    else { return access(path, F_OK) == 0 ? .directory : nil }
    guard kind == .symbolicLink else { return kind }
    return (try? RandomAccessFile(path: path)) == nil ? .symbolicLink : .file
}

/// Whether two paths lead to one file or directory.
public func isSameFile(_ one: String, _ other: String) -> Bool {
    var first = stat()
    var second = stat()
    guard stat(one, &first) == 0, stat(other, &second) == 0 else { return absolutePath(one) == absolutePath(other) }
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
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
