import ArchiveStore
import HostIO
import Operations
import SystemPackage

/// The path of a file or directory of this host, as it was given.
///
/// A URL, `host:path`, a remote of rclone or what a shell would have expanded is no such path: taken for one it would become
/// a local directory of a strange name, and its user would believe in a copy elsewhere.
///
/// - Parameter what: what it is the place of, such as `the store`.
/// - Throws: ``Failure`` with the code `usage`.
func localPlace(_ text: String, of what: String) throws -> String {
    guard let first = text.first, !["/", "."].contains(first) else { return text }
    let hint = "write ./\(text) for a directory of that name here"
    if first == "~" || first == "$" {
        throw Failure(
            .usage, "\(quoted(text)), \(what), begins with what a shell expands and nothing expands here",
            hint: "write the absolute path, or \(hint)")
    }
    let beginning = text.prefix { $0 != "/" && $0 != "\\" }
    guard let colon = beginning.firstIndex(of: ":") else { return text }
    let kind = text[colon...].hasPrefix("://") ? "a URL" : "a place on another host or of another tool"
    throw Failure(
        .usage, "\(quoted(text)), \(what), looks like \(kind), and only directories of this host can be used",
        hint: "mount or copy it here, or \(hint)")
}

/// The same of a place for what is in the clear, which is never within a store: stores are copied to other hosts.
///
/// - Parameter store: one that is named, which need not exist; any other is told by its directories.
/// - Throws: ``Failure`` with the code `usage`.
func plaintextPlace(_ text: String, of what: String, outside store: LocalStore) throws -> String {
    let place = try localPlace(text, of: what)
    let path = absolutePath(place).string
    let named = isPath(path, atOrBelow: absolutePath(store.root).string) ? store.root : nil
    guard let root = named ?? StorePlace.store(around: path) else { return place }
    throw Failure(
        .usage, "\(quoted(place)), \(what), is within the store \(quoted(root)), and would be in the clear there",
        hint: "name a place outside the store: it is copied off the host as it is")
}
