import ArchiveStore
import HostIO
import Operations
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// The path of a file or directory of this host, as it was given.
///
/// A URL, `host:path`, a share of a Windows host, a remote of rclone or what a shell or systemd would have expanded is no such
/// path: taken for one it would become a local directory of a strange name, and its user would believe in a copy elsewhere.
///
/// - Parameter what: what it is the place of, such as `the store`.
/// - Throws: ``Failure`` with the code `usage`.
func localPlace(_ text: String, of what: String) throws -> String {
    try checkPunctuation(text, of: what)
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
        .usage,
        "\(quoted(text)), \(what), looks like \(kind), and \(what == "the store" ? "a store is a directory of this host, s3://BUCKET/PREFIX or rclone:REMOTE:PATH" : "only directories of this host can be used")",
        hint: "mount or copy it here, or \(hint)")
}

/// Refuses what quoting, a paste or another system has left in a path.
private func checkPunctuation(_ text: String, of what: String) throws {
    guard let first = text.first, let last = text.last, first != "." else { return }
    let parts = text.split(separator: "/")
    let meant = "write ./\(text) for a directory of that name here"
    func refusal(_ problem: String, _ hint: String) -> Failure {
        Failure(.usage, "\(quoted(text)), \(what), \(problem)", hint: hint)
    }
    if text.hasPrefix("\\\\") {
        throw refusal("looks like a share of another host", "mount it here and name the mount point, or \(meant)")
    }
    // Two slashes for one are usual where paths are put together of parts, with a directory that is there.
    if text.hasPrefix("//"), !text.hasPrefix("///"), parts.count > 1, access("/\(parts[0])", F_OK) != 0 {
        throw refusal(
            "looks like a share of the host \(parts[0])",
            "mount it here and name the mount point, or write \(text.dropFirst()) for a directory of that name here")
    }
    if text.count > 1, first == last, first == "\"" || first == "'" {
        throw refusal("has quotes around it, which no shell has taken off", "leave them out, or \(meant)")
    }
    if first == "%", let part = parts.first, part.count == 2, part.last?.isLetter == true {
        throw refusal(
            "begins with what systemd expands and nothing expands here", "write the absolute path, or \(meant)")
    }
    if text == "-" { throw refusal("would be a stream, and has to be a place on a disk", "name one, or \(meant)") }
    if first.isWhitespace || last.isWhitespace {
        let path = first == "/" ? "\(text)/" : "./\(text)/"
        throw refusal("begins or ends with a blank", "leave it out, or write \"\(path)\" for a directory of that name")
    }
}

/// The same of a place for what is in the clear, which is never within a store: stores are copied to other hosts.
///
/// - Parameter stores: those that are named, which need not exist; any other is told by its directories.
/// - Throws: ``Failure`` with the code `usage`.
func plaintextPlace(_ text: String, of what: String, outside stores: StoreSet) throws -> String {
    let place = try localPlace(text, of: what)
    let path = absolutePath(place).string
    let named = stores.directories.first { isPath(path, atOrBelow: absolutePath($0).string) }
    guard let root = named ?? StorePlace.store(around: path) else { return place }
    throw Failure(
        .usage, "\(quoted(place)), \(what), is within the store \(quoted(root)), and would be in the clear there",
        hint: "name a place outside the store: it is copied off the host as it is")
}
