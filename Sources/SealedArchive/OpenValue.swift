/// A value of an enumeration as a stored document has it, the ones of later versions included.
///
/// A value that this version does not know is kept and shown as it is; what is decided by it is decided as for none of
/// the known ones.
public struct OpenValue<Known: RawRepresentable & Sendable>: RawRepresentable, Codable, Hashable, Sendable,
    CustomStringConvertible
where Known.RawValue == String {
    /// The value's text in documents.
    public let rawValue: String

    /// A value by its text, which may be any.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// One of the values of this version.
    public init(_ known: Known) { rawValue = known.rawValue }

    /// The value; nil for one of a later version.
    public var known: Known? { Known(rawValue: rawValue) }

    /// The value's text in documents.
    public var description: String { rawValue }
}

/// Whether it is that value.
public func == <Known>(left: OpenValue<Known>?, right: Known) -> Bool { left?.rawValue == right.rawValue }

/// Whether it is another value, or one of a later version.
public func != <Known>(left: OpenValue<Known>?, right: Known) -> Bool { left?.rawValue != right.rawValue }
