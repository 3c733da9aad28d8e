import HostIO
import YAML

/// Reads YAML and JSON of a node's components.
enum YAMLDocument {
    /// The root of the first document, nil if there is none; kubectl and the API server also read only the first.
    ///
    /// - Throws: ``Failure`` naming `path`, without any of the content.
    static func first(in bytes: [UInt8], path: String) throws(Failure) -> Node? {
        do {
            return try Node.first(in: bytes)
        } catch {
            throw Failure(.failed, "\(quoted(path)) is not valid YAML: \(error)")
        }
    }
}
