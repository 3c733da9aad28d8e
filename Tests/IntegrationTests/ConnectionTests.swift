import Foundation
import TestSupport
import Testing

extension Integration {
    /// What a person is told when etcd can't be reached, or is not trusted, or does not trust.
    @Suite struct ConnectionTests {
        private let laboratory: Laboratory
        private let directory: TemporaryDirectory
        private let key: Laboratory.Key

        init() throws {
            laboratory = try Laboratory.shared()
            directory = try TemporaryDirectory()
            key = try laboratory.key()
        }

        private var backup: [String] {
            ["backup", "--config", laboratory.plainConfiguration, "-r", key.recipient]
        }

        /// Expects that a backup with these flags fails, for people and for programs, and leaves no archive.
        private func expectBackupFails(
            _ flags: [String], _ status: Int32, naming name: String, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let store = directory.file("store")
            let arguments = backup + ["--store", store, "--dial-timeout", "5s"] + flags
            expectFailure(
                try SnapTool.attempt(arguments, seconds: 60), status, naming: name, sourceLocation: sourceLocation)
            try expectFailureDocument(
                SnapTool.attempt(arguments + ["-o", "json"], seconds: 60), status, naming: name,
                sourceLocation: sourceLocation)
            let left = (try? FileManager.default.subpathsOfDirectory(atPath: store)) ?? []
            #expect(!left.contains { $0.contains(".age") || $0.contains(".json") }, sourceLocation: sourceLocation)
        }

        @Test func nothingListens() throws {
            let port = try EtcdServer.freePorts(1)[0]
            try expectBackupFails(["--endpoints", "http://127.0.0.1:\(port)"], 1, naming: "127.0.0.1:\(port)")
            try expectBackupFails(
                ["--endpoints", "https://127.0.0.1:\(port)", "--cacert", laboratory.pki().caPath], 1,
                naming: "127.0.0.1:\(port)")
        }

        @Test func theNameDoesNotResolve() throws {
            try expectBackupFails(
                ["--endpoints", "http://etcd.does-not-exist.invalid:2379"], 1,
                naming: "etcd.does-not-exist.invalid:2379")
        }

        @Test func aWebServerAnswers() throws {
            let port = try EtcdServer.freePorts(1)[0]
            let server = try BackgroundProcess(
                "python3", ["-m", "http.server", "\(port)", "--bind", "127.0.0.1", "--directory", directory.path])
            defer { server.stop() }
            try server.waitUntilListening(on: port)
            try expectBackupFails(["--endpoints", "http://127.0.0.1:\(port)"], 1, naming: "127.0.0.1:\(port)")
        }

        @Test func theListenerIsSilent() throws {
            let server = try laboratory.server(.v3_4)
            let valve = try Valve(to: server.clientPort, limit: 0)
            defer { valve.close() }
            try expectBackupFails(
                server.flags(port: valve.port) + ["--dial-timeout", "2s"], 1, naming: "127.0.0.1:\(valve.port)")
        }

        @Test(arguments: EtcdVersion.installed)
        func plaintextAgainstTLS(_ version: EtcdVersion) throws {
            let port = try laboratory.server(version).clientPort
            try expectBackupFails(["--endpoints", "http://127.0.0.1:\(port)"], 8, naming: "speaks TLS")
        }

        @Test(arguments: EtcdVersion.installed)
        func tlsAgainstPlaintext(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version)
            defer { server.kill() }
            let flags = [
                "--endpoints", "https://127.0.0.1:\(server.clientPort)", "--cacert", try laboratory.pki().caPath,
            ]
            try expectBackupFails(flags, 8, naming: "does not speak TLS")
        }

        @Test(arguments: EtcdVersion.installed)
        func anotherAuthority(_ version: EtcdVersion) throws {
            let server = try laboratory.server(version)
            let other = try TestPKI(name: "another-ca")
            var flags = server.flags()
            flags[3] = other.caPath
            try expectBackupFails(flags, 8, naming: "test-ca")
        }

