import Foundation
import TestSupport
import Testing

extension Integration {
    /// Control planes that are rebuilt from what a member has left, and not from the archive's snapshot.
    @Suite struct RebuildSurvivorTests {
        /// A lost node: its backup, and its member's data, which has more than the backup.
        private struct Lost {
            let nodes: RebuildNodes
            let server: EtcdServer
            let reference: String
            var arguments: [String] {
                ["rebuild", "plan", reference] + nodes.access + ["--node", "cp-21=10.0.0.21"]
                    + ["--data-dir", server.dataDirectory]
            }

            init(_ version: EtcdVersion, writesMore: Bool = true) throws {
                nodes = try RebuildNodes(["base"], version)
                server = try EtcdServer.start(
                    version, flags: ["--backend-batch-interval=60s", "--backend-batch-limit=1000000"])
                for index in 0..<10 { try server.etcdctl("put", "/registry/secrets/s-\(index)", "old") }
                reference = try nodes.backUp("base", as: "cp-1", ["--endpoints", server.clientURL])
                // Taking the snapshot has written the batch.
                for index in 10..<(writesMore ? 17 : 10) {
                    try server.etcdctl("put", "/registry/secrets/s-\(index)", "new")
                }
                server.kill()
            }
        }

        @Test(arguments: EtcdVersion.installed) func aSurvivorIsNewer(_ version: EtcdVersion) throws {
            let lost = try Lost(version)
            let file = lost.nodes.store.directory.file
            let look = try SnapTool.json(lost.arguments)
            #expect(look.survivors.array.count == 1 && look.snapshot.survivor.snapshotPath.value == nil)
            let program = ["--etcd-program", version.path(of: "etcd")]
            let runbook = file("runbook.md")
            let result = try SnapTool.run(
                lost.arguments + program + ["--out", file("plan.json"), "--runbook", runbook])
            #expect(result.text.contains("the survivor \"\(lost.server.dataDirectory)\""))
            #expect(result.text.contains("newest archive") && result.text.contains("entries more than its database"))
            let plan = try JSON(Data(contentsOf: URL(filePath: file("plan.json"))))
            #expect(plan.snapshot.revision.int == 18 && plan.snapshot.survivor.missingEntries.int == 0)
            #expect(plan.snapshot.survivor.etcdVersion.string.hasPrefix("\(version)."))
            #expect(plan.snapshot.survivor.snapshotPath.string == file("plan.db"))
            #expect(try run("stat", ["-c", "%a", file("plan.db")]).text == "600\n")
            #expect(try String(contentsOfFile: runbook, encoding: .utf8).contains("the snapshot `plan.db` beside it"))

            // On another host, where only what was copied is.
            let host = file("host")
            try shell("mkdir \"$1\"; mv \"$2\" \"$3\" \"$1\"", host, file("plan.json"), file("plan.db"))
            let root = try lost.nodes.newRoot("root")
            let apply = lost.nodes.applying("\(host)/plan.json", "cp-21", root)
            let moved = ["--snapshot", "\(host)/elsewhere.db"]
            try shell("mv \"$1/plan.db\" \"$1/elsewhere.db\"", host)
            expectFailure(try SnapTool.attempt(apply), 4, naming: "the snapshot of the plan", "plan.db")
            try shell(
                "cp \"$1/elsewhere.db\" \"$1/plan.db\"; printf x | dd of=\"$1/plan.db\" bs=1 conv=notrunc seek=9000",
                host)
            expectFailure(try SnapTool.attempt(apply), 7, naming: "plan.db")
            try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
            expectFailure(
                try SnapTool.attempt(apply + ["--snapshot", "\(host)/plan.json"]), 7,
                naming: "is not the snapshot of the plan")
            try SnapTool.run(apply + moved)
            let again = try EtcdServer.start(version, flags: ["--data-dir=\(root)/var/lib/etcd"])
            let keys = try again.etcdctl("get", "/registry/secrets/", "--prefix", "--keys-only").split(separator: "\n")
            #expect(Set(keys.map(String.init)) == Set((0..<17).map { "/registry/secrets/s-\($0)" }))
            let put = try JSON(Data(again.etcdctl("put", "new", "value", "-w", "json").utf8))
            #expect(put.header.revision.int > 1_000_000_000)
        }

