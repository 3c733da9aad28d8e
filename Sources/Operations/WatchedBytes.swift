import HostIO
import Synchronization

/// Bytes whose reading shows as progress and ends when the task is cancelled.
final class WatchedBytes: RandomAccessBytes {
    private let base: any RandomAccessBytes
    private let phase: String
    private let observer: Observer
    private let doneByteCount = Mutex(0)

    init(_ base: any RandomAccessBytes, phase: String, observer: Observer) {
        self.base = base
        self.phase = phase
        self.observer = observer
    }

    var name: String { base.name }

    var byteCount: Int { base.byteCount }

    var isCheapAtRandom: Bool { base.isCheapAtRandom }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        try Task.checkCancellation()
        let count = try base.read(at: offset, into: buffer)
        let done = doneByteCount.withLock { total in
            total += count
            return total
        }
        observer.progress(Progress(phase: phase, doneByteCount: done, totalByteCount: nil))
        return count
    }
}

/// Runs work that wraps errors, and throws `CancellationError` when it failed because the task was cancelled.
func stoppable<Result>(_ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch {
        try Task.checkCancellation()
        throw error
    }
}
