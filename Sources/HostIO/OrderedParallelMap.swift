import Dispatch
import Synchronization

/// Turns inputs into outputs on several threads and gives the outputs back in the order of the inputs.
///
/// One thread calls ``submit(_:)`` and ``finish()``, one thread (it may be the same) calls ``next()``. At most `depth`
/// inputs are under way or waiting to be taken, so memory is bounded; ``submit(_:)`` blocks at that bound. Input `i`
/// goes to worker `i mod workerCount`, each of which has a transform of its own and so may keep state in it.
///
/// `@unchecked Sendable`: a slot is written by one worker before its semaphore is signalled and read by the consumer
/// after; the submit side's and the take side's counters each belong to one thread.
public final class OrderedParallelMap<Input, Output>: @unchecked Sendable {
    /// What a worker runs for each of its inputs.
    public typealias Transform = (Input) throws -> Output

    private enum Slot {
        case empty
        case output(Result<Output, any Error>)
        case end
    }

    private struct Worker: @unchecked Sendable {
        // Only ever run on `queue`, which is serial.
        let transform: Transform
        let queue: DispatchQueue
    }

    private let workers: [Worker]
    private let slots: UnsafeMutableBufferPointer<Slot>
    private let ready: [DispatchSemaphore]
    private let free: DispatchSemaphore
    private var submittedCount = 0
    private var takenCount = 0

    /// Creates the workers.
    ///
    /// - Parameters:
    ///   - workerCount: how many threads transform, at least 1.
    ///   - depth: the most inputs under way or not yet taken, at least 1.
    ///   - makeTransform: called once for each worker.
    public init(
        name: String, workerCount: Int, depth: Int, makeTransform: () throws -> Transform
    ) rethrows {
        precondition(workerCount > 0 && depth > 0, "a parallel map needs a worker and a slot")
        workers = try (0..<workerCount).map { index in
            Worker(transform: try makeTransform(), queue: DispatchQueue(label: "\(name).\(index)"))
        }
        slots = .allocate(capacity: depth)
        slots.initialize(repeating: .empty)
        ready = (0..<depth).map { _ in DispatchSemaphore(value: 0) }
        free = DispatchSemaphore(value: 0)
        // A semaphore that is freed with less than its first value traps, so the value is built up by signals.
        for _ in 0..<depth { free.signal() }
    }

    deinit {
        slots.deinitialize()
        slots.deallocate()
    }

    /// Hands the next input to a worker; blocks while `depth` inputs are not yet taken as outputs.
    public func submit(_ input: sending Input) {
        let worker = workers[submittedCount % workers.count]
        let index = claimSlot()
        nonisolated(unsafe) let input = input
        worker.queue.async { [self] in
            slots[index] = .output(Result { try worker.transform(input) })
            ready[index].signal()
        }
    }

    /// Says that no further input comes: once the outputs are taken, ``next()`` returns nil.
    public func finish() {
        let index = claimSlot()
        slots[index] = .end
        ready[index].signal()
    }

    /// The next output in input order, or nil after the last; blocks until it is there.
    ///
    /// - Throws: what the transform threw for that input.
    public func next() throws -> Output? {
        let index = takenCount % slots.count
        ready[index].wait()
        let slot = slots[index]
        slots[index] = .empty
        takenCount += 1
        free.signal()
        switch slot {
        case .output(let result): return try result.get()
        case .end: return nil
        case .empty: preconditionFailure("an empty slot was signalled as ready")
        }
    }

    /// Whether inputs are under way or outputs wait to be taken; to be asked by a thread that does both.
    public var isIdle: Bool { submittedCount == takenCount }

    private func claimSlot() -> Int {
        free.wait()
        defer { submittedCount += 1 }
        return submittedCount % slots.count
    }
}
