import NodeFiles
import SealedArchive

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
        byteCounts: [CaptureClass: Int] = [
            .datastore: 8 << 30, .distribution: 8 << 30, .cniState: 1 << 30, .include: 4 << 30,
        ]
    ) {
        self.standardByteCount = standardByteCount
        self.byteCounts = byteCounts
    }

    /// The most bytes of a file of the class.
    public func byteCount(for captureClass: CaptureClass) -> Int { byteCounts[captureClass] ?? standardByteCount }
}
