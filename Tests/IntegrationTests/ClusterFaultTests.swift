import Foundation
import TestSupport
import Testing

extension Integration {
    /// Clusters in trouble: whether a backup says so, and says no more than it knows.
    @Suite(.serialized) struct ClusterFaultTests {
        private static let isRoot = geteuid() == 0

        /// The arguments of a backup with one endpoint.
        private func backup(_ store: TestStore, from server: EtcdServer, _ more: [String] = []) -> [String] {
            var arguments = store.backup(["-o", "json"] + more)
            arguments[4] = server.clientURL
            return arguments
        }

        private func manifest(_ store: TestStore) throws -> JSON {
            try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest
        }

        private func codes(_ findings: JSON) -> [String] { findings.array.map(\.code.string) }

        @Test(.enabled(if: isRoot, "a network of its own needs root"), arguments: EtcdVersion.installed)
        func aMemberThatIsCutOffIsOld(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3)
            defer { for server in servers { server.kill() } }
            try servers[2].etcdctl("put", "before", "1")
            let alone = try CutOffMember(instead: servers[2], others: Array(servers[..<2]))
            defer { alone.stop() }
            try alone.cutOff(servers[2])
            for index in 0..<60 { try servers[0].etcdctl("put", "later", "\(index)") }
            let store = try TestStore(servers[0])
            let result = try SnapTool.attempt(backup(store, from: servers[2], ["--verify", "consistent"]))
            #expect(result.status == 3, "\(result.errorText)")
            let report = try JSON(result.output)
            let finding = try #require(report.findings.array.first { $0.code.string == "snapshot-may-be-old" })
            #expect(finding.severity.string == "error")
            #expect(finding.message.string.contains("60 revisions and "), "\(finding.message.string)")
            #expect(finding.message.string.contains("no leader"))
            let members = try manifest(store).run.members.array
            #expect(members.count == 3 && members.filter { $0.revision.int > 0 }.count == 3)
            #expect(members.filter { ($0.isSource.value as? Bool) == true }.map(\.name.string) == ["m2"])
            // The others keep up.
            let well = try SnapTool.attempt(backup(store, from: servers[0]))
            #expect(well.status == 0, "\(well.errorText)")
            // Of all three the freshest is taken.
            var all = store.backup(["-o", "json"])
            all[4] = servers.reversed().map(\.clientURL).joined(separator: ",")
            let best = try SnapTool.attempt(all)
            #expect(best.status == 0, "\(best.errorText)")
            #expect(try manifest(store).etcd[0].endpoint.string != servers[2].clientURL)
        }

