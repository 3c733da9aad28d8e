/// How much of a document is read, so that a hostile one costs little.
public struct Limits: Sendable {
    /// The most nodes, those that aliases repeat counted each time: so many a walk through the tree meets.
    public var nodeCount: Int
    /// The most aliases.
    public var aliasCount: Int
    /// The most collections within each other.
    public var depth: Int

    /// Limits; a node takes about 100 bytes of memory, and a kubeconfig has a hundred.
    public init(nodeCount: Int = 200_000, aliasCount: Int = 100, depth: Int = 200) {
        self.nodeCount = nodeCount
        self.aliasCount = aliasCount
        self.depth = depth
    }
}

extension Node {
    /// The root of the first document in UTF-8, nil if there is none; what follows the document is not read.
    ///
    /// - Throws: ``SyntaxError``.
    public static func first(in bytes: [UInt8], limits: Limits = Limits()) throws(SyntaxError) -> Node? {
        try root(of: bytes, limits, isOnly: false)
    }

    /// The root of the document in UTF-8, nil if there is none.
    ///
    /// - Throws: ``SyntaxError``, also if another document follows.
    public static func only(in bytes: [UInt8], limits: Limits = Limits()) throws(SyntaxError) -> Node? {
        try root(of: bytes, limits, isOnly: true)
    }

    /// The roots of all documents in UTF-8.
    ///
    /// - Parameter limits: of all of them together.
    /// - Throws: ``SyntaxError``, also for what follows the last document.
    public static func documents(in bytes: [UInt8], limits: Limits = Limits()) throws(SyntaxError) -> [Node] {
        guard !bytes.isEmpty else { return [] }
        let result: Result<[Node], SyntaxError> = bytes.withUnsafeBytes { buffer in
            Result { () throws(SyntaxError) in
                var composer = Composer(parser: try EventParser(buffer), limits: limits)
                return try composer.roots()
            }
        }
        return try result.get()
    }

    private static func root(of bytes: [UInt8], _ limits: Limits, isOnly: Bool) throws(SyntaxError) -> Node? {
        guard !bytes.isEmpty else { return nil }
        let result: Result<Node?, SyntaxError> = bytes.withUnsafeBytes { buffer in
            Result { () throws(SyntaxError) in
                var composer = Composer(parser: try EventParser(buffer), limits: limits)
                return try composer.root(isOnly: isOnly)
            }
        }
        return try result.get()
    }
}

/// Puts nodes together from events.
private struct Composer {
    let parser: EventParser
    let limits: Limits
    private var nodeCount = 0
    private var aliasCount = 0
    private var depth = 0
    /// What anchors stand for, each with the number of its nodes.
    private var anchored: [String: (node: Node, nodeCount: Int)] = [:]

    init(parser: EventParser, limits: Limits) {
        self.parser = parser
        self.limits = limits
    }

    mutating func root(isOnly: Bool) throws(SyntaxError) -> Node? {
        _ = try parser.next()
        guard case .documentStart = try parser.next().kind else { return nil }
        let root = try node(try parser.next())
        // The end of the document: what can't follow the root is an error here.
        _ = try parser.next()
        guard isOnly else { return root }
        let end = try parser.next()
        guard case .streamEnd = end.kind else { throw end.mark.error("another document follows, and one is expected") }
        return root
    }

    mutating func roots() throws(SyntaxError) -> [Node] {
        _ = try parser.next()
        var roots: [Node] = []
        while true {
            let event = try parser.next()
            if case .streamEnd = event.kind { return roots }
            // An anchor is known in its own document only.
            anchored = [:]
            roots.append(try node(try parser.next()))
            _ = try parser.next()
        }
    }

