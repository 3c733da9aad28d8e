import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Walks the files that selected paths lead to, each path once, in the order of the paths.
///
/// It goes by directory descriptors and follows no symbolic link below a selected path; a selected path that leads through
/// links is walked at its real place, and the links are walked too. What can't be read becomes a finding.
public final class CaptureWalk {
    /// Takes an entry.
    ///
    /// - Returns: the names of entries of the same directory that were taken along with it.
    public typealias Visit = (WalkedEntry) throws -> [EntryName]

    let root: NodeRoot
    private let exclude: [String]
    private let excludedPaths: [[UInt8]: String]
    /// Those of them that were met.
    private var saidPaths: Set<[UInt8]> = []
    private let tree = SelectionTree()
    /// What was met so far; who visits adds what it took.
    public var report = CaptureReport()

    /// A walk of the node at `root`.
    ///
    /// - Parameters:
    ///   - exclude: patterns of absolute paths (`fnmatch(3)`, where `*` also matches slashes) that are left out, with what is
    ///     below.
    ///   - excludedPaths: paths that are left out with what is below, each with the reason that is reported.
    public init(root: NodeRoot, exclude: [String], excludedPaths: [SkippedPath]) {
        self.root = root
        self.exclude = exclude
        let reasons = Self.reasons(excludedPaths, root)
        self.excludedPaths = reasons.byPath
        for (path, error) in reasons.errors { find(error, path) }
    }

    /// Why paths are excluded, as they are written and where they really are.
    private static func reasons(
        _ excludedPaths: [SkippedPath], _ root: NodeRoot
    ) -> (byPath: [[UInt8]: String], errors: [(String, SystemCallError)]) {
        var reasons: [[UInt8]: String] = [:]
        var errors: [(String, SystemCallError)] = []
        for excluded in excludedPaths {
            var forms = [Array(excluded.path.utf8)]
            do {
                forms.append(try root.resolve(forms[0]).path)
            } catch let error as SystemCallError {
                if !error.meansMissing { errors.append((excluded.path, error)) }
            } catch {}
            for form in forms where !form.isEmpty { reasons[form] = reasons[form] ?? excluded.reason }
        }
        return (reasons, errors)
    }

    /// Walks what is selected, but for what was walked before.
    ///
    /// - Throws: what `visit` throws, but for ``SystemCallError``; `CancellationError`.
    public func run(_ selection: [SelectedPath], visit: Visit) throws {
        for selected in selection { select(selected) }
        do {
            let directory = try OpenDirectory(path: root.prefix + "/")
            try walkChildren(of: directory, [], tree, tree.reference, visit)
        } catch let error as SystemCallError {
            find(error, "/")
        }
    }

    // MARK: Selection

    private func select(_ reference: SelectedPath) {
        let path = reference.path
        guard EntryName.components(of: path.utf8.drop { $0 == 0x2F }) != nil, path.hasPrefix("/") else {
            return find(.error, "path-unusable", path, "is not an absolute path without '..'", "correct the path")
        }
        guard !isLeftOutWithParents(Array(path.utf8)) else { return }
        do {
            var steps: [[UInt8]] = []
            let resolved = try root.resolve(Array(path.utf8)) { steps.append($0.path) }
            guard !isLeftOutWithParents(resolved.path) else { return }
            for step in steps { _ = tree.insert(step, role: reference.role) }
            let node = tree.insert(resolved.path, role: reference.role)
            // A later and vaguer one of the same place tells nothing new.
            if node.reference?.isVague != false { node.reference = reference }
        } catch let error as SystemCallError {
            if reference.isRequired || !error.meansMissing { find(error, path) }
        } catch {
            find(.error, "file-unreadable", path, Failure(wrapping: error).message, nil)
        }
    }

    // MARK: Walk

    private func walkChildren(
        of directory: OpenDirectory, _ path: [UInt8], _ node: SelectionTree?, _ reference: SelectedPath?,
        _ visit: Visit
    ) throws {
        var taken: Set<EntryName> = []
        func take(_ name: EntryName) throws {
            guard !taken.contains(name) else { return }
            taken.formUnion(try walk(name, in: directory, path, node?.children[name], reference, visit))
        }
        if reference != nil {
            for bytes in try directory.names() {
                if let name = EntryName(bytes) { try take(name) }
            }
        } else {
            for name in (node?.children.keys).map(Array.init)?.sorted() ?? [] { try take(name) }
        }
    }

