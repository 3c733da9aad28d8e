import Age
import HostIO

/// The uncompressed tar of an archive, read at any offset: only the frames that are touched are decrypted and
/// decompressed.
///
/// Safe for use by several threads at once; see ``FrameCache`` for the memory that it takes.
final class TarBytes: RandomAccessBytes {
    let name: String
    let byteCount: Int
    /// Where the manifest is.
    let locator: ManifestLocator
    let frames: FrameTable
    private let cache: FrameCache

    /// Reads the seek table and the locator at the end of the payload.
    ///
    /// - Parameter workerCount: how many threads may decompress at once.
    init(
        payload: PayloadReader, name: String,
        workerCount: Int = min(availableCoreCount(), CompressionOptions.maximumWorkerCount)
    ) throws {
        self.name = name
        frames = try FrameTable(payload: payload, name: name)
        byteCount = frames.decompressedByteCount
        locator = try frames.readLocator()
        cache = FrameCache(frames, workerCount: workerCount)
    }

    /// A whole frame is decompressed for any byte of it.
    var isCheapAtRandom: Bool { false }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = max(0, min(buffer.count, byteCount - offset))
        var done = 0
        while done < count {
            let index = frames.index(containing: offset + done)
            let start = offset + done - frames.decompressedOffset(of: index)
            let block = try cache.frame(index)
            block.withUnsafeBytes { bytes in
                let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + count - done)])
                UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).copyMemory(from: piece)
                done += piece.count
            }
        }
        return count
    }
}

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
        var low = 0
        var high = count
        while high - low > 1 {
            let middle = (low + high) / 2
            if decompressedOffsets[middle] <= offset { low = middle } else { high = middle }
        }
        return low
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

/// Reads, decrypts and decompresses frames.
///
/// Not safe for use by two threads at once.
final class FrameLoader {
    private let frames: FrameTable
    private let decompressor: FrameDecompressor
    private var compressed: ByteBlock

    init(_ frames: FrameTable) throws {
        self.frames = frames
        decompressor = try FrameDecompressor()
        compressed = ByteBlock(capacity: frames.largestCompressedSize)
    }

    /// Fills a block with the decompressed bytes of a frame; with nothing for a skippable one.
    func load(_ index: Int, into block: ByteBlock) throws {
        let size = frames.decompressedSize(of: index)
        try block.fill { target in
            guard size > 0 else { return 0 }
            let compressedSize = frames.compressedSize(of: index)
            try compressed.fill { buffer in
                guard compressedSize <= buffer.count else {
                    throw Failure(.integrity, "zstd frame \(index) is too large")
                }
                try frames.read(frame: index, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<compressedSize]))
                return compressedSize
            }
            try compressed.withUnsafeBytes { bytes throws in
                try decompressor.decompress(bytes, into: UnsafeMutableRawBufferPointer(rebasing: target[..<size]))
            }
            return size
        }
    }
}

/// All frames of an archive in order, loaded ahead on several threads.
final class FrameSequence {
    private let map: OrderedParallelMap<Int, ByteBlock>
    private let frameCount: Int
    private let depth: Int
    private var submittedCount = 0
    private var takenCount = 0

    init(_ frames: FrameTable, workerCount: Int) throws {
        frameCount = frames.count
        depth = workerCount + 1
        map = try OrderedParallelMap(name: "etcd-snap.decompress", workerCount: workerCount, depth: depth) {
            let loader = try FrameLoader(frames)
            var pool = ByteBlockPool(capacity: frames.largestDecompressedSize)
            return { index in
                let block = pool.take()
                try loader.load(index, into: block)
                return block
            }
        }
    }

    /// The next frame's bytes, or nil after the last.
    func next() throws -> ByteBlock? {
        while submittedCount < frameCount, submittedCount - takenCount < depth {
            map.submit(submittedCount)
            submittedCount += 1
        }
        guard takenCount < submittedCount else { return nil }
        takenCount += 1
        return try map.next()
    }
}
