/// Fields of a mapping as Kubernetes' own decoders see them: what is null or empty counts as absent.
extension Node {
    /// The value of a key of a mapping, nil if this is no mapping.
    public func value(_ key: String) -> Node? { self[key] }

    /// The text of a scalar that is not null.
    public var presentText: String? { isNull ? nil : text }

    /// The text of a key's value, nil if it is absent, null, empty or no scalar.
    public func text(_ key: String) -> String? {
        self[key]?.presentText.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The items of a key's list, none if it is no list.
    public func items(_ key: String) -> [Node] { self[key]?.sequence ?? [] }
}
