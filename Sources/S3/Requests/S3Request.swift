import Crypto
public import FoundationEssentials
import HostIO

/// A request to a bucket, before it is addressed and signed.
public struct S3Request: Sendable {
    /// What is asked for.
    public enum Method: String, Sendable {
        case get = "GET"
        case put = "PUT"
        case post = "POST"
        case delete = "DELETE"
        case head = "HEAD"
    }

    /// What the request is about.
    public enum Target: Sendable, Equatable {
        /// The bucket itself.
        case bucket
        /// An object in it.
        case object(S3Key)
    }

    /// The body.
    public enum Payload: Sendable {
        /// No body.
        case none
        /// A body that is small, such as XML.
        case bytes([UInt8])
        /// A body that whoever sends the request has, with its length and, if it is known, its SHA-256 (32 bytes).
        ///
        /// Without the digest the payload is not signed (`UNSIGNED-PAYLOAD`).
        case external(byteCount: Int, sha256: [UInt8]?)
    }

    /// One item of the query, neither encoded.
    public struct QueryItem: Sendable, Equatable {
        /// The name.
        public var name: String
        /// The value; empty for a name alone, such as `uploads`.
        public var value: String

        /// An item from its parts.
        public init(_ name: String, _ value: String = "") {
            self.name = name
            self.value = value
        }
    }

    /// What is asked for.
    public var method: Method
    /// What it is about.
    public var target: Target
    /// The items of the query, in any order.
    public var query: [QueryItem]
    /// The fields of the header that the operation needs; signing adds its own.
    public var headers: S3Headers
    /// The body.
    public var payload: Payload
    /// What the request does, as a verb phrase for messages: `upload part 3 of`.
    public var action: String

    /// A request from its parts.
    public init(
        _ method: Method, _ target: Target, action: String, query: [QueryItem] = [], headers: S3Headers = [:],
        payload: Payload = .none
    ) {
        self.method = method
        self.target = target
        self.action = action
        self.query = query
        self.headers = headers
        self.payload = payload
    }
}

extension S3Request.Payload {
    /// The length in bytes.
    public var byteCount: Int {
        switch self {
        case .none: 0
        case .bytes(let bytes): bytes.count
        case .external(let byteCount, _): byteCount
        }
    }

    /// The value of `x-amz-content-sha256`.
    public var signedHash: String {
        switch self {
        case .none: sha256([]).hexadecimal
        case .bytes(let bytes): sha256(bytes).hexadecimal
        case .external(_, let digest): digest?.hexadecimal ?? Self.unsigned
        }
    }

    /// What stands for the digest of a payload that is not signed.
    public static let unsigned = "UNSIGNED-PAYLOAD"
}

func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

/// A response with its whole body, which for everything but the bytes of an object is small.
public struct S3Response: Sendable {
    /// The status.
    public var status: Int
    /// The fields of the header.
    public var headers: S3Headers
    /// The body; empty for the bytes of an object that go elsewhere.
    public var body: [UInt8]
    /// The time of this host's clock when the response came.
    public var receivedAt: Date

    /// A response from its parts.
    public init(status: Int, headers: S3Headers = [:], body: [UInt8] = [], receivedAt: Date = Date()) {
        self.status = status
        self.headers = headers
        self.body = body
        self.receivedAt = receivedAt
    }
}
