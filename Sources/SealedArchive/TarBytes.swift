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
