import Foundation
import TestSupport
import Testing

extension Integration {
    /// Data directories of real members that were stopped or killed.
    @Suite struct SurvivorTests {
        /// Keeps what is written out of the database, as a crash between two of etcd's batches does.
        private static let lateBatches = ["--backend-batch-interval=60s", "--backend-batch-limit=1000000"]

        private let directory: TemporaryDirectory

        init() throws { directory = try TemporaryDirectory() }

        private func put(_ range: Range<Int>, to server: EtcdServer) throws {
            let requests = range.map { index in
                let text = Data("/registry/pods/p-\(index)".utf8).base64EncodedString()
                return
                    "url = \"\(server.clientURL)/v3/kv/put\"\ndata = \"{\\\"key\\\": \\\"\(text)\\\", \\\"value\\\": \\\"\(text)\\\"}\""
            }
            try run(
                "curl", ["-sSf", "-o", "/dev/null", "-K", "-"], input: Data(requests.joined(separator: "\nnext\n").utf8)
            )
        }

        /// All that is below a directory, with its bytes.
        private func digest(_ path: String) throws -> String {
            try shell(
                "cd \"$1\"; find . -type f | LC_ALL=C sort | xargs -d '\\n' stat -c '%n %s %Y'; find . -type f "
                    + "| LC_ALL=C sort | xargs -d '\\n' sha256sum", path
            ).text
        }

        private func leader(of servers: [EtcdServer]) throws -> EtcdServer {
            try #require(
                try servers.first {
                    let status = try JSON(Data($0.etcdctl("endpoint", "status", "--write-out=json").utf8))[0].Status
                    return status.leader.int == status.header.member_id.int
                })
        }

        private func status(_ server: EtcdServer) throws -> JSON {
            try SnapTool.json(["inspect", "status", server.dataDirectory])
        }

