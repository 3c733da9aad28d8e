import FoundationEssentials
import HTTP
import HostIO
import S3
import Synchronization

/// Signs operations for a bucket, and sends them once, but for what the server asks to do otherwise: another region, another
/// clock, other credentials, each once.
final class S3Connection: S3Sender {
    private struct State: Sendable {
        var bucket: S3Bucket
        var clockOffsetSeconds = 0
    }

    private let client: HTTPClient
    private let provider: S3CredentialProvider
    private let state: Mutex<State>
    private let report: @Sendable (String) -> Void

    /// The time that a server may need to make an object of its parts.
    private static let completionTimeout = Duration.seconds(600)
    /// How long each request may take by which a run that was told to end removes what it has begun.
    static let cleaningTimeout = Duration.seconds(4)

    init(
        _ bucket: S3Bucket, _ client: HTTPClient, _ provider: S3CredentialProvider,
        report: @escaping @Sendable (String) -> Void
    ) {
        self.client = client
        self.provider = provider
        self.report = report
        state = Mutex(State(bucket: bucket))
    }

    /// The time by the server's clock, as far as it is known to differ.
    var now: Date { Date().addingTimeInterval(Double(state.withLock { $0.clockOffsetSeconds })) }

    func send<Operation: S3Operation>(
        _ operation: Operation, _ block: ByteBlock?, _ call: S3Call?
    ) throws -> Operation.Output {
        try adapting { signing in
            var request = try self.request(operation.request, signing, block)
            if operation is CompleteMultipartUpload {
                request.stallTimeout = max(Self.completionTimeout, client.configuration.stallTimeout)
            }
            // Whoever was told to end cleans up, and no longer.
            request.deadline = Task.isCancelled ? Self.cleaningTimeout : call?.deadline
            let response = try client.perform(request, cancellation: call?.cancellation)
            if response.sentCount > 1 { call?.noteLostAnswer() }
            return (try output(operation, S3Response(response), response.sentCount), response)
        }
    }

    func read(_ operation: GetObject, into buffer: UnsafeMutableRawBufferPointer) throws -> (S3ObjectFacts, Int) {
        try adapting { signing in
            let (response, count) = try client.perform(request(operation.request, signing, nil), into: buffer)
            let facts = try output(operation, S3Response(response), response.sentCount)
            return ((facts, count), response)
        }
    }

    private func request(_ request: S3Request, _ signing: Signing, _ block: ByteBlock?) throws -> HTTPRequest {
        let signed = try signing.signer.sign(request, to: signing.bucket)
        let body: HTTPRequest.Body? =
            switch signed.payload {
            case .none: nil
            case .bytes(let bytes): .bytes(bytes)
            case .external: block.map { .block($0) }
            }
        return HTTPRequest(
            signed.method.rawValue, signed.url, fields: signed.headers.fields.map { HTTPField($0.name, $0.value) },
            body: body)
    }

    private func output<Operation: S3Operation>(
        _ operation: Operation, _ response: S3Response, _ sentCount: Int
    ) throws -> Operation.Output {
        do {
            return try operation.output(of: response)
        } catch {
            var error = error
            error.isOfRepetition = sentCount > 1
            throw error
        }
    }

    private struct Signing {
        var signer: SigningV4
        var bucket: S3Bucket
    }

    /// Runs a request, and once more for each of the things that a server may ask for.
    private func adapting<Result>(_ body: (Signing) throws -> (Result, HTTPResponse)) throws -> Result {
        var refused: S3Credentials?
        var isOfOtherRegion = false
        var isOfOtherClock = false
        while true {
            let credentials = try provider.credentials(at: now, insteadOf: refused)
            let (bucket, offset) = state.withLock { ($0.bucket, $0.clockOffsetSeconds) }
            do {
                return try body(Signing(signer: SigningV4(credentials, clockOffsetSeconds: offset), bucket: bucket)).0
            } catch let error as S3Error {
                switch error.retry {
                case .onceWithRegion(let region) where !isOfOtherRegion && move(to: region, from: bucket):
                    isOfOtherRegion = true
                case .onceWithClockOffset(let offset) where !isOfOtherClock:
                    isOfOtherClock = true
                    set(offset)
                case .onceWithFreshCredentials where refused == nil: refused = credentials
                default: throw error.naming(bucket: bucket.name)
                }
            }
        }
    }

    /// Addresses the bucket in another region from now on; false if that changes nothing.
    private func move(to region: String, from bucket: S3Bucket) -> Bool {
        guard let endpoint = bucket.endpoint.inRegion(region), endpoint != bucket.endpoint else { return false }
        let isFirst = state.withLock { state in
            defer { state.bucket.endpoint = endpoint }
            return state.bucket.endpoint != endpoint
        }
        if isFirst {
            report("the bucket \(bucket.name) is in the region \(region): name that, and each run asks once less")
        }
        return true
    }

    private func set(_ offset: Int) {
        let isFirst = state.withLock { state in
            defer { state.clockOffsetSeconds = offset }
            return abs(state.clockOffsetSeconds - offset) > 60
        }
        guard isFirst else { return }
        let direction = offset > 0 ? "behind" : "ahead of"
        report(
            "this host's clock is \(abs(offset)) s \(direction) that of the store, whose time requests are signed for: "
                + "set it, and have it kept by NTP")
    }
}
