import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// Requests by a real proxy, and by broken ones.
@Suite struct ProxyTests {
    private static let pki = Result { try TestPKI() }
    private let server: WebServer
    private var plain: String { "http://localhost:\(server.port)/echo" }
    private var encrypted: String { "https://localhost:\(server.encryptedPorts[0])/echo" }

    init() throws { server = try WebServer(certificates: [WebServer.Certificate(try Self.pki.get().server)]) }

    private func client(_ proxy: String, exceptions: String = "") throws -> HTTPClient {
        try HTTPClient(
            HTTPConfiguration(
                authorities: .file(try Self.pki.get().caPath),
                proxies: HTTPProxySettings(try HTTPProxy(proxy), exceptions: HTTPProxyExceptions(exceptions))))
    }

    @Test func bothKindsOfRequestsPass() throws {
        let proxy = try ProxyServer(connectPorts: server.encryptedPorts)
        let client = try client("http://127.0.0.1:\(proxy.port)")
        #expect(try client.perform(HTTPRequest("GET", plain)).text == "GET ")
        let first = try client.perform(HTTPRequest("GET", encrypted))
        #expect(first.text == "GET ")
        let content = pattern(4 << 20)
        let url = "https://localhost:\(server.encryptedPorts[0])/object"
        #expect(try client.perform(HTTPRequest("PUT", url, body: .bytes(content))).status == 201)
        #expect(try isSame(Data(contentsOf: URL(filePath: server.file("object"))), content))
        let log = try proxy.log()
        #expect(log.contains("GET http://localhost:\(server.port)/echo"))
        // The tunnel is kept.
        #expect(log.components(separatedBy: "CONNECT localhost:\(server.encryptedPorts[0])").count == 2)
    }

    @Test func exceptionsAreSpokenToDirectly() throws {
        let proxy = try ProxyServer(connectPorts: server.encryptedPorts)
        let client = try client("http://127.0.0.1:\(proxy.port)", exceptions: "example.org, localhost")
        for url in [plain, encrypted] { #expect(try client.perform(HTTPRequest("GET", url)).text == "GET ") }
        #expect(try !proxy.log().contains("localhost:"))
    }

    @Test func aProxyMayAskForAPassword() throws {
        let proxy = try ProxyServer(connectPorts: server.encryptedPorts, user: ("me", "opensesame"))
        let right = try client("http://me:%6Fpensesame@127.0.0.1:\(proxy.port)/")
        for url in [plain, encrypted] { #expect(try right.perform(HTTPRequest("GET", url)).text == "GET ") }
        for wrong in ["", "me:sesame2@", "me:@"] {
            let client = try client("http://\(wrong)127.0.0.1:\(proxy.port)")
            let error = try #require(try failure(client, HTTPRequest("GET", encrypted)))
            guard case .proxy(let status) = error.reason else { throw error }
            #expect([401, 407].contains(status) && !error.isWorthRetrying && !error.requestMayHaveArrived)
            #expect(error.failure.message.contains("the proxy 127.0.0.1:\(proxy.port)"))
            let said = "\(error.failure) \(error.failure.hint ?? "")"
            #expect(!said.contains("sesame2"))
        }
    }

    @Test func aProxyMayRefuse() throws {
        let proxy = try ProxyServer()
        let error = try #require(try failure(try client("127.0.0.1:\(proxy.port)"), HTTPRequest("GET", encrypted)))
        #expect(error.reason == .proxy(status: 403) && !error.isWorthRetrying)
        let message = error.failure.message
        #expect(message.hasPrefix("the proxy 127.0.0.1:\(proxy.port) did not connect to localhost:"))
        #expect(message.hasSuffix("it answers with status 403"))
    }

    @Test func nothingIsSaidToTheProxyOfAnEncryptedConnection() throws {
        let heads = Shared<[String]>([])
        let proxy = try ScriptedServer { connection, _ in
            let head = connection.readHead()
            heads.withLock { $0.append(head) }
            connection.send(answer(status: "502 Bad Gateway"))
        }
        let request = HTTPRequest(
            "PUT", encrypted, fields: [HTTPField("Authorization", "secret")], body: .bytes(pattern(100)))
        let error = try failure(try client("http://me%3a:open%3Asesame@127.0.0.1:\(proxy.port)"), request)
        #expect(error?.reason == .proxy(status: 502) && error?.requestMayHaveArrived == false)
        #expect(error?.isWorthRetrying == true)
        let head = heads.withLock { $0.first ?? "" }
        #expect(
            head.hasPrefix("CONNECT localhost:\(server.encryptedPorts[0]) HTTP/1.1\r\n") && !head.contains("secret"))
        #expect(head.contains("Proxy-Authorization: Basic \(Data("me::open:sesame".utf8).base64EncodedString())\r\n"))
    }

    @Test func aProxyThatIsNotThereIsNamed() throws {
        let port = try EtcdServer.freePorts(1)[0]
        for url in [plain, encrypted] {
            let error = try #require(
                try failure(try client("http://me:sesame@127.0.0.1:\(port)"), HTTPRequest("GET", url)))
            #expect(error.reason == .cannotConnect && error.isAtProxy && !error.requestMayHaveArrived)
            #expect(error.failure.message == "no connection to the proxy 127.0.0.1:\(port): Connection refused")
        }
        let error = try #require(
            try failure(try client("http://me:sesame@no-such-proxy.invalid:3128"), HTTPRequest("GET", plain)))
        #expect(error.reason == .cannotResolve && error.isAtProxy)
        let message = error.failure.message
        #expect(message.contains("the proxy no-such-proxy.invalid:3128 has no address") && !message.contains("sesame"))
    }

    @Test func aProxyIsSpokenToByTLSToo() throws {
        // Nothing leads on from there: what is tried is whose certificate is refused.
        let other = try TestPKI(name: "other-ca")
        let proxy = try WebServer(certificates: [WebServer.Certificate(other.server)])
        let client = try client("https://localhost:\(proxy.encryptedPorts[0])")
        let error = try #require(try failure(client, HTTPRequest("GET", encrypted)))
        #expect(error.reason == .tls(.unknownAuthority) && error.isAtProxy)
        #expect(error.failure.message.contains("the certificate of the proxy localhost:\(proxy.encryptedPorts[0])"))
    }
}
