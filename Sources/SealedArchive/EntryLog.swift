import FoundationEssentials
import HostIO

/// The entries of a manifest while an archive is written, kept as compressed JSON: some 60 bytes each.
///
/// A tree of 100,000 files must not cost a control-plane node the memory of as many objects.
final class EntryLog {
    private static let blockByteCount = 256 << 10

    private struct Block {
        var compressed: [UInt8]
        var byteCount: Int
    }

    private var line: [UInt8] = []
    private var lastTime: (date: Date, text: String)?
    private let compressor: FrameCompressor
    private var blocks: [Block] = []
    private var open = ByteBlock(capacity: blockByteCount)
    /// The number of entries.
    private(set) var count = 0
    /// The bytes that ``forEachPiece(_:)`` gives.
    private(set) var byteCount = 0

    init() throws {
        compressor = try FrameCompressor(level: 1, frameSize: Self.blockByteCount)
    }

    func append(_ entry: ManifestEntry) throws {
        line.removeAll(keepingCapacity: true)
        line += count == 0 ? "\n    ".utf8 : ",\n    ".utf8
        EntryLine.append(entry, modifiedAt: text(of: entry.modifiedAt), to: &line)
        byteCount += line.count
        count += 1
        try line.withUnsafeBytes { bytes in
            var rest = bytes
            while !rest.isEmpty {
                let piece = rest.prefix(Self.blockByteCount - open.count)
                open.append(UnsafeRawBufferPointer(rebasing: piece))
                rest = UnsafeRawBufferPointer(rebasing: rest[(rest.startIndex + piece.count)...])
                if open.count == Self.blockByteCount { try closeBlock() }
            }
        }
    }

    /// Files of a directory are often of one second, and to work out its date takes longer than the rest of a line.
    private func text(of time: Date) -> String {
        if lastTime?.date != time { lastTime = (time, time.formatted(.iso8601)) }
        return lastTime?.text ?? ""
    }

    private func closeBlock() throws {
        let compressed = try compressor.compress(open).withUnsafeBytes { Array($0) }
        blocks.append(Block(compressed: compressed, byteCount: open.count))
        open.removeAll()
    }

    /// Gives the elements of the JSON array, each on a line of its own, piece by piece.
    func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let decompressor = try FrameDecompressor()
        let buffer = ByteBlock(capacity: Self.blockByteCount)
        for block in blocks {
            try buffer.fill { (target) throws in
                try block.compressed.withUnsafeBytes { source in
                    try decompressor.decompress(
                        source, into: UnsafeMutableRawBufferPointer(rebasing: target[..<block.byteCount]))
                }
                return block.byteCount
            }
            try buffer.withUnsafeBytes(body)
        }
        try open.withUnsafeBytes(body)
    }
}

/// The bytes of a manifest: a document whose empty array of entries is filled from a log.
struct ManifestDocument {
    private let head: ArraySlice<UInt8>
    private let entries: EntryLog
    private let tail: [UInt8]

    /// - Parameter document: the manifest without entries, as ``DocumentCoding`` writes it.
    init(_ document: [UInt8], entries: EntryLog) {
        // Within a string the quotation marks would be escaped, so the key occurs once.
        let key = Array("\n  \"entries\" : [".utf8)
        guard let start = document.firstRange(of: key), let end = document[start.upperBound...].firstIndex(of: 0x5D)
        else { preconditionFailure("a manifest was encoded without its entries") }
        head = document[..<start.upperBound]
        tail = Array("\n  ".utf8) + document[end...]
        self.entries = entries
    }

    var byteCount: Int { head.count + entries.byteCount + tail.count }

    func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try head.withUnsafeBytes(body)
        try entries.forEachPiece(body)
        try tail.withUnsafeBytes(body)
    }
}