        @Test(arguments: EtcdVersion.installed)
        func withTwoOfThreeDownNothingIsClaimed(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3)
            defer { for server in servers { server.kill() } }
            let store = try TestStore(servers[0])
            for server in servers[1...] { server.kill() }
            usleep(3_000_000)
            let start = ContinuousClock.now
            let result = try SnapTool.attempt(backup(store, from: servers[0], ["--verify", "consistent"]))
            #expect(ContinuousClock.now - start < .seconds(120))
            #expect(result.status == 3, "\(result.errorText)")
            let report = try JSON(result.output)
            #expect(report.sidecar.verification.string == "structural")
            #expect(Set(codes(report.findings)) == ["snapshot-may-be-old", "hashkv-not-compared"])
            let text = try SnapTool.run(["describe", "-i", store.key.path] + store.flags).text
            #expect(text.contains("not known") && !text.contains("none"), "\(text)")
        }

        /// A majority is enough for "consistent"; who did not answer is noted and no defect of the backup.
        @Test func oneOfThreeDownIsNoDefectOfTheBackup() throws {
            let servers = try EtcdServer.startCluster(.v3_5, memberCount: 3)
            defer { for server in servers { server.kill() } }
            let store = try TestStore(servers[0])
            servers[2].kill()
            usleep(3_000_000)
            let result = try SnapTool.attempt(backup(store, from: servers[0], ["--verify", "consistent"]))
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try JSON(result.output).sidecar.verification.string == "consistent")
            let down = try manifest(store).run.members.array.first { $0.name.string == "m2" }
            #expect(down?.problem.string.contains("Connection refused") == true)
        }

        @Test(arguments: EtcdVersion.installed)
        func behindABalancerTheMemberIsNamedThatStreamed(_ version: EtcdVersion) throws {
            let servers = try EtcdServer.startCluster(version, memberCount: 3)
            defer { for server in servers { server.kill() } }
            try servers[0].fill(mebibytes: 4)
            let store = try TestStore(servers[0])
            for first in 0..<3 {
                let balancer = try Balancer(over: servers.map(\.clientPort), first: first)
                defer { balancer.close() }
                let report = try SnapTool.json(store.backup(port: balancer.port, ["--verify", "consistent"]))
                #expect(report.sidecar.verification.string == "consistent")
                let counts = balancer.answeredByteCounts
                let streaming = try #require(counts.indices.max { counts[$0] < counts[$1] })
                let record = try manifest(store).etcd[0]
                let member = record.members.array.first { $0.id.string == record.memberID.string }
                #expect(member?.name.string == "m\(streaming)")
            }
        }

        @Test func twoAlarmsAreBothShown() throws {
            let servers = try EtcdServer.startCluster(.v3_5, memberCount: 3)
            defer { for server in servers { server.kill() } }
            let store = try TestStore(servers[0])
            let members = try JSON(Data(servers[0].etcdctl("member", "list", "-w", "json").utf8)).members.array
            let ids = members.sorted { $0.name.string < $1.name.string }.compactMap { $0.ID.value as? NSNumber }
            for (id, alarm) in zip(ids, ["NOSPACE", "CORRUPT"]) {
                let body = "{\"action\":\"ACTIVATE\",\"memberID\":\"\(id.uint64Value)\",\"alarm\":\"\(alarm)\"}"
                try run("curl", ["-sSf", "-d", body, "\(servers[0].clientURL)/v3/maintenance/alarm"])
            }
            let result = try SnapTool.attempt(backup(store, from: servers[0]))
            #expect(result.status == 3, "\(result.errorText)")
            let messages = try JSON(result.output).findings.array.map(\.message.string)
            let expected = zip(ids, ["NOSPACE", "CORRUPT"]).map { id, alarm in
                "alarm \(alarm) of member \(String(id.uint64Value, radix: 16)) is raised"
            }
            #expect(messages.sorted() == expected.sorted())
        }

        /// Only one of them can be in the backup.
        @Test func endpointsOfTwoClusters() throws {
            let servers = try [Laboratory.shared().server(.v3_5), Laboratory.shared().server(.v3_4)]
            let store = try TestStore(servers[0])
            let urls = servers.map(\.clientURL).joined(separator: ",")
            let flags = store.backup().map { $0 == servers[0].clientURL ? urls : $0 }
            let result = try SnapTool.attempt(flags + ["-o", "json"])
            #expect(result.status == 3, "\(result.errorText)")
            let findings = try JSON(result.output).findings.array
            #expect(findings.map(\.code.string) == ["etcd-of-another-cluster"])
            #expect(findings.first?.message.string.contains(servers[1].clientURL) == true)
            let dryRun = try SnapTool.attempt(flags + ["--dry-run"])
            #expect(dryRun.status == 3 && dryRun.text.contains("etcd-of-another-cluster"), "\(dryRun.text)")
        }

        /// The store fills up while an etcd streams that was only found: that etcd is not to blame.
        @Test(.enabled(if: isRoot, "mounting needs root"))
        func aFullStoreIsNoFaultOfAnOptionalEtcd() throws {
            let main = try Laboratory.shared().server(.v3_5)
            let events = try EtcdServer.start(.v3_5)
            defer { events.kill() }
            try events.fill(mebibytes: 40)
            let directory = try TemporaryDirectory()
            try run("mkdir", ["-m", "0700", directory.file("mount")])
            // Room by the last archive's ratio, of a backup without the events.
            try run("mount", ["-t", "tmpfs", "-o", "mode=0700,size=24m", "tmpfs", directory.file("mount")])
            defer { _ = try? run("umount", ["--lazy", directory.file("mount")], allowsFailure: true) }
            let store = try TestStore(main, root: directory.file("mount"))
            let node = try ControlPlaneNode(in: store.directory, runs: main)
            try node.addEvents(events, beside: main)
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient] + main.flags() + store.flags
            let result = try SnapTool.attempt(arguments)
            expectFailure(result, 6, naming: directory.file("mount"))
            #expect(!result.errorText.contains("without it"), "\(result.errorText)")
            try store.expectEmpty()
        }

        /// What is recorded of a run, for whoever looks later.
        @Test func theRunIsRecorded() throws {
            let servers = try EtcdServer.startCluster(.v3_4, memberCount: 3)
            defer { for server in servers { server.kill() } }
            try servers[0].fill(mebibytes: 24)
            let store = try TestStore(servers[0])
            let valves = try servers.map { try Valve(to: $0.clientPort, limit: 6_000_000) }
            defer { for valve in valves { valve.close() } }
            var arguments = store.backup(["-o", "json"])
            arguments[4] = valves.map { "http://127.0.0.1:\($0.port)" }.joined(separator: ",")
            let running = try SnapTool.start(arguments)
            while !valves.contains(where: { $0.passedByteCount >= 6_000_000 }), running.isRunning { usleep(10_000) }
            let chosen = try #require(valves.firstIndex { $0.passedByteCount >= 6_000_000 })
            for (index, valve) in valves.enumerated() where index != chosen { valve.open() }
            valves[chosen].close()
            let result = try running.wait()
            #expect(result.status == 0, "\(result.errorText)")
            let record = try manifest(store).run
            #expect(record.attempts.array.count == 2)
            #expect(record.attempts[0].failure.string.contains(":\(valves[chosen].port)"))
            #expect(record.attempts[1].failure.value == nil)
            #expect(record.stages.array.map(\.name.string) == ["connect", "files", "snapshot etcd", "analysis"])
            #expect(record.notes.array.contains { $0.string.contains("trying the next endpoint") })
            #expect(record.members.array.count == 3)
        }

        @Test func aDryRunIsADocument() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let node = try ControlPlaneNode(in: store.directory, runs: store.server)
            let arguments = ["backup", "--dry-run", "--root", node.root, "-r", store.key.recipient, "-o", "json"]
            let result = try SnapTool.attempt(arguments + store.server.flags() + store.flags)
            #expect(result.status == 0, "\(result.errorText)")
            let preview = try JSON(result.output)
            #expect(preview.snapshots[0].endpoint.string == store.server.clientURL)
            #expect(preview.snapshots[0].path.string == "etcd/etcd.db" && preview.snapshots[0].databaseSize.int > 0)
            #expect(preview.files.array.contains { $0.path.string == "/etc/kubernetes/pki/ca.key" })
            #expect(preview.fileCount.int == preview.files.array.count && preview.recipients.array.count == 1)
            #expect(!FileManager.default.fileExists(atPath: store.root))
        }

        @Test func idsAreTheSameEverywhere() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let id = try manifest(store).etcd[0].memberID.string
            let status = try SnapTool.json(["inspect", "status", "latest", "-i", store.key.path] + store.flags)
            #expect(status.members[0].id.string == id && !id.isEmpty)
        }

        @Test func doctorComparesTheListOfMembers() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let node = try ControlPlaneNode(in: store.directory, runs: store.server)
            try node.change("sed -i 's#--name=[a-z0-9]*#--name=stranger#' etc/kubernetes/manifests/etcd.yaml")
            let result = try SnapTool.attempt(
                ["doctor", "--root", node.root, "-r", store.key.recipient, "-o", "json"] + store.server.flags()
                    + store.flags)
            #expect(codes(try JSON(result.output).findings).contains("member-list-mismatch"), "\(result.text)")
        }
    }

    /// What the system refuses or tells the process.
    @Suite struct ProcessTests {
        /// A thread that can't be started, whichever it is, ends the run in a sentence or does not matter.
        @Test(.timeLimit(.minutes(45)))
        func oneThreadCantBeStarted() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            for number in 1...12 {
                let inject = "inject=clone,clone3:error=EAGAIN:when=\(number)"
                let result = try RunningCommand(
                    "strace",
                    ["-f", "-o", "/dev/null", "-e", "trace=clone,clone3", "-e", inject, SnapTool.executable()]
                        + store.backup()
                ).wait(seconds: 60)
                #expect([0, 1].contains(result.status), "call \(number): \(result.errorText)")
                if result.status == 1 { #expect(result.errorText.contains("thread"), "\(result.errorText)") }
            }
        }

        /// nohup has SIGHUP ignored, and a closed terminal then is no reason to stop.
        @Test func aSignalThatIsIgnoredStaysIgnored() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            for ignored in [true, false] {
                let valve = try Valve(to: store.server.clientPort, limit: 10_000_000)
                defer { valve.close() }
                let script = ignored ? "trap '' HUP; exec \"$0\" \"$@\"" : "exec \"$0\" \"$@\""
                let backup = try RunningCommand(
                    "sh", ["-c", script, SnapTool.executable()] + store.backup(port: valve.port))
                try valve.waitUntilHeld { backup.isRunning }
                backup.signal(SIGHUP)
                usleep(300_000)
                valve.open()
                #expect(try backup.wait().status == (ignored ? 0 : 129))
            }
        }
    }
}
