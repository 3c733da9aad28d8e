import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// What takes too long, and what another thread ends.
@Suite struct TimeTests {
    /// A server that sends the beginning of a response, a little of it if asked to, and then nothing.
    private func silent(after text: String, dribbles: Bool = false) throws -> ScriptedServer {
        try ScriptedServer { connection, _ in
            _ = connection.readHead()
            connection.send(text)
            while dribbles, connection.send("x") { usleep(50_000) }
            connection.waitForEnd()
        }
    }

    private let begun = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"

    @Test(arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"])
    func aServerThatStopsIsNotWaitedFor(text: String) throws {
        let server = try silent(after: text)
        let client = try HTTPClient(HTTPConfiguration(stallTimeout: .seconds(1)))
        let time = try elapsed {
            let error = try failure(client, HTTPRequest("GET", "http://127.0.0.1:\(server.port)/"))
            #expect(error?.reason == .timedOut(.stall(.seconds(1))) && error?.isWorthRetrying == true)
            #expect(error?.requestMayHaveArrived == true)
            let message = error?.failure.message ?? ""
            #expect(message.contains("127.0.0.1:\(server.port) stopped answering for 1 second"))
            #expect(message.hasSuffix(" after 3 bytes came") == !text.isEmpty)
        }
        #expect(time > .milliseconds(900) && time < .seconds(8))
    }

    @Test func aRequestMayBeGivenMoreTime() throws {
        let server = try ScriptedServer { connection, _ in
            _ = connection.readHead()
            usleep(2_500_000)
            connection.send(answer("late"))
        }
        let client = try HTTPClient(HTTPConfiguration(stallTimeout: .seconds(1)))
        var request = HTTPRequest("GET", "http://127.0.0.1:\(server.port)/", stallTimeout: .seconds(30))
        #expect(try client.perform(request).text == "late")
        request.stallTimeout = nil
        #expect(try failure(client, request)?.reason == .timedOut(.stall(.seconds(1))))
    }

    @Test func aDeadlineHoldsThoughBytesCome() throws {
        let server = try silent(after: begun, dribbles: true)
        let client = try HTTPClient(HTTPConfiguration(deadline: .milliseconds(500)))
        let time = try elapsed {
            let error = try failure(client, HTTPRequest("GET", "http://127.0.0.1:\(server.port)/"))
            #expect(error?.reason == .timedOut(.deadline(.milliseconds(500))))
            #expect(error?.failure.message.contains("was not done within 0.5 seconds after") == true)
        }
        #expect(time > .milliseconds(450) && time < .seconds(5))
    }

    @Test func aHandshakeThatHangsIsAConnectionThatTakesTooLong() throws {
        let server = try ScriptedServer { connection, _ in connection.waitForEnd() }
        let client = try HTTPClient(HTTPConfiguration(connectTimeout: .milliseconds(500)))
        let error = try failure(client, HTTPRequest("GET", "https://127.0.0.1:\(server.port)/"))
        guard case .timedOut(.connection) = error?.reason else { throw try #require(error) }
        #expect(error?.requestMayHaveArrived == false && error?.isWorthRetrying == true)
        #expect(error?.failure.message.hasPrefix("no connection to 127.0.0.1:\(server.port) within 0.") == true)
    }

    @Test(arguments: ["http", "https"])
    func anotherThreadEndsARequestAtOnce(scheme: String) throws {
        let server = try silent(after: "")
        let client = try HTTPClient()
        let cancellation = HTTPCancellation()
        later(0.3) { cancellation.cancel() }
        let time = try elapsed {
            let error = try failure(client, HTTPRequest("GET", "\(scheme)://127.0.0.1:\(server.port)/"), cancellation)
            #expect(error?.reason == .cancelled && error?.isWorthRetrying == false)
            #expect(error?.requestMayHaveArrived == (scheme == "http"))
        }
        #expect(time >= .milliseconds(300) && time < .milliseconds(900))
    }

    @Test func anUploadThatNobodyReadsCanBeEnded() throws {
        let server = try ScriptedServer { connection, _ in
            _ = connection.readHead()
            usleep(5_000_000)
        }
        let client = try HTTPClient()
        let cancellation = HTTPCancellation()
        later(0.3) { cancellation.cancel() }
        let request = HTTPRequest("PUT", "http://127.0.0.1:\(server.port)/", body: .bytes(pattern(16 << 20)))
        let time = try elapsed {
            let error = try failure(client, request, cancellation)
            #expect(error?.reason == .cancelled)
            #expect(error?.failure.message.contains("of 16777216 bytes were sent") == true)
        }
        #expect(time < .milliseconds(900))
    }

    @Test func whatWasCancelledBeforeIsNotSent() throws {
        let server = try answering(answer())
        let client = try HTTPClient()
        let cancellation = HTTPCancellation()
        cancellation.cancel()
        let request = HTTPRequest("GET", "http://127.0.0.1:\(server.port)/")
        let error = try failure(client, request, cancellation)
        #expect(error?.reason == .cancelled && error?.requestMayHaveArrived == false)
        #expect(cancellation.isCancelled && server.connectionCount == 0)
        // Others go on, with the same handle.
        #expect(try client.perform(request).status == 200)
    }

    @Test func nothingThatListensIsSaid() throws {
        let port = try EtcdServer.freePorts(1)[0]
        let error = try failure(try HTTPClient(), HTTPRequest("PUT", "http://127.0.0.1:\(port)/"))
        #expect(error?.reason == .cannotConnect && error?.requestMayHaveArrived == false)
        #expect(error?.isWorthRetrying == true)
        #expect(error?.failure.message == "no connection to 127.0.0.1:\(port): Connection refused")
    }

    @Test func aNameWithoutAnAddressIsSaid() throws {
        let client = try HTTPClient()
        let request = HTTPRequest("GET", "https://no-such-host.invalid/")
        let error = try failure(client, request)
        #expect(error?.reason == .cannotResolve && error?.requestMayHaveArrived == false)
        // Names come back as networks do.
        #expect(try failure(client, request)?.reason == .cannotResolve && error?.isWorthRetrying == true)
        #expect(error?.failure.message.contains("the name of no-such-host.invalid:443 has no address") == true)
        #expect(error?.failure.hint?.contains("/etc/resolv.conf") == true)
    }

    /// The default action of SIGPIPE would end the test's process.
    @Test func aServerThatHangsUpOnAnUploadIsNoEnd() throws {
        let server = try ScriptedServer { connection, _ in
            _ = connection.readHead()
            connection.reset()
        }
        let request = HTTPRequest("PUT", "http://127.0.0.1:\(server.port)/", body: .bytes(pattern(16 << 20)))
        let error = try failure(try HTTPClient(), request)
        #expect(error?.reason == .connectionLost && error?.requestMayHaveArrived == true)
        #expect(error?.failure.message.contains("of 16777216 bytes were sent") == true)
    }
}
