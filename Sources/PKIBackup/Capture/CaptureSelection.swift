/// Which files are captured.
public struct CaptureSelection: Sendable {
    /// Files and directories with their classes.
    public var references: [FileReference]
    /// Patterns of absolute paths (`fnmatch(3)`, where `*` also matches slashes) that are left out, with what is below.
    public var exclude: [String]

    /// A selection from its parts.
    public init(references: [FileReference], exclude: [String] = []) {
        self.references = references
        self.exclude = exclude
    }

    /// A selection of absolute paths that the configuration asks for.
    public init(include: [String], exclude: [String] = []) {
        self.init(references: include.map(FileReference.init(including:)), exclude: exclude)
    }

    /// The paths that the configuration asks for.
    public var include: [String] { references.filter { $0.captureClass == .include }.map(\.path) }
}

extension FileReference {
    /// A path that the configuration or a flag asks for.
    public init(including path: String) {
        self.init(path: path, captureClass: .include, referrer: "configuration", isRequired: true)
    }
}

/// How large a file may be to be captured.
public struct CaptureLimits: Sendable {
    /// The most bytes of a file of a class that is not in ``byteCounts``.
    public var standardByteCount: Int
    /// The most bytes of a file of a class.
    public var byteCounts: [CaptureClass: Int]

    /// Limits that every control plane known stays below; databases of k3s and of networks may be large.
    public init(
        standardByteCount: Int = 64 << 20,
        byteCounts: [CaptureClass: Int] = [.distribution: 8 << 30, .cniState: 1 << 30, .include: 4 << 30]
    ) {
        self.standardByteCount = standardByteCount
        self.byteCounts = byteCounts
    }

    /// The most bytes of a file of the class.
    public func byteCount(for captureClass: CaptureClass) -> Int { byteCounts[captureClass] ?? standardByteCount }
}
