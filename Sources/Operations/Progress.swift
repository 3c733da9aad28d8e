/// How far long work has come.
public struct Progress: Sendable {
    /// What is being done, such as `etcd snapshot`.
    public var phase: String
    /// Bytes done.
    public var doneByteCount: Int
    /// Bytes to do; nil when unknown.
    public var totalByteCount: Int?
}

/// Follows an operation: progress and notes for a person who watches.
public struct Observer: Sendable {
    /// Called often; must be quick.
    public var progress: @Sendable (Progress) -> Void
    /// One sentence on something done or decided.
    public var note: @Sendable (String) -> Void
    /// One sentence on something that needs attention.
    public var warn: @Sendable (String) -> Void
    /// One sentence for who wants to know more than most.
    public var detail: @Sendable (String) -> Void

    /// An observer from its parts.
    public init(
        progress: @escaping @Sendable (Progress) -> Void = { _ in },
        note: @escaping @Sendable (String) -> Void = { _ in },
        warn: @escaping @Sendable (String) -> Void = { _ in },
        detail: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.progress = progress
        self.note = note
        self.warn = warn
        self.detail = detail
    }
}
