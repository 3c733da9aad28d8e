import HostIO
import SystemPackage

/// The file system of the node that is looked at: the host's own, or a tree that stands for one.
///
/// Absolute paths, symbolic links and `..` stay within it, as under `chroot(2)`.
public struct NodeRoot: Sendable {
    /// What stands before every absolute path; empty for this host.
    public let prefix: String

    /// This host, or the tree at `prefix`.
    public init(prefix: String = "") {
        var prefix = prefix[...]
        while prefix.hasSuffix("/") { prefix.removeLast() }
        self.prefix = String(prefix)
    }

    /// Whether this is the host's own file system.
    public var isHost: Bool { prefix.isEmpty }

    /// Where an absolute path of the node is on this host, symbolic links aside.
    public func location(of path: String) -> String { prefix + path }

    /// The absolute path on the node of a path of this host; nil if it is outside of the node's file system.
    public func path(of location: String) -> String? {
        var path = absolutePath(location)
        return path.removePrefix(absolutePath(prefix.isEmpty ? "/" : prefix)) ? "/\(path)" : nil
    }

    /// Where an absolute path of the node is on this host once every symbolic link is resolved within the root.
    ///
    /// - Throws: ``SystemCallError`` if there is nothing, or links go in a circle.
    public func realLocation(of path: String) throws -> String { prefix + (try realPath(of: path)) }

    /// An absolute path of the node once every symbolic link is resolved within the root; empty for the root itself.
    ///
    /// - Throws: ``SystemCallError`` if there is nothing, or links go in a circle.
    public func realPath(of path: String) throws -> String {
        String(decoding: try resolve(Array(path.utf8)).path, as: UTF8.self)
    }

    /// The bytes of a file of at most `limitByteCount`.
    ///
    /// - Throws: ``SystemCallError``; ``Failure`` if it is larger or not a regular file.
    public func bytes(of path: String, limitByteCount: Int = 4 << 20) throws -> [UInt8] {
        let resolved = try resolve(Array(path.utf8))
        guard let name = resolved.name, resolved.attributes.kind == .file else {
            throw Failure(.failed, "\(quoted(path)) is not a regular file")
        }
        let descriptor = try resolved.directory.openFile(name)
        defer { try? descriptor.close() }
        let attributes = try attributesOf(descriptor, name: path)
        guard attributes.kind == .file else { throw Failure(.failed, "\(quoted(path)) is not a regular file") }
        guard attributes.byteCount <= limitByteCount else {
            throw Failure(.failed, "\(quoted(path)) has \(attributes.byteCount) bytes, too many for what it should be")
        }
        // Files of /proc say that they are empty.
        let capacity = attributes.byteCount > 0 ? attributes.byteCount : min(limitByteCount, 64 << 10)
        return try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            count = try readFully(descriptor, name: path, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    /// What is at a path, links followed.
    public func lookUp(_ path: String) -> PathLookup {
        do {
            return .found(try resolve(Array(path.utf8)).attributes)
        } catch let error as SystemCallError {
            return error.meansMissing ? .missing : .unreadable(error)
        } catch {
            preconditionFailure("a path is resolved by system calls alone")
        }
    }

    /// What a path leads to, nil if there is nothing or nothing that can be looked at: ``lookUp(_:)`` tells them apart.
    public func attributes(of path: String) -> EntryAttributes? {
        try? resolve(Array(path.utf8)).attributes
    }

    /// Whether there is an entry at `path`, be it a symbolic link to nothing.
    public func hasEntry(_ path: String) -> Bool {
        (try? resolve(Array(path.utf8), followsLast: false)) != nil
    }

    /// The names in a directory that are valid UTF-8, sorted.
    ///
    /// - Throws: ``SystemCallError``
    public func names(in path: String) throws -> [String] { try openDirectory(path).utf8Names() }

    /// Opens a directory.
    ///
    /// - Throws: ``SystemCallError``
    public func openDirectory(_ path: String) throws -> OpenDirectory {
        let resolved = try resolve(Array(path.utf8))
        guard let name = resolved.name else { return resolved.directory }
        return try resolved.directory.openDirectory(name)
    }
}