    private mutating func node(_ event: Event) throws(SyntaxError) -> Node {
        let countBefore = nodeCount
        if case .alias(let anchor) = event.kind { return try aliased(anchor, event.mark) }
        try count(1, at: event.mark)
        var node: Node
        switch event.kind {
        case .scalar(let scalar): node = Node(content: .scalar(scalar), tag: event.tag, mark: event.mark)
        case .sequenceStart(let isFlow):
            node = try collection(event, isFlow: isFlow) { composer throws(SyntaxError) in try composer.sequence() }
        case .mappingStart(let isFlow):
            node = try collection(event, isFlow: isFlow) { composer throws(SyntaxError) in try composer.mapping() }
        default: throw event.mark.error("a node is expected")
        }
        // Known only from here on: within itself an anchor would make the tree endless.
        node.anchor = event.anchor
        if let anchor = event.anchor { anchored[anchor] = (node, nodeCount - countBefore) }
        return node
    }

    private mutating func count(_ added: Int, at mark: Node.Mark) throws(SyntaxError) {
        nodeCount += added
        guard nodeCount <= limits.nodeCount else {
            throw mark.error("there are more than the \(limits.nodeCount) nodes that are read")
        }
    }

    private mutating func aliased(_ anchor: String, _ mark: Node.Mark) throws(SyntaxError) -> Node {
        guard let (node, nodeCount) = anchored[anchor] else { throw mark.error("found undefined alias") }
        aliasCount += 1
        guard aliasCount <= limits.aliasCount else {
            throw mark.error("there are more than the \(limits.aliasCount) aliases that are read")
        }
        try count(nodeCount, at: mark)
        return Node(
            content: node.content, tag: node.tag, anchor: anchor, isAlias: true, isFlow: node.isFlow, mark: mark)
    }

    /// The contents of a collection and the mark of its end, nil if the last node is the end.
    private typealias Contents = (content: Node.Content, last: Node?, end: Node.Mark)

    private mutating func collection(
        _ event: Event, isFlow: Bool, _ contents: (inout Composer) throws(SyntaxError) -> Contents
    ) throws(SyntaxError) -> Node {
        depth += 1
        guard depth <= limits.depth else {
            throw event.mark.error("there are more than the \(limits.depth) levels that are read")
        }
        let (content, last, end) = try contents(&self)
        depth -= 1
        var mark = event.mark
        // libyaml ends a block collection where the next token begins.
        let upper = isFlow ? end.bytes.upperBound : last?.mark.bytes.upperBound ?? mark.bytes.upperBound
        mark.bytes = mark.bytes.lowerBound..<max(mark.bytes.lowerBound, upper)
        return Node(content: content, tag: event.tag, isFlow: isFlow, mark: mark)
    }

    private mutating func sequence() throws(SyntaxError) -> Contents {
        var nodes: [Node] = []
        var event = try parser.next()
        while !event.isCollectionEnd {
            nodes.append(try node(event))
            event = try parser.next()
        }
        return (.sequence(nodes), nodes.last, event.mark)
    }

    private mutating func mapping() throws(SyntaxError) -> Contents {
        var pairs: [Node.Pair] = []
        var lines: [Key: Int] = [:]
        var event = try parser.next()
        while !event.isCollectionEnd {
            let key = try node(event)
            guard let text = key.text else {
                // JSON has no such keys, so nothing of Kubernetes has: what would have to be compared is bounded.
                throw key.mark.error("a key of a mapping is a collection")
            }
            if let line = lines.updateValue(key.mark.line, forKey: Key(text: text)) {
                throw key.mark.error("a key stands twice in the mapping, first on line \(line)")
            }
            pairs.append(Node.Pair(key: key, value: try node(try parser.next())))
            event = try parser.next()
        }
        return (.mapping(pairs), pairs.last?.value, event.mark)
    }
}

/// A key as its bytes are: text that only looks alike is another key.
private struct Key: Hashable {
    let text: String

    static func == (one: Key, other: Key) -> Bool { one.text.utf8.elementsEqual(other.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension Event {
    fileprivate var isCollectionEnd: Bool {
        if case .collectionEnd = kind { true } else { false }
    }
}
