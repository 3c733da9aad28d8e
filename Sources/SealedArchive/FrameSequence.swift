import HostIO

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
