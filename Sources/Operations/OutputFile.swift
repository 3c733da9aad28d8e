import HostIO

/// A file that a user names for output.
enum OutputFile {
    /// The directory, which must exist, and the name in it.
    static func place(_ path: String) throws -> (directory: OpenDirectory, name: String) {
        guard !path.hasSuffix("/") else {
            throw Failure(.usage, "\(quoted(path)) is not the name of a file", hint: "name a file to be written")
        }
        return try OpenDirectory.parent(of: path)
    }
}
