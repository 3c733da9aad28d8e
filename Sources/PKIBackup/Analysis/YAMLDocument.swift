import HostIO
import Yams

/// Reads YAML and JSON of a node's components so that hostile input costs little.
///
/// libyaml refuses more than 1000 levels (`MAX_NESTING_LEVEL` of its parser.c). Aliases share memory when parsed, but
/// comparing the keys of a mapping expands them, so their number is limited here, and so is that of nodes, each of which
/// takes about 150 bytes. Error messages of Yams quote the document, which may hold keys; only the position and
/// libyaml's own words are passed on.
enum YAMLDocument {
    /// 32 aliases can't expand to more than about 3¹¹ nodes.
    static let aliasCountLimit = 32
    /// 30 MiB of nodes; a kubeconfig has a hundred.
    static let nodeCountLimit = 200_000

    /// The root of the first document, nil if there is none; kubectl and the API server also read only the first.
    ///
    /// - Throws: ``Failure`` naming `path`, without any of the content.
    static func first(in bytes: [UInt8], path: String) throws -> Node? {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Failure(.failed, "\(quoted(path)) is not valid UTF-8")
        }
        try checkSize(of: bytes, path: path)
        do {
            return try Parser(yaml: text, resolver: .basic, encoding: .utf8).nextRoot()
        } catch let error as YamlError {
            throw Failure(.failed, "\(quoted(path)) is not valid YAML\(explanation(of: error))")
        }
    }

    /// Counts what may begin a node and what may be an alias (`*name`); text in quotes or comments is counted too.
    private static func checkSize(of bytes: [UInt8], path: String) throws {
        var nodeCount = 0
        var aliasCount = 0
        var previous = UInt8(ascii: " ")
        for (index, byte) in bytes.enumerated() {
            let next = index + 1 < bytes.count ? bytes[index + 1] : 0x20
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"): nodeCount += 1
            case UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: "?"): nodeCount += next <= 0x20 ? 1 : 0
            case UInt8(ascii: "*"):
                aliasCount += isSeparator(previous) && !isSeparator(next) && next != UInt8(ascii: ".") ? 1 : 0
            default: break
            }
            previous = byte
        }
        guard aliasCount <= aliasCountLimit, nodeCount <= nodeCountLimit else {
            throw Failure(
                .failed,
                "\(quoted(path)) has about \(nodeCount) YAML nodes and \(aliasCount) aliases, more than "
                    + "\(nodeCountLimit) and \(aliasCountLimit)")
        }
    }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{")
            || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: ":")
    }

    private static func explanation(of error: YamlError) -> String {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            ": line \(mark.line), column \(mark.column): \(problem)"
        case .reader(let problem, _, _, _): ": \(problem)"
        case .duplicatedKeysInMapping(_, let context):
            ": a key stands twice in the mapping at line \(context.mark.line)"
        default: ""
        }
    }
}

extension Node {
    /// The value of a key of a mapping, nil if this is no mapping.
    func value(_ key: String) -> Node? {
        guard case .mapping(let mapping) = self else { return nil }
        return mapping.first { $0.key.scalar?.string == key }?.value
    }

    /// The text of a scalar that is not null.
    var text: String? {
        guard let scalar else { return nil }
        let isNull = scalar.style == .any || scalar.style == .plain
        return isNull && ["", "~", "null", "Null", "NULL"].contains(scalar.string) ? nil : scalar.string
    }

    /// The text of a key's value, nil if it is absent, null, empty or no scalar.
    func text(_ key: String) -> String? {
        value(key)?.text.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The items of a key's list, none if it is no list.
    func items(_ key: String) -> [Node] {
        guard case .sequence(let sequence)? = value(key) else { return [] }
        return Array(sequence)
    }
}