        @Test(arguments: EtcdVersion.installed)
        func anExpiredClientCertificate(_ version: EtcdVersion) throws {
            let server = try laboratory.server(version)
            let pair = try laboratory.pki().issue("expired-\(version)", validity: .expired)
            try expectBackupFails(server.flags(client: pair), 8, naming: "expired-\(version).crt")
        }

        @Test func noClientCertificate() throws {
            let server = try laboratory.server(.v3_5)
            try expectBackupFails(Array(server.flags().prefix(4)), 8, naming: "client certificate")
        }

        @Test func aKeyOfAnotherCertificate() throws {
            let server = try laboratory.server(.v3_4)
            let other = try laboratory.pki().issue("mismatch")
            var flags = server.flags(client: other)
            flags[7] = try laboratory.pki().client.keyPath
            try expectBackupFails(flags, 8, naming: "mismatch.crt")
        }

        @Test func filesThatAreNotThere() throws {
            let server = try laboratory.server(.v3_4)
            var flags = server.flags()
            flags[3] = "/does/not/exist.crt"
            try expectBackupFails(flags, 4, naming: "/does/not/exist.crt")
            flags = server.flags()
            flags[7] = try directory.write("no key\n", to: "garbage.key")
            let result = try SnapTool.attempt(backup + ["--store", directory.file("store")] + flags)
            #expect([1, 2, 8].contains(result.status))
            expectFailure(result, result.status, naming: "garbage.key")
        }

        private static let password = "correct-horse-8d1f6b"

        /// Expects that no program is started with the password in its arguments or its environment, and that it is written
        /// to no file and no terminal.
        private func expectPasswordNowhere(_ arguments: [String], _ store: TestStore) throws {
            let trace = store.directory.file("trace")
            let options = ["-f", "-v", "-s", "1048576", "-e", "trace=execve,write,pwrite64,writev", "-o", trace]
            let result = try RunningCommand("strace", options + [SnapTool.executable()] + arguments).wait(seconds: 120)
            #expect(result.status == 0, "\(result.errorText)")
            let text = try String(decoding: Data(contentsOf: URL(fileURLWithPath: trace)), as: UTF8.self)
            #expect(text.contains("execve(") && text.contains("age-encryption.org/v1"))
            #expect(!text.contains(Self.password) && !result.errorText.contains(Self.password))
            let environment = try #require(text.split(separator: "\n").first { $0.contains("execve(") })
            #expect(environment.contains("PATH="), "strace shows no environment")
        }

        /// Users of etcd's own authentication.
        @Test(arguments: EtcdVersion.installed)
        func passwords(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version)
            defer { server.kill() }
            try server.etcdctl("user", "add", "root:\(Self.password)")
            try server.etcdctl("user", "add", "reader:\(Self.password)")
            try server.etcdctl("role", "add", "root")
            try server.etcdctl("user", "grant-role", "root", "root")
            try server.etcdctl("auth", "enable")
            let right = try directory.write("\(Self.password)\nsecond line\n", to: "right")
            let wrong = try directory.write("swordfish\n", to: "wrong")
            let flags = server.flags()
            try expectBackupFails(flags, 8, naming: "authentication")
            try expectBackupFails(flags + ["--user", "root", "--password-file", wrong], 8, naming: "password")
            try expectBackupFails(flags + ["--user", "nobody", "--password-file", right], 8, naming: "password")
            try expectBackupFails(flags + ["--user", "reader", "--password-file", right], 8, naming: "permission")
            let attempt = try SnapTool.attempt(
                backup + ["--store", directory.file("store"), "-v"] + flags
                    + ["--user", "root", "--password-file", wrong])
            #expect(!attempt.errorText.contains("swordfish"))
            let store = try TestStore(server)
            try SnapTool.run(store.backup(["--user", "root", "--password-file", right]))
            try expectPasswordNowhere(store.backup(["--user", "root", "--password-file", right]), store)
            try SnapTool.run(["verify", "-i", key.path] + store.flags)
        }
    }
}
