import HTTP
public import HostIO

/// Why an API server did not do what was asked: its `Status` object, or what came in its place.
///
/// Fields as in Kubernetes 1.36 `apimachinery/pkg/apis/meta/v1/types.go` (`Status`, `StatusReason`).
public struct APIStatus: Error, Sendable, Equatable, FailureConvertible, CustomStringConvertible {
    /// The status of HTTP.
    public var code: Int
    /// What went wrong, for programs, such as `Conflict`; empty where the server did not say.
    public var reason: String
    /// What went wrong, for people, as the server said it.
    public var message: String
    /// What was asked, such as `GET /api/v1/nodes`.
    public var request: String
    /// The credentials that it was asked with.
    public var origin: String

    /// The object, or its type, is not there.
    public var isNotFound: Bool { code == 404 }
    /// The object is not, or no more, what the request takes it for.
    public var isConflict: Bool { code == 409 }
    /// What a page goes on from is no more.
    public var isExpired: Bool { code == 410 }
    /// Whose API it is can't be reached, or is not ready yet.
    public var isUnavailable: Bool { code == 503 }

    /// One sentence.
    public var description: String { failure.message }

    /// The error as it is shown to a person.
    public var failure: Failure {
        let words = message.isEmpty ? "no reason was given" : withoutSecrets(printable(message))
        let text = "the API server refuses \(request): \(words) (\(reason.isEmpty ? "status" : reason) \(code))"
        switch code {
        case 401:
            return Failure(
                .untrusted, text, hint: "the credentials of \(origin) are not accepted: use another kubeconfig")
        case 403:
            return Failure(
                .untrusted, text,
                hint: "\(origin) has too few rights: use super-admin.conf, or the kubeconfig of an administrator")
        case 404: return Failure(.notFound, text)
        case 409: return Failure(.failed, text, hint: "somebody has changed it meanwhile: try again")
        case 429, 500...599:
            return Failure(.failed, text, hint: "wait until the API server's /readyz says ok, and try again")
        default: return Failure(.failed, text)
        }
    }
}

/// Why an API server did not answer at all.
public struct APIConnectionError: Error, Sendable, FailureConvertible, CustomStringConvertible {
    /// The error as it is shown to a person.
    public let failure: Failure
    /// Whether the same may succeed a little later, as while the server starts.
    public let isWorthRetrying: Bool

    /// One sentence.
    public var description: String { failure.message }

    init(_ error: HTTPError) {
        failure = error.failure
        isWorthRetrying = error.isWorthRetrying
    }
}