        @Test(arguments: EtcdVersion.installed) func ofAStoppedMember(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version)
            try put(0..<30, to: server)
            let running = try SnapTool.attempt(["inspect", "status", server.dataDirectory])
            expectFailure(running, 1, naming: "in use by a running process")
            server.end()
            let before = try digest(server.dataDirectory)
            let survivor = try status(server)
            #expect(survivor.revision.int == 31 && survivor.entriesBeyond.value == nil)
            #expect(survivor.committedBeyond.int == 0 && survivor.uncommittedBeyond.int == 0)
            #expect(survivor.appliedIndex.int == survivor.log.lastIndex.int && survivor.log.commit.int > 30)
            #expect(survivor.memberName.string == "m0" && survivor.clusterVersion.string == "\(version).0")
            let text = try SnapTool.run(["inspect", "status", server.dataDirectory]).text
            #expect(text.contains("the database has all of the log") && text.contains("m0"))
            // Nothing is missing, so no etcd is asked for.
            let data = directory.file("data")
            let restored = try SnapTool.run(
                ["restore", "etcd", server.dataDirectory, "--data-dir", data, "--etcd-program", "/nonexistent"])
            #expect(restored.errorText.contains("no etcd had to be booted"))
            #expect(try digest(server.dataDirectory) == before)
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
            #expect(try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n").count == 30)
        }

        @Test(arguments: EtcdVersion.installed) func ofAKilledMember(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version, flags: Self.lateBatches)
            try put(0..<200, to: server)
            server.kill()
            let before = try digest(server.dataDirectory)
            let survivor = try status(server)
            #expect(survivor.revision.int < 201 && survivor.log.lastIndex.int > 200)
            let beyond = survivor.committedBeyond.int + survivor.uncommittedBeyond.int
            #expect(beyond >= 200 && beyond == survivor.log.lastIndex.int - survivor.appliedIndex.int)
            let data = directory.file("data")
            let restore = ["restore", "etcd", server.dataDirectory, "--no-bump", "--data-dir"]
            let exact = try SnapTool.run(restore + [data, "--etcd-program", version.path(of: "etcd")])
            #expect(exact.errorText.contains("took up \(beyond) entries"))
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
            let keys = try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n")
            #expect(Set(keys.map(String.init)) == Set((0..<200).map { "/registry/pods/p-\($0)" }))
            again.kill()
            let alone = try SnapTool.attempt(restore + [directory.file("alone"), "--database-alone"])
            #expect(alone.status == 3 && alone.errorText.contains("it lacks \(beyond) entries"))
            #expect(try digest(server.dataDirectory) == before)
            #expect(Set(try FileManager.default.contentsOfDirectory(atPath: directory.path)) == ["data", "alone"])
            let none = try SnapTool.attempt(
                restore + [directory.file("none"), "--etcd-program", "/bin/true"])
            expectFailure(none, 1, naming: "/bin/true", "is no etcd")
        }

        /// Clients write from all sides when the power goes: what they were told is done is in the snapshot.
        @Test(arguments: EtcdVersion.installed) func everyAcknowledgedWriteIsThere(_ version: EtcdVersion) throws {
            for attempt in 0..<3 {
                let server = try EtcdServer.start(version)
                let script = """
                    i=0; while [ $i -lt 100000 ]; do
                    k=$(printf 'w%s-%s' "$2" $i | base64)
                    curl -sSf -o /dev/null -d "{\\"key\\":\\"$k\\",\\"value\\":\\"$k\\"}" "$1/v3/kv/put" 2>/dev/null || exit 0
                    echo "w$2-$i" >>"$3/acked-$2"; i=$((i+1)); done
                    """
                let acked = directory.file("acked-\(attempt)")
                try FileManager.default.createDirectory(atPath: acked, withIntermediateDirectories: true)
                let writers = try (0..<6).map {
                    try RunningCommand("sh", ["-c", script, "sh", server.clientURL, "\($0)", acked])
                }
                usleep(1_500_000)
                server.kill()
                for writer in writers { _ = try writer.wait(seconds: 30) }
                let told = try shell("cat \"$1\"/acked-*", acked).text.split(separator: "\n").map(String.init)
                #expect(told.count > 20)
                let data = directory.file("data-\(attempt)")
                try SnapTool.run([
                    "restore", "etcd", server.dataDirectory, "--data-dir", data, "--etcd-program",
                    version.path(of: "etcd"),
                ])
                let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
                let keys = try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n")
                #expect(Set(told).subtracting(keys.map(String.init)).isEmpty)
                again.kill()
            }
        }

        @Test(.timeLimit(.minutes(45)), arguments: EtcdVersion.installed)
        func threeMembersAreCompared(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3, flags: Self.lateBatches)
            let leader = try leader(of: servers)
            let others = servers.filter { $0 !== leader }
            try put(0..<20, to: leader)
            others[0].end()
            try put(20..<50, to: leader)
            others[1].kill()
            leader.end()
            let directories = [others[0], others[1], leader].flatMap { ["--data-dir", $0.dataDirectory] }
            let result = try SnapTool.json(["rebuild", "plan"] + directories)
            #expect(result.array.count == 3 && result[2].directory.string == others[0].dataDirectory)
            #expect(result[0].log.lastIndex.int >= result[1].log.lastIndex.int)
            #expect(result[1].log.lastIndex.int > result[2].log.lastIndex.int + 25)
            #expect(Set(result.array.map(\.clusterID.string)).count == 1)
            let text = try SnapTool.run(["rebuild", "plan"] + directories).text
            #expect(text.contains("is the best: of 3 survivors"))
            // Of databases alone the one that was stopped is ahead of the one that was killed, and not of its log.
            let two = Array(directories.prefix(4))
            #expect(try SnapTool.json(["rebuild", "plan"] + two)[0].directory.string == others[1].dataDirectory)
            let alone = try SnapTool.json(["rebuild", "plan", "--database-alone"] + two)
            #expect(alone[0].directory.string == others[0].dataDirectory)
            // The killed follower alone: all that was acknowledged is in its log, and little of it in its database.
            let killed = try status(others[1])
            #expect(killed.revision.int < 21 && killed.log.lastIndex.int - killed.appliedIndex.int > 30)
            let data = directory.file("data")
            try SnapTool.run([
                "restore", "etcd", others[1].dataDirectory, "--data-dir", data, "--etcd-program",
                version.path(of: "etcd"),
            ])
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
            #expect(try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n").count == 50)
            let stranger = try EtcdServer.start(version)
            stranger.end()
            let mixed = try SnapTool.attempt(
                ["rebuild", "plan"] + directories + ["--data-dir", stranger.dataDirectory])
            expectFailure(mixed, 2, naming: "is of the cluster")
        }

        /// What the leader had and the others did not confirm is dropped by etcd's own way to a new cluster, and kept here.
        @Test(.timeLimit(.minutes(45)), arguments: EtcdVersion.installed)
        func entriesThatAreNotKnownToBeCommittedAreKept(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3)
            let leader = try leader(of: servers)
            try put(0..<10, to: leader)
            let others = servers.filter { $0 !== leader }
            for other in others { try other.pause() }
            let url = "\(leader.clientURL)/v3/kv/put"
            for _ in 0..<3 {
                _ = try run(
                    "curl", ["-s", "-m", "0.2", "-d", "{\"key\":\"bmV3\",\"value\":\"bmV3\"}", url], allowsFailure: true
                )
            }
            leader.kill()
            for other in others { other.kill() }
            let survivor = try status(leader)
            #expect(survivor.uncommittedBeyond.int >= 3 && survivor.log.commit.int < survivor.log.lastIndex.int)
            let data = directory.file("data")
            let restored = try SnapTool.run([
                "restore", "etcd", leader.dataDirectory, "--data-dir", data, "--etcd-program", version.path(of: "etcd"),
            ])
            #expect(restored.errorText.contains("of them the member did not know to be committed"))
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
            #expect(try again.etcdctl("get", "new", "--print-value-only") == "new\n")
            #expect(try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n").count == 11)
        }

        /// A killed run takes its etcd with it, and what it has copied goes with the next one.
        @Test func aKilledRunLeavesNothingThatRuns() throws {
            let server = try EtcdServer.start(.v3_5, flags: Self.lateBatches)
            try put(0..<20, to: server)
            server.kill()
            let before = try digest(server.dataDirectory)
            let program = directory.file("etcd")
            // It says its version, and never serves.
            try
                "#!/bin/sh\ncase $1 in --version) echo etcd Version: 3.5.1;; *) echo $$ >\"$0.pid\"; exec sleep 300;; esac\n"
                .write(toFile: program, atomically: false, encoding: .utf8)
            try run("chmod", ["755", program])
            let arguments = [
                "restore", "etcd", server.dataDirectory, "--data-dir", directory.file("data"), "--etcd-program",
            ]
            for number in [SIGKILL, SIGTERM] {
                try? FileManager.default.removeItem(atPath: program + ".pid")
                let command = try SnapTool.start(arguments + [program])
                var pid: pid_t?
                for _ in 0..<500 where pid == nil {
                    usleep(20_000)
                    let text = try? String(contentsOfFile: program + ".pid", encoding: .utf8)
                    pid = text.flatMap { pid_t($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
                }
                let process = try #require(pid)
                command.signal(number)
                _ = try command.wait(seconds: 30)
                for _ in 0..<100 where kill(process, 0) == 0 { usleep(20_000) }
                #expect(kill(process, 0) != 0)
                let isLeft = FileManager.default.fileExists(atPath: directory.file("etcd-snap-drill-\(geteuid())"))
                #expect(isLeft == (number == SIGKILL))
            }
            try SnapTool.run(arguments + [EtcdVersion.v3_5.path(of: "etcd")])
            #expect(
                Set(try FileManager.default.contentsOfDirectory(atPath: directory.path)) == [
                    "data", "etcd", "etcd.pid",
                ])
            #expect(try digest(server.dataDirectory) == before)
        }

        /// Nobody has to tell a password for what is in a file.
        @Test(arguments: EtcdVersion.installed) func ofAnEtcdThatDemandsUsers(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(version, flags: Self.lateBatches)
            try server.etcdctl("user", "add", "root:word")
            try server.etcdctl("user", "grant-role", "root", "root")
            try server.etcdctl("auth", "enable")
            for index in 0..<5 { try server.etcdctl("put", "key-\(index)", "value", user: "root:word") }
            server.kill()
            let data = directory.file("data")
            try SnapTool.run([
                "restore", "etcd", server.dataDirectory, "--no-bump", "--data-dir", data, "--etcd-program",
                version.path(of: "etcd"),
            ])
            let restored = try SnapTool.json(["inspect", "status", data])
            #expect(restored.authEnabled.value as? Bool == true && restored.revision.int == 6)
        }

        @Test func whatIsNoDataDirectory() throws {
            let empty = directory.file("empty")
            try FileManager.default.createDirectory(atPath: "\(empty)/member/snap", withIntermediateDirectories: true)
            let none = try SnapTool.attempt(["rebuild", "plan", "--data-dir", directory.path])
            expectFailure(none, 4, naming: "is no data directory of an etcd member")
            expectFailure(
                try SnapTool.attempt(["inspect", "status", empty]), 4, naming: "is no data directory of an etcd member")
            let nothing = try SnapTool.attempt(["rebuild", "plan"])
            #expect(nothing.status == 2 && nothing.errorText.contains("--data-dir"))
        }

        /// Old files of the log go with raft's snapshots: 64 MB have to be written for each.
        @Test(.timeLimit(.minutes(45)), arguments: EtcdVersion.installed)
        func oldFilesOfTheLogAreGone(_ version: EtcdVersion) throws {
            let server = try EtcdServer.start(
                version,
                flags: Self.lateBatches + [
                    "--snapshot-count=10", "--max-wals=1", "--max-snapshots=1", "--unsafe-no-fsync",
                ])
            let first = "\(server.dataDirectory)/member/wal/0000000000000000-0000000000000000.wal"
            try server.fill(mebibytes: 140)
            for _ in 0..<90 where FileManager.default.fileExists(atPath: first) { usleep(500_000) }
            try put(0..<25, to: server)
            server.kill()
            let survivor = try status(server)
            #expect(survivor.log.firstIndex.int > 30 && survivor.log.raftSnapshotIndex.int > 100)
            #expect(survivor.log.lastIndex.int > 160 && survivor.remarks.array.isEmpty)
            let data = directory.file("data")
            try SnapTool.run([
                "restore", "etcd", server.dataDirectory, "--data-dir", data, "--etcd-program",
                version.path(of: "etcd"),
            ])
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
            #expect(try again.etcdctl("get", "", "--from-key", "--keys-only").split(separator: "\n").count == 165)
            again.kill()

            // Without raft's snapshots etcd would not start there.
            let broken = directory.file("broken")
            try shell("cp -a \"$1\" \"$2\"; rm \"$2\"/member/snap/*.snap", server.dataDirectory, broken)
            let judged = try SnapTool.attempt(["inspect", "status", broken])
            #expect(judged.status == 3 && judged.errorText.contains("etcd does not start on it"))
            let alone = try SnapTool.attempt([
                "restore", "etcd", broken, "--data-dir", directory.file("alone"), "--etcd-program",
                version.path(of: "etcd"),
            ])
            #expect(alone.status == 3 && alone.errorText.contains("for etcd would not start on its log"))
        }
    }
}
