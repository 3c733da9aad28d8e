import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import EtcdSnap

@Suite(.serialized) struct AuthenticationTests {
    private static let password = "s3cret-päss"

    /// A server with authentication: `root` and a `reader` without roles.
    private func startServer(_ version: EtcdVersion) throws -> EtcdServer {
        let server = try EtcdServer.start(version)
        try server.etcdctl("user", "add", "root:\(Self.password)")
        try server.etcdctl("user", "grant-role", "root", "root")
        try server.etcdctl("user", "add", "reader:\(Self.password)")
        try server.etcdctl("auth", "enable")
        return server
    }

    private func client(_ server: EtcdServer, _ user: String, _ password: String) throws -> Client {
        var configuration = server.configuration
        configuration.credentials = Credentials(user: user) { Array(password.utf8) }
        return try Client(configuration)
    }

    @Test(arguments: EtcdVersion.installed)
    func passwords(version: EtcdVersion) async throws {
        let server = try startServer(version)
        let root = try client(server, "root", Self.password)
        #expect(try await root.members().members.count == 1)
        if version != .v3_4 { #expect(try await root.authStatus().isEnabled) }
        let stream = try await root.snapshot(from: server.endpoint)
        #expect(try await collect(stream).count == Int(stream.header.totalByteCount))

        let wrong = try client(server, "root", "wrong")
        let refused = await etcdError { try await wrong.members() }
        #expect(refused?.reason == .wrongPassword)
        #expect(refused?.failure.code == .untrusted)
        #expect(refused?.failure.description.contains("wrong") == false)
        #expect(await etcdError { try await wrong.snapshot(from: server.endpoint) }?.reason == .wrongPassword)

        let reader = try client(server, "reader", Self.password)
        #expect(await etcdError { try await reader.snapshot(from: server.endpoint) }?.reason == .permissionDenied)

        let nobody = try Client(server.configuration)
        let demanded = await etcdError { try await nobody.snapshot(from: server.endpoint) }
        #expect(demanded?.reason == .notAuthenticated)
        #expect(demanded?.failure.code == .untrusted)
    }

    /// A member that forgets its tokens, as after a restart, and users that change.
    @Test(arguments: EtcdVersion.installed)
    func aTokenIsRenewed(version: EtcdVersion) async throws {
        let server = try startServer(version)
        let askedCount = Mutex(0)
        var configuration = server.configuration
        configuration.credentials = Credentials(user: "root") {
            askedCount.withLock { $0 += 1 }
            return Array(Self.password.utf8)
        }
        let client = try Client(configuration)
        _ = try await client.hashKV(endpoint: server.endpoint, revision: 0)
        _ = try await client.hashKV(endpoint: server.endpoint, revision: 0)
        #expect(askedCount.withLock { $0 } == 1)
        // Changing a user makes the server forget its tokens.
        try server.etcdctl(
            "user", "passwd", "root", "--interactive=false", user: "root:\(Self.password)",
            input: Data(Self.password.utf8))
        _ = try await client.hashKV(endpoint: server.endpoint, revision: 0)
        #expect(askedCount.withLock { $0 } == 2)
        let stream = try await client.snapshot(from: server.endpoint)
        #expect(try await collect(stream).count == Int(stream.header.totalByteCount))
    }

    @Test func credentialsWhereNoneAreNeeded() async throws {
        let server = try EtcdServer.start(.v3_4)
        #expect(try await client(server, "root", "x").members().members.count == 1)
    }

    @Test func passwordFromAFile() throws {
        let scratch = try TemporaryDirectory()
        let path = try scratch.write("pass word\r\nsecond line\n", to: "password")
        #expect(try Credentials.file(user: "u", passwordPath: path).password() == Array("pass word".utf8))
        let missing = Credentials.file(user: "u", passwordPath: scratch.file("none"))
        #expect(throws: SystemCallError.self) { try missing.password() }
    }
}
