import HostIO

/// Begins an upload in parts.
public struct CreateMultipartUpload: S3Operation {
    /// The key.
    public var key: S3Key
    /// What is wanted beside the bytes; parts don't say it again.
    public var attributes: S3WriteAttributes
    /// Whether each part will be sent with its SHA-256, which the server then checks and keeps.
    public var sendsChecksums: Bool

    /// A beginning of an upload.
    public init(_ key: S3Key, attributes: S3WriteAttributes = S3WriteAttributes(), sendsChecksums: Bool = true) {
        self.key = key
        self.attributes = attributes
        self.sendsChecksums = sendsChecksums
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(.post, .object(key), action: "begin the upload of", query: [.init("uploads")])
        attributes.write(to: &request.headers)
        if sendsChecksums { request.headers["x-amz-checksum-algorithm"] = "SHA256" }
        return request
    }

    /// The identifier of the upload.
    public func output(of response: S3Response) throws(S3Error) -> String {
        try requireStatus(200, of: response)
        return try read("InitiateMultipartUploadResult", in: response) { document throws(XMLProblem) in
            guard let id = try document.required("UploadId").trimmed.nonEmpty else {
                throw .missing("its UploadId is empty")
            }
            return id
        }
    }
}

/// A part that was uploaded: what completing names it by.
public struct S3Part: Sendable, Equatable {
    /// The number, from 1.
    public var number: Int
    /// The entity tag as the server wrote it.
    public var entityTag: String
    /// The SHA-256 in base64 as the server wrote it; nil if it keeps none.
    public var checksumSHA256: String?

    /// A part from what names it.
    public init(number: Int, entityTag: String, checksumSHA256: String? = nil) {
        self.number = number
        self.entityTag = entityTag
        self.checksumSHA256 = checksumSHA256
    }
}

/// Uploads a part; a second one of the same number takes its place.
public struct UploadPart: S3Operation {
    /// The key.
    public var key: S3Key
    /// The identifier of the upload.
    public var uploadID: String
    /// The number, from 1 to ``MultipartPlan/maximumPartCount``.
    public var number: Int
    /// The bytes.
    public var payload: S3Request.Payload
    /// Whether the server is to check the SHA-256 and keep it.
    public var sendsChecksum: Bool

    /// An upload of a part.
    public init(
        _ key: S3Key, uploadID: String, number: Int, _ payload: S3Request.Payload, sendsChecksum: Bool = true
    ) {
        self.key = key
        self.uploadID = uploadID
        self.number = number
        self.payload = payload
        self.sendsChecksum = sendsChecksum
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(
            .put, .object(key), action: "upload part \(number) of",
            query: [.init("partNumber", String(number)), .init("uploadId", uploadID)], payload: payload)
        if sendsChecksum { request.headers["x-amz-checksum-sha256"] = payload.checksum }
        return request
    }

    /// What completing names the part by.
    public func output(of response: S3Response) throws(S3Error) -> S3Part {
        try requireStatus(200, of: response)
        return S3Part(
            number: number, entityTag: try field("ETag", of: response),
            checksumSHA256: response.headers["x-amz-checksum-sha256"]?.nonEmpty)
    }
}

/// Makes an object of the parts of an upload.
///
/// The server may take minutes, and send blanks meanwhile under status 200; only the body says whether it was done.
public struct CompleteMultipartUpload: S3Operation {
    /// The key.
    public var key: S3Key
    /// The identifier of the upload.
    public var uploadID: String
    /// The parts in order of their numbers.
    public var parts: [S3Part]
    /// What must hold; after 412 the upload is still open and is to be aborted.
    public var condition: S3WriteCondition?

    /// A completion of an upload.
    public init(_ key: S3Key, uploadID: String, parts: [S3Part], condition: S3WriteCondition? = nil) {
        self.key = key
        self.uploadID = uploadID
        self.parts = parts
        self.condition = condition
    }

    /// The request.
    public var request: S3Request {
        let content = parts.map { part in
            "<Part>" + XMLText.element("PartNumber", String(part.number)) + XMLText.element("ETag", part.entityTag)
                + (part.checksumSHA256.map { XMLText.element("ChecksumSHA256", $0) } ?? "") + "</Part>"
        }
        var request = S3Request(
            .post, .object(key), action: "complete the upload of", query: [.init("uploadId", uploadID)],
            headers: ["Content-Type": "application/xml"],
            payload: .bytes(XMLText.document("CompleteMultipartUpload", content.joined())))
        condition?.write(to: &request.headers)
        return request
    }

    /// What the server keeps.
    ///
    /// - Throws: ``S3Error``, also for the status 200 with an error in the body.
    public func output(of response: S3Response) throws(S3Error) -> S3WrittenObject {
        try requireStatus(200, of: response)
        var written = S3WrittenObject(response.headers)
        // The second name is moto's.
        try read("CompleteMultipartUploadResult", "CompleteMultipartUploadResponse", in: response) {
            document throws(XMLProblem) in
            written.entityTag = try document.required("ETag")
            written.checksumSHA256 = document["ChecksumSHA256"]?.trimmed.nonEmpty ?? written.checksumSHA256
        }
        return written
    }
}

/// Gives an upload up; its parts go.
public struct AbortMultipartUpload: S3Operation {
    /// The key.
    public var key: S3Key
    /// The identifier of the upload.
    public var uploadID: String

    /// An end of an upload.
    public init(_ key: S3Key, uploadID: String) {
        self.key = key
        self.uploadID = uploadID
    }

    /// The request.
    public var request: S3Request {
        S3Request(.delete, .object(key), action: "abort the upload of", query: [.init("uploadId", uploadID)])
    }

    /// Nothing; one that is not there any more is an error of the code `NoSuchUpload` on some servers.
    public func output(of response: S3Response) throws(S3Error) { try requireStatus(204, 200, of: response) }
}
