/// What becomes of a file.
public struct FileChange: Sendable {
    /// A value that changed.
    public struct Edit: Sendable, Equatable {
        /// The way to it in the document, with the flag or variable: `spec.containers[0].command[7] --name`.
        public var path: String
        /// The line of the old text, counted from 1; of what is added that of the list or mapping it is added to.
        public var line: Int
        /// What it was; empty for what is added.
        public var oldValue: String
        /// What it is.
        public var newValue: String
        /// What kind of value it is.
        public var reason: String
    }

    /// The file's absolute path on the node.
    public let path: String
    /// What was in it.
    public let oldBytes: [UInt8]
    /// What is to be in it; the same if there are only remarks.
    public let newBytes: [UInt8]
    /// The changed values in the order of the text.
    public let edits: [Edit]
    /// What a person has to change, as sentences.
    public let remarks: [String]
    /// Where the new values stand in ``newBytes``.
    let newRanges: [Range<Int>]
    /// The lines of ``newBytes``, counted from 0, that ``oldBytes`` has no counterpart of.
    let addedLines: Set<Int>

    init(
        path: String, oldBytes: [UInt8], newBytes: [UInt8], edits: [Edit], remarks: [String] = [],
        newRanges: [Range<Int>] = [], addedLines: Set<Int> = []
    ) {
        self.path = path
        self.oldBytes = oldBytes
        self.newBytes = newBytes
        self.edits = edits
        self.remarks = remarks
        self.newRanges = newRanges
        self.addedLines = addedLines
    }
}
