import Foundation
import TestSupport
import Testing

extension Integration {
    /// One backup from beginning to end: made, looked at, copied, restored and booted.
    @Suite struct BackupTests {
        @Test(arguments: EtcdVersion.installed)
        func comesBack(_ version: EtcdVersion) throws {
            let store = try TestStore(Laboratory.shared().server(version))
            let tree = try SourceTree.make(in: store.directory)
            let report = try SnapTool.json(store.backup(["--include", tree]))
            #expect(report.findings.array.isEmpty && report.skipped.array.isEmpty)
            #expect(report.sidecar.etcd[0].serverVersion.string.hasPrefix(version.rawValue))
            try store.expectPrivate()

            let target = store.directory.file("restored")
            let restored = try SnapTool.json(["restore", "-i", store.key.path, "--target", target] + store.flags)
            #expect(restored.snapshots[0].string == "etcd/etcd.db")
            #expect(restored.refusedAttributeCount.int == 0)
            #expect(try differences(tree, "\(target)/files\(tree)") == "")
            try expectBoots("\(target)/etcd/etcd.db", like: store.server, version)
        }

        /// etcd's own tools take the snapshot, and what boots from it has every key with its revisions.
        private func expectBoots(_ snapshot: String, like original: EtcdServer, _ version: EtcdVersion) throws {
            let directory = try TemporaryDirectory()
            let tool = version.path(of: version == .v3_4 ? "etcdctl" : "etcdutl")
            let environment = ["ETCDCTL_API": "3"]
            let status = try JSON(
                run(tool, ["snapshot", "status", snapshot, "-w", "json"], environment: environment).output)
            #expect(status.revision.int > 6)
            let data = directory.file("data")
            let member = ["--name=m0", "--initial-cluster=m0=http://127.0.0.1:1"]
            try run(
                tool,
                [
                    "snapshot", "restore", snapshot, "--data-dir=\(data)",
                    "--initial-advertise-peer-urls=http://127.0.0.1:1",
                ]
                    + member, environment: environment)
            let server = try EtcdServer.start(version, pki: original.pki, flags: ["--data-dir=\(data)"])
            defer { server.kill() }
            let keys = try original.allKeys()
            #expect(keys.count > 300)
            #expect(try server.allKeys() == keys)
        }

        @Test func listShowsWhatThereIs() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            expectFailure(try SnapTool.attempt(["list"] + store.flags), 4, naming: store.root)
            let ids = try (0..<3).map { _ in
                String(URL(fileURLWithPath: try store.makeBackup()).lastPathComponent.prefix { $0 != "." })
            }
            let lines = try SnapTool.run(["list"] + store.flags).text.split(separator: "\n")
            #expect(lines.first?.hasPrefix("CLUSTER") == true && lines.count == 4)
            let documents = try SnapTool.json(["list"] + store.flags)
            for ((id, line), document) in zip(zip(ids, lines.dropFirst()), documents.array) {
                let level = document.verification.string
                #expect(["streamed", "structural", "consistent"].contains(level))
                #expect(line.hasPrefix("test ") && line.contains(id) && line.contains(level), "\(line)")
            }
            #expect(documents.array.map(\.archive.id.string) == ids)
            #expect(documents.array.map(\.sequence.int) == [1, 2, 3])
            let yaml = try SnapTool.run(["list", "-o", "yaml"] + store.flags).text
            for id in ids { #expect(yaml.contains("id: \(id)")) }
            // Other places have nothing to do with it.
            let elsewhere = ["list", "--store", store.root, "--node", "other"]
            expectFailure(try SnapTool.attempt(elsewhere), 4, naming: store.root)
        }

        @Test func describeShowsMoreWithTheKey() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.directory.write("x", to: "canary-name")
            try store.makeBackup(["--include", store.directory.file("canary-name"), "--name", "main"])
            let without = try SnapTool.run(["describe"] + store.flags).text
            #expect(without.contains("-i") && !without.contains("canary-name"))
            let with = try SnapTool.run(["describe", "latest", "-i", store.key.path] + store.flags).text
            for text in ["canary-name", "etcd/main.db", "127.0.0.1", "it is the leader", "m0"] {
                #expect(with.contains(text), "\(with)")
            }
            let manifest = try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest
            #expect(manifest.entries.array.contains { $0.path.string.hasSuffix("/canary-name") && $0.size.int == 1 })
            #expect(manifest.etcd[0].members[0].name.string == "m0")
            let report = try JSON(SnapTool.run(["describe", "-o", "json"] + store.flags).output)
            #expect(report.manifest.value == nil && report.sidecar.sequence.int == 1)
        }

