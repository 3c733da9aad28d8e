import FoundationEssentials
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What a publication that takes several renames is about to make visible.
///
/// It is durable beside each of the temporary directories before the first rename and removed after the last, and locked by
/// the process that publishes. So whoever comes to one of the targets of a killed publication can take all of it back, and
/// tell what that made from what others have put there since: by kind, inode, size and time.
struct PublicationNote: Codable, Equatable {
    /// An entry of a directory, by the directory's absolute path.
    struct Place: Codable, Equatable {
        var directory: String
        /// The name's bytes.
        var name: Data

        init(_ name: EntryName, in directory: OpenDirectory) {
            self.directory = absolutePath(directory.path).string
            self.name = Data(name.bytes)
        }
    }

    /// An entry as it was when it was made.
    struct Entry: Codable, Equatable {
        /// The path below the destination's directory.
        var path: Data
        var isDirectory: Bool
        var inode: UInt64
        var byteCount: Int
        var modificationSeconds: Int64
        var modificationNanoseconds: Int

        init(_ path: [UInt8], _ attributes: EntryAttributes) {
            self.path = Data(path)
            isDirectory = attributes.kind == .directory
            inode = attributes.identity.inode
            byteCount = attributes.byteCount
            modificationSeconds = attributes.modificationSeconds
            modificationNanoseconds = attributes.modificationNanoseconds
        }

        /// Whether another record is of the same entry, unchanged; a directory changes by what is in it, which has its own.
        func isSame(as other: Entry) -> Bool {
            isDirectory
                ? other.isDirectory && (path, inode) == (other.path, other.inode) : self == other
        }
    }

    /// One rename.
    struct Move: Codable, Equatable {
        var source: Place
        var destination: Place
        /// What is moved, first the entry itself.
        var entries: [Entry]
    }

    /// Which publication it is.
    var id: UInt64
    var moves: [Move]
    /// The files that hold this note.
    var files: [Place]

    private static let prefix = ".publishing-"
    /// What every note begins with, so that a part of one is known for what it is.
    private static let title = Array("etcd-snap publication\n".utf8)
    private static let maximumByteCount = 1 << 30

    /// The file's name of a target; nil where there can be none of such a length.
    static func fileName(of target: some Collection<UInt8>) -> EntryName? { EntryName(Array(prefix.utf8) + target) }

    // MARK: Writing

    /// Writes the note durably and locks it.
    ///
    /// - Returns: the open file, which holds the lock while it is open.
    func write(to name: EntryName, in directory: OpenDirectory) throws -> FileDescriptor {
        let path = directory.path(of: name)
        let descriptor = try directory.createFile(name)
        do {
            // Where nothing can be locked nobody will be able to tell whether this process lives.
            _ = try? tryLockExclusively(descriptor, name: path)
            let bytes = Self.title + Array(try JSONEncoder().encode(self))
            var done = 0
            while done < bytes.count {
                done += try bytes.withUnsafeBytes { buffer in
                    try retryingInterrupts("write to", path) {
                        pwrite(
                            descriptor.rawValue, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(done))
                    }
                }
            }
            try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
            try directory.sync()
            return descriptor
        } catch {
            try? directory.removeFile(name)
            try? descriptor.close()
            throw error
        }
    }

    /// The entry of a directory and everything below it.
    static func entries(of name: EntryName, in directory: OpenDirectory) throws -> [Entry] {
        var entries: [Entry] = []
        func add(_ name: EntryName, _ parent: OpenDirectory, _ path: [UInt8]) throws {
            let attributes = try parent.attributes(of: name)
            entries.append(Entry(path, attributes))
            guard attributes.kind == .directory else { return }
            // What this user may not look into is told by its own record alone.
            guard let directory = try parent.openReadableDirectory(name) else { return }
            for child in try directory.names().compactMap({ EntryName($0) }) {
                try add(child, directory, path + [0x2F] + child.bytes)
            }
        }
        try add(name, directory, [])
        return entries
    }

    // MARK: Reading

    /// Reads a note that this user has written.
    ///
    /// What others could have written is none: files are removed by it.
    ///
    /// - Returns: nil if it is none; a note without moves if it was not written to its end, so that nothing was moved.
    static func read(_ descriptor: FileDescriptor, name: String) throws -> PublicationNote? {
        let attributes = try attributesOf(descriptor, name: name)
        guard attributes.kind == .file, attributes.userID == geteuid(), attributes.mode & 0o022 == 0,
            attributes.linkCount == 1, attributes.byteCount <= maximumByteCount
        else { return nil }
        let bytes = try [UInt8](unsafeUninitializedCapacity: attributes.byteCount) { buffer, count in
            count = try readFully(descriptor, name: name, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        guard bytes.prefix(title.count) == title.prefix(bytes.count) else { return nil }
        let note = try? JSONDecoder().decode(Self.self, from: Data(bytes.dropFirst(title.count)))
        return note ?? PublicationNote(id: 0, moves: [], files: [])
    }
}

extension OpenDirectory {
    fileprivate func openReadableDirectory(_ name: EntryName) throws(SystemCallError) -> OpenDirectory? {
        do {
            return try openDirectory(name)
        } catch  where error.errno == .permissionDenied {
            return nil
        }
    }
}

extension PublicationNote.Place {
    /// The name and the directory it is in; nil if the directory is not there.
    func open() throws(SystemCallError) -> (name: EntryName, directory: OpenDirectory)? {
        guard let name = EntryName(name) else { return nil }
        do {
            return (name, try OpenDirectory(path: directory))
        } catch  where [.noSuchFileOrDirectory, .notDirectory].contains(error.errno) {
            return nil
        }
    }
}
