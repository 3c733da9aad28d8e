import Foundation
import HostIO
import Testing

@testable import S3

@Suite struct RetryTests {
    private let get = GetObject(S3Key(listed: "k"))
    private let head = HeadObject(S3Key(listed: "k"))

    @Test(arguments: [
        (500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable"), (400, "RequestTimeout"),
        (409, "OperationAborted"), (429, "TooManyRequests"), (409, "ConditionalRequestConflict"), (503, "Busy"),
        (500, "SomethingNew"), (502, "x"), (504, "x"), (408, "x"), (400, "ThrottlingException"),
    ])
    func whatPassesIsTriedAgain(status: Int, code: String) throws {
        #expect(try error(get, refusal(status, code)).retry == .withBackoff)
        let later = refusal(status, code, headers: ["Retry-After": "7"])
        #expect(try error(get, later).retry == .afterSeconds(7))
    }

    @Test(arguments: [
        (403, "AccessDenied"), (404, "NoSuchKey"), (404, "NoSuchBucket"), (412, "PreconditionFailed"),
        (400, "BadDigest"),
        (400, "InvalidArgument"), (403, "SignatureDoesNotMatch"), (501, "NotImplemented"), (416, "InvalidRange"),
        (403, "InvalidObjectState"), (404, "NoSuchUpload"), (400, "EntityTooSmall"), (505, "x"), (507, "x"),
    ])
    func whatStaysIsNot(status: Int, code: String) throws {
        #expect(try error(get, refusal(status, code)).retry == .never)
    }

    @Test(arguments: [(403, RetryTests.never), (404, .never), (412, .never), (500, .withBackoff), (503, .withBackoff)])
    func headIsJudgedByItsStatus(status: Int, retry: S3Retry) throws {
        #expect(try error(head, response(status)).retry == retry)
    }
    private static let never = S3Retry.never

    @Test func theRegionIsAdopted() throws {
        let malformed = refusal(400, "AuthorizationHeaderMalformed", extra: "<Region>eu-west-3</Region>")
        #expect(try error(get, malformed).retry == .onceWithRegion("eu-west-3"))
        let moved: S3Headers = ["x-amz-bucket-region": "ap-south-1", "Location": "https://evil.example/"]
        for status in [301, 307] {
            #expect(
                try error(get, refusal(status, "PermanentRedirect", headers: moved)).retry
                    == .onceWithRegion("ap-south-1"))
            #expect(try error(head, response(status, headers: moved)).retry == .onceWithRegion("ap-south-1"))
        }
        #expect(try error(head, response(400, headers: moved)).retry == .onceWithRegion("ap-south-1"))
        // A refusal in the right region says which one it is, too.
        #expect(try error(head, response(403, headers: moved)).retry == .never)
        #expect(try error(get, refusal(403, "AccessDenied", headers: moved)).retry == .never)
        for evil in ["evil.example/x", "", "a b", "a\u{301}"] {
            let answer = refusal(400, "AuthorizationHeaderMalformed", extra: "<Region>\(evil)</Region>")
            #expect(try error(get, answer).retry == .never)
        }
    }

