import HTTP
import Synchronization

/// An operation while it is sent, perhaps several times: what ends it, and what may have become of attempts that failed.
final class S3Call: Sendable {
    /// Ends it at once.
    let cancellation: HTTPCancellation?
    /// How long an attempt may take; nil sets no limit but that of the connection.
    let deadline: Duration?
    private let lost = Mutex(false)

    /// A call of which nothing was sent yet.
    init(_ cancellation: HTTPCancellation? = nil, deadline: Duration? = nil) {
        self.cancellation = cancellation
        self.deadline = deadline
    }

    /// Whether the server may have done what an attempt asked for whose answer did not come.
    var mayHaveLostAnswer: Bool { lost.withLock { $0 } }

    /// Notes that an answer did not come.
    func noteLostAnswer() { lost.withLock { $0 = true } }
}
