public import HostIO

/// A request: what is sent, and within what time.
public struct HTTPRequest: Sendable {
    /// What a request carries; it is not copied.
    public enum Body: Sendable {
        /// Bytes of an array.
        case bytes([UInt8])
        /// The filled bytes of a block, which nobody may fill while the request runs.
        case block(ByteBlock)

        /// How many bytes there are.
        public var count: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .block(let block): block.count
            }
        }

        func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
            switch self {
            case .bytes(let bytes): try bytes.withUnsafeBytes(body)
            case .block(let block): try block.withUnsafeBytes(body)
            }
        }
    }

    /// The method, in capitals.
    public var method: String
    /// The absolute URL, encoded: it is sent as it is, dot segments, double slashes and all.
    public var url: String
    /// Header fields in the order in which they are sent.
    ///
    /// `Host` is added where it is missing; `Content-Length` comes from the
    /// body and may be given if it says the same.
    public var fields: [HTTPField]
    /// What the request carries.
    ///
    /// PUT, POST and PATCH without one have an empty one.
    public var body: Body?
    /// Time for the whole request instead of the configuration's; a transfer that is under way ends too.
    public var deadline: Duration?
    /// Time without progress instead of the configuration's, for a server that has to work before it answers.
    public var stallTimeout: Duration?

    /// Creates a request from its parts.
    public init(
        _ method: String, _ url: String, fields: [HTTPField] = [], body: Body? = nil, deadline: Duration? = nil,
        stallTimeout: Duration? = nil
    ) {
        self.method = method
        self.url = url
        self.fields = fields
        self.body = body
        self.deadline = deadline
        self.stallTimeout = stallTimeout
    }

    /// Fields that say where a message ends, which is the client's to say.
    private static let reservedFields = ["Transfer-Encoding", "Expect", "Trailer", "TE", "Upgrade"]

    /// The body as it is sent.
    var effectiveBody: Body? { body ?? (["PUT", "POST", "PATCH"].contains(method) ? .bytes([]) : nil) }

    /// What makes this no request that may be sent; nil for nothing.
    var problem: String? {
        guard HTTPField.isToken(method) else { return "its method is none" }
        if method == "HEAD", body != nil { return "a HEAD request can't carry anything" }
        for field in fields {
            if let problem = field.problem { return problem }
            if Self.reservedFields.contains(where: field.isNamed) {
                return "the field \(field.name) is the client's to send"
            }
            if field.isNamed("Content-Length"), field.value != String(effectiveBody?.count ?? 0) {
                return "its Content-Length is not the \(effectiveBody?.count ?? 0) bytes of the body"
            }
        }
        if fields.values(of: "Host").count > 1 { return "it has several Host fields" }
        return nil
    }

    /// The lines as libcurl takes them; what it would add by itself and nobody asked for is taken away.
    var lines: [String] {
        var lines = fields.filter { !$0.isNamed("Content-Length") && !$0.isNamed("User-Agent") }
            .map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        for name in ["Accept", "Content-Type"] where fields[name] == nil { lines.append("\(name):") }
        return lines
    }
}
