import Foundation
import TestSupport
import Testing

extension Integration {
    /// Three masters, each with a timer of its own, and one store.
    @Suite(.serialized) struct SharedSnapshotTests {
        private func start(_ version: EtcdVersion) throws -> [EtcdServer] {
            let servers = try EtcdServer.startCluster(version, memberCount: 3, pki: Laboratory.shared().pki())
            for index in 0..<40 { try servers[0].etcdctl("put", "/registry/pods/ns/p\(index)", "\(index)") }
            return servers
        }

        /// Three that have a backup each, of which one has a snapshot that the others name; returns its reference.
        private func started(_ masters: Masters) throws -> String {
            let first = try masters.makeBackup(0)
            // Times are whole seconds, and of one second none of several nodes' backups is the latest.
            Thread.sleep(forTimeInterval: 1)
            for index in 1...2 { _ = try masters.makeBackup(index) }
            return first.reference.string
        }

        @Test(arguments: EtcdVersion.installed)
        func aSlotHasOneSnapshot(_ version: EtcdVersion) throws {
            let servers = try start(version)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            // Nobody else has stored anything: nothing tells that others will.
            let first = try masters.makeBackup(0)
            #expect(first.hasSnapshot && first.sidecar.slot.value == nil)
            let reference = first.reference.string
            for index in 1...2 {
                let report = try masters.makeBackup(index)
                #expect(!report.hasSnapshot && report.sidecar.entryCount.int > 10)
                let shared = report.sidecar.sharedSnapshots[0]
                #expect(shared.reference.string == reference && shared.name.string == "etcd")
                #expect(shared.clusterID.string == first.sidecar.etcd[0].clusterID.string)
                #expect(shared.slot.int == report.sidecar.slot.number.int)
                #expect(report.sidecar.slot.lengthMinutes.int == Masters.slotMinutes)
            }
            try expectShown(masters, reference)
            // The next slot: all at once.
            try masters.delete(reference)
            let reports = try masters.makeBackups([0, 1, 2])
            let takers = reports.filter(\.hasSnapshot)
            #expect(takers.count == 1, "\(reports.map(\.reference.string))")
            for report in reports where !report.hasSnapshot {
                #expect(report.sidecar.sharedSnapshots[0].reference.string == takers.first?.reference.string)
            }
            // What is asked for is done.
            let own = try masters.makeBackup(1, ["--every-node"])
            #expect(own.hasSnapshot && own.sidecar.sharedSnapshots.value == nil)
        }

        private func expectShown(_ masters: Masters, _ reference: String) throws {
            let phrase = "files only; snapshot by cp-1 in \(reference)"
            let listed = try masters.attempt(["list"])
            #expect(listed.text.components(separatedBy: phrase).count == 3, "\(listed.text)")
            let document = try JSON(masters.attempt(["list", "-o", "json"]).output)
            #expect(document.array.filter { $0.sharedSnapshots[0].reference.string == reference }.count == 2)
            let node = ["--node", "cp-2"]
            #expect(try masters.attempt(["describe"], node).text.contains(phrase))
            let verified = try masters.attempt(["verify", "-i", masters.key.path], node)
            #expect(verified.status == 0 && verified.text.contains(phrase), "\(verified.text)\(verified.errorText)")
            let report = try SnapTool.attempt(
                masters.backup(1).map { $0 == "json" ? "table" : $0 })
            #expect(report.text.contains(phrase), "\(report.text)")
            #expect(report.errorText.contains("--every-node"), "\(report.errorText)")
            let doctor = try SnapTool.attempt(
                ["doctor", "--config", masters.masters[1].configuration, "--root", masters.masters[1].node.root])
            #expect(doctor.text.contains("snapshot of \"etcd\" by cp-1 in \(reference)"), "\(doctor.text)")
        }

