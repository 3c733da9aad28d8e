import Foundation
import HostIO
import TestSupport
import Testing

@testable import S3

/// Signatures against botocore's, byte for byte.
@Suite struct SigningTests {
    /// A request, and how it goes out.
    private struct Case {
        var request: S3Request
        var bucket: S3Bucket
        var credentials: S3Credentials
        var time: Date
        var clockOffsetSeconds = 0

        /// What botocore is told; it encodes the path on its own.
        func question() throws -> Data {
            var path = bucket.endpoint.style(of: bucket.name) == .path ? "/\(bucket.name)" : ""
            if case .object(let key) = request.target { path += "/" + key.text } else if path.isEmpty { path = "/" }
            let question: [String: Any] = [
                "method": request.method.rawValue, "origin": bucket.origin, "path": path,
                "query": request.query.map { [$0.name, $0.value] },
                "headers": request.headers.fields.map { [$0.name, $0.value] }, "hash": request.payload.signedHash,
                "key": credentials.accessKeyID, "secret": credentials.secretAccessKey.text,
                "token": credentials.sessionToken?.text ?? NSNull(), "region": bucket.endpoint.region,
                "time": Int(time.timeIntervalSince1970) + clockOffsetSeconds,
            ]
            return try JSONSerialization.data(withJSONObject: question) + Data([0x0A])
        }
    }

    private struct Answer: Decodable {
        var url: String
        var headers: [String: String]
    }

    static let keys = [
        "a", "plain/key.age", "with blank/two  blanks", "plus+plus", "a=b&c=d", "question?mark", "hash#mark", "100%",
        "%2F%20", "(x)'y'*z!", "colon:semi;comma,", "@at$dollar", "~tilde-._", "quote\"back\\slash", "<angle>",
        "[bracket]{brace}|bar^caret`tick", "ümläut/ß", "e\u{301}", "日本語/キー", "😀/🏳️‍🌈", "a/b/c/d/e/f", "...", "..a/.b",
        "trailing.", String(repeating: "x", count: 255) + "/" + String(repeating: "ü", count: 127),
    ]

    private static func endpoints() throws -> [S3Endpoint] {
        [
            try .amazon(region: "eu-central-1"), try .amazon(region: "cn-north-1", isDualStack: true),
            try S3Endpoint(url: "http://127.0.0.1:8333"),
            try S3Endpoint(url: "https://s3.example.com:443", region: "garage"),
            try S3Endpoint(url: "http://[::1]:9000/"), try S3Endpoint(url: "https://abc.r2.cloudflarestorage.com"),
            try S3Endpoint(url: "http://minio", style: .virtualHost),
        ]
    }

    private static func cases() throws -> [Case] {
        let endpoints = try endpoints()
        let signers = [
            try S3Tests.credentials(), try S3Tests.credentials("AKIDOTHER", "s+/=~ecret"),
            try S3Tests.credentials(token: "FwoGZXIvYXdzE//+token=="),
        ]
        let times = [now, Date(timeIntervalSince1970: 951_782_399), Date(timeIntervalSince1970: 4_107_542_399)]
        var cases: [Case] = []
        for (index, text) in keys.enumerated() {
            let key = S3Key(listed: text)
            let locked = S3WriteAttributes(
                encryption: .managedKey(id: "arn:aws:kms:x", isDoubled: false), storageClass: "STANDARD_IA",
                lock: .init(retention: (.compliance, now), isOnLegalHold: true), contentType: "application/age  x")
            let requests = [
                PutObject(key, .bytes(Array(text.utf8)), condition: .absent, attributes: locked).request,
                GetObject(key, range: 5..<10, entityTag: "\"e\"", versionID: "v/+=").request,
                UploadPart(key, uploadID: "a+b/c=", number: 7, .external(byteCount: 9, sha256: nil)).request,
                CompleteMultipartUpload(
                    key, uploadID: "x y", parts: [.init(number: 1, entityTag: "\"1\"")], condition: .absent
                ).request,
                ListObjects(prefix: text, delimiter: "/", startAfter: text + "+ ~").request,
                try DeleteObjects([.init(key, versionID: "1")]).request,
            ]
            for (offset, request) in requests.enumerated() {
                let number = index + offset
                cases.append(
                    Case(
                        request: request, bucket: S3Bucket("bucket-1", at: endpoints[number % endpoints.count]),
                        credentials: signers[number % signers.count], time: times[number / 2 % times.count],
                        clockOffsetSeconds: [0, 1200, -86_400][number % 3]))
            }
        }
        return cases
    }

