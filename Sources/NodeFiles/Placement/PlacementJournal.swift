import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Where a placement that is under way has staged entries, so that the next run finds them should this one be killed.
///
/// It is the file `journal` of the ``KeptDirectory``: paths of directories below the root, each with a zero byte behind it.
/// A path is durable before the first entry is staged in its directory. The path of the directory in which this run keeps what
/// it replaces is one of them, durable before anything is replaced. The file is held by `flock(2)` while its process
/// lives, and removed at the end.
public final class PlacementJournal {
    private static let name = "journal"
    private static let maximumByteCount = 16 << 20

    /// What an interrupted run had left.
    public struct Leftovers: Sendable, Equatable {
        /// The staged entries that were removed, as paths.
        public var removed: [String] = []
        /// The directory in which it keeps what it had replaced by then, as a path; nil if it had replaced nothing.
        public var keptPath: String?
    }

    /// What an interrupted run had left.
    public private(set) var leftovers = Leftovers()

    let kept: KeptDirectory
    private let root: OpenDirectory
    private let descriptor: FileDescriptor
    private var notedDirectories: Set<[EntryName]> = []
    private var byteCount = 0

    /// Begins a journal, and removes what an interrupted run has left.
    ///
    /// - Throws: ``Failure`` with the code `locked` while another process places below the same root.
    init(root: OpenDirectory) throws {
        self.root = root
        (kept, descriptor) = try Self.begin(root)
        leftovers = try Self.removeStaged(by: descriptor, below: root, kept)
        try retryingInterrupts("truncate", kept.directory.path(of: Self.name)) { ftruncate(descriptor.rawValue, 0) }
        try kept.directory.sync()
    }

    private static func begin(_ root: OpenDirectory) throws -> (KeptDirectory, FileDescriptor) {
        while true {
            let kept = try KeptDirectory(in: root)
            // Somebody who was just done may have removed the directory.
            guard let descriptor = try open(in: kept.directory, O_CREAT) else { continue }
            guard try tryLockExclusively(descriptor, name: kept.directory.path(of: name)) else {
                try? descriptor.close()
                throw Failure(
                    .locked, "another restore places files below \(quoted(root.path))",
                    hint: "wait for it to end; its lock goes with its process")
            }
            // Nobody has removed it between its opening and its locking.
            if kept.directory.isEntry(name, descriptor) { return (kept, descriptor) }
            try? descriptor.close()
        }
    }

    deinit { descriptor.closeReleasingLock() }

    /// Notes durably that entries are staged in a directory.
    func note(_ directory: [EntryName]) throws {
        guard !notedDirectories.contains(directory) else { return }
        try append(Array(directory.map(\.bytes).joined(separator: [0x2F])))
        notedDirectories.insert(directory)
    }

    /// Notes durably in which of the directories of ``kept`` this run keeps what it replaces.
    func note(place: String) throws { try append(Array("\(kept.realPath)/\(place)".utf8)) }

    private func append(_ path: [UInt8]) throws {
        let record = path + [0]
        let path = kept.directory.path(of: Self.name)
        let count = try retryingInterrupts("write to", path) {
            pwrite(descriptor.rawValue, record, record.count, off_t(byteCount))
        }
        guard count == record.count else { throw SystemCallError("write to", path, errno: .noSpace) }
        byteCount += count
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
    }

    /// Removes the journal, once nothing is staged any more.
    func remove() throws {
        try kept.directory.removeFile(Self.name)
        try kept.directory.sync()
        kept.removeIfEmpty()
    }

    // MARK: What an interrupted run has left

    /// Removes the staged entries of a placement whose process is no more, and what it keeps of files that it has not
    /// replaced; those of a living one stay.
    public static func removeLeftovers(below root: OpenDirectory) throws -> Leftovers {
        guard let kept = try KeptDirectory(existingIn: root), let descriptor = try open(in: kept.directory, 0) else {
            return Leftovers()
        }
        defer { try? descriptor.close() }
        guard try tryLockExclusively(descriptor, name: kept.directory.path(of: name)),
            kept.directory.isEntry(name, descriptor)
        else { return Leftovers() }
        let removed = try removeStaged(by: descriptor, below: root, kept)
        try kept.directory.removeFile(name)
        try kept.directory.sync()
        kept.removeIfEmpty()
        return removed
    }

    private static func removeStaged(
        by journal: FileDescriptor, below root: OpenDirectory, _ kept: KeptDirectory
    ) throws -> Leftovers {
        var leftovers = Leftovers()
        for path in try records(journal, name: kept.directory.path(of: name)) {
            if let place = kept.place(atPath: path) {
                if !kept.removeUnreplaced(in: place) { leftovers.keptPath = kept.directory.path(of: place) }
                continue
            }
            guard let names = EntryName.components(of: path), let directory = try open(names, below: root) else {
                continue
            }
            let staged = try directory.names().filter(StagedName.matches).compactMap { EntryName($0) }
            for name in staged {
                try directory.removeEntry(name)
                leftovers.removed.append(directory.path(of: name))
            }
            if !staged.isEmpty { try directory.sync() }
        }
        return leftovers
    }

    /// A record without its end was not yet durable, so nothing was staged for it.
    private static func records(_ journal: FileDescriptor, name: String) throws -> [ArraySlice<UInt8>] {
        let size = min(try attributesOf(journal, name: name).byteCount, maximumByteCount)
        let bytes = try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = try readFully(journal, name: name, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        return bytes.split(separator: 0, omittingEmptySubsequences: false).dropLast()
    }

    /// A directory on the way may be gone by now, or be something else.
    private static func open(_ names: [EntryName], below root: OpenDirectory) throws -> OpenDirectory? {
        do {
            return try names.reduce(root) { try $0.openDirectory($1) }
        } catch let error as SystemCallError
            where [.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels].contains(error.errno)
        {
            return nil
        }
    }

    // MARK: The file

    /// Opens the file; nil if there is none, or no directory to make one in.
    private static func open(in directory: OpenDirectory, _ flags: CInt) throws -> FileDescriptor? {
        while true {
            let raw = openat(directory.descriptor.rawValue, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0o600)
            if raw >= 0 { return FileDescriptor(rawValue: raw) }
            let error = SystemCallError("open", directory.path(of: name))
            if error.errno == .noSuchFileOrDirectory { return nil }
            guard error.errno == .interrupted else { throw error }
        }
    }
}
