import FoundationEssentials
public import HostIO

extension S3Error: FailureConvertible, CustomStringConvertible {
    /// One sentence with the server's own words and what finds the request in its log.
    public var description: String {
        let words = message.map { ": \($0)" } ?? ""
        return "cannot \(action) \(subject): \(explanation) (\(identification))" + words
    }

    /// Code, status, and the identifiers of the request.
    private var identification: String {
        var parts = [code, "status \(status)"].compactMap(\.self)
        if let requestID { parts.append("request \(requestID)") }
        if let hostID { parts.append("host \(hostID)") }
        return parts.joined(separator: ", ")
    }

    /// The error as it is shown to a person.
    public var failure: Failure { Failure(exitCode, description, hint: hint) }

    /// Whether an object lock refused it.
    public var isLockRefusal: Bool {
        if lockedUntil != nil { return true }
        if code == "ObjectLocked" || code == "ObjectLockedError" { return true }
        guard code == "AccessDenied" || code == "MethodNotAllowed", let message = message?.lowercased() else {
            return false
        }
        return ["object lock", "worm", "legal hold", "retention"].contains { message.contains($0) }
    }

    /// Whether what was asked for is not there.
    public var isNotFound: Bool {
        status == 404 || ["NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion"].contains(code ?? "")
    }

    /// Whether a condition of the request did not hold: something is there that should not be, or is another.
    public var isPreconditionFailure: Bool { status == 412 || code == "PreconditionFailed" }

    private var exitCode: Failure.Code {
        switch code ?? "" {
        case "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchVersion": .notFound
        case "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidToken", "ExpiredToken",
            "ExpiredTokenException", "InvalidClientTokenId", "InvalidIdentityToken":
            .untrusted
        case "BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody": .integrity
        case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge": .noSpace
        case "InvalidBucketName": .usage
        default:
            switch status {
            case 404: .notFound
            case 401: .untrusted
            case 507: .noSpace
            default: .failed
            }
        }
    }

    /// What happened, in our words.
    private var explanation: String {
        if case .unreadable(let isCut) = kind {
            return isCut ? "the answer was cut" : "the answer can't be read"
        }
        if isLockRefusal { return lockedUntil.map { "it is locked until \(S3Time.extended($0))" } ?? "it is locked" }
        if let known = code.flatMap({ Self.explanations[$0] }) { return known.text }
        return Self.byStatus[status] ?? (status >= 500 ? "the server failed" : "the server refused")
    }

    private var hint: String? {
        if case .unreadable = kind {
            return "look whether the endpoint is that of S3, and no proxy or web page answers in its place"
        }
        if isLockRefusal {
            return "an object lock holds it; wait until its retention ends, or have its legal hold taken away"
        }
        if code == "RequestTimeTooSkewed", let offset = clockOffsetSeconds {
            let direction = offset > 0 ? "behind" : "ahead of"
            return "this host's clock is \(abs(offset)) s \(direction) the server's: set it, and have it kept by NTP"
        }
        if let region, [301, 307, 400].contains(status) { return "the bucket is in region \(region): name that" }
        if let known = code.flatMap({ Self.explanations[$0] }) { return known.hint }
        if code == nil, message != nil { return "look whether a proxy or another server answers in place of S3" }
        switch status {
        case 403: return Self.accessHint
        case 404: return isHead ? "check the names of the bucket and the object" : nil
        default: return nil
        }
    }

    private static let byStatus = [
        301: "the bucket is elsewhere", 307: "the bucket is elsewhere for now", 401: "nobody was signed for",
        403: "access is denied", 404: "it is not there", 409: "something else is going on there",
        412: "something is there already, or is not what was expected", 416: "it has fewer bytes",
        429: "too many requests",
        501: "the server does not know how", 502: "a gateway got no answer", 503: "the server is too busy",
        504: "a gateway waited too long", 507: "the server has no space",
    ]

