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

    /// What comes behind the last item of a list, or the last pair of a mapping.
    private struct Addition {
        var offset: Int
        var source: [UInt8]
        /// Nil in a list.
        var key: String?
        /// What the item or the value reads as.
        var value: Node
    }

    /// The documents, those that are empty left out.
    public let places: [YAMLPlace]
    private let bytes: [UInt8]
    private let name: String
    private let documents: [Node]
    private let aliases: Set<String>
    /// By the offset of the scalar.
    private var changes: [Int: Change] = [:]
    /// By the offset of the list or mapping.
    private var additions: [Int: Addition] = [:]

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
    public var isEmpty: Bool { changes.isEmpty && additions.isEmpty }

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

    // MARK: Additions

    /// Adds an item to a list, or a key to a mapping, behind the last one: on a line of its own, or before the closing bracket.
    ///
    /// - Parameter value: how the item or the value is written, on one line.
    /// - Returns: whether that can be done here: not where an alias repeats it, and not twice in the same place.
    public mutating func add(_ value: String, key: String? = nil, to place: YAMLPlace) -> Bool {
        let node = place.node
        guard !place.isBehindAlias, !place.anchors.contains(where: aliases.contains),
            additions[node.mark.bytes.lowerBound] == nil,
            let expected = try? Node.documents(in: Array("- \(value)".utf8)).first?.sequence?.first,
            let (offset, source) = addition(key.map { "\($0): \(value)" } ?? value, to: node, isItem: key == nil)
        else { return false }
        additions[node.mark.bytes.lowerBound] = Addition(offset: offset, source: source, key: key, value: expected)
        // What can't be added safely is no reason to change nothing else.
        guard (try? resultWithRanges()) != nil else {
            additions[node.mark.bytes.lowerBound] = nil
            return false
        }
        return true
    }

    private func addition(_ text: String, to node: Node, isItem: Bool) -> (offset: Int, source: [UInt8])? {
        let items = isItem ? node.sequence : node.mapping?.map(\.key)
        let last = isItem ? node.sequence?.last : node.mapping?.last?.value
        guard let items else { return nil }
        if node.isFlow {
            let end = node.mark.bytes.upperBound - 1
            return (end, Array(((items.isEmpty ? "" : ", ") + text).utf8))
        }
        guard let first = items.first, let last else { return nil }
        let lineStart = (bytes[..<first.mark.bytes.lowerBound].lastIndex(of: 0x0A) ?? -1) + 1
        let indentation = bytes[lineStart...].prefix { $0 == 0x20 }
        // What begins on the line of something else has no indentation of its own to be read from.
        let start =
            isItem ? bytes[indentation.endIndex...].first == 0x2D : indentation.endIndex == first.mark.bytes.lowerBound
        guard start else { return nil }
        let line = Array(indentation) + Array(((isItem ? "- " : "") + text).utf8)
        let upper = last.mark.bytes.upperBound
        if upper > 0, bytes[upper - 1] == 0x0A { return (upper, line + [0x0A]) }
        guard let end = bytes[upper...].firstIndex(of: 0x0A) else { return (bytes.count, [0x0A] + line) }
        return (end, [0x0A] + line)
    }

    // MARK: The result

    /// The changed text.
    ///
    /// - Throws: ``Failure`` if it would not have exactly the intended values.
    public func result() throws(Failure) -> [UInt8] { try resultWithRanges().bytes }

    /// The text, where in it something is new, and its lines that the old one has no counterpart of, counted from 0.
    func resultWithRanges() throws(Failure) -> (bytes: [UInt8], ranges: [Range<Int>], addedLines: Set<Int>) {
        // Of two that end at the same place the inner one, which begins later, comes first.
        let added = additions.sorted { ($0.value.offset, -$0.key) < ($1.value.offset, -$1.key) }.map(\.value)
        let result = replacing(
            changes.values.map { ($0.range, $0.source) } + added.map { ($0.offset..<$0.offset, $0.source) }, in: bytes)
        let new = try Self.parsed(result.bytes, name)
        guard new.count == documents.count, zip(documents, new).allSatisfy({ isIntended($0, $1) }) else {
            throw Failure(
                .failed, "\(quoted(name)) can't be changed safely: it would read as more than the intended change",
                hint: "change it by hand")
        }
        var lines: Set<Int> = []
        for addition in added where addition.source.contains(0x0A) {
            let isBefore = addition.source.last == 0x0A
            lines.insert(bytes[..<addition.offset].count { $0 == 0x0A } + lines.count + (isBefore ? 0 : 1))
        }
        return (result.bytes, result.ranges, lines)
    }

    /// How many lines were added before a place.
    private func addedLineCount(before offset: Int) -> Int {
        additions.values.count { $0.offset <= offset && $0.source.contains(0x0A) }
    }

    /// Whether a node became what it should, and nothing else changed in it.
    private func isIntended(_ old: Node, _ new: Node) -> Bool {
        guard old.tag == new.tag, old.anchor == new.anchor, old.isAlias == new.isAlias, old.isFlow == new.isFlow,
            old.mark.line + addedLineCount(before: old.mark.bytes.lowerBound) == new.mark.line
        else { return false }
        let addition = old.scalar == nil ? additions[old.mark.bytes.lowerBound] : nil
        let addedCount = addition == nil ? 0 : 1
        switch (old.content, new.content) {
        case (.scalar(let scalar), .scalar(let other)):
            guard let change = changes[old.mark.bytes.lowerBound] else {
                return scalar.style == other.style && scalar.text.utf8.elementsEqual(other.text.utf8)
            }
            return change.text.utf8.elementsEqual(other.text.utf8)
        case (.sequence(let nodes), .sequence(let others)):
            return nodes.count + addedCount == others.count && zip(nodes, others).allSatisfy { isIntended($0, $1) }
                && addition.map { reads(others.last, as: $0.value) } ?? true
        case (.mapping(let pairs), .mapping(let others)):
            return pairs.count + addedCount == others.count
                && zip(pairs, others).allSatisfy { isIntended($0.key, $1.key) && isIntended($0.value, $1.value) }
                && addition.map { others.last?.key.text == $0.key && reads(others.last?.value, as: $0.value) } ?? true
        default: return false
        }
    }

    private func reads(_ node: Node?, as other: Node) -> Bool {
        switch (node?.content, other.content) {
        case (.scalar(let one), .scalar(let two)): return one.text == two.text && one.style == two.style
        case (.sequence(let nodes), .sequence(let others)):
            return nodes.count == others.count && zip(nodes, others).allSatisfy { reads($0, as: $1) }
        case (.mapping(let pairs), .mapping(let others)):
            return pairs.count == others.count
                && zip(pairs, others).allSatisfy { $0.key.text == $1.key.text && reads($0.value, as: $1.value) }
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

/// Bytes with ranges replaced that do not overlap, of empty ones in the same place in the given order, and the ranges of what took their places.
func replacing(
    _ replacements: [(range: Range<Int>, new: [UInt8])], in bytes: [UInt8]
) -> (bytes: [UInt8], ranges: [Range<Int>]) {
    var result: [UInt8] = []
    var ranges: [Range<Int>] = []
    var position = 0
    let inOrder = replacements.enumerated().sorted {
        ($0.element.range.lowerBound, $0.offset) < ($1.element.range.lowerBound, $1.offset)
    }
    for (range, new) in inOrder.map(\.element) {
        result += bytes[position..<range.lowerBound]
        ranges.append(result.count..<result.count + new.count)
        result += new
        position = range.upperBound
    }
    return (result + bytes[position...], ranges)
}
