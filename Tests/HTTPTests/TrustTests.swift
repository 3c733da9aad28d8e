import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// Whom a client trusts, and what it says of others.
@Suite struct TrustTests {
    private static let pki = Result { try TestPKI() }

    private func authority() throws -> HTTPConfiguration {
        HTTPConfiguration(authorities: .file(try Self.pki.get().caPath))
    }

    private func startServer(
        _ pair: TestPKI.Pair, protocols: String = "TLSv1.2 TLSv1.3"
    ) throws -> (WebServer, port: UInt16) {
        let server = try WebServer(certificates: [WebServer.Certificate(pair, protocols: protocols)])
        return (server, server.encryptedPorts[0])
    }

    @Test(arguments: ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
    func aServerOfTheAuthorityIsTrusted(host: String) throws {
        let (server, port) = try startServer(Self.pki.get().server)
        defer { withExtendedLifetime(server) {} }
        let client = try HTTPClient(try authority())
        let url = "https://\(host):\(port)/echo"
        let first = try client.perform(HTTPRequest("GET", url))
        #expect(first.text == "GET ")
        #expect(try client.perform(HTTPRequest("GET", url))["X-Connection"] == first["X-Connection"])
    }

    @Test func uploadsAndRangesPassByTLS() throws {
        let (server, port) = try startServer(Self.pki.get().server)
        let client = try HTTPClient(try authority())
        let content = pattern(16 << 20)
        let url = "https://localhost:\(port)/object"
        #expect(try client.perform(HTTPRequest("PUT", url, body: .bytes(content))).status == 201)
        #expect(try isSame(Data(contentsOf: URL(filePath: server.file("object"))), content))
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        let request = HTTPRequest("GET", url, fields: [HTTPField("Range", "bytes=1048576-2097151")])
        let result = try buffer.withUnsafeMutableBytes { try client.perform(request, into: $0) }
        #expect(result.response.status == 206 && buffer == Array(content[1 << 20..<2 << 20]))
    }

    private func problem(_ client: HTTPClient, port: UInt16, host: String = "localhost") throws -> HTTPError {
        let error = try #require(try failure(client, HTTPRequest("GET", "https://\(host):\(port)/echo")))
        #expect(!error.requestMayHaveArrived && !error.isWorthRetrying)
        #expect(error.failure.code == .untrusted && error.failure.message.contains("\(host):\(port)"))
        return error
    }

    @Test func aServerOfAnotherAuthorityIsNot() throws {
        let (server, port) = try startServer(Self.pki.get().server)
        defer { withExtendedLifetime(server) {} }
        let other = try TestPKI(name: "other-ca")
        for authorities in [HTTPConfiguration.Authorities.file(other.caPath), .system] {
            let error = try problem(try HTTPClient(HTTPConfiguration(authorities: authorities)), port: port)
            #expect(error.reason == .tls(.unknownAuthority))
            #expect(error.failure.message.contains("is not signed by a trusted authority"))
            #expect(error.failure.hint == "name a file with the certificate of the authority that signed it")
        }
    }

    @Test func aCertificateForOtherNamesIsNot() throws {
        let pair = try Self.pki.get().issue(
            "names", commonName: "localhost", usage: "serverAuth", alternativeNames: "DNS:s3.example.org,IP:192.0.2.7")
        let (server, port) = try startServer(pair)
        defer { withExtendedLifetime(server) {} }
        for host in ["localhost", "127.0.0.1"] {
            let error = try problem(try HTTPClient(try authority()), port: port, host: host)
            #expect(error.reason == .tls(.wrongName(names: ["s3.example.org", "192.0.2.7"])))
            #expect(error.failure.message.hasSuffix(#" is for other names: "s3.example.org", "192.0.2.7""#))
        }
    }

    @Test func aCertificateCountsInItsTimeOnly() throws {
        for (validity, problem, text) in [
            (TestPKI.Validity.expired, HTTPError.TLSProblem.expired, "has expired"),
            (.future, .notYetValid, "is not valid yet"),
        ] {
            let pair = try Self.pki.get().issue(
                "\(validity)", commonName: "localhost", usage: "serverAuth", alternativeNames: "DNS:localhost",
                validity: validity)
            let (server, port) = try startServer(pair)
            defer { withExtendedLifetime(server) {} }
            let error = try self.problem(try HTTPClient(try authority()), port: port)
            #expect(error.reason == .tls(problem) && error.failure.message.hasSuffix(text))
            #expect(error.failure.hint?.contains("this host's clock") == true)
        }
    }

    @Test func aClientsCertificateIsNoServers() throws {
        let pair = try Self.pki.get().issue(
            "purpose", commonName: "localhost", usage: "clientAuth", alternativeNames: "DNS:localhost")
        let (server, port) = try startServer(pair)
        defer { withExtendedLifetime(server) {} }
        let error = try problem(try HTTPClient(try authority()), port: port)
        #expect(error.reason == .tls(.certificate) && error.failure.message.contains("purpose"))
    }

    @Test func aServerWithoutTLSIsSaid() throws {
        let server = try WebServer()
        let error = try problem(try HTTPClient(try authority()), port: server.port)
        #expect(error.reason == .tls(.notTLS) && error.failure.message.hasSuffix("does not speak TLS"))
    }

    @Test func aServerOfOldTLSIsSaid() throws {
        let (server, port) = try startServer(Self.pki.get().server, protocols: "TLSv1.1")
        defer { withExtendedLifetime(server) {} }
        #expect(try problem(try HTTPClient(try authority()), port: port).reason == .tls(.tooOld))
    }

    @Test func aHandshakeThatIsCutIsALostConnection() throws {
        for resets in [false, true] {
            let server = try ScriptedServer { connection, _ in
                _ = connection.read(5)
                if resets { connection.reset() }
            }
            let error = try failure(
                try HTTPClient(try authority()), HTTPRequest("GET", "https://localhost:\(server.port)/"))
            #expect(error?.reason == .connectionLost && error?.requestMayHaveArrived == false)
            #expect(error?.isWorthRetrying == true)
        }
    }

    /// The default action of SIGPIPE, which libssl's writes may raise, would end the test's process.
    @Test func aServerThatHangsUpOnAnEncryptedUploadIsNoEnd() throws {
        let (server, port) = try startServer(Self.pki.get().server)
        defer { withExtendedLifetime(server) {} }
        let balancer = try Balancer(over: [port])
        later(0.3) { balancer.close() }
        let client = try HTTPClient(try authority())
        let request = HTTPRequest("PUT", "https://localhost:\(balancer.port)/x", body: .bytes(pattern(4 << 20)))
        var error: HTTPError?
        for _ in 0..<1000 where error == nil { error = try failure(client, request) }
        #expect([.connectionLost, .cannotConnect].contains(error?.reason))
    }

    @Test func aFileWithoutAnAuthorityIsRefusedBeforehand() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("nothing of the kind", to: "ca.pem")
        let error = #expect(throws: HTTPError.self) { try HTTPClient(HTTPConfiguration(authorities: .file(path))) }
        #expect(error?.failure.message.contains(path) == true && error?.failure.code == .untrusted)
        #expect(throws: SystemCallError.self) {
            try HTTPClient(HTTPConfiguration(authorities: .file(directory.file("absent"))))
        }
        #expect(throws: HTTPError.self) { try HTTPClient(HTTPConfiguration(authorities: .pem([]))) }
    }
}
