/// When an entry of a placement that replaces is put into its place.
public struct PlacementOrder: Sendable {
    /// Entries of lower numbers come first.
    public var step: Int
    /// Whether it waits until everything else is in place with its attributes, for something acts on it at once.
    public var waitsForAll: Bool
    /// Tells by the contents of a file whether it comes first within its step; nil if none does.
    public var comesFirst: (@Sendable (_ contents: [UInt8]) -> Bool)?

    /// An order from its parts.
    public init(
        step: Int = 0, waitsForAll: Bool = false, comesFirst: (@Sendable (_ contents: [UInt8]) -> Bool)? = nil
    ) {
        self.step = step
        self.waitsForAll = waitsForAll
        self.comesFirst = comesFirst
    }
}
