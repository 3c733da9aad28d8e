import Foundation
import TestSupport
import Testing

extension Integration {
    /// Archives that real servers are booted from, and what is left of that.
    @Suite struct DrillTests {
        static let stages = [
            "verify", "files", "restore", "boot", "hash", "keys", "raised restore", "raised boot", "compaction",
        ]

        /// A drill of the newest backup, in a directory of the test's own.
        private func drill(_ store: TestStore, _ version: EtcdVersion, _ more: [String] = []) throws -> [String] {
            let scratch = store.directory.file("scratch")
            try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
            return ["drill", "latest", "-i", store.key.path, "--scratch", scratch]
                + (more.contains("--etcd") ? [] : ["--etcd", version.path(of: "etcd")]) + store.flags + more
        }

        private func outcomes(_ record: JSON) -> [String: String] {
            Dictionary(record.stages.array.map { ($0.name.string, $0.outcome.string) }) { _, last in last }
        }

        /// Expects that nothing is left of a drill: no file, and no process that runs where it was.
        private func expectNothingLeft(_ store: TestStore, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let scratch = store.directory.file("scratch")
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch) == [], sourceLocation: sourceLocation)
            #expect(processes(in: scratch) == [], sourceLocation: sourceLocation)
        }

        private func processes(in directory: String) -> [pid_t] {
            let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            return all.compactMap { pid_t($0) }.filter { process in
                let place = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/cwd")
                return place?.hasPrefix(directory) == true
            }
        }

        @Test(arguments: EtcdVersion.installed, EtcdVersion.installed)
        func passes(from source: EtcdVersion, on target: EtcdVersion) throws {
            let server = try Laboratory.shared().server(source)
            let store = try TestStore(server)
            let included = store.directory.file("included")
            try FileManager.default.createDirectory(atPath: included, withIntermediateDirectories: true)
            try "of a file".write(toFile: included + "/file", atomically: false, encoding: .utf8)
            try FileManager.default.createSymbolicLink(atPath: included + "/link", withDestinationPath: "file")
            let id = try store.makeBackupID(["--include", included])
            let record = try SnapTool.json(drill(store, target))
            for stage in Self.stages { #expect(outcomes(record)[stage] == "passed", "\(stage): \(outcomes(record))") }
            #expect(outcomes(record)["kube-apiserver"] == "notMade")
            #expect(record.databases[0].keyCount.int == (try server.allKeys().count))
            #expect(record.databases[0].raisedRevision.int > 1_000_000_000)
            #expect((record.recoverySeconds.value as? NSNumber)?.doubleValue ?? 0 > 0)
            try expectNothingLeft(store)
            let names = try store.names()
            #expect(names.count == 4 && names.allSatisfy { $0.hasPrefix(id) })
            try store.expectPrivate()
            let listed = try SnapTool.json(["list"] + store.flags)
            #expect(listed[0].drill.isDrilled.value as? Bool == true)
            #expect(try SnapTool.run(["list"] + store.flags).text.contains("drilled"))
            let audit = try SnapTool.json(["audit", "--max-drill-age", "8d"] + store.flags)
            #expect(audit.nodes[0].drills.last.reference.string == "test/node/\(id)")
            #expect(audit.findings.array.isEmpty && audit.verdict.string == "passed")
        }

        /// A new drill takes the place of the record before, and both go with the archive.
        @Test func recordsAreReplacedAndRemoved() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let id = try store.makeBackupID()
            try SnapTool.run(drill(store, .v3_5))
            let first = try store.names()
            try SnapTool.run(drill(store, .v3_4))
            let second = try store.names()
            #expect(first.count == 4 && second.count == 4 && Set(first).intersection(second).count == 2)
            let page = try #require(second.first { $0.hasSuffix(".html") })
            let text = try String(contentsOfFile: "\(store.scopeDirectory)/\(page)", encoding: .utf8)
            #expect(text.contains("test/node/\(id)") && text.contains("Recovery time"))
            try SnapTool.run(drill(store, .v3_5, ["--no-record"]))
            #expect(try store.names() == second)
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            try SnapTool.run(["delete", id, "--yes"] + store.flags)
            #expect(try store.names() == [])
        }

        /// A leaf that begins with a tombstone, which the compaction behind a raised revision removes: where the branch above
        /// does not name that very key, etcd dies of it.
        @Test(arguments: EtcdVersion.installed) func aTombstoneMayBeginALeaf(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version, flags: ["--unsafe-no-fsync"])
            defer { server.kill() }
            // Half of all rows are tombstones, so that some leaf begins with one.
            try putAndDelete(1500, server)
            let store = try TestStore(server)
            try store.makeBackup()
            let record = try SnapTool.json(drill(store, version))
            for stage in Self.stages { #expect(outcomes(record)[stage] == "passed", "\(stage): \(outcomes(record))") }
        }

        private func putAndDelete(_ count: Int, _ server: EtcdServer) throws {
            let value = Data(repeating: 0x78, count: 100).base64EncodedString()
            let requests = (0..<count).flatMap { index in
                let key = Data("/registry/events/\(index)".utf8).base64EncodedString()
                return [
                    "url = \"\(server.clientURL)/v3/kv/put\"\ndata = \"{\\\"key\\\": \\\"\(key)\\\", \\\"value\\\": \\\"\(value)\\\"}\"",
                    "url = \"\(server.clientURL)/v3/kv/deleterange\"\ndata = \"{\\\"key\\\": \\\"\(key)\\\"}\"",
                ]
            }
            let configuration = Data(requests.joined(separator: "\nnext\n").utf8)
            try run("curl", ["-sSf", "-o", "/dev/null", "-K", "-"], input: configuration)
            try server.etcdctl("put", "/registry/kept", "1")
        }

        /// Where no etcd is in PATH the one that runs is booted once more, by its program as the kernel has it.
        @Test func theEtcdThatRunsWillDo() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let arguments = try drill(store, .v3_5).filter { $0 != "--etcd" && $0 != EtcdVersion.v3_5.path(of: "etcd") }
            // What can't be executed is no etcd.
            let script = "mount --bind /dev/null /usr/bin/etcd && exec env PATH=/usr/bin \"$@\""
            let result = try run(
                "unshare", ["-m", "sh", "-c", script, "sh", SnapTool.executable()] + arguments + ["-o", "json"])
            let record = try JSON(result.output)
            #expect(record.etcd.path.string.hasPrefix("the etcd that runs here (/proc/"))
            for stage in Self.stages { #expect(outcomes(record)[stage] == "passed", "\(stage)") }
            try expectNothingLeft(store)
        }

        /// What etcd tells nobody without a password is not claimed to have been compared.
        @Test func usersAreDemanded() throws {
            let server = try EtcdServer.start(.v3_5)
            defer { server.kill() }
            try server.etcdctl("put", "/a", "b")
            try server.etcdctl("user", "add", "root:secret")
            try server.etcdctl("user", "grant-role", "root", "root")
            try server.etcdctl("auth", "enable")
            let store = try TestStore(server)
            let password = try store.directory.write("secret\n", to: "password")
            chmod(password, 0o600)
            try store.makeBackup(["--user", "root", "--password-file", password])
            let result = try SnapTool.attempt(drill(store, .v3_5) + ["-o", "json"])
            #expect(result.status == 3, "\(result.errorText)")
            let found = outcomes(try JSON(result.output))
            for stage in ["hash", "keys", "secrets"] { #expect(found[stage] == "notMade", "\(stage)") }
            for stage in ["boot", "raised boot", "compaction"] { #expect(found[stage] == "passed", "\(stage)") }
            #expect(try !SnapTool.run(["list"] + store.flags).text.contains("drill"))
        }

        /// A socket's path has no more than 107 bytes.
        @Test func theScratchDirectoryMayBeDeep() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let deep = store.directory.file(Array(repeating: "directory", count: 12).joined(separator: "/"))
            try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
            try SnapTool.run(
                ["drill", "-i", store.key.path, "--scratch", deep, "--etcd", EtcdVersion.v3_5.path(of: "etcd")]
                    + store.flags)
            #expect(try FileManager.default.contentsOfDirectory(atPath: deep) == [])
        }

        // MARK: What does not pass

        @Test func damageIsAFailedStage() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let path = try store.makeBackup()
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            bytes[bytes.count / 2] ^= 1
            try bytes.write(to: URL(fileURLWithPath: path))
            let result = try SnapTool.attempt(drill(store, .v3_5) + ["-o", "json"])
            #expect(result.status == 7)
            let record = try JSON(result.output)
            #expect(outcomes(record)["verify"] == "failed")
            for stage in Self.stages where stage != "verify" && stage != "keys" {
                #expect(outcomes(record)[stage] == "notMade", "\(stage)")
            }
            #expect(try SnapTool.run(["list"] + store.flags).text.contains("drill failed"))
            let audit = try SnapTool.attempt(["audit"] + store.flags)
            #expect(audit.status == 3 && audit.text.contains("drill-failed") && audit.text.contains("failed at verify"))
            try expectNothingLeft(store)
        }

        /// Whatever is encrypted is lost with the keys, and a plan says so too.
        @Test func withoutTheKeysItIsNoBackup() throws {
            let server = try EtcdServer.start(.v3_5)
            defer { server.kill() }
            try server.etcdctl("put", "/registry/secrets/default/s", "k8s:enc:secretbox:v1:key1:0123456789")
            let store = try TestStore(server)
            let node = try ControlPlaneNode(in: store.directory, runs: server)
            let backup = ["backup", "--root", node.root, "-r", store.key.recipient] + server.flags() + store.flags
            #expect(try SnapTool.attempt(backup).status == 3)
            let result = try SnapTool.attempt(drill(store, .v3_5) + ["-o", "json"])
            #expect(result.status == 7 && result.errorText.contains("is not in the archive"), "\(result.errorText)")
            #expect(outcomes(try JSON(result.output))["secrets"] == "failed")
            // One that can't be made takes no proof away.
            let before = try store.names()
            let scratch = store.directory.file("small")
            try run("mkdir", [scratch])
            try run("mount", ["-t", "tmpfs", "-o", "size=64k", "none", scratch])
            defer { _ = try? run("umount", ["--lazy", scratch], allowsFailure: true) }
            let etcd = EtcdVersion.v3_5.path(of: "etcd")
            let small = try SnapTool.attempt(
                ["drill", "latest", "-i", store.key.path, "--scratch", scratch, "--etcd", etcd] + store.flags)
            #expect(small.status == 6, "\(small.errorText)")
            #expect(try store.names() == before)
        }

        /// An etcd that runs on other data than the archive's, which has the same revision and as many keys.
        @Test func otherDataIsFound() throws {
            let servers = try (0..<2).map { _ in try EtcdServer.start(.v3_5) }
            defer { for server in servers { server.kill() } }
            for (value, server) in ["one", "two"].enumerated().map({ ($1, servers[$0]) }) {
                try server.etcdctl("put", "/a", "same")
                try server.etcdctl("put", "/b", value)
            }
            let (store, other) = (try TestStore(servers[0]), try TestStore(servers[1]))
            for store in [store, other] { try store.makeBackup() }
            let data = other.directory.file("data")
            try SnapTool.run(
                [
                    "restore", "etcd", "latest", "-i", other.key.path, "--no-bump", "--name", "drill",
                    "--initial-cluster", "drill=http://127.0.0.1:1", "--data-dir", data,
                ] + other.flags)
            let etcd = EtcdVersion.v3_5.path(of: "etcd")
            let wrapper = try store.directory.write(
                """
                #!/bin/sh
                [ "$1" = --version ] || { /bin/rm -r data; /bin/cp -r \(data) data; }
                exec \(etcd) "$@"
                """, to: "wrapper")
            chmod(wrapper, 0o700)
            let result = try SnapTool.attempt(drill(store, .v3_5, ["--etcd", wrapper]) + ["-o", "json"])
            #expect(result.status == 7, "\(result.errorText)")
            #expect(result.errorText.contains("HashKV"))
            let found = outcomes(try JSON(result.output))
            #expect(found["boot"] == "passed" && found["hash"] == "failed" && found["compaction"] == "notMade")
            try expectNothingLeft(store)
        }

        @Test func anEtcdThatDiesIsFound() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let wrapper = try store.directory.write(
                "#!/bin/sh\n[ \"$1\" = --version ] && exec \(EtcdVersion.v3_5.path(of: "etcd")) --version\n"
                    + "echo 'panic: page 1605 already freed' >&2\nexit 2\n", to: "wrapper")
            chmod(wrapper, 0o700)
            let result = try SnapTool.attempt(drill(store, .v3_5, ["--etcd", wrapper]) + ["-o", "json"])
            #expect(result.status == 7)
            #expect(result.errorText.contains("ended with status 2: panic: page 1605 already freed"))
            #expect(outcomes(try JSON(result.output))["boot"] == "failed")
            try expectNothingLeft(store)
        }

        @Test func refusalsHelp() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let arguments = { (more: [String]) in try drill(store, .v3_5, more) }
            expectFailure(try SnapTool.attempt(arguments(["--etcd", "/bin/true"])), 1, naming: "/bin/true", "no etcd")
            expectFailure(try SnapTool.attempt(arguments(["--etcd", "/nothing/there"])), 4, naming: "/nothing/there")
            let other = try Laboratory.shared().key("other")
            expectFailure(
                try SnapTool.attempt(arguments([]).map { $0 == store.key.path ? other.path : $0 }), 8,
                naming: "test/node")
            expectFailure(
                try SnapTool.attempt(arguments(["--scratch", store.root])), 2, naming: store.root)
            let directory = store.directory.file("scratch/etcd-snap-drill-\(geteuid())")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
            chmod(directory, 0o755)
            expectFailure(try SnapTool.attempt(arguments([])), 8, naming: directory)
            chmod(directory, 0o700)
            let holder = try BackgroundProcess.holdingLock(on: directory, ready: store.directory.file("ready"))
            expectFailure(try SnapTool.attempt(arguments([])), 5, naming: directory)
            holder.stop()
            let preview = try SnapTool.json(arguments(["--dry-run"]))
            #expect(preview.databases[0].size.int > 0 && preview.neededMemory.int > 500_000_000)
            #expect(try store.names().count == 2)
            try SnapTool.run(arguments([]))
            try expectNothingLeft(store)
        }

        // MARK: What is left

        /// A drill that is killed while its etcd runs: the process is gone with it, and the files with the next drill.
        @Test(arguments: ["etcd", "raised"]) func aKilledDrillLeavesNothingForLong(_ part: String) throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let arguments = try drill(store, .v3_5)
            let scratch = store.directory.file("scratch")
            let running = try SnapTool.start(arguments)
            let log = "\(scratch)/etcd-snap-drill-\(geteuid())/\(part)/log"
            while access(log, F_OK) != 0, running.isRunning { usleep(500) }
            #expect(running.isRunning && processes(in: scratch).count <= 1)
            running.signal(SIGKILL)
            _ = try running.wait()
            var count = 0
            while processes(in: scratch) != [], count < 500 {
                usleep(10_000)
                count += 1
            }
            #expect(processes(in: scratch) == [])
            #expect(access(log, F_OK) == 0)
            let next = try SnapTool.attempt(arguments)
            #expect(next.status == 0 && next.errorText.contains("that a killed drill had left"), "\(next.errorText)")
            try expectNothingLeft(store)
        }

        /// A process that has outlived its drill, as one would that broke the tie: the next drill ends it.
        @Test func processesOfKilledDrillsAreEnded() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let arguments = try drill(store, .v3_5)
            let directory = store.directory.file("scratch/etcd-snap-drill-\(geteuid())")
            try FileManager.default.createDirectory(
                atPath: directory + "/etcd", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            chmod(directory, 0o700)
            let start = { (variable: String) throws -> RunningCommand in
                try RunningCommand("env", ["-C", directory + "/etcd", variable, "sleep", "100"])
            }
            let (left, other) = (try start("ETCD_SNAP_DRILL=1"), try start("SOMETHING=1"))
            while processes(in: directory).count < 2 { usleep(1_000) }
            let result = try SnapTool.attempt(arguments)
            #expect(result.status == 0 && result.errorText.contains("1 processes"), "\(result.errorText)")
            #expect(try left.wait().status == SIGKILL)
            #expect(other.isRunning)
            other.signal(SIGKILL)
            _ = try other.wait()
            try expectNothingLeft(store)
        }

        @Test(arguments: [SIGINT, SIGTERM]) func aStoppedDrillLeavesNothing(_ signal: Int32) throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let running = try SnapTool.start(drill(store, .v3_5))
            let log = store.directory.file("scratch/etcd-snap-drill-\(geteuid())/etcd/log")
            while access(log, F_OK) != 0, running.isRunning { usleep(500) }
            running.signal(signal)
            #expect(try running.wait().status == 128 + signal)
            try expectNothingLeft(store)
            #expect(try store.names().count == 2)
        }
    }
}
