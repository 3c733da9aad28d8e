import Dispatch
import HostIO
import Synchronization

/// Runs work items side by side, each on one of the process's threads, and waits for all.
///
/// - Throws: what the first item in order threw.
func concurrently(_ count: Int, _ body: @escaping (Int) throws -> Void) throws(StorageError) {
    // Each iteration writes its own element, and the array is read after all have returned.
    nonisolated(unsafe) let errors = UnsafeMutableBufferPointer<StorageError?>.allocate(capacity: count)
    errors.initialize(repeating: nil)
    defer {
        errors.deinitialize()
        errors.deallocate()
    }
    // Called on several threads by intention. (With withoutActuallyEscaping in place of @escaping, the path of this file
    // would be in the executable, which would differ by where it was built.)
    nonisolated(unsafe) let body = body
    DispatchQueue.concurrentPerform(iterations: count) { index in
        do throws(StorageError) {
            try wrappingErrors { try body(index) }
        } catch {
            errors[index] = error
        }
    }
    for error in errors { if let error { throw error } }
}

/// Reads bytes from front to back and lends each block to several stages, which run beside the reading.
///
/// Each stage sees all blocks in order, on a thread of its own, and may fall behind the others by a few blocks: on a busy
/// machine threads wait for a core now and then, and nothing should wait with them. Memory: ``blockCount`` blocks.
struct BlockFeed {
    typealias Stage = (UnsafeRawBufferPointer) throws -> Void

    private static let blockByteCount = 1 << 20
    private static let blockCount = 6
    let source: any RandomAccessBytes

    /// Returns after all stages have seen all blocks.
    ///
    /// - Throws: what the first stage in order threw, or else what reading threw.
    func run(_ stages: [Stage]) throws(StorageError) {
        let ring = BlockRing(blockCount: Self.blockCount, blockByteCount: Self.blockByteCount, stageCount: stages.count)
        let group = DispatchGroup()
        let results = Mutex([StorageError?](repeating: nil, count: stages.count))
        for (index, stage) in stages.enumerated() {
            // Used by this one thread until the group is left.
            nonisolated(unsafe) let stage = stage
            DispatchQueue(label: "etcd-snap.stage.\(index)").async(group: group) {
                do throws(StorageError) {
                    try wrappingErrors { try ring.consume(stage: index, stage) }
                } catch {
                    results.withLock { $0[index] = error }
                }
            }
        }
        let reading = Result { () throws(StorageError) in try feed(ring) }
        ring.finish()
        group.wait()
        for error in results.withLock({ $0 }) { if let error { throw error } }
        try reading.get()
    }

    private func feed(_ ring: BlockRing) throws(StorageError) {
        var offset = 0
        while offset < source.byteCount, let buffer = ring.nextFree() {
            let count = try read(at: offset, into: buffer)
            ring.publish(count)
            offset += count
        }
    }

    private func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
        let wanted = min(buffer.count, source.byteCount - offset)
        guard wanted > 0 else { return 0 }
        let count = try wrappingErrors {
            try source.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted]))
        }
        guard count == wanted else {
            throw .truncated(name: source.name, expectedByteCount: source.byteCount, foundByteCount: offset + count)
        }
        return count
    }
}

/// A few blocks that one thread fills and several others see in order.
///
/// `@unchecked Sendable`: a block is written by the filling thread after all stages have released it, and read by stages
/// after it was published; semaphores order both. The counters of the filling side belong to that thread.
private final class BlockRing: @unchecked Sendable {
    private final class Block {
        let storage: UnsafeMutableRawBufferPointer
        var count = 0
        let users = Atomic<Int>(0)

        init(byteCount: Int) { storage = .allocate(byteCount: byteCount, alignment: 4096) }

        deinit { storage.deallocate() }
    }

    private let blocks: [Block]
    private let free = DispatchSemaphore(value: 0)
    /// Counts for each stage the blocks that wait for it; the last one is empty.
    private let ready: [DispatchSemaphore]
    private let isStopped = Atomic<Bool>(false)
    private var publishedCount = 0

