import FoundationEssentials
import HostIO

/// The JSON form of this project's documents: sorted keys, RFC 3339 times in UTC, one final newline.
public enum DocumentCoding {
    /// The bytes of a document.
    public static func encode(_ document: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.dateEncodingStrategy = .iso8601
        return Array(try encoder.encode(document)) + [UInt8(ascii: "\n")]
    }

    /// Reads a document; `name` names it in the error.
    public static func decode<Document: Decodable>(
        _ type: Document.Type, from bytes: [UInt8], name: String
    ) throws -> Document {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            return try decoder.decode(type, from: Data(bytes))
        } catch {
            throw Failure(
                .integrity, "\(quoted(name)) is not a document of this program (\(bytes.count) bytes)",
                hint:
                    "it is damaged: use another copy of it, or move a damaged sidecar away and run `etcd-snap adopt` on its archive",
                cause: describe(error))
        }
    }
}

/// Which field of a document is wrong, without its value: a value may be secret.
private func describe(_ error: any Error) -> Failure? {
    guard let error = error as? DecodingError else { return nil }
    func name(_ path: [any CodingKey]) -> String {
        path.isEmpty
            ? "(top level)" : path.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
    }
    switch error {
    case .keyNotFound(let key, let context):
        return Failure(.integrity, "field \(name(context.codingPath + [key])) is missing")
    // The context's own description may quote the value.
    case .typeMismatch(_, let context):
        return Failure(.integrity, "field \(name(context.codingPath)) has the wrong type")
    case .valueNotFound(_, let context): return Failure(.integrity, "field \(name(context.codingPath)) has no value")
    case .dataCorrupted(let context):
        // The decoder does not say where it met a bad time or number.
        guard !context.codingPath.isEmpty else {
            return Failure(.integrity, "it is not JSON, or one of its times or numbers can't be")
        }
        return Failure(.integrity, "field \(name(context.codingPath)) has a value that can't be")
    @unknown default: return nil
    }
}
