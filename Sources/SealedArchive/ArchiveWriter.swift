import Age
import Crypto
import FoundationEssentials
import HostIO

/// What is known of an archive once it is sealed.
public struct SealedArchiveSummary: Sendable {
    /// The sealed object, for the sidecar.
    public var object: Sidecar.SealedObject
    /// SHA-256 of the manifest's bytes in hexadecimal.
    public var manifestSHA256: String
    /// The number of members, the manifest included.
    public var entryCount: Int
}

/// The block whose bytes are on their way through libarchive, which passes on the same memory.
private final class LentBlock {
    var block: ByteBlock?
}

extension UnsafeRawBufferPointer {
    fileprivate func isSame(as other: UnsafeRawBufferPointer) -> Bool {
        baseAddress == other.baseAddress && count == other.count
    }
}

/// Writes one archive from beginning to end: members in order, then the manifest.
///
/// Nothing is readable before ``finish(_:)`` returns; publishing the sink's object is the caller's. Calls block and
/// are made by one thread at a time. After an error the writer is of no further use.
public final class ArchiveWriter {
    /// The header that was written first.
    public let header: ArchiveHeader

    /// The largest manifest that is written, in bytes.
    var manifestSizeLimit = ManifestLocator.maximumManifestSize

    private let options: CompressionOptions
    private let frames: SealedFrameWriter
    private let payload: PayloadSink
    private let headerSize: Int
    private let headerSHA256: String
    private let fileKey: FileKey
    private let tar: PaxWriter
    private let lent: LentBlock
    private var open: OpenEntry?
    private let entries: EntryLog

    private struct OpenEntry {
        var metadata: EntryMetadata
        var role: String
        var source: [UInt8]?
        var offset: Int
        var byteCount = 0
        // Nil when the source brings its own digest.
        var hash: SHA256?
    }

    /// Starts an archive: the age header and the first member are written.
    ///
    /// - Throws: ``AgeError`` if the recipients can't be used together; whatever the sink throws.
    public init(
        to sink: any ByteSink, recipients: [any Recipient], header: ArchiveHeader,
        options: CompressionOptions = CompressionOptions()
    ) throws {
        self.header = header
        self.options = options
        let encryptor = try Encryptor(recipients: recipients)
        try sink.write(encryptor.headerBytes)
        headerSize = encryptor.header.byteCount
        headerSHA256 = Array(SHA256.hash(data: encryptor.headerBytes)).hexadecimal
        fileKey = encryptor.fileKey
        let payload = PayloadSink(sink)
        let frames = try SealedFrameWriter(options: options, encryptor: encryptor, sink: payload)
        self.payload = payload
        self.frames = frames
        entries = try EntryLog()
        let lent = LentBlock()
        self.lent = lent
        tar = try PaxWriter { bytes in
            if let block = lent.block, block.unownedBytes.isSame(as: bytes) {
                try frames.append(block)
            } else {
                try frames.append(bytes)
            }
        }
        let document = try DocumentCoding.encode(header)
        try add(
            EntryMetadata(path: ArchiveFormat.headerPath, byteCount: document.count, time: header.createdAt),
            role: EntryRole.header, bytes: document)
    }

    /// Begins a member; its bytes follow by ``write(_:)``, then ``end(sha256:)``.
    ///
    /// - Parameters:
    ///   - role: what the member is in a control plane.
    ///   - source: where it was read from.
    ///   - isHashed: whether its SHA-256 is computed here; otherwise ``end(sha256:)`` is given it.
    public func begin(_ metadata: EntryMetadata, role: String, source: [UInt8]? = nil, isHashed: Bool = true) throws {
        precondition(open == nil, "a member is begun before the last one has ended")
        try tar.begin(metadata)
        // The blocks of a large member can then be frames as they are.
        if metadata.byteCount >= options.frameSize { try frames.cutFrame() }
        open = OpenEntry(
            metadata: metadata, role: role, source: source, offset: tar.byteCount,
            hash: isHashed && metadata.kind == .file ? SHA256() : nil)
    }

