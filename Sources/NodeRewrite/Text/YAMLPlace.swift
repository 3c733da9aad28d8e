public import YAML

/// A node of a document with the way to it.
public struct YAMLPlace: Sendable {
    /// The node.
    public let node: Node
    /// The way to it, such as `spec.containers[0].name`; of a document among several with its number before.
    public let path: String
    /// Whether it stands within brackets or braces.
    let isInFlow: Bool
    /// Whether an alias stands for it or for what it is in.
    let isBehindAlias: Bool
    /// The anchors of it and of what it is in.
    let anchors: [String]

    private let isRoot: Bool

    init(root: Node, path: String) {
        self.init(node: root, path: path, isInFlow: false, isBehindAlias: root.isAlias, anchors: [], isRoot: true)
    }

    private init(node: Node, path: String, isInFlow: Bool, isBehindAlias: Bool, anchors: [String], isRoot: Bool = false)
    {
        self.node = node
        self.path = path
        self.isRoot = isRoot
        self.isInFlow = isInFlow
        self.isBehindAlias = isBehindAlias || node.isAlias
        self.anchors = anchors + [node.anchor].compactMap(\.self)
    }

    /// The text of a scalar that is not null.
    public var text: String? { node.presentText }

    /// The value of a mapping's key.
    public subscript(_ key: String) -> YAMLPlace? {
        node[key].map { below($0, path(of: key)) }
    }

    /// The way to the value of a key, also of one that is not there.
    func path(of key: String) -> String { isRoot ? path + key : "\(path).\(key)" }

    /// The items of a list, none if it is no list.
    public var items: [YAMLPlace] {
        (node.sequence ?? []).enumerated().map { below($1, "\(path)[\($0)]") }
    }

    /// The keys, none if it is no mapping.
    public var keys: [String] { (node.mapping ?? []).compactMap(\.key.text) }

    private func below(_ child: Node, _ path: String) -> YAMLPlace {
        YAMLPlace(
            node: child, path: path, isInFlow: isInFlow || node.isFlow, isBehindAlias: isBehindAlias, anchors: anchors)
    }
}