    init(blockCount: Int, blockByteCount: Int, stageCount: Int) {
        blocks = (0..<blockCount).map { _ in Block(byteCount: blockByteCount) }
        ready = (0..<stageCount).map { _ in DispatchSemaphore(value: 0) }
        // A semaphore that is freed with less than its first value traps, so the value is built up by signals.
        for _ in 0..<blockCount { free.signal() }
    }

    /// The block to be filled next, once all stages are done with it; nil if a stage has failed.
    func nextFree() -> UnsafeMutableRawBufferPointer? {
        free.wait()
        guard !isStopped.load(ordering: .acquiring) else {
            free.signal()
            return nil
        }
        return blocks[publishedCount % blocks.count].storage
    }

    /// Hands the block that ``nextFree()`` gave to all stages.
    func publish(_ count: Int) {
        let block = blocks[publishedCount % blocks.count]
        block.count = count
        block.users.store(ready.count, ordering: .releasing)
        publishedCount += 1
        for semaphore in ready { semaphore.signal() }
    }

    /// Ends all stages once they have seen what was published.
    func finish() {
        free.wait()
        publish(0)
    }

    /// Runs a stage over all blocks; after an error the rest is passed over.
    func consume(stage: Int, _ body: BlockFeed.Stage) throws {
        var failure: (any Error)?
        for index in 0... {
            ready[stage].wait()
            let block = blocks[index % blocks.count]
            let count = block.count
            if count > 0, failure == nil {
                do {
                    try body(UnsafeRawBufferPointer(rebasing: block.storage[..<count]))
                } catch {
                    failure = error
                    isStopped.store(true, ordering: .releasing)
                }
            }
            if block.users.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { free.signal() }
            if count == 0 { break }
        }
        if let failure { throw failure }
    }
}

/// Reads chosen runs of pages in the order in which they lie in the file, on several threads.
struct PageScan {
    private static let chunkByteCount = 1 << 20
    let source: any RandomAccessBytes
    let meta: Meta
    let ledger: PageLedger
    let pages: PageSet

    /// Lends each chosen run to `body`, which is called by `workerCount` threads at once, each with its number.
    func forEachRun(
        workerCount: Int, where isWanted: @escaping (PageRecord) -> Bool,
        _ body: @escaping (_ worker: Int, _ page: UInt64, _ run: Bytes) throws -> Void
    ) throws(StorageError) {
        let chunkPageCount = UInt64(max(1, Self.chunkByteCount / meta.pageByteCount))
        let next = Atomic<UInt64>(0)
        try concurrently(workerCount) { worker in
            var buffer = GrowingBuffer()
            while true {
                let first = next.wrappingAdd(chunkPageCount, ordering: .relaxed).oldValue
                guard first < meta.highWater else { return }
                let wanted = (first..<min(meta.highWater, first + chunkPageCount)).filter {
                    pages.contains($0) && isWanted(ledger[$0])
                }
                guard let begin = wanted.first, let last = wanted.last else { continue }
                let end = last + UInt64(ledger.overflow(of: last)) + 1
                let bytes = buffer.room(Int(end - begin) * meta.pageByteCount)
                try read(at: Int(begin) * meta.pageByteCount, into: bytes)
                for page in wanted {
                    let offset = Int(page - begin) * meta.pageByteCount
                    let count = (ledger.overflow(of: page) + 1) * meta.pageByteCount
                    try body(worker, page, Bytes(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])))
                }
            }
        }
    }

    private func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        let count = try source.read(at: offset, into: buffer)
        guard count == buffer.count else {
            throw StorageError.truncated(
                name: source.name, expectedByteCount: Int(meta.highWater) * meta.pageByteCount,
                foundByteCount: offset + count)
        }
    }
}

/// Memory that grows to the largest size asked for.
private struct GrowingBuffer: ~Copyable {
    private var storage = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 << 20, alignment: 4096)

    deinit { storage.deallocate() }

    /// Room for `byteCount` bytes, which is valid until the next call.
    mutating func room(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
        if storage.count < byteCount {
            storage.deallocate()
            storage = .allocate(byteCount: byteCount, alignment: 4096)
        }
        return UnsafeMutableRawBufferPointer(rebasing: storage[..<byteCount])
    }
}
