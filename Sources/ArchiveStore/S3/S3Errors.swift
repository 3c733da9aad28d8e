import HTTP
import HostIO
import S3

extension ObjectError {
    /// What a server of S3 refused, in the words of all stores.
    init(_ error: S3Error) {
        var failure = error.failure
        if failure.settings.isEmpty { failure.settings = Self.settings(of: error) }
        self.init(Self.kind(of: error), failure, retry: RetryingS3Sender.retry(error))
    }

    /// Why there was no answer.
    init(_ error: HTTPError) {
        var failure = error.failure
        if failure.settings.isEmpty {
            switch error.reason {
            case .tls(.unknownAuthority), .tls(.noAuthorities): failure.settings = [.s3Authority]
            case .cannotResolve, .cannotConnect, .notHTTP, .tls: failure.settings = [.s3Endpoint]
            default: break
            }
        }
        self.init(.failed, failure, retry: RetryingS3Sender.retry(error))
    }

    private static func kind(of error: S3Error) -> Kind {
        if error.isPreconditionFailure { return .exists }
        if error.isLockRefusal { return .locked(until: error.lockedUntil) }
        // A missing bucket is not a missing object.
        if error.isNotFound { return error.code == "NoSuchBucket" ? .failed : .absent }
        let isDenial = error.status == 403 && (error.code == nil || error.code == "AccessDenied")
        return isDenial ? .denied : .failed
    }

    private static func settings(of error: S3Error) -> [Failure.Setting] {
        if error.region != nil, [301, 307, 400].contains(error.status) { return [.s3Region] }
        switch error.code {
        case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AccessDenied":
            return [.s3Credentials]
        case "NoSuchBucket": return [.store, .s3Endpoint]
        default: return error.status == 403 ? [.s3Credentials] : []
        }
    }
}