    /// Writes the next bytes of the member.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        open?.hash?.update(bufferPointer: bytes)
        open?.byteCount += bytes.count
        try tar.write(bytes)
    }

    /// Writes the next bytes of the member, with no copy where the block is as large as a frame.
    ///
    /// - Parameter block: is kept until it is compressed, and must not change any more.
    public func write(_ block: ByteBlock) throws {
        lent.block = block
        defer { lent.block = nil }
        try block.withUnsafeBytes { try write($0) }
    }

    /// Ends the member.
    ///
    /// - Parameter sha256: its digest, when it was begun with `isHashed: false`.
    /// - Returns: what the manifest will say of it.
    /// - Throws: ``Failure`` if it got fewer bytes than its header says.
    @discardableResult
    public func end(sha256: [UInt8]? = nil) throws -> ManifestEntry {
        guard let entry = open else { preconditionFailure("no member is begun") }
        guard entry.byteCount == entry.metadata.byteCount else {
            throw Failure(
                .failed,
                "\(quoted(entry.metadata.displayPath)) got \(entry.byteCount) of \(entry.metadata.byteCount) bytes")
        }
        open = nil
        try tar.end()
        let record = ManifestEntry(
            entry.metadata, role: entry.role, source: entry.source,
            sha256: entry.hash.map { Array($0.finalize()) } ?? sha256, offset: entry.offset)
        try entries.append(record)
        return record
    }

    /// Writes a whole member.
    public func add(_ metadata: EntryMetadata, role: String, source: [UInt8]? = nil, bytes: [UInt8] = []) throws {
        try bytes.withUnsafeBytes { try add(metadata, role: role, source: source, bytes: $0) }
    }

    /// Writes a whole member.
    func add(_ metadata: EntryMetadata, role: String, source: [UInt8]?, bytes: UnsafeRawBufferPointer) throws {
        try begin(metadata, role: role, source: source)
        try write(bytes)
        try end()
    }

    /// Reads back what was sealed, without an identity; after ``finish(_:)``.
    ///
    /// - Parameter source: the bytes that the sink was given.
    public func reopen(_ source: any RandomAccessBytes) throws -> ArchiveReader {
        try ArchiveReader(PayloadReader(source: source, payloadOffset: headerSize, fileKey: fileKey), name: source.name)
    }

    /// Gives the archive up and returns when nothing more is written to the sink.
    public func abandon() { frames.abandon() }

    /// Writes the manifest and seals the archive.
    ///
    /// - Parameter manifest: without entries; those of the members written are put in.
    public func finish(_ manifest: Manifest) throws -> SealedArchiveSummary {
        precondition(manifest.entries.isEmpty, "the writer knows the entries")
        // In frames of its own the manifest is read without decompressing anything else.
        try frames.cutFrame()
        let document = ManifestDocument(try DocumentCoding.encode(manifest), entries: entries)
        try ManifestLocator.checkManifestSize(
            document.byteCount, limit: manifestSizeLimit, code: .failed, name: "\(header.id)")
        let metadata = EntryMetadata(
            path: ArchiveFormat.manifestPath, byteCount: document.byteCount, time: header.createdAt)
        try tar.begin(metadata)
        let offset = tar.byteCount
        var hash = SHA256()
        try document.forEachPiece { piece in
            hash.update(bufferPointer: piece)
            try tar.write(piece)
        }
        try tar.end()
        try tar.finish()
        let digest = Array(hash.finalize())
        try frames.finish(locator: ManifestLocator(offset: offset, byteCount: document.byteCount, sha256: digest))
        let object = Sidecar.SealedObject(
            size: headerSize + payload.byteCount, headerSize: headerSize, headerSHA256: headerSHA256,
            payloadSHA256: payload.digest().hexadecimal, tarSize: tar.byteCount, frameSize: options.frameSize,
            compressionLevel: options.level)
        return SealedArchiveSummary(
            object: object, manifestSHA256: digest.hexadecimal, entryCount: entries.count + 1)
    }
}
