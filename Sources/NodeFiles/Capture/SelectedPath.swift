import HostIO

/// A path of a node that is captured with what is below, and what is known of it by who selects it.
public struct SelectedPath: Sendable {
    /// The absolute path on the node.
    public var path: String
    /// What it is, as the `role` of the manifest's entries.
    public var role: String
    /// What names it.
    public var referrer: String
    /// Whether it is a finding if nothing is there.
    public var isRequired: Bool
    /// Whether any other role for the same path says better what it is.
    public var isVague: Bool
    /// Whether a person asked for it: then what links in it point to is that person's business.
    public var isAskedFor: Bool
    /// The most bytes that a file of it may have.
    public var limitByteCount: Int

    /// A selected path from its parts.
    public init(
        path: String, role: String, referrer: String, isRequired: Bool, isVague: Bool = false, isAskedFor: Bool = false,
        limitByteCount: Int
    ) {
        self.path = path
        self.role = role
        self.referrer = referrer
        self.isRequired = isRequired
        self.isVague = isVague
        self.isAskedFor = isAskedFor
        self.limitByteCount = limitByteCount
    }
}

/// An entry that a walk comes to.
public struct WalkedEntry {
    /// The directory that holds it.
    public var directory: OpenDirectory
    /// Its name there.
    public var name: EntryName
    /// What it was when the walk came by.
    public var attributes: EntryAttributes
    /// The real absolute path on the node.
    public var path: [UInt8]
    /// What selects it, or a directory above it; nil for a directory or a link on the way to what is selected.
    public var reference: SelectedPath?
    /// The role of what selects it or is reached through it.
    public var role: String
    /// Whether the selection names the entry itself.
    public var isNamed: Bool

    /// The role of a file by what is known of it and by the beginning of its contents.
    public typealias Classifier = (_ entry: WalkedEntry, _ beginning: UnsafeRawBufferPointer) -> String
}
