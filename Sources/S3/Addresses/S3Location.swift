import HostIO

/// A place in a bucket: `s3://BUCKET/PREFIX`.
public struct S3Location: Sendable, Equatable, CustomStringConvertible {
    /// The bucket.
    public let bucket: String
    /// What all keys begin with, without slashes at its ends; empty for the whole bucket.
    public let prefix: String

    /// What a location begins with.
    public static let scheme = "s3://"

    /// The location that a text names; slashes at its end don't count.
    ///
    /// - Throws: ``Failure`` with the code `usage` that says what is wrong.
    public init(_ text: String) throws(Failure) {
        guard text.utf8.count >= Self.scheme.utf8.count,
            String(text.prefix(Self.scheme.count)).isSameIgnoringASCIICase(Self.scheme)
        else {
            throw Failure(
                .usage, "\(quoted(withoutSecrets(text))) names no place in S3",
                hint: "write it as in s3://bucket/prefix")
        }
        let shown = quoted(withoutSecrets(text))
        let rest = text.dropFirst(Self.scheme.count)
        let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let bucket = String(parts[0])
        if let problem = Self.bucketProblem(bucket) {
            throw Failure(.usage, "\(shown) names no place in S3: \(problem.message)", hint: problem.hint)
        }
        var prefix = parts.count > 1 ? parts[1] : ""
        while prefix.hasSuffix("/") { prefix.removeLast() }
        if !prefix.isEmpty, let problem = S3Key.problem(of: String(prefix)) {
            throw Failure(
                .usage, "\(shown) has a prefix that can't be that of keys: \(problem)",
                hint: "write it as in s3://bucket/prefix, where the prefix may have more segments")
        }
        self.bucket = bucket
        self.prefix = String(prefix)
    }

    /// The key of what is called `name` below this place; the name may have segments.
    public func key(_ name: String) throws(Failure) -> S3Key {
        try S3Key(prefix.isEmpty ? name : "\(prefix)/\(name)")
    }

    /// The location as it is written.
    public var description: String { Self.scheme + bucket + (prefix.isEmpty ? "" : "/" + prefix) }

    /// What is wrong with the name of a bucket: S3's rules for general-purpose buckets, and the upper-case letters and
    /// underscores that old ones and other servers have.
    private static func bucketProblem(_ bucket: String) -> (message: String, hint: String)? {
        let rules = "the name of a bucket has 3 to 63 letters, digits, dots and hyphens"
        if bucket.isEmpty { return ("the bucket is missing", "write it as in s3://bucket/prefix") }
        if bucket.contains("@") || bucket.contains(":") {
            return (
                "the bucket \(quoted(withoutSecrets("s3://" + bucket))) has a \(bucket.contains("@") ? "user" : "port")",
                "name the server as the endpoint and the credentials by their file; here is only the bucket"
            )
        }
        let isAllowed = { (byte: UInt8) in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        guard bucket.utf8.allSatisfy(isAllowed) else {
            return ("the bucket \(quoted(bucket)) has other characters than a bucket may have", rules)
        }
        guard (3...63).contains(bucket.utf8.count) else {
            return ("the bucket \(quoted(bucket)) has \(bucket.utf8.count) characters", rules)
        }
        if bucket.contains("..") || ".-".contains(bucket.first ?? ".") || ".-".contains(bucket.last ?? ".") {
            return (
                "the bucket \(quoted(bucket)) begins or ends with a dot or a hyphen, or has two dots in a row", rules
            )
        }
        if IPAddress(bucket) != nil {
            return (
                "the bucket \(quoted(bucket)) is an IP address",
                "name the server as the endpoint; here is only the bucket"
            )
        }
        return nil
    }
}
