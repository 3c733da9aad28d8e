import Dispatch
import HostIO
import Synchronization

/// Runs work items side by side, each on one of the process's threads, and waits for all.
///
/// - Throws: what the first item in order threw.
func concurrently(_ count: Int, _ body: (Int) throws -> Void) throws(StorageError) {
    // Each iteration writes its own element, and the array is read after all have returned.
    nonisolated(unsafe) let errors = UnsafeMutableBufferPointer<StorageError?>.allocate(capacity: count)
    errors.initialize(repeating: nil)
    defer {
        errors.deinitialize()
        errors.deallocate()
    }
    withoutActuallyEscaping(body) { body in
        nonisolated(unsafe) let body = body
        DispatchQueue.concurrentPerform(iterations: count) { index in
            do throws(StorageError) {
                try wrappingErrors { try body(index) }
            } catch {
                errors[index] = error
            }
        }
    }
    for error in errors { if let error { throw error } }
}

/// Reads bytes from front to back and lends each block to several stages at once, while the next block is read.
///
/// Each stage sees all blocks in order. Memory: two blocks.
struct BlockFeed {
    /// Long enough that the threads meet rarely, short enough to stay in the second-level cache.
    private static let blockByteCount = 1 << 20
    let source: any RandomAccessBytes

    func run(_ stages: [(UnsafeRawBufferPointer) throws -> Void]) throws(StorageError) {
        let buffers = (0..<2).map { _ in
            UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockByteCount, alignment: 4096)
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        var count = try read(at: 0, into: buffers[0])
        var offset = count
        var current = 0
        while count > 0 {
            let block = UnsafeRawBufferPointer(rebasing: buffers[current][..<count])
            let next = buffers[1 - current]
            var nextCount = 0
            try withUnsafeMutablePointer(to: &nextCount) { (nextCount) throws(StorageError) in
                // The long stages come first, so that reading fills the rest of the other core's time.
                try concurrently(stages.count + 1) { index in
                    if index < stages.count {
                        try stages[index](block)
                    } else {
                        nextCount.pointee = try read(at: offset, into: next)
                    }
                }
            }
            count = nextCount
            offset += count
            current = 1 - current
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

/// Reads chosen runs of pages in the order in which they lie in the file, on several threads.
struct PageScan {
    private static let chunkByteCount = 1 << 20
    let source: any RandomAccessBytes
    let meta: Meta
    let ledger: PageLedger
    let pages: PageSet

    /// Lends each chosen run to `body`, which is called by `workerCount` threads at once, each with its number.
    func forEachRun(
        workerCount: Int, where isWanted: (PageRecord) -> Bool,
        _ body: (_ worker: Int, _ page: UInt64, _ run: Bytes) throws -> Void
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