        /// What a killed plan has left is in the clear: whatever comes next removes it and says so, wherever it is.
        @Test func killedAndNotRepeated() throws {
            let lost = try Lost(.v3_5)
            let directory = lost.nodes.store.directory
            let place = directory.file("out")
            try run("mkdir", [place])
            // It says its version, and never serves.
            let program = try directory.write(
                "#!/bin/sh\ncase $1 in --version) echo etcd Version: 3.5.1;; *) echo >\"$0.ran\"; exec sleep 300;; esac\n",
                to: "etcd")
            try run("chmod", ["755", program])
            let state = ["XDG_STATE_HOME": directory.file("state")]
            let arguments = lost.arguments + ["--etcd-program", program, "--out", "\(place)/plan.json"]
            let left = [".pending-plan.db", "etcd-snap-drill-\(geteuid())"]
            func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: place).sorted() }
            for next in [
                ["doctor", "--root", try lost.nodes.newRoot("empty"), "--no-etcd", "--store", lost.nodes.store.root],
                ["rebuild", "plan", lost.reference, "--node", "cp-21=10.0.0.21"] + lost.nodes.access,
            ] {
                try? FileManager.default.removeItem(atPath: program + ".ran")
                let command = try SnapTool.start(arguments, environment: state)
                while command.isRunning, !FileManager.default.fileExists(atPath: program + ".ran") { usleep(10_000) }
                command.signal(SIGKILL)
                _ = try command.wait(seconds: 30)
                #expect(try names() == left)
                let result = try SnapTool.attempt(next, environment: state)
                #expect([0, 3].contains(result.status), "\(result.errorText)")
                for name in left {
                    #expect(result.errorText.contains("removed \"\(place)/\(name)\""), "\(result.errorText)")
                }
                #expect(try names() == [])
                #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("state")) == [])
            }
        }

        @Test func withoutAnEtcdTheDatabaseAloneIsTaken() throws {
            let lost = try Lost(.v3_5)
            let plan = lost.nodes.store.directory.file("plan.json")
            let result = try SnapTool.run(lost.arguments + ["--database-alone", "--out", plan])
            // All that the archive lacks is in the log, so the archive is as new as the database.
            #expect(result.text.contains("newest archive"))
            #expect(try JSON(Data(contentsOf: URL(filePath: plan))).snapshot.survivor.value == nil)
            #expect(!FileManager.default.fileExists(atPath: lost.nodes.store.directory.file("plan.db")))
        }

        @Test func anArchiveThatIsAsNewIsTaken() throws {
            let lost = try Lost(.v3_5, writesMore: false)
            let plan = lost.nodes.store.directory.file("plan.json")
            try SnapTool.run(lost.arguments + ["--etcd-program", EtcdVersion.v3_5.path(of: "etcd"), "--out", plan])
            let document = try JSON(Data(contentsOf: URL(filePath: plan)))
            #expect(document.snapshot.survivor.value == nil && document.snapshot.archiveID.string != "")
            #expect(document.survivors.array.count == 1)
        }

        @Test func aSurvivorOfAnotherClusterIsRefused() throws {
            let lost = try Lost(.v3_5, writesMore: false)
            let stranger = try EtcdServer.start(.v3_5)
            stranger.end()
            let result = try SnapTool.attempt(
                lost.arguments.map { $0 == lost.server.dataDirectory ? stranger.dataDirectory : $0 })
            expectFailure(result, 2, naming: "is of the etcd cluster", "the archives are of")
        }
    }
}
