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
    /// Files and directories that components write.
    private var outputs: [SkippedPath] = []
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

    /// Gives what is named already a class by what it holds.
    mutating func reclassify(_ path: String, as captureClass: CaptureClass) {
        guard let index = indices[path], references[index].captureClass != .serviceAccountKey else { return }
        references[index].captureClass = captureClass
    }

    /// The class of what is named already; nil for anything else.
    func captureClass(of path: String) -> CaptureClass? { indices[path].map { references[$0].captureClass } }

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

    mutating func addOutput(_ path: String, _ reason: String) {
        outputs.append(SkippedPath(path: path, reason: reason))
    }

    /// Leaves out what components write, with what was rotated out of it, unless something names it as anything else.
    mutating func excludeOutputs(root: NodeRoot) {
        for output in outputs {
            switch root.attributes(of: output.path)?.kind {
            case .directory: if holdsNothingElse(output.path) { exclude(output.path, output.reason) }
            default:
                for path in RotatedFiles.paths(of: output.path, in: root) where holdsNothingElse(path) {
                    exclude(path, output.reason)
                }
            }
        }
    }

    /// Whether nothing at or below a path is named but by a volume, which only shows where data is.
    private func holdsNothingElse(_ path: String) -> Bool {
        !references.contains { $0.captureClass != .component && isPath($0.path, atOrBelow: path) }
    }

    /// Whether something names a path, or a directory above it, so that it is captured unless it is excluded.
    func covers(_ path: String) -> Bool { references.contains { isPath(path, atOrBelow: $0.path) } }

    func excludes(_ path: String) -> Bool { excluded.contains { isPath(path, atOrBelow: $0.path) } }
}

/// What is rotated out of a file that a component writes.
///
/// Sources: lumberjack 2.2, `lumberjack.go` (`backupName`: `audit-2026-01-31T10-00-00.000.log`, then `.gz`), with which the API
/// server and etcd write; logrotate(8): `audit.log.1`, `audit.log-20260131`, compressed.
enum RotatedFiles {
    /// The file and those beside it that were rotated out of it.
    static func paths(of path: String, in root: NodeRoot) -> [String] {
        let directory = parentPath(path)
        let name = lastName(path)
        let beside = ((try? root.names(in: directory)) ?? []).filter { $0 != name && isRotated($0, outOf: name) }
        return [path] + beside.map { joinPath(directory, $0) }.filter { root.attributes(of: $0)?.kind == .file }
    }

    static func isRotated(_ other: String, outOf name: String) -> Bool {
        if other.hasPrefix(name), let mark = other.dropFirst(name.count).first {
            let rest = other.dropFirst(name.count + 1)
            return (mark == "." || mark == "-")
                && (rest.first?.isNumber == true || ["gz", "old", "bak"].contains(String(rest)))
        }
        let dot = name.lastIndex(of: ".").flatMap { $0 == name.startIndex ? nil : $0 } ?? name.endIndex
        let (stem, ending) = (name[..<dot], name[dot...])
        guard other.hasPrefix(stem + "-"), other.dropFirst(stem.count + 1).first?.isNumber == true else { return false }
        return other.hasSuffix(ending) || other.hasSuffix(ending + ".gz")
    }
}
