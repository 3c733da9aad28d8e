import HostIO
import NodeFiles
import SealedArchive
import SystemPackage

/// A file or link that a capture would take.
public struct SurveyedPath: Codable, Sendable, Equatable {
    /// The real absolute path on the node.
    public var path: String
    /// What it is; large files are classed by their names alone.
    public var captureClass: CaptureClass
    /// The size in bytes; 0 for a link.
    public var byteCount: Int
    /// What names it, or a directory above it.
    public var referrer: String
}

/// Looks at what a capture would take, and takes nothing.
public enum CaptureSurvey {
    /// Gives every file and link that a capture of the references would take to `body`.
    ///
    /// Files are read as far as their class needs it; nothing is written anywhere.
    ///
    /// - Returns: the counts, what would be left out, and what is wrong.
    /// - Throws: what `body` throws.
    public static func survey(
        _ references: [FileReference], root: NodeRoot = NodeRoot(), exclude: [String] = [],
        excludedPaths: [SkippedPath] = [], limits: CaptureLimits = CaptureLimits(),
        _ body: (SurveyedPath) throws -> Void
    ) throws -> CaptureReport {
        let identities = IdentityWatch(isDryRun: true)
        let walk = CaptureWalk(root: root, exclude: exclude, excludedPaths: excludedPaths)
        try walk.run(references.map { SelectedPath($0, limits) }) { entry in
            guard entry.attributes.kind != .directory, entry.reference != nil || entry.attributes.kind == .symbolicLink
            else {
                return []
            }
            let isFile = entry.attributes.kind == .file
            let surveyed = SurveyedPath(
                path: display(entry.path),
                captureClass: isFile ? try captureClass(of: entry, identities) : entry.captureClass,
                byteCount: isFile ? entry.attributes.byteCount : 0, referrer: entry.reference?.referrer ?? "on the way")
            if isFile {
                walk.report.fileCount += 1
                walk.report.byteCount += surveyed.byteCount
                walk.report.fileCounts[surveyed.captureClass.rawValue, default: 0] += 1
            }
            // What the caller throws ends the survey, also if it is an error of a system call.
            try archiving { try body(surveyed) }
            return []
        }
        walk.report.findings += identities.findings
        return walk.report
    }

    /// The size of all files that a capture of the references would take, in bytes; none of them is opened.
    public static func byteCount(
        of references: [FileReference], root: NodeRoot = NodeRoot(), exclude: [String] = [],
        excludedPaths: [SkippedPath] = [], limits: CaptureLimits = CaptureLimits()
    ) throws -> Int {
        let walk = CaptureWalk(root: root, exclude: exclude, excludedPaths: excludedPaths)
        try walk.run(references.map { SelectedPath($0, limits) }) { entry in
            if entry.reference != nil, entry.attributes.kind == .file {
                walk.report.byteCount += entry.attributes.byteCount
            }
            return []
        }
        return walk.report.byteCount
    }

    private static func captureClass(of entry: WalkedEntry, _ identities: IdentityWatch) throws -> CaptureClass {
        let descriptor = try entry.directory.openFile(entry.name)
        defer { try? descriptor.close() }
        let file = OpenFile(descriptor: descriptor, path: display(entry.path))
        guard try file.attributes().kind == .file else {
            throw SystemCallError("read", file.path, errno: .invalidArgument)
        }
        let beginning = try file.bytes(at: 0, count: CaptureClassifier.prefixByteCount)
        beginning.withUnsafeBytes { identities.look(at: entry.path, $0) }
        return CaptureClassifier.classify(
            file.path, reference: entry.captureClass, isNamed: entry.isNamed, prefix: beginning)
    }
}