        @Test func whoDoesNotComeIsTakenOver() throws {
            let servers = try start(.v3_5)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers, takeOverMinutes: 1)
            try masters.delete(started(masters))
            let places = try (0..<3).map { try masters.place($0) }
            #expect(places.sorted() == [0, 1, 2])
            let others = (0..<3).filter { places[$0] != 0 }
            // The first one's store fails.
            let first = try #require(places.firstIndex(of: 0))
            let lock = "\(masters.store)/test/\(masters.masters[first].name)/.lock"
            let holder = try BackgroundProcess.holdingLock(on: lock, ready: masters.directory.file("ready"))
            #expect(try SnapTool.attempt(masters.backup(first)).status == 5)
            holder.stop()
            let start = ContinuousClock.now
            let reports = try masters.makeBackups(others)
            #expect(ContinuousClock.now - start > .seconds(59))
            for (index, report) in zip(others, reports) {
                #expect(report.hasSnapshot == (places[index] == 1))
                guard places[index] == 2 else { continue }
                let taker = reports.first(where: \.hasSnapshot)?.reference.string
                #expect(report.sidecar.sharedSnapshots[0].reference.string == taker)
            }
            // Who comes late finds it done.
            let late = try masters.makeBackup(first)
            #expect(!late.hasSnapshot)
        }

        /// Each etcd has an order of its own: who is the first of one does not wait for the other.
        @Test func everyEtcdHasOneSnapshotASlot() throws {
            let servers = try start(.v3_5)
            let events = try EtcdServer.startCluster(.v3_4, memberCount: 3)
            defer { for server in servers + events { server.kill() } }
            let masters = try Masters(servers, takeOverMinutes: 2)
            for (master, events) in zip(masters.masters, events) {
                try master.node.addEvents(events, beside: master.server)
            }
            let first = try masters.makeBackup(0)
            #expect(first.sidecar.etcd.array.map(\.name.string) == ["etcd", "etcd-events"])
            let second = try masters.makeBackup(1)
            #expect(second.sidecar.sharedSnapshots.array.map(\.name.string) == ["etcd", "etcd-events"])
            _ = try masters.makeBackup(2)
            try masters.delete(first.reference.string)
            let start = ContinuousClock.now
            _ = try masters.makeBackups([0, 1, 2])
            #expect(ContinuousClock.now - start < .seconds(110))
            let names = try JSON(masters.attempt(["list", "-o", "json"]).output).array.flatMap {
                $0.etcd.array.map(\.name.string)
            }
            #expect(names.sorted() == ["etcd", "etcd-events"])
        }

        /// Of a member that is down nothing is expected, and nobody waits for it.
        @Test(arguments: EtcdVersion.installed)
        func aMemberThatIsDownIsNotWaitedFor(_ version: EtcdVersion) throws {
            let servers = try start(version)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            try masters.delete(started(masters))
            let first = try #require(try (0..<3).first { try masters.place($0) == 0 })
            servers[first].kill()
            usleep(3_000_000)
            let start = ContinuousClock.now
            let reports = try masters.makeBackups((0..<3).filter { $0 != first })
            #expect(ContinuousClock.now - start < .seconds(100))
            #expect(reports.filter(\.hasSnapshot).count == 1)
        }

        /// A backup that waits holds nothing that others need, and can be stopped.
        @Test func waitingIsStoppedAtOnce() throws {
            let servers = try start(.v3_5)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            try masters.delete(started(masters))
            let second = try #require(try (0..<3).first { try masters.place($0) == 1 })
            let waiting = try SnapTool.start(masters.backup(second))
            usleep(3_000_000)
            #expect(waiting.isRunning)
            let meanwhile = try masters.makeBackup(second, ["--every-node"])
            #expect(meanwhile.hasSnapshot)
            waiting.signal(SIGTERM)
            let result = try waiting.wait(seconds: 20)
            #expect([0, 3, 143].contains(result.status), "\(result.errorText)")
            #expect(result.errorText.contains("waiting"), "\(result.errorText)")
        }

