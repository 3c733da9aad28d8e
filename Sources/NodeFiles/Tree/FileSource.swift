import HostIO
import SystemPackage

/// What a path of a node leads to, symbolic links followed.
public enum FoundFile: Sendable, Equatable {
    /// Nothing.
    case missing
    /// Something that can't be looked at; why.
    case unreadable(String)
    /// A directory.
    case directory
    /// A regular file of so many bytes.
    case file(byteCount: Int)
    /// A device, a socket, a FIFO.
    case other
}

/// Files of a node to be read and judged: the live ones, those that went into an archive, or those of an archive.
public protocol FileSource {
    /// What an absolute path leads to.
    func find(_ path: String) -> FoundFile

    /// The bytes of a file; the caller wipes them.
    ///
    /// - Throws: ``SystemCallError``; ``Failure`` if it has more than `limitByteCount` or is no regular file.
    func bytes(of path: String, limitByteCount: Int) throws -> [UInt8]

    /// The first bytes of a file, fewer if it ends before.
    ///
    /// - Throws: as for ``bytes(of:limitByteCount:)``.
    func beginning(of path: String, byteCount: Int) throws -> [UInt8]

    /// Whether the contents of a file can be had.
    ///
    /// - Throws: as for ``bytes(of:limitByteCount:)``.
    func checkReadable(_ path: String) throws

    /// The names in a directory that are valid UTF-8, sorted.
    ///
    /// - Throws: ``SystemCallError``
    func names(in path: String) throws -> [String]
}

extension NodeRoot: FileSource {
    /// What an absolute path leads to.
    public func find(_ path: String) -> FoundFile {
        do {
            let attributes = try resolve(Array(path.utf8)).attributes
            switch attributes.kind {
            case .directory: return .directory
            case .file: return .file(byteCount: attributes.byteCount)
            default: return .other
            }
        } catch let error as SystemCallError {
            return error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory
                ? .missing : .unreadable("\(error.errno)")
        } catch {
            return .unreadable(Failure(wrapping: error).message)
        }
    }

    /// Whether the contents of a file can be had.
    public func checkReadable(_ path: String) throws { _ = try beginning(of: path, byteCount: 1) }

    /// The first bytes of a file, fewer if it ends before.
    public func beginning(of path: String, byteCount: Int) throws -> [UInt8] {
        let resolved = try resolve(Array(path.utf8))
        guard let name = resolved.name, resolved.attributes.kind == .file else {
            throw Failure(.failed, "\(quoted(path)) is not a regular file")
        }
        let descriptor = try resolved.directory.openFile(name)
        defer { try? descriptor.close() }
        return try [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
            count = try readFully(descriptor, name: path, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }
}
