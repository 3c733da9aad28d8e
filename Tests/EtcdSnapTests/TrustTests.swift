import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

/// Every way in which a connection can fail, and what is made of it.
@Suite(.serialized) struct TrustTests {
    private func error(_ configuration: ClientConfiguration) async throws -> EtcdError? {
        let client = try Client(configuration)
        return await etcdError { try await client.status(of: configuration.endpoints[0]) }
    }

    private func expect(_ error: EtcdError?, _ reason: EtcdError.Reason, _ code: Failure.Code) {
        #expect(error?.reason == reason)
        #expect(error?.failure.code == code)
        #expect(error?.failure.hint != nil)
    }

    @Test(arguments: EtcdVersion.installed)
    func wrongTrust(version: EtcdVersion) async throws {
        let pki = try TestPKI()
        let other = try TestPKI(name: "other-ca")
        let server = try EtcdServer.start(version, pki: pki)
        var configuration = server.configuration

        configuration.tls.caPath = other.caPath
        expect(try await error(configuration), .serverUntrusted(issuer: "CN=test-ca"), .untrusted)

        configuration = server.configuration
        configuration.tls.certificatePath = other.client.certificatePath
        configuration.tls.keyPath = other.client.keyPath
        expect(try await error(configuration), .clientCertificateRejected, .untrusted)

        configuration = server.configuration
        configuration.tls.certificatePath = nil
        configuration.tls.keyPath = nil
        expect(try await error(configuration), .clientCertificateRequired, .untrusted)

        configuration = server.configuration
        configuration.tls.serverName = "elsewhere.example"
        let names = ["127.0.0.1", "::1", "localhost"]
        let mismatch = EtcdError.Reason.serverNameMismatch(expected: "elsewhere.example", names: names)
        expect(try await error(configuration), mismatch, .untrusted)

        configuration = server.configuration
        configuration.endpoints = [Endpoint(transport: .plaintext, host: "127.0.0.1", port: server.clientPort)]
        expect(try await error(configuration), .serverSpeaksTLS, .untrusted)

        configuration = server.configuration
        configuration.tls.serverName = "localhost"
        #expect(try await Client(configuration).status(of: server.endpoint).isLeader)
    }

    @Test(arguments: EtcdVersion.installed)
    func tlsToPlaintext(version: EtcdVersion) async throws {
        let server = try EtcdServer.start(version)
        var configuration = server.configuration
        configuration.endpoints = [Endpoint(transport: .tls, host: "127.0.0.1", port: server.clientPort)]
        let pki = try TestPKI()
        configuration.tls = pki.clientFiles
        expect(try await error(configuration), .serverSpeaksPlaintext, .untrusted)
    }

    @Test func expiredServerCertificate() async throws {
        let pki = try TestPKI()
        let pair = try pki.issue(
            "late", commonName: "server", usage: "serverAuth,clientAuth", alternativeNames: "IP:127.0.0.1",
            validity: .expired)
        let port = try EtcdServer.freePorts(1)[0]
        // etcd's own etcdctl can't wait for such a server either, so openssl stands in for it.
        let server = try BackgroundProcess(
            "openssl",
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", pair.certificatePath, "-key", pair.keyPath, "-quiet"])
        defer { server.stop() }
        try server.waitUntilListening(on: port)
        let configuration = ClientConfiguration(
            endpoints: [Endpoint(transport: .tls, host: "127.0.0.1", port: port)], tls: pki.clientFiles)
        let error = try await error(configuration)
        guard case .serverCertificateOutdated = error?.reason else {
            return #expect(Bool(false), "\(String(describing: error))")
        }
        #expect(error?.failure.message.contains("2021-01-01T00:00:00Z") == true)
        #expect(error?.failure.code == .untrusted)
    }

    @Test func expiredClientCertificateIsFoundBeforeConnecting() throws {
        let pki = try TestPKI()
        let pair = try pki.issue("late", validity: .expired)
        var files = pki.clientFiles
        files.certificatePath = pair.certificatePath
        files.keyPath = pair.keyPath
        let endpoint = Endpoint(transport: .tls, host: "127.0.0.1", port: 1)
        #expect(throws: TLSFileError.self) { try Client(ClientConfiguration(endpoints: [endpoint], tls: files)) }
    }

    @Test func nothingThere() async throws {
        let port = try EtcdServer.freePorts(1)[0]
        let refused = try await error(
            ClientConfiguration(endpoints: [Endpoint(transport: .plaintext, host: "127.0.0.1", port: port)]))
        expect(refused, .unreachable, .failed)
        #expect(refused?.failure.message.contains("Connection refused") == true)
        let unknown = try await error(
            ClientConfiguration(endpoints: [Endpoint(transport: .plaintext, host: "no-such-host.invalid", port: port)]))
        #expect(unknown?.failure.code == .failed)
    }

    @Test func somethingElseThere() async throws {
        let scratch = try TemporaryDirectory()
        let port = try EtcdServer.freePorts(1)[0]
        let server = try BackgroundProcess(
            "python3", ["-m", "http.server", "\(port)", "--bind", "127.0.0.1", "--directory", scratch.path])
        defer { server.stop() }
        try server.waitUntilListening(on: port)
        let configuration = ClientConfiguration(
            endpoints: [Endpoint(transport: .plaintext, host: "127.0.0.1", port: port)])
        expect(try await error(configuration), .notEtcd, .failed)
    }
}
