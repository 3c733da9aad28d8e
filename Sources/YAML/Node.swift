/// A part of a YAML document, with the place where it stands.
public struct Node: Sendable {
    /// What a node is.
    public enum Content: Sendable {
        /// Text; what it means depends on ``Scalar/style``.
        case scalar(Scalar)
        /// Nodes in order.
        case sequence([Node])
        /// Pairs in the order of the document, each key once.
        case mapping([Pair])
    }

    /// Text and how it was written.
    public struct Scalar: Sendable {
        /// The text without quotes, escapes and indentation.
        public var text: String
        /// How it was written.
        public var style: ScalarStyle
    }

    /// How a scalar is written.
    public enum ScalarStyle: Sendable {
        /// Without quotes: only such a scalar can be something else than a string.
        case plain
        /// In `'`.
        case singleQuoted
        /// In `"`.
        case doubleQuoted
        /// Lines behind `|`.
        case literal
        /// Lines behind `>`.
        case folded
    }

    /// A key of a mapping and its value.
    public struct Pair: Sendable {
        /// The key: a scalar.
        public var key: Node
        /// The value.
        public var value: Node
    }

    /// A place in a document.
    public struct Mark: Sendable, Equatable {
        /// The line, counted from 1.
        public var line: Int
        /// The character of the line, counted from 1.
        public var column: Int
        /// The bytes of the document, a byte order mark counted.
        ///
        /// A scalar's are those that it is written with: quotes, and an anchor or a tag before it, included. A block
        /// collection ends where its last node does.
        public var bytes: Range<Int>
        /// Where anchor and tag are over and the node itself begins, with its quote, bracket or first character.
        public var contentStart: Int

        /// The bytes without anchor and tag: what to replace for another value.
        public var contentBytes: Range<Int> { min(contentStart, bytes.upperBound)..<bytes.upperBound }
    }

    /// What the node is.
    public var content: Content
    /// The tag that the document gives explicitly, such as `tag:yaml.org,2002:str`.
    public var tag: String?
    /// The name that aliases repeat the node by.
    public var anchor: String?
    /// Whether an alias stands in the document, for a node that is written elsewhere.
    public var isAlias = false
    /// Whether a collection is written in brackets or braces.
    public var isFlow = false
    /// Where the node stands; in place of an alias the alias, while the nodes below have their own places.
    public var mark: Mark

    /// The scalar, nil for a collection.
    public var scalar: Scalar? {
        guard case .scalar(let scalar) = content else { return nil }
        return scalar
    }

    /// The text of a scalar, nil for a collection.
    public var text: String? { scalar?.text }

    /// The nodes of a sequence, nil for anything else.
    public var sequence: [Node]? {
        guard case .sequence(let nodes) = content else { return nil }
        return nodes
    }

    /// The pairs of a mapping, nil for anything else.
    public var mapping: [Pair]? {
        guard case .mapping(let pairs) = content else { return nil }
        return pairs
    }

    /// The value of a mapping's key; nil if there is none, or no mapping.
    public subscript(_ key: String) -> Node? {
        mapping?.first { $0.key.text == key }?.value
    }

    /// Whether text written without quotes is read as the same string by every reader, of YAML 1.1 and 1.2.
    ///
    /// - Parameter isInFlow: whether it stands within brackets, where a comma would end it and some readers take `?` for a key.
    public static func isPlainText(_ text: String, isInFlow: Bool = false) -> Bool {
        // A dash is no item of a list where anything but a space follows; numbers are for the other check.
        let dashCount = min(2, text.utf8.prefix { $0 == UInt8(ascii: "-") }.count)
        let rest = text.dropFirst(dashCount)
        guard dashCount == 0 || rest.first?.isLetter == true, PlainText.isSafe(String(rest)) else { return false }
        return !isInFlow || !text.utf8.contains { ",[]{}?".utf8.contains($0) }
    }

    /// The text of a scalar that may be something else than a string: plain and without a tag.
    var plainText: String? {
        guard let scalar, scalar.style == .plain, tag == nil else { return nil }
        return scalar.text
    }

    /// Whether this is a null, as an absent value is.
    public var isNull: Bool { plainText.map { ["", "~", "null", "Null", "NULL"].contains($0) } ?? false }
}

/// Why bytes are no document; nothing of their content, which may be secret.
public struct SyntaxError: Error, Equatable, CustomStringConvertible {
    /// The line, counted from 1.
    public var line: Int
    /// The character of the line, counted from 1.
    public var column: Int
    /// What is wrong there: libyaml's words, or ours.
    public var problem: String

    /// The place and the problem.
    public var description: String { "line \(line), column \(column): \(problem)" }
}
