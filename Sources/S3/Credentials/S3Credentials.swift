public import FoundationEssentials
public import HostIO

/// What requests are signed with.
public struct S3Credentials: Sendable {
    /// Who signs; it is not secret and stands in each request.
    public let accessKeyID: String
    /// What signatures are made with.
    public let secretAccessKey: SecretBytes
    /// What belongs to temporary credentials and is sent with each request.
    public let sessionToken: SecretBytes?
    /// When they end; nil if they don't.
    public let expiration: Date?
    /// Where they come from, for messages: the path of a file, the metadata of the instance.
    public let origin: String

    /// How long before their end credentials are to be renewed, in seconds.
    public static let renewalSeconds = 300.0

    /// Checks and keeps credentials.
    ///
    /// - Throws: ``Failure`` with the code `usage` for what can't be an access key or a secret; it repeats no secret.
    public init(
        accessKeyID: String, secretAccessKey: SecretBytes, sessionToken: SecretBytes? = nil, expiration: Date? = nil,
        origin: String
    ) throws(Failure) {
        guard (1...128).contains(accessKeyID.utf8.count),
            accessKeyID.utf8.allSatisfy({ (0x21...0x7E).contains($0) && !"/,=\"".utf8.contains($0) })
        else {
            throw Failure(
                .usage, "the access key of \(origin) is none: it is empty or has blanks, slashes or other signs",
                hint: "look whether key and secret are the other way round")
        }
        guard secretAccessKey.isVisibleASCII else {
            throw Failure(
                .usage,
                "the secret of access key \(quoted(accessKeyID)) of \(origin) is empty, or has blanks or other signs "
                    + "than ASCII's", hint: "copy it again, without quotes and line ends")
        }
        if let sessionToken, !sessionToken.isVisibleASCII {
            throw Failure(
                .usage,
                "the session token of access key \(quoted(accessKeyID)) of \(origin) is empty, or has blanks or "
                    + "other signs than ASCII's", hint: "copy it again, without quotes and line ends")
        }
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
        self.expiration = expiration
        self.origin = origin
    }

    /// Whether they end so soon that others are to be fetched first.
    public func needRenewal(at now: Date) -> Bool {
        expiration.map { $0.timeIntervalSince(now) < Self.renewalSeconds } ?? false
    }
}

extension S3Credentials: CustomStringConvertible, CustomReflectable {
    /// The access key and where it comes from.
    public var description: String { "access key \(quoted(accessKeyID)) of \(origin)" }
    /// Shows neither secret nor token.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension SecretBytes {
    /// A copy of a text, which is the caller's.
    convenience init(_ text: String) {
        self.init(count: text.utf8.count) { buffer in
            for (index, byte) in text.utf8.enumerated() { buffer[index] = byte }
        }
    }

    /// The bytes as text, for the field of a request.
    var text: String { withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }

    fileprivate var isVisibleASCII: Bool {
        count > 0 && withUnsafeBytes { $0.allSatisfy { (0x21...0x7E).contains($0) } }
    }
}
