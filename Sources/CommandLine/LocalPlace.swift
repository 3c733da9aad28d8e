import HostIO

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
