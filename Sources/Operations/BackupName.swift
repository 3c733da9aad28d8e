import ArchiveStore
import HostIO
import SealedArchive

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
    /// - Parameters:
    ///   - prefersFiles: whether a regular file of a name that could be an ID's beginning is what is meant, as with
    ///     snapshots, which people name by their dates.
    ///   - store: the store that backups are looked for in, if one is named: the name of a file in it, as its directory
    ///     shows it, is that of a backup.
    ///   - isStoreMeant: whether it is so even if a file of that name is here, unless only that is there.
    public init(_ text: String, prefersFiles: Bool = false, store: (any Store)? = nil, isStoreMeant: Bool = false) {
        if let store, let reference = Self.reference(ofFileName: text),
            entryKind(at: text) == nil || isStoreMeant && Self.has(reference, store)
        {
            self = .reference(reference)
        } else {
            self = Self.isPath(text, prefersFiles: prefersFiles) ? .path(text) : .reference(text)
        }
    }

    /// The reference of an archive or a sidecar, by its file's name alone or behind `cluster/node/`; nil for other words.
    private static func reference(ofFileName text: String) -> String? {
        let suffix = [ArchiveFormat.archiveSuffix, ArchiveFormat.sidecarSuffix].first(where: text.hasSuffix)
        guard let suffix else { return nil }
        let reference = text.dropLast(suffix.count)
        let parts = reference.split(separator: "/", omittingEmptySubsequences: false)
        guard [1, 3].contains(parts.count), let name = parts.last, BackupID(name) != nil else { return nil }
        guard parts.count == 1 || (try? StoreScope(cluster: String(parts[0]), node: String(parts[1]))) != nil else {
            return nil
        }
        return String(reference)
    }

    private static func has(_ reference: String, _ store: any Store) -> Bool {
        guard let listing = try? store.list() else { return false }
        let id = BackupID(reference.split(separator: "/").last ?? "")
        return (listing.backups.map(\.id) + listing.unreadable.map(\.id)).contains { $0 == id }
    }

    private static func isPath(_ text: String, prefersFiles: Bool) -> Bool {
        let suffixes = [".age", ArchiveFormat.sidecarSuffix]
        if suffixes.contains(where: text.hasSuffix) || ["/", "./", "../"].contains(where: text.hasPrefix) {
            return true
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let name = parts.last ?? ""
        if [1, 3].contains(parts.count), name == BackupReference.latest { return false }
        let kind = entryKind(at: text)
        if [1, 3].contains(parts.count), BackupID.canBegin(with: name) { return prefersFiles && kind == .file }
        // No identifier has a dot, and no reference has more parts.
        return kind != nil || name.contains(".") || name.isEmpty && parts.count > 1 || parts.count > 3
    }
}
