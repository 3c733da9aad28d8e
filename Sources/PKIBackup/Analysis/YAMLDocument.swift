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

extension Node {
    /// The value of a key of a mapping, nil if this is no mapping.
    func value(_ key: String) -> Node? { self[key] }

    /// The text of a scalar that is not null.
    var presentText: String? { isNull ? nil : text }

    /// The text of a key's value, nil if it is absent, null, empty or no scalar.
    func text(_ key: String) -> String? {
        self[key]?.presentText.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The items of a key's list, none if it is no list.
    func items(_ key: String) -> [Node] { self[key]?.sequence ?? [] }
}
