import Age
import HostIO

/// The zstd frames of an archive: where each begins in the payload and in the tar.
struct FrameTable: Sendable {
    let payload: PayloadReader
    let name: String
    /// Offsets in the payload, one more than frames.
    private let compressedOffsets: [Int]
    /// Offsets in the tar, one more than frames.
    private let decompressedOffsets: [Int]

    var count: Int { compressedOffsets.count - 1 }
    var decompressedByteCount: Int { decompressedOffsets.last ?? 0 }

    init(payload: PayloadReader, name: String) throws {
        self.payload = payload
        self.name = name
        let size = payload.plaintextByteCount
        let footer = try payload.bytes(at: max(0, size - SeekTable.footerSize), count: SeekTable.footerSize)
        let tableSize = try SeekTable.encodedSize(footer: footer, name: name)
        guard tableSize <= size else {
            throw Failure(.integrity, "\(quoted(name)) has a seek table of \(tableSize) bytes in \(size) bytes")
        }
        let table = try SeekTable(
            payload.bytes(at: size - tableSize, count: tableSize), precedingByteCount: size - tableSize, name: name)
        compressedOffsets = Self.offsets(table.frames.lazy.map(\.compressedSize))
        decompressedOffsets = Self.offsets(table.frames.lazy.map(\.decompressedSize))
    }

    /// Where frames begin; within the limits of ``SeekTable`` their sums can't overflow.
    private static func offsets(_ sizes: some Collection<UInt32>) -> [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(sizes.count + 1)
        offsets.append(0)
        var offset = 0
        for size in sizes {
            offset += Int(size)
            offsets.append(offset)
        }
        return offsets
    }

    func readLocator() throws -> ManifestLocator {
        guard count > 0, compressedSize(of: count - 1) <= ManifestLocator.maximumEncodedSize,
            let locator = try ManifestLocator(bytes(ofFrame: count - 1), name: name),
            locator.offset <= decompressedByteCount - locator.byteCount
        else {
            throw Failure(
                .integrity, "\(quoted(name)) does not say where its manifest is",
                hint: "it is not an archive of etcd-snap; `etcd-snap unseal` opens any age file")
        }
        return locator
    }

    func decompressedOffset(of index: Int) -> Int { decompressedOffsets[index] }

    func compressedSize(of index: Int) -> Int { compressedOffsets[index + 1] - compressedOffsets[index] }

    func decompressedSize(of index: Int) -> Int { decompressedOffsets[index + 1] - decompressedOffsets[index] }

    var largestCompressedSize: Int { (0..<count).map(compressedSize).max() ?? 0 }

    var largestDecompressedSize: Int { (0..<count).map(decompressedSize).max() ?? 0 }

    /// The frame that holds the byte at `offset`, which must be in the tar.
    func index(containing offset: Int) -> Int {
        decompressedOffsets[..<count].partitionPoint { $0 <= offset } - 1
    }

    /// Reads the compressed bytes of a frame.
    func read(frame index: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let count = try payload.read(at: compressedOffsets[index], into: buffer)
        guard count == buffer.count else {
            throw Failure(.integrity, "\(quoted(name)) ends inside zstd frame \(index)")
        }
    }

    private func bytes(ofFrame index: Int) throws -> [UInt8] {
        try payload.bytes(at: compressedOffsets[index], count: compressedSize(of: index))
    }
}
