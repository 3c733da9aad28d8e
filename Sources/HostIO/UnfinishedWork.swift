import Synchronization

/// What this process has under temporary names, for an end that waits for nobody.
///
/// A process that is told to end while a read hangs, of a dead NFS server for one, can't wait for the thread that reads. It
/// removes what is unfinished and ends. What must not end in its middle, such as a publication, is protected meanwhile.
public enum UnfinishedWork {
    private struct State {
        var removals: [ObjectIdentifier: (number: Int, remove: @Sendable () -> Void)] = [:]
        var addedCount = 0
        var protectedCount = 0
    }

    private static let state = Mutex(State())

    /// Notes what `owner` has unfinished, until it is removed from here; at the latest when it is gone.
    ///
    /// - Parameter removing: must not wait for what may never answer.
    public static func add(_ owner: AnyObject, removing: @Sendable @escaping () -> Void) {
        state.withLock { state in
            state.addedCount += 1
            state.removals[ObjectIdentifier(owner)] = (state.addedCount, removing)
        }
    }

    /// Forgets what an owner had unfinished.
    public static func remove(_ owner: AnyObject) {
        state.withLock { $0.removals[ObjectIdentifier(owner)] = nil }
    }

    /// Keeps the process from being ended by ``abandon(_:)`` while `body` runs.
    public static func protecting<Result>(_ body: () throws -> Result) rethrows -> Result {
        state.withLock { $0.protectedCount += 1 }
        defer { state.withLock { $0.protectedCount -= 1 } }
        return try body()
    }

    /// Removes what is unfinished and runs `end`, unless something is protected at the moment.
    ///
    /// What came last goes first: a process before the directory that it writes to. Nothing can become protected any more while
    /// that goes on.
    public static func abandon(_ end: () -> Void) {
        state.withLock { state in
            guard state.protectedCount == 0 else { return }
            for removal in state.removals.values.sorted(by: { $0.number > $1.number }) { removal.remove() }
            end()
        }
    }
}
