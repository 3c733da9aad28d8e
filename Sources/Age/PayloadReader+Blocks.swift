public import HostIO

extension PayloadReader {
    /// Calls `body` with the plaintext from `offset` on, in order, block by block; reading and decryption run ahead.
    ///
    /// Memory is bounded by two blocks for each worker. Each block was authenticated before `body` sees it; it is valid
    /// only during the call. `body` runs on the calling thread.
    ///
    /// - Parameters:
    ///   - offset: where in the plaintext to begin.
    ///   - blockChunkCount: how many chunks of 64 KiB a block has, apart from the last.
    ///   - workerCount: how many threads read and decrypt; 1 does all work on the calling thread.
    /// - Throws: what ``read(at:into:)`` throws, once the blocks before were given to `body`; the error of `body`.
    public func forEachBlock(
        from offset: Int = 0, blockChunkCount: Int = 16, workerCount: Int = availableCoreCount(),
        _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        precondition(offset >= 0 && blockChunkCount > 0 && workerCount > 0, "a walk over blocks has a wrong parameter")
        guard offset < plaintextByteCount else { return }
        let runs = Runs(
            firstChunk: offset / PayloadFormat.chunkByteCount, chunkCount: chunkCount, runChunkCount: blockChunkCount)
        var skippedByteCount = offset % PayloadFormat.chunkByteCount
        func deliver(_ plaintext: UnsafeRawBufferPointer) throws {
            try body(UnsafeRawBufferPointer(rebasing: plaintext.dropFirst(skippedByteCount)))
            skippedByteCount = 0
        }
        let capacity = blockChunkCount * PayloadFormat.sealedChunkByteCount
        if workerCount == 1 || runs.count == 1 {
            let room = Room(capacity: capacity)
            let context = try makeContext()
            for index in 0..<runs.count { try deliver(openRun(runs[index], in: room.bytes, with: context)) }
        } else {
            try openInParallel(runs, capacity: capacity, workerCount: min(workerCount, runs.count), deliver)
        }
    }

    private func openInParallel(
        _ runs: Runs, capacity: Int, workerCount: Int,
        _ deliver: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let depth = workerCount * 2
        let rooms = (0..<depth).map { _ in Room(capacity: capacity) }
        let map = try OrderedParallelMap<Int, UnsafeRawBufferPointer>(
            name: "age.open", workerCount: workerCount, depth: depth
        ) {
            let context = try makeContext()
            // The ring comes round to a room only after its plaintext was delivered.
            return { [self] index in try openRun(runs[index], in: rooms[index % depth].bytes, with: context) }
        }
        for index in 0..<min(depth, runs.count) { map.submit(index) }
        for index in 0..<runs.count {
            guard let plaintext = try map.next() else { return }
            try withExtendedLifetime(rooms) { try deliver(plaintext) }
            if index + depth < runs.count { map.submit(index + depth) }
        }
    }

    /// Neighbouring runs of chunks up to the end of the payload.
    private struct Runs {
        let firstChunk: Int
        let chunkCount: Int
        let runChunkCount: Int

        var count: Int { (chunkCount - firstChunk + runChunkCount - 1) / runChunkCount }

        subscript(index: Int) -> ClosedRange<Int> {
            let start = firstChunk + index * runChunkCount
            return start...min(start + runChunkCount, chunkCount) - 1
        }
    }

    /// Memory for one block.
    private final class Room {
        let bytes: UnsafeMutableRawBufferPointer

        init(capacity: Int) { bytes = .allocate(byteCount: capacity, alignment: 64) }

        deinit {
            wipe(bytes)
            bytes.deallocate()
        }
    }
}
