public import FoundationEssentials
import HostIO

/// An answer that is not what was asked for.
public struct S3Error: Error, Sendable {
    /// What kind of answer it was.
    public enum Kind: Sendable, Equatable {
        /// The server refused, or failed.
        case refused
        /// The answer can't be read; `isCut` if it ended too early.
        case unreadable(isCut: Bool)
    }

    /// What kind of answer it was.
    public var kind: Kind
    /// What was asked for, as a verb phrase: `upload part 3 of`.
    public var action: String
    /// What it was about, as messages call it; ``naming(bucket:)`` adds the bucket.
    public var subject: String
    /// The key that it was about; nil for the bucket, and for what is not in one.
    public var key: S3Key?
    /// The status of the response; 200 too, where the body says that it failed.
    public var status: Int
    /// S3's code, such as `NoSuchKey`; nil without a body, as after HEAD.
    public var code: String?
    /// What the server said, or what is wrong with its answer; printable.
    public var message: String?
    /// What the server says it was about; printable.
    public var resource: String?
    /// The identifier that the server's log has.
    public var requestID: String?
    /// The second identifier of Amazon's (`x-amz-id-2`).
    public var hostID: String?
    /// The region that the bucket is in, if the server said so.
    public var region: String?
    /// What the server's clock is ahead of this host's, in seconds; nil if it named no time.
    public var clockOffsetSeconds: Int?
    /// How long the server asks to wait.
    public var retryAfterSeconds: Int?
    /// Until when an object that could not be deleted is locked, if the server said so.
    public var lockedUntil: Date?
    /// Whether the request was HEAD, whose answers have no body.
    public var isHead: Bool
    /// Whether the request was to complete an upload.
    public var isCompletion: Bool
    /// Whether the request may have been done before it was sent once more, so that the refusal may be of its own effect.
    public var isOfRepetition = false

    /// The longest wait that a server is believed, in seconds.
    static let maximumRetryAfterSeconds = 3600
}

extension S3Error {
    /// The error that a response tells of.
    init(_ response: S3Response, to request: S3Request) {
        self.init(kind: .refused, response: response, to: request)
        guard !response.body.isEmpty, !isHead else { return }
        do throws(XMLProblem) {
            let root = try XMLTree.read(response.body)
            // STS wraps it: ErrorResponse > Error.
            guard let error = root.name == "Error" ? root : root.first("Error") else {
                throw XMLProblem.missing("its root is \(quoted(root.name)) and not Error")
            }
            fill(from: error)
        } catch {
            // The page of a proxy, say; what to do then is told by its status.
            message = "its body is no answer of S3: \(error.text); it begins \(quoted(response.beginning))"
        }
    }

    /// The error of a response that says that all is well, and can't be read.
    init(_ problem: XMLProblem, in response: S3Response, to request: S3Request) {
        var isCut = false
        if case .cut = problem { isCut = true }
        self.init(kind: .unreadable(isCut: isCut), response: response, to: request)
        let start = response.body.isEmpty ? "; it is empty" : "; it begins \(quoted(response.beginning))"
        message = problem.text + start
    }

    private init(kind: Kind, response: S3Response, to request: S3Request) {
        self.init(
            kind: kind, response: response, action: request.action, subject: request.subject,
            isHead: request.method == .head, isCompletion: request.isCompletion)
        if case .object(let key) = request.target { self.key = key }
    }

    /// The same error with the bucket in its message, which a request does not know.
    public func naming(bucket: String) -> S3Error {
        var error = self
        error.subject = quoted(S3Location.scheme + bucket + (key.map { "/" + $0.text } ?? ""))
        return error
    }

    /// The error of a response without its body.
    init(
        kind: Kind, response: S3Response, action: String, subject: String, isHead: Bool = false,
        isCompletion: Bool = false
    ) {
        let headers = response.headers
        let offset = headers["Date"].flatMap(S3Time.parseHTTP).map { $0.timeIntervalSince(response.receivedAt) }
        let retryAfter = headers["Retry-After"].flatMap {
            Self.seconds(retryAfter: $0, at: response.receivedAt.addingTimeInterval(offset ?? 0))
        }
        self.init(
            kind: kind, action: action, subject: subject, key: nil, status: response.status, code: nil, message: nil,
            resource: nil,
            requestID: Self.shown(headers["x-amz-request-id"] ?? headers["x-amzn-requestid"]),
            hostID: Self.shown(headers["x-amz-id-2"]),
            region: headers["x-amz-bucket-region"].flatMap { S3Endpoint.isRegion($0) ? $0 : nil },
            clockOffsetSeconds: offset.map { Int($0.rounded()) }, retryAfterSeconds: retryAfter, lockedUntil: nil,
            isHead: isHead, isCompletion: isCompletion)
    }

    /// Takes over what an `Error` element says.
    mutating func fill(from error: XMLElement) {
        // A code is shown and decided upon: only what looks like one.
        code = error["Code"]?.trimmed.nonEmpty.flatMap { $0.utf8.count <= 100 ? printable($0) : nil }
        message = Self.shown(error["Message"], count: 500)
        resource = Self.shown(error["Resource"] ?? error["Key"] ?? error["BucketName"])
        requestID = requestID ?? Self.shown(error["RequestId"] ?? error["RequestID"])
        hostID = hostID ?? Self.shown(error["HostId"])
        if let named = error["Region"]?.trimmed, S3Endpoint.isRegion(named) { region = named }
    }

    private static func shown(_ text: String?, count: Int = 200) -> String? {
        text?.trimmed.nonEmpty.map { printable(beginning(of: $0, count: count)) }
    }

    /// Seconds, or a date (RFC 9110, section 10.2.3).
    private static func seconds(retryAfter text: String, at now: Date) -> Int? {
        let text = text.trimmed
        if let seconds = Int(text) { return seconds >= 0 ? min(seconds, maximumRetryAfterSeconds) : nil }
        guard let date = S3Time.parseHTTP(text) else { return nil }
        return Int(min(max(0, date.timeIntervalSince(now)), Double(maximumRetryAfterSeconds)).rounded(.up))
    }
}

extension S3Response {
    /// The first characters of the body.
    var beginning: String { S3.beginning(of: String(decoding: body.prefix(400), as: UTF8.self)) }
}

extension S3Request {
    /// What the request is about, in quotes.
    var subject: String {
        switch target {
        case .bucket: "the bucket"
        case .object(let key): key.description
        }
    }

    var isCompletion: Bool { method == .post && query.contains { $0.name == "uploadId" } }
}

extension String {
    var nonEmpty: String? { isEmpty ? nil : self }
}
