import Foundation
import HostIO
import TestSupport
import Testing

@testable import S3

/// Sends signed requests with curl, to a server that checks them.
private struct CurlClient {
    let bucket: S3Bucket
    let signer: SigningV4
    let directory: TemporaryDirectory

    init(_ bucket: S3Bucket, _ credentials: S3Credentials, clockOffsetSeconds: Int = 0) throws {
        self.bucket = bucket
        signer = SigningV4(credentials, clockOffsetSeconds: clockOffsetSeconds)
        directory = try TemporaryDirectory()
    }

    func send(_ request: S3Request, body external: [UInt8] = []) throws -> S3Response {
        let signed = try signer.sign(request, to: bucket)
        var body = external
        if case .bytes(let bytes) = request.payload { body = bytes }
        let (bodyPath, headPath, answerPath) = (
            directory.file("body"), directory.file("head"), directory.file("answer")
        )
        try Data(body).write(to: URL(fileURLWithPath: bodyPath))
        try Data().write(to: URL(fileURLWithPath: answerPath))
        let quoted = { (text: String) in
            "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
        }
        var lines = [
            "url = \(quoted(signed.url))", "dump-header = \(quoted(headPath))", "output = \(quoted(answerPath))",
        ]
        for field in signed.headers.fields { lines.append("header = \(quoted("\(field.name): \(field.value)"))") }
        if signed.headers["Content-Type"] == nil { lines.append("header = \"Content-Type:\"") }
        lines.append("header = \"Expect:\"")
        switch request.method {
        case .head: lines.append("head")
        case .put, .post: lines += ["request = \(request.method.rawValue)", "data-binary = \(quoted("@" + bodyPath))"]
        case .get, .delete: lines.append("request = \(request.method.rawValue)")
        }
        try TestSupport.run(
            "curl", ["--silent", "--show-error", "--path-as-is", "--globoff", "--noproxy", "*", "--config", "-"],
            input: Data(lines.joined(separator: "\n").utf8))
        let head = try String(contentsOfFile: headPath, encoding: .utf8).split(whereSeparator: \.isNewline)
        let status = try #require(head.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) })
        let fields = head.dropFirst().map { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map {
                String($0).trimmed
            }
            return S3Headers.Field(parts[0], parts.count > 1 ? parts[1] : "")
        }
        let answer = request.method == .head ? Data() : try Data(contentsOf: URL(fileURLWithPath: answerPath))
        return S3Response(status: status, headers: S3Headers(fields), body: [UInt8](answer))
    }

    func run<Operation: S3Operation>(_ operation: Operation, body: [UInt8] = []) throws -> Operation.Output {
        try operation.output(of: send(operation.request, body: body))
    }

    func error<Operation: S3Operation>(_ operation: Operation) throws -> S3Error {
        try #require(throws: S3Error.self) { _ = try run(operation) }
    }
}

/// Every operation on a server that checks signatures, conditions, checksums and locks.
@Suite struct LiveServerTests {
    private static let reader = SeaweedServer.Identity(key: "READER", secret: "reads", actions: ["Read", "List"])

    private func start() throws -> SeaweedServer {
        try SeaweedServer([.init(key: exampleKey, secret: exampleSecret, actions: ["Admin"]), Self.reader])
    }

    private func client(
        _ server: SeaweedServer, key: String = exampleKey, secret: String = exampleSecret, bucket: String = "bucket",
        token: String? = nil, clockOffsetSeconds: Int = 0
    ) throws -> CurlClient {
        try CurlClient(
            S3Bucket(bucket, at: S3Endpoint(url: server.url)), credentials(key, secret, token: token),
            clockOffsetSeconds: clockOffsetSeconds)
    }

    private func makeBucket(_ client: CurlClient, isLocked: Bool = false) throws {
        let headers: S3Headers = isLocked ? ["x-amz-bucket-object-lock-enabled": "true"] : [:]
        // A server that has only just started is not ready for it yet.
        for _ in 0..<50 {
            let made = try client.send(S3Request(.put, .bucket, action: "make", headers: headers))
            if made.status == 200 { return }
            guard made.status >= 500 else { throw TestSupportError("the bucket can't be made: status \(made.status)") }
            usleep(200_000)
        }
        throw TestSupportError("the server never made a bucket")
    }

    private static let keys = [
        "plain", "with blank/x y", "plus+plus", "a=b&c=d", "what?#x", "100%25", "(x)'*!", "co:lon;semi,", "@$~-._",
        "quote\"<&>", "ümläut/ß", "日本語/😀", "dir/a/b", "dir/a-b", "|bar^`{}[]",
    ]

