import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Copies the contents of files into an archive, watching that they do not change meanwhile.
///
/// A small file is read whole and read again when it changed; a large one is streamed, and what became of it is told.
final class FileContent {
    /// What became of one file.
    struct Outcome {
        var byteCount: Int
        /// Whether the file changed while it was read, every time.
        var isTorn: Bool
        /// Why a part of the file could not be read; zeros are in its place.
        var readError: SystemCallError?
    }

    private static let wholeReadLimit = 1 << 20
    private static let attemptCount = 3

    private let writer: ArchiveWriter
    private let buffer = ByteBlock(capacity: wholeReadLimit)

    init(writer: ArchiveWriter) { self.writer = writer }

    /// Adds the file `name`.
    ///
    /// - Throws: ``SystemCallError`` before anything is written if the file can't be read; errors of the archive.
    func add(
        _ name: EntryName, _ metadata: EntryMetadata, in directory: OpenDirectory, role: String, source: String
    ) throws -> Outcome {
        let descriptor = try directory.openFile(name)
        defer { try? descriptor.close() }
        let file = OpenFile(descriptor: descriptor, path: source)
        if try file.attributes().byteCount < Self.wholeReadLimit {
            return try addWhole(file, metadata, role: role)
        }
        return try addStreaming(file, metadata, role: role)
    }

    private func addWhole(_ file: OpenFile, _ metadata: EntryMetadata, role: String) throws -> Outcome {
        var metadata = metadata
        for attempt in 1... {
            let before = try file.attributes()
            try buffer.fill { try file.read(at: 0, into: $0) }
            let isWhole = try file.attributes() == before && buffer.count == before.byteCount
            guard isWhole || attempt == Self.attemptCount else { continue }
            metadata.byteCount = buffer.count
            metadata.modificationSeconds = before.modificationSeconds
            metadata.modificationNanoseconds = before.modificationNanoseconds
            try archiving {
                try writer.begin(metadata, role: role, source: file.path)
                try buffer.withUnsafeBytes { try writer.write($0) }
                try writer.end()
            }
            return Outcome(byteCount: buffer.count, isTorn: !isWhole)
        }
        preconditionFailure("the last attempt returns")
    }

    /// The size is in the tar before the bytes are, so what a file lacks of it is filled up with zeros.
    private func addStreaming(_ file: OpenFile, _ metadata: EntryMetadata, role: String) throws -> Outcome {
        let before = try file.attributes()
        var metadata = metadata
        metadata.byteCount = before.byteCount
        try archiving { try writer.begin(metadata, role: role, source: file.path) }
        var outcome = Outcome(byteCount: 0, isTorn: false)
        while outcome.byteCount < before.byteCount {
            let wantedByteCount = min(buffer.capacity, before.byteCount - outcome.byteCount)
            buffer.fill { target in
                let wanted = UnsafeMutableRawBufferPointer(rebasing: target[..<wantedByteCount])
                fill(wanted, from: file, &outcome)
                return wantedByteCount
            }
            try archiving { try buffer.withUnsafeBytes { try writer.write($0) } }
            outcome.byteCount += wantedByteCount
        }
        try archiving { try writer.end() }
        outcome.isTorn = try outcome.isTorn || file.attributes() != before
        return outcome
    }

    /// Fills `target` with the next bytes of the file, and with zeros behind its end.
    private func fill(_ target: UnsafeMutableRawBufferPointer, from file: OpenFile, _ outcome: inout Outcome) {
        var count = 0
        do {
            count = try file.read(at: outcome.byteCount, into: target)
            if count < target.count { outcome.isTorn = true }
        } catch {
            outcome.readError = error
        }
        UnsafeMutableRawBufferPointer(rebasing: target[count...]).initializeMemory(as: UInt8.self, repeating: 0)
    }
}

/// Runs calls of the archive's writer; their errors end a capture, and must not be taken for those of a file.
func archiving(_ body: () throws -> Void) throws(Failure) {
    do {
        try body()
    } catch {
        throw Failure(wrapping: error)
    }
}

/// An open file with its path for messages.
private struct OpenFile {
    let descriptor: FileDescriptor
    let path: String

    func attributes() throws(SystemCallError) -> EntryAttributes { try attributesOf(descriptor, name: path) }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SystemCallError) -> Int {
        try readFully(descriptor, name: path, at: offset, into: buffer)
    }
}
