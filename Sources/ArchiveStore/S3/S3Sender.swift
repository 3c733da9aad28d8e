import HTTP
import HostIO
import S3

/// Sends operations of S3 to one bucket and reads what is answered.
protocol S3Sender: Sendable {
    /// Sends an operation.
    ///
    /// - Parameters:
    ///   - block: the bytes of a payload that the request only describes.
    ///   - call: ends it, and is told whether an answer was lost.
    /// - Throws: `S3Error`, `HTTPError`, what getting credentials throws.
    func send<Operation: S3Operation>(
        _ operation: Operation, _ block: ByteBlock?, _ call: S3Call?
    ) throws -> Operation.Output

    /// Reads an object, or a range of it, into a buffer that has room for it.
    ///
    /// - Returns: what the server says of the object, and how many bytes came.
    func read(_ operation: GetObject, into buffer: UnsafeMutableRawBufferPointer) throws -> (S3ObjectFacts, Int)
}

extension S3Sender {
    /// Sends an operation that has its payload in itself.
    func send<Operation: S3Operation>(_ operation: Operation) throws -> Operation.Output {
        try send(operation, nil, nil)
    }
}

/// Sends each operation again while it is worth it; a decorator.
struct RetryingS3Sender: S3Sender {
    let sender: any S3Sender
    let policy: RetryPolicy
    private let outage: Outage

    init(sender: any S3Sender, policy: RetryPolicy, outage: Outage = Outage()) {
        self.sender = sender
        self.policy = policy
        self.outage = outage
    }

    /// The same sender, with less patience.
    func waiting(atMost patience: Duration) -> RetryingS3Sender {
        RetryingS3Sender(sender: sender, policy: policy.waiting(atMost: patience), outage: outage)
    }

    func send<Operation: S3Operation>(
        _ operation: Operation, _ block: ByteBlock?, _ call: S3Call?
    ) throws -> Operation.Output {
        let call = call ?? S3Call()
        return try repeating(call) { try sender.send(operation, block, call) }
    }

    func read(_ operation: GetObject, into buffer: UnsafeMutableRawBufferPointer) throws -> (S3ObjectFacts, Int) {
        try repeating(S3Call()) { try sender.read(operation, into: buffer) }
    }

    /// A refusal after an attempt that may have been done is marked: it may be of that.
    private func repeating<Result>(_ call: S3Call, _ body: () throws -> Result) throws -> Result {
        var damageCount = 0
        return try policy.run(
            during: outage, isStopped: { call.cancellation?.isCancelled == true },
            retry: { retry($0, &damageCount) },
            { _ in
                do {
                    return try body()
                } catch var error as S3Error {
                    if call.mayHaveLostAnswer { error.isOfRepetition = true }
                    if error.mayBeDone { call.noteLostAnswer() }
                    throw error
                } catch let error as HTTPError {
                    if error.requestMayHaveArrived { call.noteLostAnswer() }
                    throw error
                }
            })
    }

    /// So often bytes are sent again that did not arrive as they were sent; after that it is no accident.
    private static let damageLimit = 3

    private func retry(_ error: any Error, _ damageCount: inout Int) -> ObjectError.Retry {
        guard let error = error as? S3Error else { return Self.retry(error) }
        if error.isDamageOnTheWay {
            damageCount += 1
            return damageCount <= Self.damageLimit ? .later : .never
        }
        // A completion that goes on while it is asked for again.
        if error.code == "ConditionalRequestConflict", error.isOfRepetition { return .later }
        // Who renews keys that were good until now may be a little late.
        if error.retry == .onceWithFreshCredentials, outage.hasAnswered { return .later }
        return Self.retry(error)
    }

    /// Whether an error of sending may pass.
    static func retry(_ error: any Error) -> ObjectError.Retry {
        switch error {
        case let error as HTTPError: error.isWorthRetrying ? .later : .never
        case let error as S3Error:
            switch error.retry {
            case .withBackoff: .later
            case .afterSeconds(let seconds): .afterSeconds(seconds)
            // Those were tried by the connection.
            case .never, .onceWithRegion, .onceWithClockOffset, .onceWithFreshCredentials: .never
            }
        case is CredentialRenewalError: .later
        default: .never
        }
    }
}

extension S3Error {
    /// Whether the server may have done what it says it has not.
    fileprivate var mayBeDone: Bool {
        if case .unreadable = kind { return true }
        return status >= 500 || status == 200
    }

    /// Whether other bytes came than were sent.
    fileprivate var isDamageOnTheWay: Bool {
        ["BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"].contains(code ?? "")
    }
}
