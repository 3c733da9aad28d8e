public import HostIO
internal import YAML

/// Changes scalars of a YAML text where they stand: comments, order, indentation and every other byte stay.
///
/// The result is parsed again and has exactly the intended values, or there is none.
public struct YAMLEdit {
    /// A new value.
    public enum Value: Sendable, Equatable {
        /// Text, with quotes wherever a reader could take it for anything else.
        case string(String)
        /// A number, without quotes where the old one had none.
        case integer(Int)

        var text: String {
            switch self {
            case .string(let text): text
            case .integer(let number): String(number)
            }
        }
    }

    private struct Change {
        var range: Range<Int>
        var source: [UInt8]
        var text: String
    }

    /// The documents, those that are empty left out.
    public let places: [YAMLPlace]
    private let bytes: [UInt8]
    private let name: String
    private let documents: [Node]
    private let aliases: Set<String>
    /// By the offset of the scalar.
    private var changes: [Int: Change] = [:]

    /// Parses a text.
    ///
    /// - Parameter name: what errors call it.
    /// - Throws: ``Failure`` with the code `failed` for what is no YAML, with nothing of its content.
    public init(_ bytes: [UInt8], name: String) throws(Failure) {
        self.bytes = bytes
        self.name = name
        documents = try Self.parsed(bytes, name)
        aliases = Set(documents.flatMap(\.aliases))
        let present = documents.enumerated().filter { !$1.isNull }
        places = present.map { YAMLPlace(root: $1, path: present.count > 1 ? "document \($0 + 1): " : "") }
    }

    private static func parsed(_ bytes: [UInt8], _ name: String) throws(Failure) -> [Node] {
        do {
            return try Node.documents(in: bytes)
        } catch {
            throw Failure(.failed, "\(quoted(name)) is not valid YAML: \(error)")
        }
    }

    /// Whether nothing was set.
    public var isEmpty: Bool { changes.isEmpty }

    /// Gives a scalar another value.
    ///
    /// - Throws: ``Failure`` if an anchor or an alias would carry the change elsewhere, and for text that spans lines.
    public mutating func set(_ place: YAMLPlace, to value: Value) throws(Failure) {
        let node = place.node
        guard let scalar = node.scalar else { throw refusal(place, "is no single value") }
        guard !place.isBehindAlias else { throw refusal(place, "is repeated by an alias of what stands elsewhere") }
        if let anchor = place.anchors.first(where: aliases.contains) {
            throw refusal(place, "is repeated elsewhere by the alias *\(anchor)")
        }
        let range = node.mark.contentBytes
        guard scalar.style != .literal, scalar.style != .folded,
            !bytes[range].contains(where: { $0 == 0x0A || $0 == 0x0D })
        else { throw refusal(place, "spans several lines") }
        changes[node.mark.bytes.lowerBound] = Change(
            range: range, source: Array(source(of: value, scalar, isInFlow: place.isInFlow).utf8), text: value.text)
    }

    private func refusal(_ place: YAMLPlace, _ why: String) -> Failure {
        Failure(
            .failed,
            "\(place.path) on line \(place.node.mark.line) of \(quoted(name)) \(why), and can't be changed safely",
            hint: "write it as a plain value of its own, or change it by hand")
    }

    private func source(of value: Value, _ scalar: Node.Scalar, isInFlow: Bool) -> String {
        let text = value.text
        let hasControls = text.unicodeScalars.contains {
            $0.properties.generalCategory == .control || $0.value == 0x2028 || $0.value == 0x2029
        }
        switch (scalar.style, value) {
        case (.plain, .integer): return text
        case (.doubleQuoted, _): return doubleQuoted(text)
        case _ where hasControls: return doubleQuoted(text)
        case (.plain, .string) where Node.isPlainText(text, isInFlow: isInFlow) && isColonSafe(text, scalar, isInFlow):
            return text
        default: return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
        }
    }

    /// Readers differ in which colons they take for a mapping's within braces: as safe as before is safe enough.
    private func isColonSafe(_ text: String, _ old: Node.Scalar, _ isInFlow: Bool) -> Bool {
        !isInFlow || !text.contains(":") || old.text.contains(":")
    }

    private func doubleQuoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.properties.generalCategory == .control || (0x2028...0x2029).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// The changed text.
    ///
    /// - Throws: ``Failure`` if it would not have exactly the intended values.
    public func result() throws(Failure) -> [UInt8] { try resultWithRanges().bytes }

    func resultWithRanges() throws(Failure) -> (bytes: [UInt8], ranges: [Range<Int>]) {
        let result = replacing(changes.values.map { ($0.range, $0.source) }, in: bytes)
        let new = try Self.parsed(result.bytes, name)
        guard new.count == documents.count, zip(documents, new).allSatisfy({ isIntended($0, $1) }) else {
            throw Failure(
                .failed, "\(quoted(name)) can't be changed safely: it would read as more than the intended change",
                hint: "change it by hand")
        }
        return result
    }

    /// Whether a node became what it should, and nothing else changed in it.
    private func isIntended(_ old: Node, _ new: Node) -> Bool {
        guard old.tag == new.tag, old.anchor == new.anchor, old.isAlias == new.isAlias, old.isFlow == new.isFlow,
            old.mark.line == new.mark.line
        else { return false }
        switch (old.content, new.content) {
        case (.scalar(let scalar), .scalar(let other)):
            guard let change = changes[old.mark.bytes.lowerBound] else {
                return scalar.style == other.style && scalar.text.utf8.elementsEqual(other.text.utf8)
            }
            return change.text.utf8.elementsEqual(other.text.utf8)
        case (.sequence(let nodes), .sequence(let others)):
            return nodes.count == others.count && zip(nodes, others).allSatisfy { isIntended($0, $1) }
        case (.mapping(let pairs), .mapping(let others)):
            return pairs.count == others.count
                && zip(pairs, others).allSatisfy { isIntended($0.key, $1.key) && isIntended($0.value, $1.value) }
        default: return false
        }
    }
}

extension Node {
    /// The anchors that aliases in it name.
    fileprivate var aliases: [String] {
        if isAlias { return [anchor].compactMap(\.self) }
        switch content {
        case .scalar: return []
        case .sequence(let nodes): return nodes.flatMap(\.aliases)
        case .mapping(let pairs): return pairs.flatMap { $0.key.aliases + $0.value.aliases }
        }
    }
}

/// Bytes with ranges replaced that do not overlap, and the ranges of what took their places.
func replacing(
    _ replacements: [(range: Range<Int>, new: [UInt8])], in bytes: [UInt8]
) -> (bytes: [UInt8], ranges: [Range<Int>]) {
    var result: [UInt8] = []
    var ranges: [Range<Int>] = []
    var position = 0
    for (range, new) in replacements.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
        result += bytes[position..<range.lowerBound]
        ranges.append(result.count..<result.count + new.count)
        result += new
        position = range.upperBound
    }
    return (result + bytes[position...], ranges)
}
