import HostIO

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
