import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// Servers that break off, say something else, or say nothing.
@Suite struct FaultTests {
    private let client: HTTPClient

    init() throws { client = try HTTPClient() }

    private func get(_ server: ScriptedServer) -> HTTPRequest {
        HTTPRequest("GET", "http://127.0.0.1:\(server.port)/x")
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc", false),
    ])
    func aBodyThatIsCutIsAnError(text: String, resets: Bool) throws {
        let server = try answering(text, resets: resets)
        var received: [UInt8] = []
        let error = #expect(throws: HTTPError.self) {
            _ = try client.perform(get(server)) { _, bytes in received += bytes }
        }
        #expect(error?.reason == .connectionLost && error?.requestMayHaveArrived == true)
        #expect(error?.isWorthRetrying == true)
        #expect(received == Array("abc".utf8) && server.connectionCount == 1)
        let message = error?.failure.message ?? ""
        #expect(message.hasPrefix("the connection to 127.0.0.1:\(server.port) was lost after 3 bytes came"))
    }

    @Test func aChunkedBodyIsReadWithoutItsFraming() throws {
        let server = try answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: late\r\n\r\n"
        )
        let response = try client.perform(get(server))
        #expect(response.text == "abcde" && response["X-Trailer"] == nil)
    }

    @Test func chunksThatAreNoneAreAnError() throws {
        let server = try answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n")
        #expect(try failure(client, get(server)) != nil)
    }

    @Test(arguments: ["garbage, and more of it\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}F"])
    func whatIsNoHTTPIsSaid(text: String) throws {
        let server = try answering(text)
        let error = try failure(client, get(server))
        #expect(error?.reason == .notHTTP && error?.isWorthRetrying == false)
        #expect(error?.failure.message.contains("127.0.0.1:\(server.port) answers, but not as an HTTP server") == true)
    }

    @Test(arguments: [false, true])
    func aConnectionThatEndsWithoutAnAnswerIsLost(resets: Bool) throws {
        let server = try answering("", resets: resets)
        let error = try failure(client, get(server))
        #expect(error?.reason == .connectionLost && error?.requestMayHaveArrived == true)
        // It was a new one: nothing speaks for its age, and nobody asked for a repetition.
        #expect(server.connectionCount == 1)
    }

    @Test func aSlowReceiverHoldsTheServerBack() throws {
        let total = 256 << 20
        let sent = Shared(0)
        let server = try ScriptedServer { connection, _ in
            _ = connection.readHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            let piece = [UInt8](repeating: 7, count: 1 << 20)
            while sent.withLock({ $0 }) < total, connection.send(piece) { sent.withLock { $0 += 1 << 20 } }
        }
        var isFirst = true
        var received = 0
        _ = try client.perform(get(server)) { _, bytes in
            received += bytes.count
            guard isFirst else { return }
            isFirst = false
            usleep(700_000)
            // What the sockets hold, and no more.
            #expect(sent.withLock { $0 } < 64 << 20)
        }
        #expect(received == total)
    }

    @Test func interimResponsesAreNotShown() throws {
        let server = try answering(
            "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                + answer("yes", status: "202 Accepted", fields: "X-B: 2\r\nx-b:  3 \r\nX-C:\r\n"))
        let response = try client.perform(get(server))
        #expect(response.status == 202 && response.text == "yes")
        #expect(response["X-A"] == nil && response["Link"] == nil)
        #expect(response.fields.values(of: "X-B") == ["2", "3"] && response["x-c"] == "")
    }

    @Test(arguments: [1, 40])
    func aHeadMayBeTooLarge(lineCount: Int) throws {
        let line = { (count: Int) in "X-Large: \(String(repeating: "a", count: count / lineCount))\r\n" }
        let fits = try answering(answer("", fields: String(repeating: line(60_000), count: lineCount)))
        #expect(try client.perform(get(fits)).fields.count == lineCount + 1)
        let exceeds = try answering(answer("", fields: String(repeating: line(70_000), count: lineCount)))
        #expect(try failure(client, get(exceeds))?.reason == .tooLarge(limit: 64 << 10))
    }

    @Test func onlyWhatWasAskedForIsSent() throws {
        let heads = Shared<[String]>([])
        let server = try ScriptedServer { connection, _ in
            while true {
                let head = connection.readHead()
                if head.isEmpty { break }
                heads.withLock { $0.append(head) }
                if let length = head.firstMatch(of: #/Content-Length: (\d+)/#) {
                    _ = connection.read(Int(length.1) ?? 0)
                }
                connection.send(answer())
            }
        }
        let base = "http://127.0.0.1:\(server.port)"
        let fields = [HTTPField("x-b", "2"), HTTPField("X-A", ""), HTTPField("x-B", "\u{E9}, ;\"x\"")]
        _ = try client.perform(HTTPRequest("GET", "\(base)/x?y", fields: fields))
        _ = try client.perform(HTTPRequest("POST", "\(base)/k?uploads", fields: [HTTPField("Content-Length", "0")]))
        _ = try client.perform(
            HTTPRequest(
                "PUT", base, fields: [HTTPField("Host", "other"), HTTPField("User-Agent", "me")], body: .bytes([])))
        // libcurl would expect a "100 Continue" for so many bytes.
        _ = try client.perform(HTTPRequest("PUT", base, body: .bytes([UInt8](repeating: 1, count: 3 << 20))))
        let host = "Host: 127.0.0.1:\(server.port)\r\n"
        let agent = "User-Agent: etcd-snap\r\n"
        #expect(
            heads.withLock { $0 } == [
                "GET /x?y HTTP/1.1\r\n\(host)\(agent)x-b: 2\r\nX-A:\r\nx-B: \u{E9}, ;\"x\"\r\n\r\n",
                "POST /k?uploads HTTP/1.1\r\n\(host)\(agent)Content-Length: 0\r\n\r\n",
                "PUT / HTTP/1.1\r\nHost: other\r\nUser-Agent: me\r\nContent-Length: 0\r\n\r\n",
                "PUT / HTTP/1.1\r\n\(host)\(agent)Content-Length: 3145728\r\n\r\n",
            ])
        #expect(server.connectionCount == 1)
    }

    @Test(arguments: [
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A", "sesame\r\nX-Evil: 1")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A", "sesame\nX-Evil: 1")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A", "sesame\0")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A: sesame\r\nX-Evil", "1")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A:", "sesame")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("", "a")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("X-A", " sesame")]),
        HTTPRequest("GET", "/x", fields: [HTTPField("Transfer-Encoding", "chunked")]),
        HTTPRequest("PUT", "/x", fields: [HTTPField("Content-Length", "3")], body: .bytes([1])),
        HTTPRequest("GET", "/x", fields: [HTTPField("Host", "a"), HTTPField("host", "b")]),
        HTTPRequest("GET /y HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET", "/x"), HTTPRequest("", "/x"),
        HTTPRequest("HEAD", "/x", body: .bytes([1])), HTTPRequest("GET", "/x HTTP/1.1\r\nX-Evil: 1\r\n"),
        HTTPRequest("GET", "/x y"), HTTPRequest("GET", "/x#y"), HTTPRequest("GET", "/\u{E9}"),
    ])
    func whatMayNotBeSentIsNot(request: HTTPRequest) throws {
        let server = try answering(answer())
        var request = request
        request.url = "http://127.0.0.1:\(server.port)\(request.url)"
        let error = try #require(try failure(client, request))
        guard case .invalidRequest = error.reason else { throw error }
        #expect(!error.requestMayHaveArrived && !error.isWorthRetrying)
        let said = "\(error) \(error.failure.hint ?? "")"
        #expect(!said.contains("sesame"))
        usleep(20_000)
        #expect(server.connectionCount == 0)
    }

    @Test(arguments: [
        "ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1", "http://", "http://me:sesame@127.0.0.1/", "http://[::1/",
        "http://127.0.0.1:99999/", "http://a b/", "http://127.0.0.1:x/", "http://[127.0.0.1]/", "http:///x",
    ])
    func whatIsNoURLIsSaid(url: String) throws {
        let error = try #require(try failure(client, HTTPRequest("GET", url)))
        guard case .invalidRequest = error.reason else { throw error }
        let said = "\(error)"
        #expect(!said.contains("sesame"))
    }
}

