import HostIO

/// Why the stream of a snapshot failed after it had begun.
public enum SnapshotError: Error, Sendable, FailureConvertible {
    /// No message arrived for the length of the stall time-out.
    case stalled(Endpoint, receivedByteCount: UInt64, timeout: Duration)
    /// The snapshot took longer than it may in total.
    case deadlineExceeded(Endpoint, receivedByteCount: UInt64)
    /// The connection broke or the server gave up.
    case serverGone(Endpoint, receivedByteCount: UInt64, message: String)
    /// The server sends empty messages, as etcd does when it can no longer read its file.
    case emptyMessage(Endpoint, receivedByteCount: UInt64)
    /// The stream ended, database and SHA-256 together, before the announced number of bytes.
    case short(Endpoint, receivedByteCount: UInt64, expectedByteCount: UInt64)
    /// The stream goes on after the announced number of bytes.
    case long(Endpoint, expectedByteCount: UInt64)
    /// The database doesn't have the SHA-256 that was sent after it.
    case digestMismatch(Endpoint, expected: [UInt8], found: [UInt8])
    /// A message isn't what etcd sends.
    case malformed(Endpoint, message: String)

    /// Whether it makes sense to begin again, from the start, with another member.
    public var isRetryableElsewhere: Bool {
        if case .deadlineExceeded = self { return false }
        return true
    }

    /// The error as it is shown to a person.
    public var failure: Failure {
        let another = "try again, or name the endpoint of another member"
        switch self {
        case .stalled(let endpoint, let received, let timeout):
            return Failure(
                .failed, "the snapshot from \(endpoint) stalled after \(received) bytes: no data for \(timeout)",
                hint: "check that the member is not paused or overloaded")
        case .deadlineExceeded(let endpoint, let received):
            return Failure(
                .failed, "the snapshot from \(endpoint) took too long: \(received) bytes by then",
                hint: "allow it more time", settings: [.totalTimeout])
        case .serverGone(let endpoint, let received, let message):
            return Failure(
                .failed, "\(endpoint) broke off the snapshot after \(received) bytes: \(message)",
                hint: "check the member's log; " + another, settings: [.endpoints])
        case .emptyMessage(let endpoint, let received):
            return Failure(
                .integrity, "\(endpoint) can't read its database beyond \(received) bytes",
                hint: "check the member's disk and log; " + another, settings: [.endpoints])
        case .short(let endpoint, let received, let expected):
            return Failure(
                .integrity, "the snapshot from \(endpoint) ended after \(received) of \(expected) bytes", hint: another,
                settings: [.endpoints])
        case .long(let endpoint, let expected):
            return Failure(
                .integrity, "the snapshot from \(endpoint) goes on after its \(expected) bytes", hint: another,
                settings: [.endpoints])
        case .digestMismatch(let endpoint, let expected, let found):
            return Failure(
                .integrity,
                "the snapshot from \(endpoint) is damaged: its SHA-256 is \(found.hexadecimal), not \(expected.hexadecimal)",
                hint: another, settings: [.endpoints])
        case .malformed(let endpoint, let message):
            return Failure(
                .integrity, "\(endpoint) sent no snapshot: \(message)", hint: "check the endpoint",
                settings: [.endpoints])
        }
    }
}
