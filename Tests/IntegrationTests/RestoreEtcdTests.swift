import Foundation
import TestSupport
import Testing

extension Integration {
    /// Data directories that this program writes itself, booted by real servers.
    @Suite struct RestoreEtcdTests {
        private static let member = ["--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]

        private func restore(_ store: TestStore, _ data: String, _ more: [String]) -> [String] {
            ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", data] + store.flags + Self.member + more
        }

        @Test(arguments: EtcdVersion.installed)
        func boots(_ version: EtcdVersion) throws {
            let original = try Laboratory.shared().server(version)
            let store = try TestStore(original)
            try store.makeBackup()
            let keys = try original.allKeys()
            #expect(keys.count > 300)
            for flags in [["--no-bump"], ["--bump-revision", "1000000000"]] {
                let data = store.directory.file("data\(flags.count)")
                try SnapTool.run(restore(store, data, flags))
                let server = try EtcdServer.start(version, pki: original.pki, flags: ["--data-dir=\(data)"])
                defer { server.kill() }
                #expect(try server.allKeys() == keys, "\(flags)")
                let put = try JSON(Data(server.etcdctl("put", "new", "value", "-w", "json").utf8))
                #expect((put.header.revision.int > 1_000_000_000) == (flags.count == 2))
            }
        }

        /// Not only Kubernetes' components watch, and hold a revision that must not come again.
        @Test(arguments: EtcdVersion.installed)
        func revisionsOfOtherDataAreRaisedToo(_ version: EtcdVersion) throws {
            let original = try EtcdServer.start(version)
            for node in 0..<40 { try original.etcdctl("put", "/calico/ipam/v2/host/\(node)", "{\"block\": \(node)}") }
            let store = try TestStore(original)
            try store.makeBackup()
            let snapshot = store.directory.file("saved.db")
            try original.etcdctl("snapshot", "save", snapshot)
            let keys = try original.allKeys()
            original.kill()
            #expect(keys.count == 40)
            for (index, more) in [[], ["--no-bump"]].enumerated() {
                for (source, identity) in [("latest", ["-i", store.key.path] + store.flags), (snapshot, [])] {
                    let data = store.directory.file("data-\(index)-\(identity.count)")
                    try SnapTool.run(["restore", "etcd", source, "--data-dir", data] + identity + Self.member + more)
                    let server = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
                    defer { server.kill() }
                    #expect(try server.allKeys() == keys)
                    let put = try JSON(Data(server.etcdctl("put", "new", "value", "-w", "json").utf8))
                    // The first write has revision 2.
                    let expected = more.isEmpty ? 1_000_000_042 : 42
                    #expect(put.header.revision.int == expected, "\(source) \(more)")
                }
            }
        }

        /// Names of eight bytes are as long as the identifiers of leases, and fill some of the leaves.
        @Test(arguments: [["s"], ["a-longer-name-", "s", "z"]])
        func namesOfUsersMayLookLikeOtherKeys(_ prefixes: [String]) throws {
            let original = try EtcdServer.start(.v3_5, flags: ["--unsafe-no-fsync"])
            // More than a page of 4096 bytes holds, each.
            let names = prefixes.flatMap { prefix in
                (0..<250).map { number in prefix + String(number + 1_000_000).suffix(prefix == "z" ? 3 : 7) }
            }
            let requests = names.map { name in
                """
                url = "\(original.clientURL)/v3/auth/user/add"
                data = "{\\"name\\": \\"\(name)\\", \\"options\\": {\\"no_password\\": true}}"
                """
            }
            let configuration = Data(requests.joined(separator: "\nnext\n").utf8)
            try run("curl", ["-sSf", "-o", "/dev/null", "-K", "-"], input: configuration)
            let leases = try (0..<3).map { try original.etcdctl("lease", "grant", "\(3600 + $0)") }
            try original.etcdctl("put", "a", "b")
            let users = try original.etcdctl("user", "list")
            #expect(users.split(separator: "\n").map(String.init) == names.sorted() && leases.count == 3)
            let store = try TestStore(original)
            let report = try SnapTool.json(store.backup())
            #expect(report.findings.array.isEmpty && report.sidecar.verification.string == "structural")
            let status = try SnapTool.attempt(["inspect", "status", "latest", "-i", store.key.path] + store.flags)
            #expect(status.status == 0, "\(status.text)\(status.errorText)")
            let data = store.directory.file("data")
            try SnapTool.run(restore(store, data, []))
            let server = try EtcdServer.start(.v3_5, flags: ["--data-dir=\(data)"])
            defer { server.kill() }
            #expect(try server.etcdctl("user", "list") == users)
            #expect(try server.etcdctl("lease", "list") == original.etcdctl("lease", "list"))
        }

        @Test func aBumpBeyondAllRevisionsIsRefused() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let data = store.directory.file("data")
            for more in [["--dry-run"], []] {
                let flags = ["--bump-revision", "\(Int64.max)"] + more
                expectFailure(try SnapTool.attempt(restore(store, data, flags)), 2, naming: "\(Int64.max)")
            }
        }

