/// Where the objects of a type are in the API: a group, a version and a name in the plural.
public struct ResourcePath: Sendable, Hashable {
    /// The group, empty for the core group.
    public var group: String
    /// The version, such as `v1`.
    public var version: String
    /// The name in the plural, such as `configmaps`.
    public var resource: String

    /// A path from its parts.
    public init(group: String = "", version: String = "v1", resource: String) {
        self.group = group
        self.version = version
        self.resource = resource
    }

    /// `widgets.example.org`, or `pods` of the core group.
    public var name: String { group.isEmpty ? resource : "\(resource).\(group)" }

    /// `/api/v1` or `/apis/GROUP/VERSION`.
    var groupPath: String {
        let version = Self.encoded(version)
        return group.isEmpty ? "/api/\(version)" : "/apis/\(Self.encoded(group))/\(version)"
    }

    /// The path of one object, or of all of a namespace or the cluster.
    public func path(namespace: String? = nil, name: String? = nil) -> String {
        var path = groupPath
        if let namespace { path += "/namespaces/\(Self.encoded(namespace))" }
        path += "/\(Self.encoded(resource))"
        if let name { path += "/\(Self.encoded(name))" }
        return path
    }

    /// A part of a path or a query in the form that a URL has for it.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        let bytes = text.utf8.flatMap { byte -> [UInt8] in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: [byte]
            case _ where "-._~:".utf8.contains(byte): [byte]
            default: [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