/// Connections that were kept and are dead.
@Suite struct KeptConnectionTests {
    /// A server whose first connection answers once and then ends, while the second request is under way.
    private func startServer(
        _ received: Shared<[UInt8]>, end: @escaping @Sendable (ScriptedConnection) -> Void
    ) throws
        -> ScriptedServer
    {
        try ScriptedServer { connection, index in
            _ = connection.readHead()
            if index == 0 {
                connection.send(answer("first"))
                _ = connection.readHead()
                end(connection)
            } else {
                let bytes = connection.read(16 << 20)
                received.withLock { $0 = bytes }
                connection.send(answer("second"))
            }
        }
    }

    @Test(arguments: [0, 1 << 20])
    func anUploadIsSentAgainFromItsBeginning(byteCount: Int) throws {
        let received = Shared<[UInt8]>([])
        let server = try startServer(received) { connection in
            _ = connection.read(byteCount)
            connection.reset()
        }
        let client = try HTTPClient()
        let base = "http://127.0.0.1:\(server.port)"
        #expect(try client.perform(HTTPRequest("GET", base)).text == "first")
        let content = pattern(16 << 20)
        let response = try client.perform(HTTPRequest("PUT", base, body: .bytes(content)))
        #expect(response.text == "second" && response.sentCount == 2)
        #expect(received.withLock { $0 } == content && server.connectionCount == 2)
    }

    @Test func aConnectionThatWasClosedMeanwhileIsReplaced() throws {
        let server = try ScriptedServer { connection, index in
            _ = connection.readHead()
            connection.send(answer("\(index)"))
        }
        let client = try HTTPClient()
        let base = "http://127.0.0.1:\(server.port)"
        #expect(try client.perform(HTTPRequest("GET", base)).text == "0")
        usleep(50_000)
        let response = try client.perform(HTTPRequest("POST", base, body: .bytes([1, 2, 3])))
        #expect(response.text == "1" && response.sentCount == 1)
    }

    @Test func anAnswerThatHadBegunIsNotAskedForAgain() throws {
        let server = try ScriptedServer { connection, _ in
            _ = connection.readHead()
            connection.send(answer("first"))
            _ = connection.readHead()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        }
        let client = try HTTPClient()
        let request = HTTPRequest("GET", "http://127.0.0.1:\(server.port)")
        #expect(try client.perform(request).text == "first")
        let error = try failure(client, request)
        #expect(error?.reason == .connectionLost && error?.sentCount == 1 && server.connectionCount == 1)
    }
}
