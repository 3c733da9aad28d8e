import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

/// Servers that are no etcd, or no longer, and what a person is told of them.
@Suite(.serialized) struct WordsTests {
    private func error(_ port: UInt16, _ transport: Endpoint.Transport, _ pki: TestPKI) async throws -> EtcdError? {
        let endpoint = Endpoint(transport: transport, host: "127.0.0.1", port: port)
        let client = try Client(ClientConfiguration(endpoints: [endpoint], tls: pki.clientFiles))
        return await etcdError { try await client.status(of: endpoint) }
    }

    private func expect(_ error: EtcdError?, _ reason: EtcdError.Reason, _ code: Failure.Code) {
        #expect(error?.reason == reason, "\(String(describing: error))")
        #expect(error?.failure.code == code && error?.failure.hint != nil)
        let text = (error?.failure.message ?? "") + (error?.failure.hint ?? "")
        #expect(!text.contains("write http://") && !text.hasSuffix("OK"), "\(text)")
    }

    /// A proxy without a backend: to leave TLS for it would be bad advice.
    @Test(arguments: [false, true], [Endpoint.Transport.tls, .plaintext])
    func aConnectionThatIsClosed(resets: Bool, transport: Endpoint.Transport) async throws {
        let server = try RawServer(answer: [], resets: resets)
        expect(try await error(server.port, transport, TestPKI()), .connectionClosed, .failed)
        withExtendedLifetime(server) {}
    }

    @Test func recordsThatAreGarbage() async throws {
        let garbage = [0x16, 3, 3, 0, 32] + [UInt8](repeating: 0xA5, count: 32)
        let server = try RawServer(answer: garbage)
        expect(try await error(server.port, .tls, TestPKI()), .handshakeFailed, .failed)
        expect(try await error(server.port, .plaintext, TestPKI()), .notEtcd, .failed)
        withExtendedLifetime(server) {}
    }

    @Test(arguments: [Endpoint.Transport.tls, .plaintext])
    func anHTTP1Server(transport: Endpoint.Transport) async throws {
        let answer = Array("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8)
        let server = try RawServer(answer: answer)
        expect(try await error(server.port, transport, TestPKI()), .notEtcd, .failed)
        withExtendedLifetime(server) {}
    }

    @Test func anotherTLSServer() async throws {
        let pki = try TestPKI()
        let port = try EtcdServer.freePorts(1)[0]
        let server = try BackgroundProcess(
            "openssl",
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", pki.server.certificatePath]
                + ["-key", pki.server.keyPath, "-www"])
        defer { server.stop() }
        try server.waitUntilListening(on: port)
        expect(try await error(port, .tls, pki), .notEtcd, .failed)
    }

    /// An alert that has to do with no certificate.
    @Test func aHandshakeThatIsRefused() async throws {
        let refusal: [UInt8] = [21, 3, 3, 0, 2, 2, 40]
        let server = try RawServer(answer: refusal)
        let error = try await error(server.port, .tls, TestPKI())
        withExtendedLifetime(server) {}
        #expect(error?.failure.hint?.contains("http://") == false)
    }

    /// `internal_error`, `unrecognized_name`, `decode_error`: said before a certificate was asked for.
    @Test(arguments: [80, 112, 50] as [UInt8]) func anAlertAtOnceIsAboutNoCertificate(_ alert: UInt8) async throws {
        let server = try RawServer(answer: [21, 3, 3, 0, 2, 2, alert])
        let error = try await error(server.port, .tls, TestPKI())
        withExtendedLifetime(server) {}
        #expect(error?.reason == .handshakeFailed && error?.failure.code == .failed, "\(error as Any)")
    }

    /// The common name of a certificate that is no user: there is a hint.
    @Test(arguments: EtcdVersion.installed)
    func aCertificateThatIsNoUser(version: EtcdVersion) async throws {
        let pki = try TestPKI()
        let server = try EtcdServer.start(version, pki: pki)
        try server.etcdctl("user", "add", "root:secret")
        try server.etcdctl("user", "grant-role", "root", "root")
        try server.etcdctl("auth", "enable")
        let stranger = try pki.issue("stranger", commonName: "stranger")
        var configuration = server.configuration
        configuration.tls.certificatePath = stranger.certificatePath
        configuration.tls.keyPath = stranger.keyPath
        let client = try Client(configuration)
        let error = await etcdError { try await client.snapshot(from: server.endpoint) }
        #expect(error?.failure.code == .untrusted && error?.failure.hint?.contains("common name") == true)
    }
}
