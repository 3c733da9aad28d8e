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
/// It is written under a temporary name in the same directory, mode 0600. ``publish()`` checks the length, syncs, renames
/// and syncs the directory: a crash leaves either no file of that name or the whole one. A pending file that is dropped
/// without being published is removed, also when publishing failed half-way.
public final class PendingFile: ByteSink {
    /// The prefix of temporary names; a file of such a name that nobody holds locked was left by a process that is no more.
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
    private var record: StagingRegister.Record?
    private var writebackOffset = 0
    private var direct: DirectWriter?
    private var isDone = false
    /// Whether it takes the place of a file that has its name, or has done so.
    private var isReplacement = false

    /// Creates the temporary file.
    ///
    /// - Parameter isSecret: whether it has secrets in the clear: then it is recorded, so that whatever runs next removes what a
    ///   killed run has left of it.
    /// - Throws: ``Failure`` with the code `locked` while another process fills a file of that name, `failed` if it can't be
    ///   told whether one does; ``SystemCallError``.
    public init(in directory: OpenDirectory, name: String, isSecret: Bool = false) throws {
        self.directory = directory
        self.name = name
        temporaryName = Self.temporaryPrefix + name
        descriptor = try Self.create(temporaryName, in: directory, for: directory.path(of: name))
        guard Self.isLocked(descriptor, name: path), directory.isEntry(temporaryName, descriptor) else {
            throw Self.busy(path)
        }
        // Not before the lock: whatever removes what is recorded would take it for a leftover.
        if isSecret { record = StagingRegister.record(directory.path(of: temporaryName)) }
        UnfinishedWork.add(self) { [directory, temporaryName, descriptor] in
            if directory.isEntry(temporaryName, descriptor) { try? directory.removeFile(temporaryName) }
        }
    }

    // It also runs when the initializer throws once `descriptor` is set.
    deinit {
        UnfinishedWork.remove(self)
        discard()
        record?.remove()
        descriptor.closeReleasingLock()
    }

    private static func create(
        _ temporaryName: String, in directory: OpenDirectory, for path: String
    ) throws -> FileDescriptor {
        try LeftoverFile(temporaryName, in: directory)?.remove()
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        do throws(SystemCallError) {
            return FileDescriptor(
                owningRaw: try retryingInterrupts("create", path) {
                    openat(directory.descriptor.rawValue, temporaryName, flags, 0o600)
                })
        } catch {
            throw error.errno == .fileExists ? busy(path) : error
        }
    }

    /// Takes the lock that says that the file is no leftover; who looks whether it is one holds it for a moment.
    ///
    /// Where the file system has no locks nobody can take it for a leftover either.
    private static func isLocked(_ descriptor: FileDescriptor, name: String) -> Bool {
        for _ in 0..<100 {
            if (try? tryLockExclusively(descriptor, name: name)) != false { return true }
            usleep(10_000)
        }
        return false
    }

    private static func busy(_ path: String) -> Failure {
        Failure(
            .locked, "another run is writing \(quoted(path))", hint: "wait for it to end, or name another place")
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
        return try RandomAccessFile(directory.openFile(temporaryName), name: path)
    }

    /// Returns after the bytes written so far are durable.
    public func sync() throws {
        try endDirectWriting()
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
    }

    /// Makes the file durable and visible under its name.
    ///
    /// - Parameters:
    ///   - replacing: whether an existing file of that name is replaced; otherwise it is an error.
    ///   - isDurable: false for what may be lost with the host's power, whole or in part.
    /// - Throws: ``SystemCallError``; ``Failure`` if the file does not have the length that was written, or its temporary
    ///   name is another file's by now. The file is to be discarded then.
    public func publish(replacing: Bool = false, isDurable: Bool = true) throws {
        try UnfinishedWork.protecting { try publishProtected(replacing: replacing, isDurable: isDurable) }
    }

    private func publishProtected(replacing: Bool, isDurable: Bool) throws {
        if isDurable { try sync() } else { try endDirectWriting() }
        let foundByteCount = try attributesOf(descriptor, name: path).byteCount
        guard foundByteCount == byteCount else {
            throw Failure(
                .integrity, "\(quoted(path)) has \(foundByteCount) bytes on disk, \(byteCount) were written",
                hint: "check the file system of the store")
        }
        guard directory.isEntry(temporaryName, descriptor) else {
            throw Failure(.failed, "\(quoted(path)) was removed or replaced while it was written", hint: "run it again")
        }
        // What failed behind the rename must not take away what stands in place of the file before.
        isReplacement = replacing
        try directory.rename(temporaryName, to: name, replacing: replacing)
        isDone = true
    }

    /// Removes the file; does nothing after ``publish()`` or ``withdraw()`` has returned.
    public func discard() {
        if !isDone { withdraw() }
    }

    /// Removes the file, also after it was published, unless it replaced another; another one that has taken one of its names stays.
    ///
    /// It is tried once: what stays then may be counted on to stay.
    ///
    /// - Returns: whether it has no name any more.
    @discardableResult
    public func withdraw() -> Bool {
        isDone = true
        let names = (isReplacement ? [temporaryName] : [temporaryName, name]).filter {
            directory.isEntry($0, descriptor)
        }
        return names.allSatisfy { (try? directory.removeFile($0)) != nil }
    }

    private func endDirectWriting() throws {
        try direct?.finish()
        direct = nil
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
