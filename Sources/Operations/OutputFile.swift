import HostIO

/// A file that a user names for output.
enum OutputFile {
    /// The directory, which must exist, and the name in it.
    static func place(_ path: String) throws -> (directory: OpenDirectory, name: String) {
        guard !path.hasSuffix("/") else {
            throw switch entryKind(at: path) {
            case nil:
                Failure(
                    .usage, "there is no directory \(quoted(path))",
                    hint: "make it first, or leave the slash out for a file of that name")
            case .directory:
                Failure(.usage, "\(quoted(path)) is a directory", hint: "name a file in it, to be written")
            default: Failure(.usage, "\(quoted(path)) is no directory", hint: "name a directory, or a new file")
            }
        }
        return try OpenDirectory.parent(of: path)
    }
}