        @Test(arguments: EtcdVersion.installed)
        func aRestoreJoinsFilesAndSnapshot(_ version: EtcdVersion) throws {
            let servers = try start(version)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            let reference = try started(masters)
            let keys = try servers[0].allKeys()
            #expect(keys.count == 40)
            let target = masters.directory.file("restored")
            let identity = ["-i", masters.key.path]
            let restored = try masters.attempt(
                ["restore", "latest", "--target", target, "-o", "json"] + identity, ["--node", "cp-2"])
            #expect(restored.status == 0, "\(restored.errorText)")
            #expect(restored.errorText.contains(reference))
            let report = try JSON(restored.output)
            #expect(report.snapshots.array.map(\.string) == ["etcd/etcd.db"])
            #expect(report.joined[0].string.contains(reference))
            #expect(FileManager.default.fileExists(atPath: "\(target)/files/etc/kubernetes/pki/ca.key"))
            // Of the whole cluster the latest backup is one of files, too.
            for (index, source) in ["latest", "\(target)/etcd/etcd.db"].enumerated() {
                let data = masters.directory.file("data-\(index)")
                let arguments = ["--data-dir", data, "--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]
                let result =
                    index == 0
                    ? try masters.attempt(["restore", "etcd", source, "--no-bump"] + identity + arguments)
                    : try SnapTool.attempt(["restore", "etcd", source, "--no-bump"] + arguments)
                #expect(result.status == 0, "\(result.errorText)")
                if index == 0 { #expect(result.errorText.contains("is taken from \(reference)")) }
                let server = try EtcdServer.start(version, flags: ["--data-dir=\(data)"])
                defer { server.kill() }
                #expect(try server.allKeys() == keys)
            }
            try expectJoinedByPaths(masters, reference, keys.count)
            let files = try masters.attempt(
                ["restore", "latest", "--only", "files", "--target", masters.directory.file("files")] + identity,
                ["--node", "cp-2"])
            #expect(files.status == 0 && !files.errorText.contains(reference))
        }

        /// What was downloaded lies side by side in a directory.
        private func expectJoinedByPaths(_ masters: Masters, _ reference: String, _ count: Int) throws {
            let copies = masters.directory.file("copies")
            try run("mkdir", ["-m", "0700", copies])
            let files = try masters.attempt(["download", "latest", copies, "-o", "json"], ["--node", "cp-3"])
            #expect(files.status == 0 && files.errorText.contains(reference), "\(files.errorText)")
            let path = try #require(try JSON(files.output).paths.array.map(\.string).first { $0.hasSuffix(".age") })
            let inspect = ["inspect", "status", path, "-i", masters.key.path]
            expectFailure(try SnapTool.attempt(inspect), 4, naming: reference)
            let named = try SnapTool.json(inspect + ["--store", masters.store])
            #expect(named.liveKeys.int == count)
            try SnapTool.run(["download", reference, copies, "--store", masters.store])
            #expect(try SnapTool.json(inspect).liveKeys.int == count)
        }

        @Test func aSnapshotThatIsGoneOrAnotherOneIsSaid() throws {
            let servers = try start(.v3_5)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            let older = try masters.makeBackup(0).reference.string
            let reference = try masters.makeBackup(0).reference.string
            let files = try masters.makeSharingBackup(1)
            #expect(try JSON(masters.attempt(["list", "-o", "json"]).output).array.count == 3)
            let inspect = ["inspect", "status", files, "-i", masters.key.path, "--store", masters.store]
            let taken = try SnapTool.attempt(inspect)
            #expect(taken.status == 0 && taken.errorText.contains(reference), "\(taken.errorText)")
            // Another snapshot under its name.
            let archive = "\(masters.store)/\(reference).tar.zst.age"
            let original = try Data(contentsOf: URL(fileURLWithPath: sidecar(of: archive)))
            for (field, value) in [
                ("etcd.0.clusterID", "abcd"), ("etcd.0.databaseSHA256", String(repeating: "ab", count: 32)),
            ] {
                try changeSidecar(of: archive) { SidecarField.set(field, value, in: &$0) }
                expectFailure(try SnapTool.attempt(inspect), 7, naming: reference)
                try original.write(to: URL(fileURLWithPath: sidecar(of: archive)))
            }
            // Without it the one before is taken, and that is said.
            let deleted = try masters.delete(reference)
            #expect(deleted.errorText.contains(files), "\(deleted.errorText)")
            let data = masters.directory.file("data")
            let arguments = ["restore", "etcd", files, "-i", masters.key.path, "--data-dir", data]
            let member = ["--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]
            let result = try SnapTool.attempt(arguments + member + ["--store", masters.store])
            #expect(result.status == 3, "\(result.errorText)")
            #expect(result.errorText.contains(older) && result.errorText.contains(reference), "\(result.errorText)")
            try masters.delete(older)
            expectFailure(try SnapTool.attempt(inspect), 4, naming: files, reference)
            let target = masters.directory.file("all")
            let all = ["restore", files, "-i", masters.key.path, "--store", masters.store, "--target", target]
            expectFailure(try SnapTool.attempt(all), 4, naming: files)
            #expect(!FileManager.default.fileExists(atPath: target))
        }

        /// Keys that were rotated between the two.
        @Test func filesThatDoNotFitTheSnapshotAreAWarning() throws {
            let servers = try start(.v3_5)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(
                servers, settings: "include: [{path: /etc/kubernetes/enc.yaml, class: encryption-configuration}]")
            for (index, secret) in ["A", "B"].enumerated() {
                let key = String(repeating: secret, count: 42) + "A="
                try masters.masters[index].node.change(
                    """
                    echo '{kind: EncryptionConfiguration, apiVersion: apiserver.config.k8s.io/v1, resources: [{resources: \
                    [secrets], providers: [{aescbc: {keys: [{name: k1, secret: \(key)}]}}, {identity: {}}]}]}' \
                    >etc/kubernetes/enc.yaml
                    """)
            }
            try masters.masters[1].node.change("echo another >etc/kubernetes/pki/sa.key")
            _ = try masters.makeBackup(0)
            let files = try masters.makeBackup(1).reference.string
            let target = masters.directory.file("all")
            let result = try SnapTool.attempt(
                ["restore", files, "-i", masters.key.path, "--store", masters.store, "--target", target])
            #expect(result.status == 3, "\(result.errorText)")
            #expect(result.errorText.contains("aescbc:v1:k1"), "\(result.errorText)")
            #expect(result.errorText.contains("/etc/kubernetes/pki/sa.key"), "\(result.errorText)")
            #expect(FileManager.default.fileExists(atPath: "\(target)/etcd/etcd.db"))
        }

        /// A store of this node's own, endpoints that are given, a cluster of one member: as ever, and at once.
        @Test func whereNothingIsSharedEachTakesItsOwn() throws {
            let servers = try start(.v3_5)
            defer { for server in servers { server.kill() } }
            let masters = try Masters(servers)
            for _ in 0..<2 {
                let result = try SnapTool.attempt(masters.backup(0, ["-v"]))
                let report = try JSON(result.output)
                #expect(report.hasSnapshot && report.sidecar.slot.value == nil)
                #expect(result.errorText.contains("no other node has stored anything"), "\(result.errorText)")
            }
            let given = try masters.makeBackup(1, ["--endpoints", servers[1].clientURL])
            #expect(given.hasSnapshot && given.sidecar.slot.value == nil)
            let single = try Laboratory.shared().server(.v3_5)
            let one = try Masters([single, single])
            for index in [0, 1, 1] {
                let result = try SnapTool.attempt(one.backup(index, ["-v"]))
                #expect(try JSON(result.output).hasSnapshot)
                #expect(!result.errorText.contains("its own snapshot"), "\(result.errorText)")
            }
        }
    }
}
