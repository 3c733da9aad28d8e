import Dispatch

/// Runs tasks on a thread of its own, so that what they do may block without starving other tasks.
public final class ThreadExecutor: TaskExecutor {
    private let queue: DispatchQueue

    /// An executor whose thread is called `name` in debuggers.
    public init(name: String) { queue = DispatchQueue(label: name, qos: .userInitiated) }

    /// Queues a job behind those that are already there.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Runs `body` on a thread of its own, where it may block; cancelling the caller cancels it.
public func withBlockingThread<Result: Sendable>(
    _ name: String, _ body: @Sendable @escaping () async throws -> Result
) async throws -> Result {
    let task = Task(executorPreference: ThreadExecutor(name: name), operation: body)
    return try await withTaskCancellationHandler {
        try await task.value
    } onCancel: {
        task.cancel()
    }
}

/// Runs `body` beside the caller, on a thread of its own.
///
/// For work that somebody waits for: a concurrent queue has as many threads as there are cores, and where all of them wait for
/// work that is behind them in the queue nothing ever goes on.
public func runBeside(_ name: String, _ body: @escaping @Sendable () -> Void) {
    DispatchQueue(label: name).async(execute: body)
}
