import HTTP
import HostIO
import S3

/// Sends operations of S3 to one bucket and reads what is answered.
protocol S3Sender: Sendable {
    /// Sends an operation.
    ///
    /// - Parameters:
    ///   - block: the bytes of a payload that the request only describes.
    ///   - cancellation: ends the request at once.
    /// - Throws: `S3Error`, `HTTPError`, what getting credentials throws.
    func send<Operation: S3Operation>(
        _ operation: Operation, _ block: ByteBlock?, _ cancellation: HTTPCancellation?
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

    func send<Operation: S3Operation>(
        _ operation: Operation, _ block: ByteBlock?, _ cancellation: HTTPCancellation?
    ) throws -> Operation.Output {
        try repeating(cancellation) { try sender.send(operation, block, cancellation) }
    }

    func read(_ operation: GetObject, into buffer: UnsafeMutableRawBufferPointer) throws -> (S3ObjectFacts, Int) {
        try repeating(nil) { try sender.read(operation, into: buffer) }
    }

    /// A refusal after an attempt that may have been done is marked: it may be of that.
    private func repeating<Result>(_ cancellation: HTTPCancellation?, _ body: () throws -> Result) throws -> Result {
        var mayBeDone = false
        return try policy.run(isStopped: { cancellation?.isCancelled == true }, retry: Self.retry) { _ in
            do {
                return try body()
            } catch var error as S3Error {
                if mayBeDone { error.isOfRepetition = true }
                mayBeDone = mayBeDone || error.mayBeDone
                throw error
            } catch let error as HTTPError {
                mayBeDone = mayBeDone || error.requestMayHaveArrived
                throw error
            }
        }
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
}
