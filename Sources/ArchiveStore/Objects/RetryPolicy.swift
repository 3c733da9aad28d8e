import FoundationEssentials
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// How long something that failed is tried again, and how long is waited between.
///
/// The waits double, and each is a random part of its bound, so that many that failed together do not come back together.
public struct RetryPolicy: Sendable {
    /// How long after the first failure something is still tried again.
    public var patience: Duration
    /// The bound of the first wait.
    public var firstWait: Duration
    /// The largest bound of a wait.
    public var longestWait: Duration
    /// Told before each wait what failed, and how long the wait is.
    public var report: @Sendable (_ failure: Failure, _ wait: Duration) -> Void

    /// A policy from its parts.
    public init(
        patience: Duration = .seconds(60), firstWait: Duration = .milliseconds(250),
        longestWait: Duration = .seconds(10),
        report: @escaping @Sendable (_ failure: Failure, _ wait: Duration) -> Void = { _, _ in }
    ) {
        self.patience = patience
        self.firstWait = firstWait
        self.longestWait = longestWait
        self.report = report
    }

    /// The same with less patience.
    func waiting(atMost patience: Duration) -> RetryPolicy {
        var policy = self
        policy.patience = min(patience, self.patience)
        return policy
    }

    /// Calls `attempt` until it succeeds, fails for good, or patience ends.
    ///
    /// - Parameters:
    ///   - outage: what the place has done meanwhile for others, whose failures use patience up too.
    ///   - isStopped: ends a wait when it says so.
    ///   - retry: whether what failed may succeed later.
    ///   - attempt: is told how often it was called before.
    /// - Throws: the last error; `CancellationError` if the task was cancelled, or it was stopped, during a wait.
    func run<Result>(
        during outage: Outage = Outage(), isStopped: () -> Bool = { false }, retry: (any Error) -> ObjectError.Retry,
        _ attempt: (Int) throws -> Result
    ) throws -> Result {
        var firstFailure: ContinuousClock.Instant?
        var count = 0
        while true {
            do {
                let result = try attempt(count)
                outage.noteSuccess()
                return result
            } catch {
                let now = ContinuousClock.now
                let start = firstFailure ?? now
                firstFailure = start
                guard let wait = wait(retry(error), after: count) else {
                    outage.noteRefusal()
                    throw error
                }
                guard now + wait - min(start, outage.noteFailure(at: now)) <= patience else { throw error }
                report(Failure(wrapping: error), wait)
                try Self.sleep(wait, isStopped)
                count += 1
            }
        }
    }

    private func wait(_ retry: ObjectError.Retry, after count: Int) -> Duration? {
        switch retry {
        case .never: return nil
        case .afterSeconds(let seconds): return .seconds(seconds) + firstWait * Double.random(in: 0...1)
        case .later:
            let bound = min(longestWait, firstWait * (1 << min(count, 20)))
            return bound * Double.random(in: 0.5...1)
        }
    }

    private static func sleep(_ wait: Duration, _ isStopped: () -> Bool) throws {
        let end = ContinuousClock.now + wait
        while ContinuousClock.now < end {
            if Task.isCancelled || isStopped() { throw CancellationError() }
            usleep(20_000)
        }
    }
}