    private func walk(
        _ name: EntryName, in directory: OpenDirectory, _ parent: [UInt8], _ node: SelectionTree?,
        _ covering: SelectedPath?, _ visit: Visit
    ) throws -> [EntryName] {
        try Task.checkCancellation()
        let path = parent + [0x2F] + name.bytes
        let reference = node?.reference ?? covering
        if node?.isWholeTaken == true || reference != nil && isLeftOut(path) { return [] }
        do {
            let attributes = try directory.attributes(of: name)
            let entry = WalkedEntry(
                directory: directory, name: name, attributes: attributes, path: path, reference: reference,
                role: reference?.role ?? node?.passingRole ?? "", isNamed: node?.reference != nil)
            return try walk(entry, node, visit)
        } catch let error as SystemCallError {
            // What nothing names and is gone by now was not meant to stay.
            if node?.reference == nil, error.errno == .noSuchFileOrDirectory {
                skip(path, "it was removed while the directory was captured")
            } else {
                find(error, display(path))
            }
            return []
        }
    }

    private func walk(_ entry: WalkedEntry, _ node: SelectionTree?, _ visit: Visit) throws -> [EntryName] {
        defer {
            node?.isTaken = true
            if entry.reference != nil { node?.isWholeTaken = true }
        }
        switch entry.attributes.kind {
        case .directory:
            // Opened first: a directory that can't be read is not worth an entry.
            let child = try entry.directory.openDirectory(entry.name)
            if node?.isTaken != true { _ = try visit(entry) }
            try walkChildren(of: child, entry.path, node, entry.reference, visit)
        case .file:
            guard node?.isTaken != true, entry.reference != nil, isWithinLimit(entry) else { return [] }
            return try visit(entry)
        case .symbolicLink:
            guard node?.isTaken != true else { return [] }
            _ = try visit(entry)
            // A link on the way to a selected path is followed there.
            if node == nil { try checkTarget(entry) }
        case .fifo: skip(entry.path, "a named pipe")
        case .socket: skip(entry.path, "a socket")
        case .device: skip(entry.path, "a device")
        }
        return []
    }

    private func isWithinLimit(_ entry: WalkedEntry) -> Bool {
        guard let limit = entry.reference?.limitByteCount, entry.attributes.byteCount > limit else { return true }
        find(
            .error, "file-too-large", display(entry.path),
            "has \(entry.attributes.byteCount) bytes, the limit for \(entry.role) is \(limit)",
            "exclude it if it is not needed, or raise the limit")
        return false
    }

    /// Says of a link in a captured directory that what it points to is not captured.
    private func checkTarget(_ entry: WalkedEntry) throws {
        do {
            let target = try root.resolve(entry.path)
            let isAbove = entry.path.starts(with: target.path + [0x2F])
            guard !isAbove, !tree.covers(target.path) else { return }
            note(
                entry, "link-leaves-tree", "points to \(quoted(display(target.path))), which is not captured",
                "add that path to what is captured if it is needed")
        } catch let error as SystemCallError {
            if error.errno == .tooManySymbolicLinkLevels {
                note(entry, "link-loop", "goes in a circle", "remove the link")
            } else if !error.meansMissing {
                find(error, display(entry.path))
            }
        }
    }

    /// What a path that was asked for holds is its owner's business; elsewhere a link is more likely a mistake.
    private func note(_ entry: WalkedEntry, _ code: String, _ message: String, _ advice: String) {
        if entry.reference?.isAskedFor == true { return skip(entry.path, "the target of a link: it \(message)") }
        find(.warning, code, display(entry.path), message, advice)
    }

    // MARK: What is left out

    private func isLeftOut(_ path: [UInt8]) -> Bool {
        let name = path[(path.lastIndex(of: 0x2F).map { $0 + 1 } ?? 0)...]
        if let reason = excludedPaths[path] ?? KeptDirectory.reasonToLeaveOut(name) {
            if saidPaths.insert(path).inserted { skip(path, reason) }
            return true
        }
        return isExcluded(path)
    }

    /// Whether a path or a directory above it is left out.
    private func isLeftOutWithParents(_ path: [UInt8]) -> Bool {
        var prefix: [UInt8] = []
        return path.split(separator: 0x2F).contains { name in
            prefix += [0x2F] + name
            return isLeftOut(prefix)
        }
    }

    private func isExcluded(_ path: [UInt8]) -> Bool { Self.excludes(path, exclude) }

    /// Whether one of the patterns leaves a path out.
    public static func excludes(_ path: [UInt8], _ patterns: [String]) -> Bool {
        !patterns.isEmpty && withCString(path) { path in patterns.contains { fnmatch($0, path, 0) == 0 } }
    }
}
