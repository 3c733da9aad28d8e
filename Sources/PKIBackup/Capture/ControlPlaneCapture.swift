import NodeFiles
import SealedArchive

extension SelectedPath {
    /// What a reference selects.
    init(_ reference: FileReference, _ limits: CaptureLimits) {
        self.init(
            path: reference.path, role: reference.captureClass.rawValue, referrer: reference.referrer,
            isRequired: reference.isRequired, isVague: reference.captureClass == .component,
            isAskedFor: reference.captureClass == .include,
            limitByteCount: limits.byteCount(for: reference.captureClass))
    }
}

extension WalkedEntry {
    /// The class of what selects it or is reached through it.
    var captureClass: CaptureClass { CaptureClass(rawValue: role) ?? .host }
}

/// Captures what references to files of a control plane name; the class of each file is the `role` of its entry.
public struct ControlPlaneCapture {
    private let capture: FileCapture
    private let limits: CaptureLimits
    private let identities = IdentityWatch(isDryRun: false)

    /// A capture into `writer` of the files of the node at `root`, but for patterns and paths that are left out.
    ///
    /// - Parameter captured: is told what went into the archive.
    public init(
        into writer: ArchiveWriter, root: NodeRoot = NodeRoot(), exclude: [String] = [],
        excludedPaths: [SkippedPath] = [], limits: CaptureLimits = CaptureLimits(),
        captured: CapturedFiles? = nil, progress: @escaping FileCapture.Progress = { _, _ in }
    ) {
        self.limits = limits
        capture = FileCapture(
            into: writer, root: root, exclude: exclude, excludedPaths: excludedPaths,
            captured: captured,
            classify: { [identities] entry, beginning in
                identities.look(at: entry.path, beginning)
                return CaptureClassifier.role(of: entry, beginning: beginning)
            }, progress: progress)
    }

    /// What was done so far.
    public var report: CaptureReport {
        var report = capture.report
        report.findings += identities.findings
        return report
    }

    /// Captures what the references name with everything below it, but for what was captured before.
    ///
    /// - Throws: errors of the archive only.
    public func capture(_ references: [FileReference]) throws {
        try capture.capture(references.map { SelectedPath($0, limits) })
    }
}

extension CaptureClassifier {
    /// The role of a file that a walk comes to.
    static func role(of entry: WalkedEntry, beginning: UnsafeRawBufferPointer) -> String {
        classify(display(entry.path), reference: entry.captureClass, isNamed: entry.isNamed, prefix: beginning).rawValue
    }
}
