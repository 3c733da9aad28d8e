import HostIO
import NodeFiles
import SealedArchive

/// The references of a layout while they are gathered: each path once, with the class that says most of it.
struct ReferenceCollector {
    private(set) var references: [FileReference] = []
    private(set) var skipped: [SkippedPath] = []
    private(set) var excluded: [SkippedPath] = []
    /// Directories that etcds say their data is in.
    private(set) var dataDirectories: [String] = []
    private var indices: [String: Int] = [:]

    /// Classes that say where a path was found rather than what it is.
    private static let vague: Set<CaptureClass> = [.component, .distribution, .host, .include]

    mutating func add(_ path: String, _ captureClass: CaptureClass, by referrer: String, isRequired: Bool) {
        guard let index = indices[path] else {
            indices[path] = references.count
            references.append(
                FileReference(path: path, captureClass: captureClass, referrer: referrer, isRequired: isRequired))
            return
        }
        if Self.vague.contains(references[index].captureClass) { references[index].captureClass = captureClass }
        references[index].isRequired = references[index].isRequired || isRequired
        let isNew = references[index].referrer != referrer && !references[index].otherReferrers.contains(referrer)
        if isNew { references[index].otherReferrers.append(referrer) }
    }

    mutating func skip(_ path: String, _ reason: String) {
        guard !skipped.contains(where: { $0.path == path }) else { return }
        skipped.append(SkippedPath(path: path, reason: reason))
    }

    /// Leaves a path out with everything below it, whatever covers it.
    mutating func exclude(_ path: String, _ reason: String) {
        guard !excluded.contains(where: { $0.path == path }) else { return }
        excluded.append(SkippedPath(path: path, reason: reason))
    }

    mutating func addDataDirectory(_ path: String) {
        if !dataDirectories.contains(path) { dataDirectories.append(path) }
    }

    /// Leaves out the data of etcds, as far as it is that: never what something names as anything else.
    mutating func excludeData(root: NodeRoot) {
        for directory in dataDirectories {
            let names = (try? root.names(in: directory)) ?? []
            // etcd, `server/storage/datadir`: `member/snap` and `member/wal`; with `--wal-dir` the log is somewhere else.
            let holdsMember = names.contains("member") && root.attributes(of: directory + "/member")?.kind == .directory
            guard holdsMember || names.contains(where: { $0.hasSuffix(".wal") }) else { continue }
            let parts = [directory] + (holdsMember ? [directory + "/member"] : [])
            guard let path = parts.first(where: holdsNothingElse) else { continue }
            exclude(path, PathPolicy.etcdData)
            skip(path, PathPolicy.etcdData)
        }
    }

    /// Whether nothing at or below a path is named but by a volume, which only shows where data is.
    private func holdsNothingElse(_ path: String) -> Bool {
        !references.contains { $0.captureClass != .component && isPath($0.path, atOrBelow: path) }
    }

    func excludes(_ path: String) -> Bool { excluded.contains { isPath(path, atOrBelow: $0.path) } }
}