    private static let accessHint =
        "let these credentials do that: by their policy, the bucket's, and the key of its encryption; an object that is "
        + "not there is told so only to who may list the bucket"
    private static let skewHint = "set this host's clock, and have it kept by NTP"
    private static let busyHint = "try again later, or with fewer at a time"

    /// Codes of S3's list of errors, and of servers that are compatible with it.
    private static let explanations: [String: (text: String, hint: String?)] = [
        "AccessDenied": ("access is denied", accessHint),
        "AllAccessDisabled": ("access to it is switched off", "ask who owns the account"),
        "NoSuchBucket": ("there is no such bucket", "check its name, the endpoint and the region; it is not made here"),
        "NoSuchKey": ("there is no such object", "check its name"),
        "NoSuchVersion": ("there is no such version", "check its identifier"),
        "InvalidAccessKeyId": (
            "the server does not know the access key", "check the credentials, and that they are this server's"
        ),
        "SignatureDoesNotMatch": (
            "the secret is not that of the access key",
            "check the secret; else a proxy changes requests, or the endpoint is called by another name than its own"
        ),
        "RequestTimeTooSkewed": ("this host's clock is off", skewHint),
        "RequestExpired": ("the signature is too old", skewHint),
        "ExpiredToken": ("the session has ended", "get new temporary credentials"),
        "ExpiredTokenException": ("the token has expired", "get a new token"),
        "InvalidToken": ("the session token is wrong", "get new temporary credentials"),
        "InvalidIdentityToken": ("the token is not accepted", "check that the role trusts who issued it"),
        "AuthorizationHeaderMalformed": ("the request is signed for another region", "name the region of the bucket"),
        "PermanentRedirect": ("the bucket is at another endpoint", "name the region of the bucket"),
        "SlowDown": ("the server asks to slow down", busyHint),
        "ServiceUnavailable": ("the server is too busy", busyHint),
        "InternalError": ("the server failed", "try again later; its log has the request"),
        "RequestTimeout": ("the server waited too long for the body", "check the network's speed"),
        "InvalidObjectState": (
            "the object is in a storage class that has to be restored first",
            "have the storage restore it (RestoreObject), and use a class that can be read at once"
        ),
        "InvalidStorageClass": ("the server has no such storage class", "name one that it has"),
        "EntityTooSmall": (
            "a part is smaller than 5 MiB and not the last", "another program may write the same upload"
        ),
        "EntityTooLarge": ("it is larger than the server takes", "check the limits of the server"),
        "InvalidPart": ("a part is not there as it was uploaded", "begin the upload again"),
        "InvalidPartOrder": ("the parts are not in order", "begin the upload again"),
        "NoSuchUpload": (
            "there is no such upload: it was completed, aborted, or removed by a rule of the bucket",
            "begin the upload again"
        ),
        "PreconditionFailed": ("something is there already, or is not what was expected", nil),
        "ConditionalRequestConflict": ("another request for the same key was under way", "try again"),
        "OperationAborted": ("another change of it is under way", "try again later"),
        "InvalidRange": ("it has fewer bytes", "it was replaced or cut, or is not the object that was expected"),
        "NotImplemented": (
            "the server does not know how",
            "switch off what it does not have: conditions, checksums, locks or encryption"
        ),
        "MethodNotAllowed": ("it can't be done to that", nil),
        "BadDigest": ("the bytes that came are not those that were sent", "try again; check memory and network"),
        "XAmzContentSHA256Mismatch": (
            "the bytes that came are not those that were signed", "try again; check memory, network and proxies"
        ),
        "KMS.DisabledException": ("the key of its encryption is disabled", "ask who manages the key"),
        "KMS.NotFoundException": ("the key of its encryption is not there", "check the identifier of the key"),
        "InvalidBucketName": ("the server takes no bucket of that name", "check the name"),
        "ObjectLockConfigurationNotFoundError": ("the bucket has no object lock", nil),
        "QuotaExceeded": ("the quota is used up", "remove what is not needed, or have the quota raised"),
        "XMinioStorageFull": ("the server has no space", "free some space there"),
    ]
}
