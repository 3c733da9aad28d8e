import Dispatch
import HostIO
import Synchronization

/// The frames of an archive that were used last, decrypted and decompressed by the threads that ask for them.
///
/// Threads that want different frames work side by side, and those that want the same one wait for the first. Once reads
/// go on from frame to frame the next ones are loaded ahead. Memory: one frame more than there are workers is kept; each
/// worker has one under way, with its compressed bytes.
///
/// Safe for use by several threads at once.
final class FrameCache: Sendable {
    /// Frames in a row after which reading is taken for sequential.
    private static let sequentialCount = 3

    /// A frame that is loaded or being loaded.
    ///
    /// `@unchecked Sendable`: the result is written once before the group is left and read only after waiting for it.
    private final class LoadedFrame: @unchecked Sendable {
        private let group = DispatchGroup()
        private var result: Result<ByteBlock, any Error>?

        init() { group.enter() }

        func complete(_ result: Result<ByteBlock, any Error>) {
            self.result = result
            group.leave()
        }

        func wait() throws -> ByteBlock {
            group.wait()
            guard let result else { preconditionFailure("a frame was left without a result") }
            return try result.get()
        }
    }

    /// `@unchecked Sendable`: only ever touched under the lock; a loader that was taken belongs to one thread.
    private struct State: @unchecked Sendable {
        var frames: [Int: LoadedFrame] = [:]
        /// Frame numbers, the one used last at the end.
        var order: [Int] = []
        var idleLoaders: [FrameLoader] = []
        var pool: ByteBlockPool
        var latest = -1
        var inARow = 0
    }

    private let frames: FrameTable
    private let workerCount: Int
    private let state: Mutex<State>
    /// Counts the loaders that may be taken.
    private let freeLoaders = DispatchSemaphore(value: 0)

    init(_ frames: FrameTable, workerCount: Int) {
        self.frames = frames
        self.workerCount = workerCount
        state = Mutex(State(pool: ByteBlockPool(capacity: frames.largestDecompressedSize)))
        // A semaphore that is freed with less than its first value traps, so the value is built up by signals.
        for _ in 0..<workerCount { freeLoaders.signal() }
    }

    /// The bytes of a frame; blocks until they are there.
    ///
    /// - Throws: ``Failure`` or the source's error; the frame is tried anew the next time.
    func frame(_ index: Int) throws -> ByteBlock {
        let (frame, isNew, ahead) = state.withLock { state in
            let (frame, isNew) = take(index, &state)
            return (frame, isNew, framesAhead(index, &state))
        }
        for (index, frame) in ahead { runBeside("etcd-snap.frames") { [self] in load(index, into: frame) } }
        if isNew { load(index, into: frame) }
        return try frame.wait()
    }

    /// The frame of that number, and whether it has to be loaded by the caller.
    private func take(_ index: Int, _ state: inout State) -> (LoadedFrame, Bool) {
        state.order.removeAll { $0 == index }
        state.order.append(index)
        if let known = state.frames[index] { return (known, false) }
        let frame = LoadedFrame()
        state.frames[index] = frame
        while state.order.count > workerCount + 1 { state.frames[state.order.removeFirst()] = nil }
        return (frame, true)
    }

    /// Frames behind `index` to be loaded now, if reads come in order.
    private func framesAhead(_ index: Int, _ state: inout State) -> [(Int, LoadedFrame)] {
        switch index - state.latest {
        case 1: state.inARow += 1
        case 0, -1: return []
        default: state.inARow = 0
        }
        state.latest = index
        guard state.inARow >= Self.sequentialCount, workerCount > 1 else { return [] }
        var ahead: [(Int, LoadedFrame)] = []
        for next in (index + 1)..<min(frames.count, index + workerCount) where state.frames[next] == nil {
            ahead.append((next, take(next, &state).0))
        }
        // What was asked for stays longest.
        state.order.removeAll { $0 == index }
        state.order.append(index)
        return ahead
    }

    private func load(_ index: Int, into frame: LoadedFrame) {
        freeLoaders.wait()
        defer { freeLoaders.signal() }
        let (idle, block) = state.withLock { state in (state.idleLoaders.popLast(), state.pool.take()) }
        do {
            let loader = try idle ?? FrameLoader(frames)
            defer { state.withLock { $0.idleLoaders.append(loader) } }
            try loader.load(index, into: block)
            frame.complete(.success(block))
        } catch {
            state.withLock { state in if state.frames[index] === frame { state.frames[index] = nil } }
            frame.complete(.failure(error))
        }
    }
}
