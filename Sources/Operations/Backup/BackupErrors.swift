import EtcdSnap
import EtcdStorage
import HostIO

/// An error on the side of an etcd, or of what it gave: another of its members may do better.
struct SourceError: Error {
    /// Which of the plan's etcds.
    var index: Int
    var cause: any Error

    /// Whether another member could give what this one did not: it died, or what it gave is damaged or unusable.
    var mayWorkElsewhere: Bool {
        switch cause {
        case let error as SnapshotError: error.isRetryableElsewhere
        case let error as EtcdError: error.isRetryableElsewhere
        case is StorageError, is DivergedMember, is UnsuitableMember: true
        default: false
        }
    }
}

/// An error on the side of the archive and its store, which no etcd can help: a full disk, a file that can't be written.
struct SinkError: Error, FailureConvertible {
    var cause: any Error
    var failure: Failure { Failure(wrapping: cause) }
}

/// A member that can't give a snapshot, found out only on the connection that was to send it.
struct UnsuitableMember: Error, FailureConvertible {
    var endpoint: Endpoint
    var reason: String

    var failure: Failure {
        Failure(
            .failed, "no snapshot from \(endpoint): \(reason)",
            hint: "name the endpoint of a single member that is no learner and has no alarm", settings: [.endpoints])
    }
}

/// A member whose snapshot does not hold what it says that it has.
struct DivergedMember: Error, FailureConvertible {
    var numbers: String

    var failure: Failure {
        Failure(
            .integrity, "the snapshot does not hold what its member has: HashKV is \(numbers)",
            hint: "take it from another member; nothing was stored", settings: [.endpoints])
    }
}

/// Keys that were replaced while the backup ran.
struct KeysChanged: Error, CustomStringConvertible {
    var paths: [String]

    var description: String {
        "\(paths.map(quoted).joined(separator: ", ")) changed while the snapshot was taken"
    }
}

/// Runs what only an etcd can fail at; an error is one of that etcd.
func fromSource<Result>(_ index: Int, _ body: () async throws -> Result) async throws -> Result {
    do {
        return try await body()
    } catch  where !(error is CancellationError || error is SinkError || error is SourceError) {
        throw SourceError(index: index, cause: error)
    }
}

/// Runs what only the archive or its store can fail at.
func toSink<Result>(_ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch  where !(error is CancellationError) {
        throw SinkError(cause: error)
    }
}
