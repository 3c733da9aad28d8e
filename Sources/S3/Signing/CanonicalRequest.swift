import Crypto
import HostIO

/// The parts of a request in the one spelling that both sides hash.
///
/// ```
/// METHOD
/// /encoded/path
/// encoded=query&sorted=
/// name:value            of each signed field, sorted
///
/// name;name;name
/// hash of the payload
/// ```
struct CanonicalRequest {
    /// The path, encoded.
    let path: String
    /// The query, encoded and sorted; a parameter without a value has its `=`.
    let query: String
    /// The names of the signed fields.
    let signedNames: String
    /// The text that is hashed.
    let text: String

    init(_ request: S3Request, headers: S3Headers, bucket: S3Bucket) {
        path = bucket.path(of: request.target)
        query = request.query.map { (PercentEncoding.encode($0.name), PercentEncoding.encode($0.value)) }
            .sorted { $0.0 == $1.0 ? isBefore($0.1, $1.1) : isBefore($0.0, $1.0) }
            .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
        let fields = ([S3Headers.Field("host", bucket.authority)] + headers.fields)
            .map { (name: $0.name.lowercased(), value: Self.squeezed($0.value)) }
            .filter { Self.isSigned($0.name) }
            .sorted { isBefore($0.name, $1.name) }
        signedNames = fields.map(\.name).joined(separator: ";")
        text =
            ([request.method.rawValue, path, query] + fields.map { "\($0.name):\($0.value)" }
            + ["", signedNames, headers["x-amz-content-sha256"] ?? ""]).joined(separator: "\n")
    }

    var digest: String { SHA256.hash(data: Array(text.utf8)).hexadecimal }

    /// Not what a proxy may change on the way.
    private static func isSigned(_ name: String) -> Bool {
        name.hasPrefix("x-amz-") || ["host", "content-md5", "content-type"].contains(name)
    }

    /// The value without blanks around it and with single ones within.
    private static func squeezed(_ value: String) -> String {
        value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
    }
}

/// The order of the bytes.
func isBefore(_ one: String, _ other: String) -> Bool { one.utf8.lexicographicallyPrecedes(other.utf8) }
