import ArchiveStore
import HostIO
import SystemPackage

/// Where a store may be: in no other store, and around none.
public enum StorePlace {
    /// Checks where backups would go, before anything is done.
    ///
    /// What is in such a place stays readable, and can be removed.
    ///
    /// - Throws: ``Failure`` with the code `usage` that names the store that is meant.
    static func check(_ store: any Store) throws(Failure) {
        guard let root = store.directory else { return }
        let tree = StoreTree(path: root)
        if let outer = tree.enclosingStore {
            throw Failure(
                .usage,
                "\(quoted(root)) is within the store \(quoted(outer)), which would not show what is stored there",
                hint: "name that store\(place(of: root, in: outer))", settings: [.store])
        }
        if let inner = tree.storeBelow {
            throw Failure(
                .usage, "\(quoted(root)) is no store, and its directory \(quoted(inner)) is one",
                hint: "name that, or a directory that has no store in it", settings: [.store])
        }
    }

    /// The store that a path of this host is in, or is.
    public static func store(around path: String) -> String? { StoreTree(path: path).store }

    private static func place(of path: String, in store: String) -> String {
        let path = absolutePath(path).string
        guard isPath(path, atOrBelow: store) else { return "" }
        let names = path.dropFirst(store.count).split(separator: "/")
        return zip([", the cluster", " and the node"], names.prefix(2)).map { "\($0) \($1)" }.joined()
    }
}
