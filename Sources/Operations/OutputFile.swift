import HostIO
import SystemPackage

/// A file that a user names for output.
enum OutputFile {
    /// The directory, which must exist, and the name in it.
    static func place(_ path: String) throws -> (directory: OpenDirectory, name: String) {
        let file = FilePath(path)
        guard let name = file.lastComponent, name.kind == .regular, !path.hasSuffix("/") else {
            throw Failure(.usage, "\(quoted(path)) is not the name of a file", hint: "name a file to be written")
        }
        let parent = file.removingLastComponent()
        return (try OpenDirectory(path: parent.isEmpty ? "." : parent.string), name.string)
    }
}