    @Test func theClockIsSetByTheServers() throws {
        let ahead: S3Headers = ["Date": "Fri, 27 Nov 2026 03:32:56 GMT"]
        #expect(
            try error(get, refusal(403, "RequestTimeTooSkewed", headers: ahead)).retry == .onceWithClockOffset(1200))
        #expect(try error(head, response(403, headers: ahead)).retry == .onceWithClockOffset(1200))
        let behind: S3Headers = ["Date": "Thu, 26 Nov 2026 03:12:56 GMT"]
        #expect(try error(head, response(403, headers: behind)).retry == .onceWithClockOffset(-86_400))
        // Less than a minute is the way that the answer came.
        let near: S3Headers = ["Date": "Fri, 27 Nov 2026 03:13:50 GMT"]
        #expect(try error(get, refusal(403, "RequestTimeTooSkewed", headers: near)).retry == .never)
        #expect(try error(get, refusal(403, "RequestTimeTooSkewed")).retry == .never)
        // A clock that is a little off is not why access was denied.
        let little: S3Headers = ["Date": "Fri, 27 Nov 2026 03:20:00 GMT"]
        #expect(try error(head, response(403, headers: little)).retry == .never)
        #expect(try error(get, refusal(403, "AccessDenied", headers: ahead)).retry == .never)
    }

    @Test(arguments: ["ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "TokenRefreshRequired", "RequestExpired"])
    func credentialsAreReadAgain(code: String) throws {
        #expect(try error(get, refusal(400, code)).retry == .onceWithFreshCredentials)
        #expect(try error(get, refusal(403, code)).retry == .onceWithFreshCredentials)
        #expect(try error(head, response(400)).retry == .onceWithFreshCredentials)
    }

    @Test(arguments: [
        ("0", S3Retry.afterSeconds(0)), ("120", .afterSeconds(120)),
        ("Fri, 27 Nov 2026 03:13:06 GMT", .afterSeconds(10)),
        ("Fri, 27 Nov 2020 03:13:06 GMT", .afterSeconds(0)), ("999999999", .afterSeconds(3600)), ("-1", .withBackoff),
        ("soon", .withBackoff), ("", .withBackoff),
    ])
    func waitsAreBelieved(text: String, retry: S3Retry) throws {
        #expect(try error(get, refusal(503, "SlowDown", headers: ["retry-after": text])).retry == retry)
    }

    @Test func answersThatAreCutAreAskedForAgain() throws {
        let list = ListObjects()
        #expect(try error(list, response(200, "<ListBucketResult><IsTruncated>")).retry == .withBackoff)
        #expect(try error(list, response(200, "")).retry == .withBackoff)
        #expect(try error(list, response(200, "<html><body>Log in</body></html>")).retry == .never)
        #expect(try error(list, response(503, "<html><body>Busy</body></html>")).retry == .withBackoff)
        #expect(try error(list, response(403, "<html><br></html>")).retry == .never)
    }

    /// The status of a completed upload says nothing: it was sent before the work was done.
    @Test func completionsAreJudgedByTheirBody() throws {
        let complete = CompleteMultipartUpload(
            S3Key(listed: "k"), uploadID: "u", parts: [S3Part(number: 1, entityTag: "\"e\"")])
        #expect(try error(complete, refusal(200, "InternalError")).retry == .withBackoff)
        #expect(try error(complete, refusal(200, "SlowDown")).retry == .withBackoff)
        #expect(try error(complete, refusal(200, "InvalidPart")).retry == .never)
        var kept = refusal(200, "InternalError")
        kept.body = Array("\n  \n".utf8) + kept.body
        #expect(try error(complete, kept).retry == .withBackoff && error(complete, kept).code == "InternalError")
        // The whole upload is to begin again.
        #expect(try error(complete, refusal(409, "ConditionalRequestConflict")).retry == .never)
        #expect(try error(complete, response(200, "  \n  ")).retry == .withBackoff)
    }
}

@Suite struct ErrorTextTests {
    private let put = PutObject(S3Key(listed: "a/b"), .none)

    @Test(arguments: [
        ("AccessDenied", 403, "access is denied", "policy", Failure.Code.failed),
        ("NoSuchBucket", 404, "no such bucket", "endpoint", .notFound),
        ("InvalidAccessKeyId", 403, "does not know the access key", "credentials", .untrusted),
        ("SignatureDoesNotMatch", 403, "secret is not that", "secret", .untrusted),
        ("RequestTimeTooSkewed", 403, "clock is off", "NTP", .untrusted),
        ("ExpiredToken", 400, "session has ended", "temporary", .untrusted),
        ("AuthorizationHeaderMalformed", 400, "another region", "region", .failed),
        ("PermanentRedirect", 301, "another endpoint", "region", .failed),
        ("SlowDown", 503, "slow down", "later", .failed),
        ("InvalidObjectState", 403, "restored first", "RestoreObject", .failed),
        ("EntityTooSmall", 400, "5 MiB", "another program", .failed),
        ("NoSuchUpload", 404, "aborted", "again", .notFound),
        ("PreconditionFailed", 412, "there already", "", .failed),
        ("ConditionalRequestConflict", 409, "same key", "again", .failed),
        ("InvalidRange", 416, "fewer bytes", "replaced", .failed),
        ("NotImplemented", 501, "does not know how", "switch off", .failed),
        ("BadDigest", 400, "not those that were sent", "again", .integrity),
        ("XMinioStorageFull", 507, "no space", "free", .noSpace),
        ("NeverHeardOf", 418, "the server refused", "", .failed),
    ])
    func errorsSayWhatToDo(code: String, status: Int, explanation: String, hint: String, exitCode: Failure.Code) throws
    {
        let failure = try error(put, refusal(status, code, message: "Their words.")).failure
        #expect(failure.code == exitCode)
        #expect(failure.message.hasPrefix("cannot write \"a/b\": "))
        for part in [explanation, code, "status \(status)", "4442587FB7D0A2F9", "Their words."] {
            #expect(failure.message.contains(part), "\(failure)")
        }
        #expect(hint.isEmpty || failure.hint?.contains(hint) == true, "\(failure.hint ?? "no hint")")
        #expect(!(failure.message + (failure.hint ?? "")).contains("--"))
    }

    @Test func theClockAndTheRegionAreNamed() throws {
        let skewed = refusal(403, "RequestTimeTooSkewed", headers: ["Date": "Fri, 27 Nov 2026 03:32:56 GMT"])
        #expect(try error(put, skewed).failure.hint?.contains("1200 s behind") == true)
        let ahead = refusal(403, "RequestTimeTooSkewed", headers: ["Date": "Fri, 27 Nov 2026 02:12:56 GMT"])
        #expect(try error(put, ahead).failure.hint?.contains("3600 s ahead of") == true)
        let moved = refusal(301, "PermanentRedirect", headers: ["x-amz-bucket-region": "eu-west-3"])
        #expect(try error(put, moved).failure.hint?.contains("eu-west-3") == true)
    }

    @Test func locksAreToldFromOtherRefusals() throws {
        let delete = DeleteObject(S3Key(listed: "k"), versionID: "v")
        var locked = try error(
            delete, refusal(403, "AccessDenied", message: "Access Denied because object protected by object lock."))
        #expect(locked.isLockRefusal && locked.failure.message.contains("it is locked"))
        locked.lockedUntil = now
        #expect(locked.failure.message.contains("locked until 2026-11-27T03:12:56Z"))
        #expect(locked.failure.hint?.contains("retention") == true)
        #expect(try !error(delete, refusal(403, "AccessDenied", message: "Access Denied")).isLockRefusal)
        let unable = refusal(400, "InvalidRequest", message: "Bucket is missing Object Lock Configuration")
        #expect(try !error(delete, unable).isLockRefusal)
    }

    @Test func theBucketIsNamed() throws {
        let put = try error(put, refusal(403, "AccessDenied")).naming(bucket: "bucket")
        #expect(put.description.hasPrefix("cannot write \"s3://bucket/a/b\": access is denied"))
        let list = try error(ListObjects(), refusal(404, "NoSuchBucket"))
        #expect(list.description.hasPrefix("cannot list the bucket: there is no such bucket"))
        #expect(list.naming(bucket: "b").description.hasPrefix("cannot list \"s3://b\": "))
    }

    @Test func bothIdentifiersAreShown() throws {
        let answer = response(
            403, "<Error><Code>AccessDenied</Code></Error>",
            headers: ["x-amz-request-id": "REQ1", "x-amz-id-2": "HOST/+2="])
        let text = try error(put, answer).description
        #expect(text.contains("request REQ1") && text.contains("host HOST/+2="))
        #expect(try error(HeadObject(S3Key(listed: "k")), answer).code == nil)
    }

    @Test(arguments: [
        "<html><head><title>Proxy \u{1B}[31m</title></head><br></html>", "\u{0}\u{1}binary", "{\"error\":\"x\"}",
        "<Error><Code>Acc", "<Error></Error>", "", "<Error><Code>\(String(repeating: "x", count: 5000))</Code></Error>",
    ])
    func strangeBodiesAreShownSafely(body: String) throws {
        for status in [200, 301, 400, 403, 500] {
            let failure = try error(ListObjects(), response(status, body)).failure
            let shown = failure.message + (failure.hint ?? "")
            #expect(printable(shown) == shown && failure.message.contains("status \(status)"))
            #expect(failure.message.utf8.count < 1000)
        }
    }

    @Test func aPageInPlaceOfAnAnswerIsQuoted() throws {
        let page = "<!DOCTYPE html><html><h1>Welcome to nginx</h1></html>"
        let text = try error(ListObjects(), response(200, page)).failure.message
        #expect(text.contains("can't be read") && text.contains("<!DOCTYPE html><html><h1>Welcome"))
        let wrong = try error(ListObjects(), response(200, "<Other/>")).failure.message
        #expect(wrong.contains("its root is \"Other\" and not ListBucketResult"))
    }
}
