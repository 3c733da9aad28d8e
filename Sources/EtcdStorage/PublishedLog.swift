import HostIO

/// A note beside a data directory that its separate log directory was published.
///
/// Two directories don't appear at one moment. If a restore is killed between them, the log directory alone is of no use to
/// anybody, and the next restore to the same places would be refused for ever. The note holds the log that was written: as
/// long as the directory has exactly that and nothing else, it is what the killed restore left, and is removed.
struct PublishedLog {
    private let parent: OpenDirectory
    private let name: String

    /// The note of a data directory.
    init(ofDataDirectory path: String) throws {
        let (parent, name) = try OpenDirectory.parent(of: path)
        self.parent = parent
        self.name = ".\(name).wal-published"
    }

    /// Writes the note durably; to be called before the log directory gets its name.
    func write(_ log: WriteAheadLog) throws {
        try remove()
        let file = try PendingFile(in: parent, name: name)
        try log.bytes.withUnsafeBytes { try file.write($0) }
        try file.publish()
    }

    /// Removes the note; to be called once the data directory has its name.
    func remove() throws {
        if parent.contains(name) { try parent.removeFile(name) }
    }

    /// Removes a log directory that a killed restore has left, with the note.
    ///
    /// - Returns: whether there was one.
    func removeLogDirectory(_ logName: String, in logParent: OpenDirectory) throws -> Bool {
        guard parent.contains(name), logParent.isDirectory(logName) else { return false }
        let note = try RandomAccessFile(path: parent.path(of: name))
        let directory = try logParent.openDirectory(logName)
        guard try directory.names() == [Array(WriteAheadLog.fileName.utf8)] else { return false }
        let log = try RandomAccessFile(path: directory.path(of: WriteAheadLog.fileName))
        guard log.byteCount == WriteAheadLog.segmentByteCount, try Self.holds(log, note) else { return false }
        try logParent.removeTree(logName)
        try remove()
        return true
    }

    /// Whether a log begins with the note and is not written on behind it: a frame there has a length that is not 0.
    private static func holds(_ log: RandomAccessFile, _ note: RandomAccessFile) throws -> Bool {
        let written = try note.bytes(at: 0, count: note.byteCount)
        let found = try log.bytes(at: 0, count: written.count + 8)
        return !written.isEmpty && found == written + [UInt8](repeating: 0, count: 8)
    }
}
