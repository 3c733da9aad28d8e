/// Whether a request that failed is to be sent again, and how.
public enum S3Retry: Sendable, Equatable {
    /// It would fail again.
    case never
    /// After a while that grows with each attempt, and with some chance in it.
    case withBackoff
    /// After so many seconds, which the server named.
    case afterSeconds(Int)
    /// Once, addressed to and signed for another region; never if it was that one.
    case onceWithRegion(String)
    /// Once, signed with a clock that is set by the server's: the seconds that it is ahead of this host's.
    case onceWithClockOffset(Int)
    /// Once, signed with credentials that were read again.
    case onceWithFreshCredentials
}

extension S3Error {
    /// Less than this is the time that the answer took, not a clock that is wrong.
    private static let smallestClockOffsetSeconds = 60
    /// More than this is refused by S3 (`RequestTimeTooSkewed`).
    private static let largestClockOffsetSeconds = 900

    /// What to do about it, by the code, or by the status where there is no body.
    public var retry: S3Retry {
        if case .unreadable(let isCut) = kind { return isCut ? backoff : (status >= 500 ? byStatus : .never) }
        if let region, [301, 307, 400].contains(status), Self.regionCodes.contains(code ?? "") || code == nil {
            return .onceWithRegion(region)
        }
        guard let code else { return withoutBody }
        if code == "RequestTimeTooSkewed" { return byClock(from: Self.smallestClockOffsetSeconds) ?? .never }
        if Self.credentialCodes.contains(code) { return .onceWithFreshCredentials }
        if Self.transientCodes.contains(code) { return backoff }
        // Two that write one key at a time; a completed upload has to begin anew, which is the caller's.
        if code == "ConditionalRequestConflict" { return isCompletion ? .never : backoff }
        return byStatus
    }

    private var withoutBody: S3Retry {
        switch status {
        case 403: byClock(from: Self.largestClockOffsetSeconds) ?? .never
        // What AWS answers to HEAD with a token that has expired.
        case 400 where isHead: .onceWithFreshCredentials
        default: byStatus
        }
    }

    private var byStatus: S3Retry { [408, 429, 500, 502, 503, 504].contains(status) ? backoff : .never }

    private var backoff: S3Retry { retryAfterSeconds.map { .afterSeconds($0) } ?? .withBackoff }

    private func byClock(from smallest: Int) -> S3Retry? {
        guard let offset = clockOffsetSeconds, abs(offset) >= smallest else { return nil }
        return .onceWithClockOffset(offset)
    }

    private static let regionCodes: Set<String> = [
        "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint",
        "IllegalLocationConstraintException",
    ]

    static let credentialCodes: Set<String> = [
        "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId",
        "InvalidClientTokenId", "UnrecognizedClientException", "RequestExpired",
    ]

    static let transientCodes: Set<String> = [
        "InternalError", "InternalFailure", "ServiceUnavailable", "SlowDown", "SlowDownRead", "SlowDownWrite", "Busy",
        "ServerBusy", "TooManyRequests", "Throttling", "ThrottlingException", "ThrottledException",
        "RequestThrottled", "RequestLimitExceeded", "BandwidthLimitExceeded", "RequestTimeout",
        "RequestTimeoutException", "PriorRequestNotComplete", "TransactionInProgressException", "OperationAborted",
        // STS could not reach who issued a token.
        "IDPCommunicationError",
    ]
}
