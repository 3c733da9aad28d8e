import HostIO
import SystemPackage

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

    /// Removes the note: the data directory has its name now, or the log directory has lost its.
    func remove() throws { try parent.removeFile(name) }

    /// Removes the log that a killed restore has left in its directory, with the note; the directory may have been there before.
    ///
    /// A restore holds the lock of its directories until it ends, also under their final names: one that is still going on
    /// loses nothing.
    ///
    /// - Returns: whether there was one.
    func removeLogDirectory(_ logName: String, in logParent: OpenDirectory) throws -> Bool {
        guard let directory = try leftover(at: logParent.path(of: logName)) else { return false }
        // Locked until it is gone.
        try directory.removeFile(WriteAheadLog.fileName)
        try directory.sync()
        try remove()
        return true
    }

    /// Whether a directory has the log that a killed restore has left, so that a restore would remove it.
    func isOfLogDirectory(_ path: String) throws -> Bool { try leftover(at: path) != nil }

    /// The directory of a log that a killed restore has left, locked; nil if it is none.
    private func leftover(at path: String) throws -> OpenDirectory? {
        guard parent.contains(name), let directory = try Self.directory(path), try directory.tryLock(),
            try isWhatWasWritten(directory)
        else { return nil }
        return directory
    }

    private static func directory(_ path: String) throws(SystemCallError) -> OpenDirectory? {
        do {
            return try OpenDirectory(path: path)
        } catch  where error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory {
            return nil
        }
    }

    /// Whether the directory has the log of the note and nothing else, not even a frame more, whose length is not 0.
    private func isWhatWasWritten(_ directory: OpenDirectory) throws -> Bool {
        let names = try directory.names().filter { $0 != Array("lost+found".utf8) }
        guard names == [Array(WriteAheadLog.fileName.utf8)] else { return false }
        let log = try RandomAccessFile(path: directory.path(of: WriteAheadLog.fileName))
        guard log.byteCount == WriteAheadLog.segmentByteCount else { return false }
        let note = try RandomAccessFile(path: parent.path(of: name))
        let written = try note.bytes(at: 0, count: note.byteCount)
        let found = try log.bytes(at: 0, count: written.count + 8)
        return !written.isEmpty && found == written + [UInt8](repeating: 0, count: 8)
    }
}
