import Foundation
import TestSupport
import Testing

extension Integration {
    /// An audit of stores that real backups have filled.
    @Suite struct AuditTests {
        private func audit(_ store: TestStore, _ more: [String] = []) throws -> CommandResult {
            try SnapTool.attempt(["audit", "--store", store.root] + more)
        }

        @Test func whatAStoreProves() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let ids = try (0..<3).map { _ in try store.makeBackupID() }
            let report = try JSON(SnapTool.run(["audit", "--store", store.root, "-o", "json"]).output)
            let node = report.nodes[0]
            #expect(report.verdict.string == "passed" && node.cluster.string == "test" && node.node.string == "node")
            #expect(node.backupCount.int == 3 && node.snapshotCount.int == 3 && node.first.id.string == ids[0])
            #expect(node.last.id.string == ids[2] && node.stores[0].chain.string == "unbroken")
            #expect(node.recipients[0].recipientCount.int == 1 && node.recipients[0].backupCount.int == 3)
            #expect(node.levels.array.map(\.backupCount.int).reduce(0, +) == 3)
            #expect(report.notLookedAt[0].string.contains("archives were not opened"))
            let text = try audit(store).text
            for words in ["3 sidecars", "not looked at", "unbroken: all 2 links", "there 1-3", "passed: nothing"] {
                #expect(text.contains(words), "\(text)")
            }
            // No key and no archive is needed: what is sealed may be anything of that size.
            let archive = "\(store.scopeDirectory)/\(ids[0]).tar.zst.age"
            let size = try #require(FileManager.default.attributesOfItem(atPath: archive)[.size] as? Int)
            try run("dd", ["if=/dev/zero", "of=\(archive)", "bs=\(size)", "count=1", "conv=notrunc"])
            #expect(try audit(store).status == 0)

            try SnapTool.run(["delete", "--yes", ids[0]] + store.flags)
            #expect(try audit(store).text.contains("there 2-3; removed 1; missing none"))
            try run("rm", ["\(store.scopeDirectory)/\(ids[1]).tar.zst.age", "\(store.scopeDirectory)/\(ids[1]).json"])
            let missing = try audit(store)
            #expect(missing.status == 3 && missing.text.contains("there 3; removed 1; missing 2"), "\(missing.text)")
            #expect(missing.text.contains("verdict:") && missing.text.contains("backup-missing"), "\(missing.text)")
            let accepting = try store.directory.write(
                "accept: [{code: backup-missing, subject: test/node *, reason: known}]\n", to: "accept.yaml")
            #expect(try audit(store, ["--config", accepting]).status == 0)
            try run("truncate", ["-s", "10", "\(store.scopeDirectory)/\(ids[2]).tar.zst.age"])
            let damaged = try audit(store)
            #expect(damaged.status == 7 && damaged.text.contains("backup-damaged"), "\(damaged.text)")
        }

        @Test func whatIsAskedWrongOrNotThere() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            expectFailure(try audit(store, ["--since", "soon"]), 2, naming: "soon")
            expectFailure(try audit(store, ["--max-gap", "never"]), 2, naming: "never")
            expectFailure(try audit(store, ["--cluster", "other"]), 4, naming: "other")
            #expect(try audit(store, ["--min-level", "best"]).status == 2)
            #expect(try audit(store, ["--since", "1h", "--cluster", "test", "--node", "node"]).status == 0)
        }

        @Test func severalStores() throws {
            let stores = try SeveralStores(Laboratory.shared().server(.v3_5), ["local", "usb"], quorum: 2)
            try stores.makeBackup()
            let report = try JSON(stores.attempt(["audit", "-o", "json"]).output)
            #expect(report.verdict.string == "passed" && report.nodes[0].copies[0].storeCount.int == 2)
            let id = try #require(try stores.ids("usb").first)
            try run("rm", ["-r", "\(stores.path("usb"))/test"])
            let few = try stores.attempt(["audit"])
            #expect(few.status == 3 && few.text.contains("too few") && few.text.contains(id), "\(few.text)")
            try stores.takeDown("usb")
            let incomplete = try stores.attempt(["audit"])
            #expect(incomplete.status == 1 && incomplete.text.contains("store-failed"), "\(incomplete.text)")
            #expect(!incomplete.text.contains("too few"), "\(incomplete.text)")
        }
    }
}
