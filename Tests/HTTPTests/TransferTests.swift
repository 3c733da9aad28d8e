import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// Requests to a real server.
@Suite struct TransferTests {
    private let server: WebServer
    private let client: HTTPClient
    private var base: String { "http://127.0.0.1:\(server.port)" }

    init() throws {
        server = try WebServer()
        client = try HTTPClient()
    }

    @Test func aConnectionIsKept() throws {
        let names = try (0..<5).map { _ in try client.perform(HTTPRequest("GET", "\(base)/echo"))["x-connection"] }
        #expect(names[0] != nil && Set(names).count == 1)
        let other = try HTTPClient().perform(HTTPRequest("GET", "\(base)/echo"))["X-Connection"]
        #expect(other != names[0])
    }

    @Test func manyThreadsShareAClient() throws {
        let connections = Shared(Set<String>())
        let answers = Shared(0)
        let (client, base) = (client, base)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            for index in 0..<50 {
                let value = "thread \(thread) request \(index)"
                guard
                    let response = try? client.perform(
                        HTTPRequest("GET", "\(base)/echo", fields: [HTTPField("X-Value", value)])),
                    response.text == "GET \(value)", let connection = response["X-Connection"]
                else { continue }
                answers.withLock { $0 += 1 }
                connections.withLock { _ = $0.insert(connection) }
            }
        }
        #expect(answers.withLock { $0 } == 400)
        #expect((1...8).contains(connections.withLock { $0.count }))
    }

    @Test func rangesComeIntoABuffer() throws {
        let content = pattern(300_000)
        try Data(content).write(to: URL(filePath: server.file("ranges")))
        for range in [0..<1, 10..<100_010, 299_999..<300_000, 100_000..<300_000] {
            var buffer = [UInt8](repeating: 0xAA, count: range.count)
            let request = HTTPRequest(
                "GET", "\(base)/ranges",
                fields: [HTTPField("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")])
            let result = try buffer.withUnsafeMutableBytes { try client.perform(request, into: $0) }
            #expect(result.response.status == 206 && result.byteCount == range.count)
            #expect(isSame(buffer, content[range]))
        }
        var larger = [UInt8](repeating: 0, count: 400_000)
        let whole = HTTPRequest("GET", "\(base)/ranges")
        #expect(try larger.withUnsafeMutableBytes { try client.perform(whole, into: $0).byteCount } == 300_000)
        #expect(isSame(larger[..<300_000], content))
    }

    @Test func aBufferThatIsTooSmallIsAnError() throws {
        try Data(pattern(50_000)).write(to: URL(filePath: server.file("large")))
        for count in [0, 1, 16_384, 49_999] {
            var buffer = [UInt8](repeating: 0, count: count)
            let error = #expect(throws: HTTPError.self) {
                _ = try buffer.withUnsafeMutableBytes {
                    try client.perform(HTTPRequest("GET", "\(base)/large"), into: $0)
                }
            }
            #expect(error?.reason == .tooLarge(limit: count) && error?.isWorthRetrying == false)
        }
        // What follows is not disturbed by the rest of that body.
        #expect(try client.perform(HTTPRequest("GET", "\(base)/echo")).text == "GET ")
    }

    @Test func aBodyComesInPieces() throws {
        let content = pattern(3 << 20)
        try Data(content).write(to: URL(filePath: server.file("pieces")))
        var received: [UInt8] = []
        let response = try client.perform(HTTPRequest("GET", "\(base)/pieces")) { head, bytes in
            #expect(head.status == 200 && head["Content-Length"] == "\(3 << 20)" && !bytes.isEmpty)
            received += bytes
        }
        #expect(received == content && response.body.isEmpty)
    }

    private struct Enough: Error {}

    @Test func whatTheReceiverThrowsEndsTheRequest() throws {
        try Data(pattern(8 << 20)).write(to: URL(filePath: server.file("long")))
        let before = try client.perform(HTTPRequest("GET", "\(base)/echo"))["X-Connection"]
        var count = 0
        #expect(throws: Enough.self) {
            _ = try client.perform(HTTPRequest("GET", "\(base)/long")) { _, bytes in
                count += bytes.count
                if count > 100_000 { throw Enough() }
            }
        }
        #expect(count < 8 << 20)
        let after = try client.perform(HTTPRequest("GET", "\(base)/echo"))
        #expect(after.text == "GET " && after["X-Connection"] != before)
    }

    @Test func theBodyOfAnErrorIsNotTakenForWhatWasAskedFor() throws {
        var buffer = [UInt8](repeating: 7, count: 100)
        let result = try buffer.withUnsafeMutableBytes {
            try client.perform(HTTPRequest("GET", "\(base)/broken"), into: $0)
        }
        #expect(result.response.status == 500 && result.response.text == "it is broken" && result.byteCount == 0)
        #expect(buffer == [UInt8](repeating: 7, count: 100))
        let response = try client.perform(HTTPRequest("GET", "\(base)/absent")) { _, _ in Issue.record("received") }
        #expect(response.status == 404 && response.text.contains("404") && !response.isBodyCut)
    }

    @Test func aBodyMayBeTooLarge() throws {
        try Data(pattern(1000)).write(to: URL(filePath: server.file("thousand")))
        let small = try HTTPClient(HTTPConfiguration(maxBodyByteCount: 10))
        #expect(try failure(small, HTTPRequest("GET", "\(base)/thousand"))?.reason == .tooLarge(limit: 10))
        let broken = try small.perform(HTTPRequest("GET", "\(base)/broken"))
        #expect(broken.text == "it is brok" && broken.isBodyCut)
        let exact = try HTTPClient(HTTPConfiguration(maxBodyByteCount: 1000))
        #expect(try exact.perform(HTTPRequest("GET", "\(base)/thousand")).body == pattern(1000))
    }

    @Test func bodiesOfEitherKindAreSent() throws {
        let content = pattern(16 << 20)
        let block = ByteBlock(capacity: 20 << 20)
        content.withUnsafeBytes { block.append($0) }
        for (name, body) in [("array", HTTPRequest.Body.bytes(content)), ("block", .block(block))] {
            let response = try client.perform(HTTPRequest("PUT", "\(base)/\(name)", body: body))
            #expect(response.status == 201 && response.sentCount == 1)
            #expect(try isSame(Data(contentsOf: URL(filePath: server.file(name))), content))
        }
        #expect(try client.perform(HTTPRequest("PUT", "\(base)/empty")).status == 201)
        #expect(try Data(contentsOf: URL(filePath: server.file("empty"))).isEmpty)
        #expect(try client.perform(HTTPRequest("DELETE", "\(base)/empty")).status == 204)
        #expect(!FileManager.default.fileExists(atPath: server.file("empty")))
    }

    @Test func headsAreReadWithoutABody() throws {
        try Data(pattern(1000)).write(to: URL(filePath: server.file("thousand")))
        let response = try client.perform(HTTPRequest("HEAD", "\(base)/thousand"))
        #expect(response.status == 200 && response["content-length"] == "1000" && response.body.isEmpty)
        #expect(try client.perform(HTTPRequest("GET", "\(base)/nothing")).status == 204)
        let date = try #require(response.date)
        #expect(abs(date.timeIntervalSinceNow) < 60)
    }

    @Test func redirectsAreNotFollowed() throws {
        let response = try client.perform(HTTPRequest("GET", "\(base)/moved"))
        #expect(response.status == 301 && response["Location"]?.hasSuffix("/elsewhere") == true)
    }

    @Test(arguments: [
        "/a/../b", "/a/./b//c/", "/%2e/x", "/a%2Fb?x=%2F&y", "/k?uploads", "/k?a=1&b=&c=%20+", "/~(x)'*!;=:@$,",
        "/%E2%82%AC?list-type=2&prefix=a%2Fb%3D", "/?", "/x?y?z", "/[x]{y}|z^`\"<>\\",
    ])
    func targetsAreSentAsTheyAreWritten(target: String) throws {
        #expect(try client.perform(HTTPRequest("GET", base + target))["X-Target"] == target)
    }

    @Test func addressesOfVersion6Work() throws {
        let response = try client.perform(HTTPRequest("GET", "http://[::1]:\(server.port)/echo"))
        #expect(response.text == "GET ")
    }
}
