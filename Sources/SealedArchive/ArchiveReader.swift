import Age
import Crypto
import FoundationEssentials
import HostIO

/// Reads an archive of this program by ranges or from beginning to end.
///
/// Nothing is released that is not authenticated: the age payload is checked to be whole before the first byte is read.
/// Calls block. Not safe for use by two threads at once.
public final class ArchiveReader {
    /// A name for messages.
    public let name: String
    private let tar: TarBytes
    private var manifest: Manifest?

    /// Opens an archive whose payload is open.
    init(_ payload: PayloadReader, name: String) throws {
        self.name = name
        tar = try TarBytes(payload: payload, name: name)
    }

    /// Opens an archive: reads its age header, the end of the payload and the seek table.
    ///
    /// - Throws: ``AgeError``; ``Failure`` with the code `integrity` if it is damaged or not an archive of this program.
    public convenience init(_ source: any RandomAccessBytes, identities: [any Identity]) throws {
        try self.init(OpenedFile(source, identities: identities).payload, name: source.name)
    }

    /// The size of the uncompressed tar in bytes.
    public var tarByteCount: Int { tar.byteCount }

    /// The uncompressed size of the largest zstd frame in bytes.
    public var largestFrameByteCount: Int { tar.frames.largestDecompressedSize }

    /// SHA-256 of the manifest's bytes as the archive itself records it, in hexadecimal.
    public var manifestSHA256: String { tar.locator.sha256.hexadecimal }

    /// The manifest's bytes as they were sealed, read without what comes before them.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if they do not have their digest.
    public func manifestBytes() throws -> [UInt8] {
        let bytes = try tar.bytes(at: tar.locator.offset, count: tar.locator.byteCount)
        guard Array(SHA256.hash(data: bytes)) == tar.locator.sha256 else {
            throw Failure(
                .integrity, "the manifest in \(quoted(name)) does not have the digest that the archive records",
                hint: "use another backup: `etcd-snap list`")
        }
        return bytes
    }

    /// The manifest, read without what comes before it.
    public func readManifest() throws -> Manifest {
        if let manifest { return manifest }
        let manifest = try Manifest.decode(
            manifestBytes(), tarByteCount: tar.byteCount, name: "\(name): \(ArchiveFormat.manifestPath)")
        self.manifest = manifest
        return manifest
    }

    /// The bytes of one member, read only where they are asked for.
    ///
    /// - Throws: ``Failure`` if the entry is not within the archive.
    public func bytes(of entry: ManifestEntry) throws -> any RandomAccessBytes {
        guard entry.offset >= 0, entry.size >= 0, entry.size <= tar.byteCount,
            entry.offset <= tar.byteCount - entry.size
        else { throw Failure(.integrity, "\(quoted(entry.path)) lies outside \(quoted(name))") }
        return ByteRange(of: tar, offset: entry.offset, byteCount: entry.size, name: "\(name): \(entry.path)")
    }

    /// Reads all members in order, decrypting and decompressing ahead on several threads.
    ///
    /// - Parameter body: is called for each member; what it does not read is skipped.
    public func forEachMember(
        workerCount: Int = min(availableCoreCount(), CompressionOptions.maximumWorkerCount),
        _ body: (ArchiveMember) throws -> Void
    ) throws {
        let frames = try FrameSequence(tar.frames, workerCount: workerCount)
        // Keeps the block alive whose bytes libarchive is looking at.
        var block: ByteBlock?
        let reader = try PaxReader {
            block = try frames.next()
            while let current = block, current.count == 0 { block = try frames.next() }
            return block?.unownedBytes
        }
        defer { withExtendedLifetime(block) {} }
        while let metadata = try reader.next() {
            guard metadata.byteCount <= tar.byteCount - reader.dataOffset else {
                throw Failure(
                    .integrity,
                    "\(quoted(name)): member \(quoted(metadata.displayPath)) of \(metadata.byteCount) bytes "
                        + "does not fit a tar of \(tar.byteCount)")
            }
            try body(ArchiveMember(metadata: metadata, offset: reader.dataOffset, reader: reader))
        }
        while let rest = try frames.next() {
            guard rest.withUnsafeBytes({ $0.allSatisfy { $0 == 0 } }) else {
                throw Failure(.integrity, "\(quoted(name)) has data behind the end of its tar")
            }
        }
    }
}

/// A member of an archive while it is read; valid only until the call that it is given to returns.
public struct ArchiveMember {
    /// What the member is.
    public let metadata: EntryMetadata
    /// Where its bytes begin in the uncompressed tar.
    public let offset: Int
    fileprivate let reader: PaxReader

    fileprivate init(metadata: EntryMetadata, offset: Int, reader: PaxReader) {
        self.metadata = metadata
        self.offset = offset
        self.reader = reader
    }

    /// Reads the member's bytes in order, piece by piece.
    public func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        while let piece = try reader.data() { try body(piece) }
    }

    /// Reads the whole member into memory.
    ///
    /// - Throws: ``Failure`` if it is larger than `limit` bytes.
    public func bytes(limit: Int) throws -> [UInt8] {
        guard metadata.byteCount <= limit else {
            throw Failure(
                .integrity,
                "\(quoted(metadata.displayPath)) has \(metadata.byteCount) bytes, at most \(limit) are expected")
        }
        var bytes: [UInt8] = []
        try forEachPiece { bytes.append(contentsOf: $0) }
        return bytes
    }
}
