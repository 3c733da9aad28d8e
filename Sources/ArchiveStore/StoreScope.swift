import HostIO

/// A place in a store: the archives of one node of one cluster.
public struct StoreScope: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The cluster's name.
    public let cluster: String
    /// The node's name.
    public let node: String

    private static let maximumNameLength = 253

    /// A scope, when both names can be names of directories everywhere.
    ///
    /// - Throws: ``Failure`` with the code `usage` if a name has other characters than letters, digits, `.`, `_` and `-`,
    ///   begins with a dot or a dash, or is longer than 253 characters.
    public init(cluster: String, node: String) throws(Failure) {
        try Self.checkName(cluster, "cluster", .cluster)
        try Self.checkName(node, "node", .node)
        self.cluster = cluster
        self.node = node
    }

    /// `cluster/node`.
    public var description: String { "\(cluster)/\(node)" }

    /// Orders by cluster, then by node.
    public static func < (left: Self, right: Self) -> Bool {
        (left.cluster, left.node) < (right.cluster, right.node)
    }

    /// Checks a name that becomes that of a directory or a file in an archive, by the rule of ``init(cluster:node:)``.
    ///
    /// - Parameters:
    ///   - what: what has the name, for the message.
    ///   - setting: what sets it, for the hint.
    public static func checkName(_ name: String, _ what: String, _ setting: Failure.Setting) throws(Failure) {
        guard canBeName(name) else {
            throw Failure(
                .usage, "\(quoted(name)) can't be the name of a \(what) in a store",
                hint: "use letters, digits, '.', '_' and '-'", settings: [setting])
        }
    }

    static func canBeName(_ name: String) -> Bool {
        let allowed = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return allowed && !name.isEmpty && name.utf8.count <= maximumNameLength && !name.hasPrefix(".")
            && !name.hasPrefix("-")
    }
}
