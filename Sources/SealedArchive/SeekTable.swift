import HostIO

/// A skippable zstd frame: a magic number that decoders step over, a length, and bytes of our own.
///
/// ```
/// u32le magic 0x184D2A50…5F | u32le size | size bytes
/// ```
/// Source: RFC 8878, section 3.1.2.
enum SkippableFrame {
    static let overhead = 8

    static func encode(magic: UInt32, content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        appendLittleEndian(magic, to: &bytes)
        appendLittleEndian(UInt32(content.count), to: &bytes)
        return bytes + content
    }

    /// The content of a frame that fills `bytes` exactly, or nil.
    static func decode(magic: UInt32, _ bytes: [UInt8]) -> ArraySlice<UInt8>? {
        var reader = LittleEndianReader(bytes)
        guard reader.read(UInt32.self) == magic, let size = reader.read(UInt32.self),
            let content = reader.read(count: Int(size)), reader.isAtEnd
        else { return nil }
        return content
    }
}

/// Where each zstd frame begins: the seek table of the zstd seekable format, the last frame of an archive.
///
/// ```
/// u32le 0x184D2A5E | u32le size
/// count × { u32le compressed size | u32le decompressed size }
/// footer: u32le count | u8 descriptor (0: no checksums) | u32le 0x8F92EAB1
/// ```
/// Every frame before the table has an entry, the skippable one of the ``ManifestLocator`` too, with 0 decompressed
/// bytes. Source: `contrib/seekable_format/zstd_seekable_compression_format.md` of zstd 1.5.4.
struct SeekTable: Equatable {
    struct Frame: Equatable {
        var compressedSize: UInt32
        var decompressedSize: UInt32
    }

    static let skippableMagic: UInt32 = 0x184D_2A5E
    static let footerMagic: UInt32 = 0x8F92_EAB1
    static let footerSize = 9
    /// The most decompressed bytes a frame may claim: more than this code ever writes, little enough to allocate.
    static let maximumFrameSize: UInt32 = 32 << 20
    /// The most frames that an archive is written or read with: 2 TiB in frames of 2 MiB.
    static let maximumFrameCount = 1 << 20
    static let entrySize = 8

    var frames: [Frame] = []

    func encode() -> [UInt8] {
        var content: [UInt8] = []
        content.reserveCapacity(frames.count * Self.entrySize + Self.footerSize)
        for frame in frames {
            appendLittleEndian(frame.compressedSize, to: &content)
            appendLittleEndian(frame.decompressedSize, to: &content)
        }
        appendLittleEndian(UInt32(frames.count), to: &content)
        content.append(0)
        appendLittleEndian(Self.footerMagic, to: &content)
        return SkippableFrame.encode(magic: Self.skippableMagic, content: content)
    }

    /// The size of the whole skippable frame of the table that ends with `footer`.
    ///
    /// - Throws: ``Failure`` if the footer is not one of a table without checksums.
    static func encodedSize(footer: [UInt8], name: String) throws -> Int {
        var reader = LittleEndianReader(footer)
        guard let count = reader.read(UInt32.self), let descriptor = reader.read(UInt8.self),
            reader.read(UInt32.self) == footerMagic
        else { throw malformed(name, "has no zstd seek table at its end") }
        guard descriptor == 0 else { throw malformed(name, "has a seek table of an unknown kind (\(descriptor))") }
        guard count <= maximumFrameCount else {
            throw malformed(name, "has a seek table of \(count) frames, at most \(maximumFrameCount) are read")
        }
        return SkippableFrame.overhead + Int(count) * entrySize + footerSize
    }

    /// Reads a table from its whole skippable frame.
    ///
    /// - Parameter precedingByteCount: the bytes before the table, which its frames must fill exactly.
    init(_ bytes: [UInt8], precedingByteCount: Int, name: String) throws {
        guard let content = SkippableFrame.decode(magic: Self.skippableMagic, bytes), content.count >= Self.footerSize
        else {
            throw Self.malformed(name, "has a damaged zstd seek table")
        }
        var reader = LittleEndianReader(content)
        frames.reserveCapacity(content.count / Self.entrySize)
        for index in 0..<(content.count - Self.footerSize) / Self.entrySize {
            guard let compressed = reader.read(UInt32.self), let decompressed = reader.read(UInt32.self) else { break }
            // What does not compress grows by less than a hundredth.
            guard compressed <= Self.maximumFrameSize / 32 * 33, decompressed <= Self.maximumFrameSize else {
                throw Self.malformed(name, "has a zstd frame \(index) of \(decompressed) bytes")
            }
            frames.append(Frame(compressedSize: compressed, decompressedSize: decompressed))
        }
        let total = frames.reduce(0) { $0 + Int($1.compressedSize) }
        guard total == precedingByteCount else {
            throw Self.malformed(name, "has a seek table over \(total) bytes, with \(precedingByteCount) before it")
        }
    }

    init() {}

    private static func malformed(_ name: String, _ what: String) -> Failure {
        Failure(
            .integrity, "\(quoted(name)) \(what)",
            hint: "it is not an archive of etcd-snap; `etcd-snap unseal` opens any age file")
    }
}
