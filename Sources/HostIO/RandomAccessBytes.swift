import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Immutable bytes that can be read at any offset: a file, or an object in a store.
///
/// Calls block; use them from a thread that may block. Safe to call from several threads at once.
public protocol RandomAccessBytes: Sendable {
    /// A name for messages: a path or a URL.
    var name: String { get }
    /// The number of bytes.
    var byteCount: Int { get }
    /// Whether small reads here and there cost little more than their bytes.
    var isCheapAtRandom: Bool { get }
    /// Reads into the whole of `buffer` from `offset` on, or up to the end of the bytes.
    ///
    /// - Returns: the number of bytes read: less than `buffer.count` only at the end.
    /// - Throws: ``SystemCallError`` or the store's error.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

extension RandomAccessBytes {
    /// As for a file.
    public var isCheapAtRandom: Bool { true }

    /// Reads `count` bytes at `offset` into an array; shorter only at the end of the bytes.
    public func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            initializedCount = try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        }
    }
}

/// A regular file open for reading by position.
public final class RandomAccessFile: RandomAccessBytes {
    /// The path as it was given.
    public let name: String
    /// The size of the file when it was opened, in bytes.
    public let byteCount: Int
    private let descriptor: FileDescriptor

    /// Opens a regular file for reading.
    ///
    /// - Throws: ``SystemCallError`` if it can't be opened, ``Failure`` if it is not a regular file.
    public convenience init(path: String) throws {
        try self.init(try Self.open(path), name: path)
    }

    private static func open(_ path: String) throws -> FileDescriptor {
        do throws(SystemCallError) {
            return try openWithoutWaiting(path)
        } catch {
            guard error.errno == .noSuchAddressOrDevice else { throw error }
            // What a socket, or a device that nothing is behind, says to that.
            throw Failure(.failed, "\(quoted(path)) is a socket or a dead device, and not a regular file")
        }
    }

    /// Without `O_NONBLOCK` the open of a FIFO waits for a writer.
    private static func openWithoutWaiting(_ path: String) throws(SystemCallError) -> FileDescriptor {
        FileDescriptor(
            owningRaw: try retryingInterrupts("open", path) { Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) })
    }

    /// Takes over a descriptor that is open for reading.
    ///
    /// - Parameter name: what to call it in messages.
    /// - Throws: ``Failure`` if it is not a regular file.
    init(_ descriptor: FileDescriptor, name: String) throws {
        byteCount = try Self.byteCount(ofRegular: descriptor, name: name)
        self.descriptor = descriptor
        self.name = name
    }

    /// The size of a regular file; anything else is closed.
    private static func byteCount(ofRegular descriptor: FileDescriptor, name: String) throws -> Int {
        let attributes = try? attributesOf(descriptor, name: name)
        if let attributes, attributes.kind == .file { return attributes.byteCount }
        try? descriptor.close()
        let what = attributes.map { "is \($0.kind.noun), and not" } ?? "is not"
        throw Failure(.failed, "\(quoted(name)) \(what) a regular file")
    }

    deinit { try? descriptor.close() }

    /// The number of its descriptor: `/proc/self/fd` leads to the very file by it, while this object lives.
    public var descriptorNumber: Int32 { descriptor.rawValue }

    /// Reads by position, without moving a file offset.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try readFully(descriptor, name: name, at: offset, into: buffer)
    }
}

/// Reads into the whole of `buffer` from `offset` on, or up to the end of the file.
///
/// - Returns: the number of bytes read.
public func readFully(
    _ descriptor: FileDescriptor, name: String, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
) throws(SystemCallError) -> Int {
    var done = 0
    while done < buffer.count {
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
        let count = try retryingInterrupts("read", name) {
            pread(descriptor.rawValue, rest.baseAddress, rest.count, off_t(offset + done))
        }
        if count == 0 { break }
        done += count
    }
    return done
}

/// Reads what is there next, at least one byte, or nothing at the end.
public func readSome(
    _ descriptor: FileDescriptor, name: String, into buffer: UnsafeMutableRawBufferPointer
) throws(SystemCallError) -> Int {
    try retryingInterrupts("read", name) { Glibc.read(descriptor.rawValue, buffer.baseAddress, buffer.count) }
}

/// Opens anything that can be read in order, a pipe too; the caller closes it.
public func openForReading(_ path: String) throws(SystemCallError) -> FileDescriptor {
    FileDescriptor(owningRaw: try retryingInterrupts("open", path) { open(path, O_RDONLY | O_CLOEXEC) })
}

extension FileDescriptor {
    /// Wraps a descriptor that a system call has just returned.
    package init(owningRaw rawValue: CInt) { self.init(rawValue: rawValue) }
}
