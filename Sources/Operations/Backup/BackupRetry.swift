import HostIO

/// What is tried again after a failed attempt, and how. There is no other place that repeats a part of a backup.
///
/// Each attempt is an archive of its own, for an age file key must never seal two contents.
extension BackupAttempt {
    /// The attempt after one that failed.
    ///
    /// With another member of the etcd that failed, or without that etcd if nobody asked for it. Changed keys are taken
    /// anew once. What the archive or its store fails at is tried again in the next store, if there is one: in the same one it
    /// would fail in the same way.
    ///
    /// - Throws: the error itself, where no other attempt would do better.
    func retrying(after error: any Error) throws -> BackupAttempt {
        switch error {
        case let change as KeysChanged: afterRotation(change)
        case let failure as SourceError: try afterFailure(failure)
        case let failure as SinkError: try afterFailure(failure)
        default: throw error
        }
    }

    /// A rotation may bring files of other names.
    private func afterRotation(_ change: KeysChanged) -> BackupAttempt {
        observer.warn("\(change.description); beginning again")
        var again = self
        again.acceptsChangedKeys = true
        again.plan.node = plan.node.rediscovered()
        return again
    }

    private func afterFailure(_ failure: SinkError) throws -> BackupAttempt {
        guard let next = try publisher.inNextStore(after: failure.cause, observer: observer) else {
            throw failure.cause
        }
        var again = self
        again.publisher = next
        return again
    }

    private func afterFailure(_ failure: SourceError) throws -> BackupAttempt {
        let target = targets[failure.index]
        let message = Failure(wrapping: failure.cause).message
        var again = self
        if failure.mayWorkElsewhere, let next = target.withNextCandidate {
            observer.warn("\(message); trying the next endpoint")
            again.targets[failure.index] = next
            return again
        }
        guard !target.source.isRequired else { throw failure.cause }
        observer.warn("\(target.name): \(message); beginning again without it")
        again.targets.remove(at: failure.index)
        again.unreachable.append(target.source.unreachable(for: failure.cause))
        return again
    }
}
