internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Something that takes a stream of bytes in order: a file, standard output, an upload.
public protocol ByteSink: AnyObject {
    /// Writes all of `bytes`; blocks until they are taken.
    func write(_ bytes: UnsafeRawBufferPointer) throws
}

/// A file that becomes visible under its name only when it is complete and durable.
///
/// It is written under a temporary name in the same directory, mode 0600. ``publish(replacing:)`` checks the length,
/// syncs, renames and syncs the directory: a crash leaves either no file of that name or the whole one. A pending file
/// that is dropped without being published is removed.
public final class PendingFile: ByteSink {
    /// The prefix of temporary names; whatever is left with it in a locked directory belongs to no running process.
    public static let temporaryPrefix = ".pending-"

    /// The directory of the file.
    public let directory: OpenDirectory
    /// The name under which the file is published.
    public let name: String
    /// The number of bytes written so far.
    public private(set) var byteCount = 0

    /// The bytes that writing leaves free on the file system, at first none; past that ``write(_:)`` fails.
    public var reservedByteCount = 0

    private let temporaryName: String
    private let descriptor: FileDescriptor
    private var writebackOffset = 0
    private var direct: DirectWriter?
    private var isOpen = true

    /// Creates the temporary file.
    ///
    /// - Throws: ``SystemCallError``, also when a temporary file of that name is left over.
    public init(in directory: OpenDirectory, name: String) throws(SystemCallError) {
        self.directory = directory
        self.name = name
        temporaryName = Self.temporaryPrefix + name
        let temporaryName = temporaryName
        try Self.removeLeftover(temporaryName, in: directory)
        descriptor = FileDescriptor(
            owningRaw: try retryingInterrupts("create", directory.path(of: name)) {
                openat(
                    directory.descriptor.rawValue, temporaryName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0o600)
            })
        // While it is locked nobody takes it for a leftover.
        _ = flock(descriptor.rawValue, LOCK_EX | LOCK_NB)
    }

    deinit { discard() }

    /// Removes a temporary file that a process which is no more has left; one that a living process fills stays.
    ///
    /// - Returns: whether nothing of that name is left.
    @discardableResult
    public static func removeLeftover(_ name: String, in directory: OpenDirectory) throws(SystemCallError) -> Bool {
        let raw = openat(directory.descriptor.rawValue, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard raw >= 0 else { return Glibc.errno == ENOENT }
        defer { Glibc.close(raw) }
        var status = stat()
        guard fstat(raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG, flock(raw, LOCK_EX | LOCK_NB) == 0 else {
            return false
        }
        try directory.removeFile(name)
        return true
    }

    /// The path that the file will have.
    public var path: String { directory.path(of: name) }

    /// Makes what is written pass the page cache by, where the file system can do that; for a large file, before its
    /// first byte.
    public func bypassPageCache() {
        precondition(byteCount == 0, "a file is written to before its page cache is passed by")
        direct = DirectWriter(descriptor, path: path)
    }

    /// Appends bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        if let direct {
            try direct.write(bytes)
        } else {
            try writeAll(bytes, to: descriptor, subject: path)
        }
        byteCount += bytes.count
        try startWriteback()
    }

    /// Opens what was written so far for reading, independent of this object's life.
    public func reopen() throws -> RandomAccessFile {
        try endDirectWriting()
        return try RandomAccessFile(path: "/proc/self/fd/\(descriptor.rawValue)", name: path)
    }

    /// Returns after the bytes written so far are durable.
    public func sync() throws {
        try endDirectWriting()
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
    }

    /// Makes the file durable and visible under its name.
    ///
    /// - Parameter replacing: whether an existing file of that name is replaced; otherwise it is an error.
    /// - Throws: ``SystemCallError``; ``Failure`` if the file does not have the length that was written.
    public func publish(replacing: Bool = false) throws {
        try sync()
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw SystemCallError("read the size of", path) }
        guard Int(status.st_size) == byteCount else {
            throw Failure(
                .integrity, "\(quoted(path)) has \(status.st_size) bytes on disk, \(byteCount) were written",
                hint: "check the file system of the store")
        }
        try directory.rename(temporaryName, to: name, replacing: replacing)
        close()
    }

    /// Removes the temporary file; does nothing after ``publish(replacing:)``.
    public func discard() {
        guard isOpen else { return }
        unlinkat(directory.descriptor.rawValue, temporaryName, 0)
        close()
    }

    private func endDirectWriting() throws {
        try direct?.finish()
        direct = nil
    }

    private func close() {
        guard isOpen else { return }
        isOpen = false
        // Everything that matters was synced before; a close after fsync has nothing left to report.
        try? descriptor.close()
    }

    /// Starts writeback as the bytes come, so that the final sync finds little left to wait for.
    private func startWriteback() throws {
        let step = 8 << 20
        guard byteCount - writebackOffset >= step else { return }
        try checkReserve()
        if direct?.isDirect != true {
            HostIO.startWriteback(descriptor, offset: writebackOffset, byteCount: byteCount - writebackOffset)
        }
        writebackOffset = byteCount
    }

    private func checkReserve() throws {
        guard reservedByteCount > 0 else { return }
        let available = try directory.availableByteCount()
        guard available < reservedByteCount else { return }
        throw Failure(
            .noSpace, "\(quoted(directory.path)) has \(available) bytes left after \(byteCount) were written",
            hint: "\(reservedByteCount) bytes are kept free for others; free some space there, or name another place")
    }
}

/// A sink over a descriptor that somebody else owns, such as standard output.
public final class DescriptorSink: ByteSink {
    private let descriptor: FileDescriptor
    private let name: String

    /// A sink that writes to `descriptor`, called `name` in messages.
    public init(_ descriptor: FileDescriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Writes all of `bytes`.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try writeAll(bytes, to: descriptor, subject: name)
    }
}

private func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: FileDescriptor, subject: String) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = try retryingInterrupts("write to", subject) {
            Glibc.write(descriptor.rawValue, rest.baseAddress, rest.count)
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
}

extension ByteSink {
    /// Writes the bytes of an array.
    public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }
}

/// Asks the kernel to start writing back a part of a file, so that a later sync finds little left to wait for.
public func startWriteback(_ descriptor: FileDescriptor, offset: Int, byteCount: Int) {
    clinux_start_writeback(descriptor.rawValue, Int64(offset), Int64(byteCount))
}