        @Test func verifyChecksWithAndWithoutTheKey() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let archive = try store.makeBackup()
            let without = try SnapTool.json(["verify"] + store.flags)
            #expect(without.checked.array.count == 1 && without.contentSize.value == nil)
            let with = try SnapTool.json(["verify", "-i", store.key.path] + store.flags)
            #expect(with.checked.array.count == 4 && with.contentSize.int > 0)
            #expect(with.unconfirmed.array.contains { $0.field.string == "completedAt" })
            let text = try SnapTool.run(["verify", "-i", store.key.path] + store.flags).text
            #expect(text.contains("every page of etcd's database") && text.contains("not confirmed:"))
            try changeSidecar(of: archive) { $0["verification"] = "stored" }
            let forged = try SnapTool.run(["verify", "-i", store.key.path] + store.flags).text
            #expect(forged.contains("not confirmed:  verification, \"stored\""), "\(forged)")
            let described = try SnapTool.run(["describe", "-i", store.key.path] + store.flags).text
            #expect(described.contains("stored by the sidecar, structural is sealed"), "\(described)")
        }

        @Test func verifyClaimsNoDatabaseWhereThereIsNone() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let file = try store.directory.write("x", to: "included")
            let configuration = try Laboratory.shared().plainConfiguration
            try SnapTool.run(
                ["backup", "--config", configuration, "-r", store.key.recipient, "--no-etcd", "--include", file]
                    + store.flags)
            let text = try SnapTool.run(["verify", "-i", store.key.path] + store.flags).text
            #expect(text.contains("no snapshot of etcd is in it"))
            #expect(!text.contains("page") && !text.contains("trailer"))
        }

        @Test func downloadGivesTheSealedBytes() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let archive = try store.makeBackup()
            let bytes = try Data(contentsOf: URL(fileURLWithPath: archive))
            let name = URL(fileURLWithPath: archive).lastPathComponent
            let sidecar = name.replacingOccurrences(of: ".tar.zst.age", with: ".json")
            let directory = store.directory.file("usb")
            try run("mkdir", [directory])
            try SnapTool.run(["download", "latest", directory] + store.flags)
            #expect(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)")) == bytes)
            #expect(FileManager.default.fileExists(atPath: "\(directory)/\(sidecar)"))
            try SnapTool.run(["download", "latest", "\(directory)/copy.tar.zst.age"] + store.flags)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).count == 4)
            #expect(try SnapTool.run(["download", "latest", "-"] + store.flags).output == bytes)
            // A copy is never replaced.
            let again = try SnapTool.attempt(["download", "latest", directory] + store.flags)
            expectFailure(again, 1, naming: name)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).count == 4)
        }

        @Test func deleteRemovesWhatItIsTold() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let id = URL(fileURLWithPath: try store.makeBackup()).lastPathComponent.prefix { $0 != "." }
            try store.makeBackup()
            expectFailure(try SnapTool.attempt(["delete", String(id)] + store.flags), 2, naming: "terminal")
            try SnapTool.run(["delete", String(id), "--dry-run"] + store.flags)
            #expect(try store.names().count == 4)
            try SnapTool.run(["delete", String(id), "--yes"] + store.flags)
            #expect(try store.names().count == 2)
            #expect(try !store.names().contains { $0.hasPrefix(id) })
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
        }

        @Test func dryRunsChangeNothing() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let plan = try SnapTool.run(store.backup(["--dry-run"])).text
            #expect(
                plan.contains("would take the snapshot etcd/etcd.db from https://127.0.0.1:\(store.server.clientPort)"))
            #expect(!FileManager.default.fileExists(atPath: store.root))
            try store.makeBackup()
            let target = store.directory.file("restored")
            let restore = ["restore", "--dry-run", "-i", store.key.path, "--target", target] + store.flags
            #expect(try SnapTool.run(restore).text.contains("etcd/etcd.db"))
            #expect(!FileManager.default.fileExists(atPath: target))
        }
    }
}