    @Test func awkwardKeysAreWrittenListedReadAndDeleted() throws {
        let server = try start()
        let client = try client(server)
        try makeBucket(client)
        let keys = try Self.keys.map { try S3Key($0) }
        for key in keys {
            let bytes = Array("content of \(key.text)".utf8)
            let written = try client.run(PutObject(key, .bytes(bytes), condition: .absent))
            #expect(written.checksumSHA256 == base64(sha256(bytes)) && written.entityTag != nil)
            #expect(try client.error(PutObject(key, .bytes(bytes), condition: .absent)).isPreconditionFailure)
            let read = try client.send(GetObject(key).request)
            #expect(read.body == bytes && read.status == 200)
            let facts = try client.run(HeadObject(key, wantsChecksum: true))
            #expect(facts.byteCount == bytes.count && facts.checksumSHA256 == base64(sha256(bytes)))
            #expect(facts.entityTag == written.entityTag && facts.lastModified != nil)
        }
        var listed: [S3Key] = []
        var operation: ListObjects? = ListObjects(pageCount: 4)
        while let next = operation {
            let page = try client.run(next)
            listed += page.objects.map(\.key)
            operation = next.next(after: page)
        }
        #expect(listed.sorted() == keys.sorted())
        let directories = try client.run(ListObjects(prefix: "dir/", delimiter: "/"))
        #expect(
            directories.commonPrefixes.map(\.text) == ["dir/a/"] && directories.objects.map(\.key.text) == ["dir/a-b"])
        _ = try client.run(DeleteObject(keys[0]))
        #expect(try client.error(HeadObject(keys[0])).isNotFound)
        let removed = try client.run(DeleteObjects(keys.map { .init($0) }))
        #expect(removed.failures.isEmpty && Set(removed.deleted.map(\.key)) == Set(keys))
        #expect(try client.run(ListObjects()).objects.isEmpty)
    }

    @Test func rangesAreOfOneObject() throws {
        let server = try start()
        let client = try client(server)
        try makeBucket(client)
        let key = try S3Key("object")
        let first = try client.run(PutObject(key, .bytes(Array("0123456789".utf8))))
        let request = GetObject(key, range: 2..<5, entityTag: first.entityTag)
        let answer = try client.send(request.request)
        #expect(answer.body == Array("234".utf8))
        let facts = try request.output(of: answer)
        #expect(facts.range == 2..<5 && facts.byteCount == 10)
        #expect(try client.run(GetObject(key, range: 8..<20)).range == 8..<10)
        #expect(try client.error(GetObject(key, range: 10..<20)).status == 416)
        let second = try client.run(
            PutObject(key, .bytes([1]), condition: .unchanged(entityTag: try #require(first.entityTag))))
        #expect(try client.error(request).isPreconditionFailure)
        #expect(second.entityTag != first.entityTag)
        #expect(
            try client.error(
                PutObject(key, .bytes([2]), condition: .unchanged(entityTag: try #require(first.entityTag)))
            )
            .isPreconditionFailure)
    }

    @Test func uploadsInPartsAreCompletedAndAborted() throws {
        let server = try start()
        let client = try client(server)
        try makeBucket(client)
        let key = try S3Key("up load/+ü=1")
        let id = try client.run(CreateMultipartUpload(key))
        var parts: [S3Part] = []
        let contents = [[UInt8](repeating: 1, count: 5 << 20), [2, 3]]
        for (index, bytes) in contents.enumerated() {
            let payload = S3Request.Payload.external(byteCount: bytes.count, sha256: sha256(bytes))
            parts.append(try client.run(UploadPart(key, uploadID: id, number: index + 1, payload), body: bytes))
        }
        let listed = try client.run(ListParts(key, uploadID: id))
        #expect(
            listed.parts.map(\.part.entityTag) == parts.map(\.entityTag)
                && listed.parts.map(\.byteCount) == [5 << 20, 2])
        let first = try client.run(ListParts(key, uploadID: id, pageCount: 1))
        #expect(first.marker == 1)
        let uploads = try client.run(ListMultipartUploads(prefix: "up"))
        #expect(uploads.uploads.map(\.key) == [key] && uploads.uploads.first?.uploadID == id)
        var wrong = parts
        wrong[1].entityTag = "\"00000000000000000000000000000000\""
        #expect(try client.error(CompleteMultipartUpload(key, uploadID: id, parts: wrong)).code == "InvalidPart")
        let done = try client.run(CompleteMultipartUpload(key, uploadID: id, parts: parts, condition: .absent))
        #expect(done.entityTag?.contains("-2") == true)
        #expect(try client.run(HeadObject(key)).byteCount == (5 << 20) + 2)
        let other = try client.run(CreateMultipartUpload(key))
        try client.run(AbortMultipartUpload(key, uploadID: other))
        #expect(try client.run(ListMultipartUploads()).uploads.isEmpty)
        #expect(try client.error(ListParts(key, uploadID: other)).code == "NoSuchUpload")
    }

    @Test func whatIsWrongIsRefusedAndUnderstood() throws {
        let server = try start()
        let client = try client(server)
        try makeBucket(client)
        let key = try S3Key("k")
        let put = PutObject(key, .bytes([1]))
        let secret = try self.client(server, secret: "wrong").error(put)
        #expect(secret.code == "SignatureDoesNotMatch" && secret.retry == .never && secret.requestID != nil)
        #expect(secret.failure.code == .untrusted && secret.failure.message.contains(secret.requestID ?? "none"))
        let unknown = try self.client(server, key: "NOBODY").error(put)
        #expect(unknown.code == "InvalidAccessKeyId" && unknown.retry == .onceWithFreshCredentials)
        let token = try self.client(server, token: "expired").error(put)
        #expect(token.retry == .onceWithFreshCredentials)
        let late = try self.client(server, clockOffsetSeconds: -1200).error(put)
        #expect(late.code == "RequestTimeTooSkewed")
        #expect(
            try abs(#require(self.client(server, clockOffsetSeconds: 800).error(HeadObject(key)).clockOffsetSeconds))
                < 60)
        let reader = try self.client(server, key: Self.reader.key, secret: Self.reader.secret)
        #expect(try reader.error(put).code == "AccessDenied")
        #expect(try reader.run(ListObjects()).objects.isEmpty)
        #expect(try self.client(server, bucket: "no-such-bucket").error(ListObjects()).code == "NoSuchBucket")
        #expect(try self.client(server, bucket: "no-such-bucket").error(HeadBucket()).status == 404)
        _ = try client.run(HeadBucket())
        var wrong = put.request
        wrong.headers["x-amz-checksum-sha256"] = base64(sha256([2]))
        let digest = try #require(throws: S3Error.self) { _ = try put.output(of: client.send(wrong)) }
        #expect(digest.code == "BadDigest" && digest.failure.code == .integrity)
        #expect(try client.error(HeadObject(key)).isNotFound)
    }

    @Test func locksHold() throws {
        let server = try start()
        let client = try client(server, bucket: "locked")
        try makeBucket(client, isLocked: true)
        #expect(try client.run(GetBucketVersioning()) == .enabled)
        #expect(try client.run(GetObjectLockConfiguration()).isEnabled)
        let key = try S3Key("held")
        let until = Date(timeIntervalSince1970: (Date().timeIntervalSince1970 + 86_400).rounded())
        let lock = S3WriteAttributes.Lock(retention: (.compliance, until))
        let written = try client.run(PutObject(key, .bytes([1]), attributes: S3WriteAttributes(lock: lock)))
        let version = try #require(written.versionID)
        let facts = try client.run(HeadObject(key))
        #expect(facts.lockedUntil == until && facts.lockMode == .compliance && facts.versionID == version)
        let refused = try client.error(DeleteObject(key, versionID: version))
        #expect(refused.status == 403 && refused.code == "AccessDenied")
        let several = try client.run(DeleteObjects([.init(key, versionID: version)]))
        #expect(several.deleted.isEmpty && several.failures.first?.error.code == "AccessDenied")
        let marker = try client.run(DeleteObject(key))
        #expect(marker.isMarker && marker.versionID != version)
        #expect(try client.run(GetObject(key, versionID: version)).byteCount == 1)
        let versions = try client.run(ListVersions()).versions
        #expect(versions.map(\.key) == [key, key] && Set(versions.map(\.versionID)) == [version, marker.versionID])
        #expect(versions.first { $0.isLatest }?.isMarker == true && versions.first { !$0.isLatest }?.byteCount == 1)
        let first = try client.run(ListVersions(pageCount: 1))
        let rest = try #require(ListVersions(pageCount: 1).next(after: first))
        #expect(try client.run(rest).versions.map(\.versionID) == [versions[1].versionID])
        let plain = try self.client(server)
        try makeBucket(plain)
        #expect(try plain.run(GetBucketVersioning()) == .off)
        #expect(try !plain.run(GetObjectLockConfiguration()).isEnabled)
    }
}