    @Test func signaturesAreThoseOfBotocore() throws {
        let cases = try Self.cases()
        #expect(cases.count >= 60)
        let questions = try cases.reduce(into: Data()) { try $0.append($1.question()) }
        let script = repository.appendingPathComponent("Tests/Fixtures/s3/sign.py").path
        let result = try run("python3", [script], environment: ["PYTHONPATH": pythonPackages()], input: questions)
        let answers = try result.text.split(separator: "\n").map {
            try JSONDecoder().decode(Answer.self, from: Data($0.utf8))
        }
        #expect(answers.count == cases.count)
        for (one, answer) in zip(cases, answers) {
            let signer = SigningV4(one.credentials, clockOffsetSeconds: one.clockOffsetSeconds)
            let signed = try signer.sign(one.request, to: one.bucket, at: one.time)
            #expect(signed.url == answer.url)
            for (name, value) in answer.headers {
                #expect(signed.headers[name] == value, "\(name) of \(signed)")
            }
            #expect(answer.headers["authorization"] != nil)
        }
    }

    /// What a proxy may change is sent and not signed.
    @Test func conditionsAndRangesAreNotSigned() throws {
        let request = GetObject(try S3Key("k"), range: 0..<5, entityTag: "\"e\"").request
        let signed = try SigningV4(credentials()).sign(
            request, to: S3Bucket("bucket", at: .amazon(region: "eu-west-1")), at: now)
        #expect(signed.headers["range"] == "bytes=0-4" && signed.headers["IF-MATCH"] == "\"e\"")
        let authorization = try #require(signed.headers["authorization"])
        #expect(authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date,"))
        #expect(signed.url == "https://bucket.s3.eu-west-1.amazonaws.com/k")
        #expect(signed.authority == "bucket.s3.eu-west-1.amazonaws.com")
        #expect(signed.headers["x-amz-date"] == "20261127T031256Z")
    }

    @Test func payloadsAreNamed() throws {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        #expect(S3Request.Payload.none.signedHash == empty)
        #expect(S3Request.Payload.bytes([]).signedHash == empty)
        #expect(S3Request.Payload.external(byteCount: 1, sha256: nil).signedHash == "UNSIGNED-PAYLOAD")
        #expect(S3Request.Payload.external(byteCount: 1, sha256: sha256([])).signedHash == empty)
        #expect(S3Request.Payload.external(byteCount: 1, sha256: nil).checksum == nil)
        #expect(S3Request.Payload.none.checksum == "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    }

    @Test(arguments: ["STANDARD\r\nx-amz-acl: public-read", "a\u{0}b", "a\nb"])
    func noFieldSmugglesAnother(storageClass: String) throws {
        let put = PutObject(try S3Key("k"), .none, attributes: S3WriteAttributes(storageClass: storageClass))
        let failure = try #require(throws: Failure.self) {
            _ = try SigningV4(credentials()).sign(put.request, to: S3Bucket("bucket", at: .amazon()), at: now)
        }
        #expect(failure.code == .usage && failure.message.contains("x-amz-storage-class"))
        #expect(!failure.message.contains("\n"))
    }

    @Test func nothingShowsSecrets() throws {
        let credentials = try credentials(token: "the-session-token")
        let signer = SigningV4(credentials)
        let signed = try signer.sign(GetObject(S3Key("k")).request, to: S3Bucket("bucket", at: .amazon()), at: now)
        let signature = try #require(signed.headers["authorization"]).suffix(64)
        var dumped = ""
        for value: Any in [credentials, signer, signed, signed.headers, [signer], [signed.headers]] {
            dump(value, to: &dumped)
            dumped += "\(value) \(String(reflecting: value)) "
        }
        #expect(dumped.contains(exampleKey))
        for secret in [exampleSecret, "the-session-token", String(signature)] { #expect(!dumped.contains(secret)) }
    }
}