        @Test func hasTheHashThatEtcdutlComputes() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let snapshot = store.directory.file("saved.db")
            try store.server.etcdctl("snapshot", "save", snapshot)
            let expected = try JSON(
                run(EtcdVersion.v3_5.path(of: "etcdutl"), ["snapshot", "status", snapshot, "-w", "json"]).output)
            let text = try SnapTool.run(["inspect", "status", snapshot, "-o", "json"]).text
            #expect(
                text.contains(String(expected.hash.int)) || text.contains(String(expected.hash.int, radix: 16)),
                "\(text)")
            #expect(text.contains(String(expected.revision.int)))
        }

        @Test func writesNothingFromWhatIsDamaged() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let archive = try store.makeBackup()
            let data = store.directory.file("data")
            let other = try Laboratory.shared().key("other")
            var wrongKey = restore(store, data, [])
            wrongKey[4] = other.path
            expectFailure(try SnapTool.attempt(wrongKey), 8, naming: archive)
            let snapshot = store.directory.file("saved.db")
            try store.server.etcdctl("snapshot", "save", snapshot)
            let bytes = try Data(contentsOf: URL(fileURLWithPath: snapshot))
            for place in [0, 20, 4096 * 3 + 5, bytes.count / 2, bytes.count - 40, bytes.count - 1] {
                var damaged = bytes
                damaged[place] ^= 0x10
                try damaged.write(to: URL(fileURLWithPath: snapshot))
                let result = try SnapTool.attempt(["restore", "etcd", snapshot, "--data-dir", data] + Self.member)
                expectFailure(result, 7, naming: snapshot)
                expectFailure(try SnapTool.attempt(["inspect", "status", snapshot]), 7, naming: snapshot)
            }
            try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: snapshot))
            let cut = try SnapTool.attempt(["restore", "etcd", snapshot, "--data-dir", data] + Self.member)
            expectFailure(cut, 7, naming: snapshot)
            try bytes.write(to: URL(fileURLWithPath: snapshot))
            let others = ["empty.db", "packed.db", "directory.db"].map(store.directory.file)
            try Data().write(to: URL(fileURLWithPath: others[0]))
            try shell("gzip <\"$1\" >\"$2\"; mkdir \"$3\"", snapshot, others[1], others[2])
            for other in others {
                let result = try SnapTool.attempt(["restore", "etcd", other, "--data-dir", data] + Self.member)
                expectFailure(result, 7, naming: other)
                expectFailure(try SnapTool.attempt(["inspect", "status", other]), 7, naming: other)
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: store.directory.path)
            #expect(Set(left) == ["saved.db", "store", "empty.db", "packed.db", "directory.db"])
            try SnapTool.run(restore(store, data, []))
            expectFailure(try SnapTool.attempt(restore(store, data, [])), 1, naming: data)
        }

        private func killed(atRename number: Int, _ arguments: [String]) throws -> CommandResult {
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2"]
            let kill = ["-e", "inject=renameat2:signal=SIGKILL:when=\(number)"]
            // What other tests run takes back what this user has left.
            return try RunningCommand(
                "strace", options + kill + [SnapTool.executable()] + arguments,
                environment: ["XDG_STATE_HOME": "/dev/null"]
            ).wait()
        }

        /// A restore with a separate log directory publishes two directories: killed anywhere, the same command goes on.
        @Test func killedBetweenDataAndLogDirectory() throws {
            let directory = try TemporaryDirectory()
            let snapshot = directory.file("snapshot.db")
            try Laboratory.shared().server(.v3_5).etcdctl("snapshot", "save", snapshot)
            // The log directory's name, the data directory's.
            for index in 0..<2 {
                let data = directory.file("data\(index)")
                let wal = directory.file("wal\(index)")
                let arguments = ["restore", "etcd", snapshot, "--data-dir", data, "--wal-dir", wal] + Self.member
                let result = try killed(atRename: index + 1, arguments)
                #expect(result.status == SIGKILL, "\(index): \(result.errorText)")
                try SnapTool.run(arguments)
                let server = try EtcdServer.start(.v3_5, flags: ["--data-dir=\(data)", "--wal-dir=\(wal)"])
                #expect(try server.allKeys().count > 300)
                server.kill()
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
            #expect(left == ["data0", "data1", "snapshot.db", "wal0", "wal1"])
        }

        /// A log that etcd has written on, or anything else, is nobody's leftover.
        @Test func otherLogDirectoriesAreKept() throws {
            let directory = try TemporaryDirectory()
            let snapshot = directory.file("snapshot.db")
            try Laboratory.shared().server(.v3_5).etcdctl("snapshot", "save", snapshot)
            let (data, wal) = (directory.file("data"), directory.file("wal"))
            let arguments = ["restore", "etcd", snapshot, "--data-dir", data, "--wal-dir", wal] + Self.member
            try shell("mkdir \"$1\"; touch \"$1/mine\"", wal)
            expectFailure(try SnapTool.attempt(arguments), 1, naming: wal)
            try run("rm", ["-r", wal])
            #expect(try killed(atRename: 2, arguments).status == SIGKILL)
            let log = URL(fileURLWithPath: wal + "/0000000000000000-0000000000000000.wal")
            var bytes = try Data(contentsOf: log)
            let end = try #require(bytes.lastIndex { $0 != 0 })
            bytes[(end / 8 + 1) * 8] = 8
            try bytes.write(to: log)
            expectFailure(try SnapTool.attempt(arguments), 1, naming: wal)
            #expect(try Data(contentsOf: log) == bytes)
        }
    }
}
