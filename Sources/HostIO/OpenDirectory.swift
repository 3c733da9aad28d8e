internal import CLinux
import Synchronization
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A directory held open by its descriptor, so that what is done in it can't be diverted by renames or symbolic links.
///
/// Names given to its methods are single components; a component is never followed when it is a symbolic link.
public final class OpenDirectory: Sendable {
    /// The path that the directory was opened by, for messages.
    public let path: String
    /// The open descriptor; valid while this object lives.
    public let descriptor: FileDescriptor
    private let isLocked = Atomic(false)

    /// Opens the directory at `path`, following symbolic links in it.
    public init(path: String) throws(SystemCallError) {
        descriptor = FileDescriptor(
            owningRaw: try retryingInterrupts("open directory", path) { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        )
        self.path = path
    }

    init(descriptor: FileDescriptor, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        if isLocked.load(ordering: .relaxed) { descriptor.closeReleasingLock() } else { try? descriptor.close() }
    }

    /// Opens the directory `name` in this one; a symbolic link of that name is an error.
    public func openDirectory(_ name: String) throws(SystemCallError) -> OpenDirectory {
        let path = path(of: name)
        let raw = try retryingInterrupts("open directory", path) {
            openat(descriptor.rawValue, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        }
        return OpenDirectory(descriptor: FileDescriptor(owningRaw: raw), path: path)
    }

    /// Opens or makes the directory `name` in this one, with `mode` and durably when it is made; leaves none when it throws.
    public func makeDirectory(
        _ name: String, mode: FilePermissions = .ownerReadWriteExecute
    ) throws(SystemCallError)
        -> OpenDirectory
    {
        do {
            try retryingInterrupts("make directory", path(of: name)) {
                mkdirat(descriptor.rawValue, name, mode.rawValue)
            }
        } catch  where error.errno == .fileExists {
            return try openDirectory(name)
        }
        do {
            try sync()
            return try openDirectory(name)
        } catch {
            try? removeEmptyDirectory(name)
            throw error
        }
    }

    /// Makes every missing directory of `path` with mode 0700, durably, and opens the last one.
    public static func make(path: String) throws(SystemCallError) -> OpenDirectory {
        var prefix = FilePath(path).root.map { FilePath(root: $0) } ?? FilePath(".")
        for component in FilePath(path).components {
            let parent = prefix
            prefix.append(component)
            do {
                try retryingInterrupts("make directory", prefix.string) { mkdir(prefix.string, 0o700) }
                try OpenDirectory(path: parent.string).sync()
            } catch  where error.errno == .fileExists {}
        }
        return try OpenDirectory(path: path)
    }

    /// The directory that holds `path`, which must exist, and the name of `path` in it.
    ///
    /// - Throws: ``Failure`` with the code `usage` if `path` can't be the name of something new; ``SystemCallError``.
    public static func parent(of path: String) throws -> (directory: OpenDirectory, name: String) {
        let file = FilePath(path)
        guard let name = file.lastComponent, name.kind == .regular else {
            throw Failure(
                .usage, "\(quoted(path)) is not the name of something new", hint: "name a path that does not exist yet")
        }
        let parent = file.removingLastComponent()
        return (try OpenDirectory(path: parent.isEmpty ? "." : parent.string), name.string)
    }

    /// The path of an entry of this directory, for messages.
    public func path(of name: String) -> String { path.hasSuffix("/") ? path + name : "\(path)/\(name)" }

    /// The names in this directory except `.` and `..`, as bytes, sorted bytewise.
    public func names() throws(SystemCallError) -> [[UInt8]] {
        let copy = try retryingInterrupts("read directory", path) {
            openat(descriptor.rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        guard let stream = fdopendir(copy) else {
            let error = SystemCallError("read directory", path)
            close(copy)
            throw error
        }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while true {
            Glibc.errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 256) { bytes in
                    Array(
                        UnsafeBufferPointer(
                            start: bytes,
                            count: strnlen(UnsafeRawPointer(bytes).assumingMemoryBound(to: CChar.self), 256)))
                }
            }
            if name != [0x2E], name != [0x2E, 0x2E] { names.append(name) }
        }
        if Glibc.errno != 0 { throw SystemCallError("read directory", path) }
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The names in this directory that are valid UTF-8, sorted.
    public func utf8Names() throws(SystemCallError) -> [String] {
        try names().compactMap { String(validating: $0, as: UTF8.self) }
    }

    /// Whether an entry `name` exists, of whatever type.
    public func contains(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor.rawValue, name, &status, AT_SYMLINK_NOFOLLOW) == 0
    }

    /// Whether `name` is a directory, not a symbolic link to one.
    public func isDirectory(_ name: String) -> Bool {
        var status = stat()
        return fstatat(descriptor.rawValue, name, &status, AT_SYMLINK_NOFOLLOW) == 0
            && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether `name` is the open file or directory `opened`, and no other one that has taken its name.
    public func isEntry(_ name: String, _ opened: FileDescriptor) -> Bool {
        var entry = stat()
        var status = stat()
        return fstatat(descriptor.rawValue, name, &entry, AT_SYMLINK_NOFOLLOW) == 0
            && fstat(opened.rawValue, &status) == 0
            && (entry.st_dev, entry.st_ino) == (status.st_dev, status.st_ino)
    }

    /// Opens the regular file `name` for reading; the caller closes it.
    public func openFile(_ name: String) throws(SystemCallError) -> FileDescriptor {
        try openFile(entry(name))
    }

    /// Removes the file `name`; without it nothing happens.
    public func removeFile(_ name: String) throws(SystemCallError) {
        try removeFile(entry(name))
    }

    /// Removes the entry `name` and everything in it, without following a symbolic link.
    public func removeTree(_ name: String) throws(SystemCallError) {
        try removeTree(entry(name))
    }

    private func entry(_ name: String) -> EntryName {
        guard let entry = EntryName(name.utf8) else { preconditionFailure("a path in place of a name") }
        return entry
    }

    /// Removes the entry `name` and everything in it, without following a symbolic link.
    public func removeTree(_ name: EntryName) throws(SystemCallError) {
        if name.withCString({ unlinkat(descriptor.rawValue, $0, 0) }) == 0 || Glibc.errno == ENOENT { return }
        let directory = try openDirectory(name)
        for child in try directory.names() {
            if let child = EntryName(child) { try directory.removeTree(child) }
        }
        if name.withCString({ unlinkat(descriptor.rawValue, $0, AT_REMOVEDIR) }) != 0 {
            throw SystemCallError("remove directory", path(of: name))
        }
    }

    /// Takes an exclusive `flock(2)` on the directory itself, held while this object lives.
    ///
    /// - Returns: whether nobody else holds it.
    /// - Throws: ``SystemCallError`` where it can't be told, as on a file system without locks.
    public func tryLock() throws(SystemCallError) -> Bool {
        guard try tryLockExclusively(descriptor, name: path) else { return false }
        isLocked.store(true, ordering: .relaxed)
        return true
    }

    /// Removes the directory `name`, which must be empty.
    public func removeEmptyDirectory(_ name: String) throws(SystemCallError) {
        try removeEmptyDirectory(entry(name))
    }

    /// Renames `source` to `target` in this directory and returns after the directory is synced.
    ///
    /// - Parameter replacing: whether an existing `target` is replaced; otherwise it is an error.
    public func rename(_ source: String, to target: String, replacing: Bool) throws(SystemCallError) {
        try rename(entry(source), to: entry(target), replacing: replacing)
    }

    /// Whether its file system keeps files in memory alone, and on no disk but where memory is swapped to one.
    public var isInMemory: Bool { clinux_is_in_memory(descriptor.rawValue) != 0 }

    /// Returns after the entries of this directory are durable, as far as the file system can say that.
    public func sync() throws(SystemCallError) {
        do {
            try retryingInterrupts("sync directory", path) { fsync(descriptor.rawValue) }
        } catch  where [.invalidArgument, .notSupported].contains(error.errno) {
            // File systems over a network or in user space may know fsync(2) for files only.
        }
    }

    /// The bytes that this user may still write to the file system of this directory.
    public func availableByteCount() throws(SystemCallError) -> Int { try space().available }

    /// The size in bytes of the file system of this directory.
    public func totalByteCount() throws(SystemCallError) -> Int { try space().total }

    private func space() throws(SystemCallError) -> (available: Int, total: Int) {
        var available: UInt64 = 0
        var total: UInt64 = 0
        if clinux_file_system_space(descriptor.rawValue, &available, &total) != 0 {
            throw SystemCallError("read the free space of", path)
        }
        return (Int(clamping: available), Int(clamping: total))
    }
}
