import HostIO
import SystemPackage

/// Where a path leads, every symbolic link on the way resolved within the node's root.
public struct ResolvedPath {
    /// The real absolute path on the node, without a slash at the end; empty for the root itself.
    public var path: [UInt8]
    /// What is there.
    public var attributes: EntryAttributes
    /// The directory that holds it; the root itself if that is what the path leads to.
    public var directory: OpenDirectory
    /// Its name there; nil for the root itself.
    public var name: EntryName?
}

/// A step on the way to a path: a directory gone through, or a symbolic link followed.
public struct PathStep {
    /// The directory that holds it.
    public var directory: OpenDirectory
    /// Its name there.
    public var name: EntryName
    /// What it is.
    public var attributes: EntryAttributes
    /// The real absolute path on the node.
    public var path: [UInt8]
}

extension NodeRoot {
    /// Goes along a path of the node; see ``HostIO/OpenDirectory/resolve(_:followsLast:visit:)``.
    ///
    /// - Throws: ``SystemCallError``; what `visit` throws.
    public func resolve(
        _ path: [UInt8], followsLast: Bool = true, visit: (PathStep) throws -> Void = { _ in }
    ) throws -> ResolvedPath {
        try OpenDirectory(path: prefix + "/").resolve(path, followsLast: followsLast, visit: visit)
    }
}

extension OpenDirectory {
    /// As many as Linux follows (`MAXSYMLINKS`, path_resolution(7)).
    private static let linkCountLimit = 40

    /// Goes along a path by directory descriptors, component by component, with this directory as the root of links and `..`.
    ///
    /// - Parameters:
    ///   - followsLast: whether a symbolic link at the path itself is followed, as those before it are.
    ///   - visit: sees each directory gone through and each link followed, but not what the path leads to.
    /// - Throws: ``SystemCallError``; what `visit` throws.
    public func resolve(
        _ path: [UInt8], followsLast: Bool = true, visit: (PathStep) throws -> Void = { _ in }
    ) throws -> ResolvedPath {
        var pending = Self.components(path)
        var stack = [(directory: self, path: [UInt8]())]
        var linkCount = 0
        while let part = pending.popLast() {
            if part == Array("..".utf8) {
                if stack.count > 1 { stack.removeLast() }
                continue
            }
            let (directory, parent) = stack[stack.count - 1]
            guard let name = EntryName(part) else {
                throw SystemCallError("follow", display(path), errno: .noSuchFileOrDirectory)
            }
            let attributes = try directory.attributes(of: name)
            let step = PathStep(
                directory: directory, name: name, attributes: attributes, path: parent + [0x2F] + name.bytes)
            if attributes.kind == .symbolicLink, followsLast || !pending.isEmpty {
                linkCount += 1
                guard linkCount <= Self.linkCountLimit else {
                    throw SystemCallError("follow", display(path), errno: .tooManySymbolicLinkLevels)
                }
                try visit(step)
                let target = try directory.readLink(name)
                if target.first == 0x2F { stack.removeSubrange(1...) }
                pending += Self.components(target)
            } else if pending.isEmpty {
                return ResolvedPath(path: step.path, attributes: attributes, directory: directory, name: name)
            } else {
                let child = try directory.openDirectory(name)
                try visit(step)
                stack.append((child, step.path))
            }
        }
        return try Self.top(of: stack)
    }

    /// The last directory that was entered: the path ended in `..`, or names the root.
    private static func top(of stack: [(directory: OpenDirectory, path: [UInt8])]) throws -> ResolvedPath {
        let (directory, path) = stack[stack.count - 1]
        let attributes = try directory.attributes()
        guard stack.count > 1, let slash = path.lastIndex(of: 0x2F) else {
            return ResolvedPath(path: [], attributes: attributes, directory: directory, name: nil)
        }
        return ResolvedPath(
            path: path, attributes: attributes, directory: stack[stack.count - 2].directory,
            name: EntryName(path[(slash + 1)...]))
    }

    /// The components of a path, the first one last.
    private static func components(_ path: [UInt8]) -> [[UInt8]] {
        path.split(separator: 0x2F).map(Array.init).filter { $0 != [0x2E] }.reversed()
    }
}

/// A path's bytes for messages, with those that are not UTF-8 replaced.
public func display(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }
