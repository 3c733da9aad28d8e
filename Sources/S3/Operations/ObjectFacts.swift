public import FoundationEssentials
import HostIO

/// What a server says of an object in the header of a response.
public struct S3ObjectFacts: Sendable {
    /// The size of the whole object in bytes, also where only a part was asked for; nil if the server did not say.
    public var byteCount: Int?
    /// The bytes that the response has; nil if it has all of them.
    public var range: Range<Int>?
    /// The entity tag as the server wrote it, quotes included.
    public var entityTag: String?
    /// The version; nil in a bucket without versions.
    public var versionID: String?
    /// The SHA-256 that the server keeps, in base64; of an object in parts it is that of their sums, with `-COUNT`.
    public var checksumSHA256: String?
    /// When it was written, by the server's clock.
    public var lastModified: Date?
    /// The storage class; nil is the standard one.
    public var storageClass: String?
    /// Until when its retention lasts; nil if there is none, or these credentials may not know.
    public var lockedUntil: Date?
    /// The mode of its retention.
    public var lockMode: S3WriteAttributes.Lock.Mode?
    /// Whether it is on legal hold, as far as these credentials may know.
    public var isOnLegalHold: Bool

    init(_ headers: S3Headers) {
        let range = headers["Content-Range"].flatMap(ContentRange.init)
        self.range = range?.bytes
        byteCount = range != nil ? range?.byteCount : headers["Content-Length"].flatMap { Int($0.trimmed) }
        entityTag = headers["ETag"]?.nonEmpty
        versionID = headers["x-amz-version-id"].flatMap { $0 == "null" ? nil : $0.nonEmpty }
        checksumSHA256 = headers["x-amz-checksum-sha256"]?.nonEmpty
        lastModified = headers["Last-Modified"].flatMap(S3Time.parseHTTP)
        storageClass = headers["x-amz-storage-class"]?.nonEmpty
        lockedUntil = headers["x-amz-object-lock-retain-until-date"].flatMap(S3Time.parseExtended)
        lockMode = headers["x-amz-object-lock-mode"].flatMap(S3WriteAttributes.Lock.Mode.init)
        isOnLegalHold = headers["x-amz-object-lock-legal-hold"] == "ON"
    }
}

/// `bytes FIRST-LAST/SIZE` (RFC 9110, section 14.4).
private struct ContentRange {
    let bytes: Range<Int>
    let byteCount: Int?

    init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
        let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, last >= first, last < Int.max,
            parts[1] == "*" || Int(parts[1]).map({ $0 > last }) == true
        else { return nil }
        bytes = first..<(last + 1)
        byteCount = Int(parts[1])
    }
}

/// What a server says of an object, or a part, that it has written.
public struct S3WrittenObject: Sendable, Equatable {
    /// The entity tag as the server wrote it, quotes included; of an object it may be missing.
    public var entityTag: String?
    /// The version; nil in a bucket without versions.
    public var versionID: String?
    /// The SHA-256 that the server keeps, in base64; nil if it keeps none.
    public var checksumSHA256: String?

    init(_ headers: S3Headers) {
        let facts = S3ObjectFacts(headers)
        entityTag = facts.entityTag
        versionID = facts.versionID
        checksumSHA256 = facts.checksumSHA256
    }
}
