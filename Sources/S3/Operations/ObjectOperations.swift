import HostIO

/// Writes an object in one request; the server keeps all of it or nothing.
public struct PutObject: S3Operation {
    /// The key.
    public var key: S3Key
    /// The bytes; with a digest it is signed and, if ``sendsChecksum``, kept by the server.
    public var payload: S3Request.Payload
    /// What must hold; nil replaces what is there.
    public var condition: S3WriteCondition?
    /// What is wanted beside the bytes.
    public var attributes: S3WriteAttributes
    /// Whether the server is to check the SHA-256 and keep it; Amazon wants that for an object with a lock.
    public var sendsChecksum: Bool

    /// A write of an object.
    public init(
        _ key: S3Key, _ payload: S3Request.Payload, condition: S3WriteCondition? = nil,
        attributes: S3WriteAttributes = S3WriteAttributes(), sendsChecksum: Bool = true
    ) {
        self.key = key
        self.payload = payload
        self.condition = condition
        self.attributes = attributes
        self.sendsChecksum = sendsChecksum
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(.put, .object(key), action: "write", payload: payload)
        attributes.write(to: &request.headers)
        condition?.write(to: &request.headers)
        if sendsChecksum {
            request.headers["x-amz-checksum-sha256"] = payload.checksum
            // Some servers look for the name of the algorithm where a lock is asked for.
            if attributes.lock != nil { request.headers["x-amz-sdk-checksum-algorithm"] = "SHA256" }
        }
        return request
    }

    /// What the server keeps.
    public func output(of response: S3Response) throws(S3Error) -> S3WrittenObject {
        try requireStatus(200, of: response)
        return S3WrittenObject(response.headers)
    }
}

/// Reads an object or a range of it; the bytes are the body.
public struct GetObject: S3Operation {
    /// The key.
    public var key: S3Key
    /// The bytes, of which there must be any; nil reads all.
    public var range: Range<Int>?
    /// The entity tag that it must have, so that many ranges are of one object.
    public var entityTag: String?
    /// The version; nil is the newest.
    public var versionID: String?

    /// A read of an object.
    public init(_ key: S3Key, range: Range<Int>? = nil, entityTag: String? = nil, versionID: String? = nil) {
        self.key = key
        self.range = range
        self.entityTag = entityTag
        self.versionID = versionID
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(.get, .object(key), action: "read", query: versionQuery(versionID))
        request.headers["Range"] = range.map { "bytes=\($0.lowerBound)-\($0.upperBound - 1)" }
        request.headers["If-Match"] = entityTag
        return request
    }

    /// What the header says; the body may be anywhere.
    ///
    /// - Throws: ``S3Error``; also for an answer with other bytes than were asked for, unless the object ends before.
    public func output(of response: S3Response) throws(S3Error) -> S3ObjectFacts {
        guard let range else {
            try requireStatus(200, of: response)
            return S3ObjectFacts(response.headers)
        }
        try requireStatus(206, 200, of: response)
        let facts = S3ObjectFacts(response.headers)
        guard response.status == 206 else {
            throw S3Error(.missing("it has all bytes instead of those of a range"), in: response, to: request)
        }
        guard let answered = facts.range, answered.lowerBound == range.lowerBound,
            answered.upperBound == min(range.upperBound, facts.byteCount ?? range.upperBound)
        else {
            let given = facts.range.map { "\($0.lowerBound)-\($0.upperBound - 1)" } ?? "unknown ones"
            throw S3Error(
                .missing("it has the bytes \(given) instead of \(range.lowerBound)-\(range.upperBound - 1)"),
                in: response, to: request)
        }
        return facts
    }
}

/// Asks for what is known of an object.
public struct HeadObject: S3Operation {
    /// The key.
    public var key: S3Key
    /// The version; nil is the newest.
    public var versionID: String?
    /// Whether the checksum is asked for, which with an encryption by KMS needs a right to decrypt.
    public var wantsChecksum: Bool

    /// A question for an object.
    public init(_ key: S3Key, versionID: String? = nil, wantsChecksum: Bool = false) {
        self.key = key
        self.versionID = versionID
        self.wantsChecksum = wantsChecksum
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(.head, .object(key), action: "look at", query: versionQuery(versionID))
        if wantsChecksum { request.headers["x-amz-checksum-mode"] = "ENABLED" }
        return request
    }

    /// What the server says of it.
    public func output(of response: S3Response) throws(S3Error) -> S3ObjectFacts {
        try requireStatus(200, of: response)
        return S3ObjectFacts(response.headers)
    }
}

/// Removes an object, or in a bucket with versions lays a marker over it; one that is not there counts as removed.
public struct DeleteObject: S3Operation {
    /// What the server did.
    public struct Output: Sendable, Equatable {
        /// Whether a marker was laid, or was what went.
        public var isMarker: Bool
        /// The version of the marker, or the one that went.
        public var versionID: String?
    }

    /// The key.
    public var key: S3Key
    /// The version, which really goes; nil is the name.
    public var versionID: String?
    /// The entity tag that it must have.
    public var entityTag: String?

    /// A removal of an object.
    public init(_ key: S3Key, versionID: String? = nil, entityTag: String? = nil) {
        self.key = key
        self.versionID = versionID
        self.entityTag = entityTag
    }

    /// The request.
    public var request: S3Request {
        var request = S3Request(.delete, .object(key), action: "delete", query: versionQuery(versionID))
        request.headers["If-Match"] = entityTag
        return request
    }

    /// What the server did.
    public func output(of response: S3Response) throws(S3Error) -> Output {
        try requireStatus(204, 200, of: response)
        return Output(
            isMarker: response.headers["x-amz-delete-marker"] == "true",
            versionID: S3ObjectFacts(response.headers).versionID)
    }
}

func versionQuery(_ versionID: String?) -> [S3Request.QueryItem] {
    versionID.map { [S3Request.QueryItem("versionId", $0)] } ?? []
}

extension S3Request.Payload {
    /// The SHA-256 in base64, if it is known.
    var checksum: String? {
        switch self {
        case .none: base64(sha256([]))
        case .bytes(let bytes): base64(sha256(bytes))
        case .external(_, let digest): digest.map(base64)
        }
    }
}

func base64(_ bytes: [UInt8]) -> String { String(decoding: Base64.encode(bytes, padded: true), as: UTF8.self) }
