import HostIO

/// What is selected of the node's files, as a tree of names: it finds each path once, however many references lead to it.
///
/// It grows with the references, not with the files below them.
final class SelectionTree {
    /// The entries selected or passed through in this directory.
    private(set) var children: [EntryName: SelectionTree] = [:]
    /// What selects the entry with everything below it; nil for one that is only on the way.
    var reference: SelectedPath?
    /// The role of the first selected path that leads through here.
    let passingRole: String
    /// Whether the entry itself is captured already.
    var isTaken = false
    /// Whether everything below is captured too.
    var isWholeTaken = false

    init(passingRole: String = "") { self.passingRole = passingRole }

    /// The node of a real absolute path, made with those above it.
    func insert(_ path: [UInt8], role: String) -> SelectionTree {
        Self.names(path).reduce(self) { $0.child($1, role) }
    }

    private func child(_ name: EntryName, _ role: String) -> SelectionTree {
        if let known = children[name] { return known }
        let node = SelectionTree(passingRole: role)
        children[name] = node
        return node
    }

    /// Whether a real absolute path is captured with something that is selected.
    func covers(_ path: [UInt8]) -> Bool {
        var node = self
        if node.reference != nil { return true }
        for name in Self.names(path) {
            guard let child = node.children[name] else { return false }
            if child.reference != nil { return true }
            node = child
        }
        return false
    }

    private static func names(_ path: [UInt8]) -> [EntryName] {
        path.split(separator: 0x2F).compactMap { EntryName($0) }
    }
}
