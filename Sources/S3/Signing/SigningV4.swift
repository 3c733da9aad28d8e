import Crypto
public import FoundationEssentials
public import HostIO

/// Signs requests: AWS Signature Version 4 in the form that S3 wants, in header fields.
///
/// The path is encoded once, nothing in it is normalised, and what was signed is what ``SignedS3Request/url`` says: whoever
/// sends it must not encode or shorten it again.
public struct SigningV4: Sendable {
    /// Who signs.
    public var credentials: S3Credentials
    /// What the server's clock is ahead of this host's, in seconds.
    public var clockOffsetSeconds: Int

    private static let algorithm = "AWS4-HMAC-SHA256"
    private static let service = "s3"
    private static let terminator = "aws4_request"

    /// A signer.
    public init(_ credentials: S3Credentials, clockOffsetSeconds: Int = 0) {
        self.credentials = credentials
        self.clockOffsetSeconds = clockOffsetSeconds
    }

    /// Signs a request to a bucket.
    ///
    /// - Parameter now: the time of this host's clock; a signature holds for 15 minutes.
    /// - Throws: ``Failure`` with the code `usage` for a field of the header with a line end in it.
    public func sign(
        _ request: S3Request, to bucket: S3Bucket, at now: Date = Date()
    ) throws(Failure) -> SignedS3Request {
        let time = now.addingTimeInterval(Double(clockOffsetSeconds))
        var headers = request.headers
        headers["x-amz-date"] = S3Time.basic(time)
        headers["x-amz-content-sha256"] = request.payload.signedHash
        if let token = credentials.sessionToken { headers["x-amz-security-token"] = token.text }
        try check(headers, of: request)

        let canonical = CanonicalRequest(request, headers: headers, bucket: bucket)
        let scope = [S3Time.day(time), bucket.endpoint.region, Self.service, Self.terminator]
        let scopeText = scope.joined(separator: "/")
        let text = [Self.algorithm, S3Time.basic(time), scopeText, canonical.digest].joined(separator: "\n")
        let signature = HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key(scope: scope)).hexadecimal
        headers["Authorization"] =
            "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scopeText), "
            + "SignedHeaders=\(canonical.signedNames), Signature=\(signature)"
        return SignedS3Request(
            method: request.method,
            url: bucket.origin + canonical.path
                + (canonical.query.isEmpty ? "" : "?" + canonical.query),
            authority: bucket.authority, headers: headers, payload: request.payload)
    }

    /// The key of a day, a region and a service, by a chain of HMACs from the secret.
    private func key(scope: [String]) -> SymmetricKey {
        let secret = credentials.secretAccessKey
        let start = SecretBytes(count: 4 + secret.count) { buffer in
            for (index, byte) in "AWS4".utf8.enumerated() { buffer[index] = byte }
            secret.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: buffer[4...]).copyMemory(from: $0) }
        }
        let first = start.withUnsafeBytes { SymmetricKey(data: $0) }
        return scope.reduce(first) { key, part in
            HMAC<SHA256>.authenticationCode(for: Array(part.utf8), using: key).withUnsafeBytes {
                SymmetricKey(data: $0)
            }
        }
    }

    private func check(_ headers: S3Headers, of request: S3Request) throws(Failure) {
        for field in headers.fields {
            let isAllowed = { (byte: UInt8) in byte >= 0x20 && byte != 0x7F || byte == 0x09 }
            guard field.value.utf8.allSatisfy(isAllowed), !field.name.isEmpty,
                field.name.utf8.allSatisfy({ isLetterOrDigit($0) || $0 == UInt8(ascii: "-") })
            else {
                throw Failure(
                    .usage,
                    "the field \(quoted(field.name)) of a request to \(request.action) can't be sent: it has a "
                        + "control character", hint: "look for a line end in what was configured for it")
            }
        }
    }
}

extension SigningV4: CustomStringConvertible, CustomReflectable {
    /// Who signs.
    public var description: String { "signatures by \(credentials)" }
    /// Shows nothing more.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A request as it is to be sent.
public struct SignedS3Request: Sendable {
    /// What is asked for.
    public let method: S3Request.Method
    /// The URL, to be sent as it is.
    public let url: String
    /// What `Host` has to say; HTTP clients take the same from the URL.
    public let authority: String
    /// All other fields of the header but those that the connection is about.
    public let headers: S3Headers
    /// The body.
    public let payload: S3Request.Payload
}

extension SignedS3Request: CustomStringConvertible, CustomReflectable {
    /// Method and URL.
    public var description: String { "\(method.rawValue) \(url)" }
    /// Shows neither signature nor token.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
