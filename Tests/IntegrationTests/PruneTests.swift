import Foundation
import TestSupport
import Testing

extension Integration {
    /// Rules remove what they say, nothing else, and not without being shown where it is much.
    @Suite struct PruneTests {
        private let store: TestStore
        private let ids: [String]

        /// A store of six backups, the last two of them without etcd.
        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            let store = store
            let included = try store.directory.write("x", to: "included")
            let files = [
                "backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included,
                "--config", store.directory.file("empty.yaml"),
            ]
            try store.directory.write("", to: "empty.yaml")
            ids =
                try (0..<4).map { _ in try store.makeBackupID() }
                + (0..<2).map { _ in TestStore.id(of: try SnapTool.json(files + store.flags).path.string) }
        }

        private func prune(_ flags: [String], _ more: [String] = []) throws -> CommandResult {
            try SnapTool.attempt(["prune", "--store", store.root] + flags + more)
        }

        private func listed() throws -> [String] {
            try JSON(SnapTool.attempt(["list", "--store", store.root, "-o", "json"]).output).array.map(
                \.archive.id.string)
        }

        @Test func whatIsSaidIsDone() throws {
            let flags = ["--keep-last", "1", "--floor", "2"]
            let plan = try JSON(prune(flags, ["--dry-run", "-o", "json"]).output)
            #expect(plan.removed.array.map(\.id.string) == [ids[0], ids[1]])
            #expect(plan.kept.array.map(\.id.string) == Array(ids[2...]))
            #expect(plan.kept.array[0].reasons.array.map(\.string) == ["floor of 2", "floor of 2 of the cluster"])
            #expect(plan.dryRun.value as? Bool == true && plan.cautions.array.isEmpty)
            #expect(try listed() == ids)
            let report = try JSON(prune(flags, ["-o", "json"]).output)
            #expect(report.removed.array.map(\.id.string) == [ids[0], ids[1]])
            #expect(try listed() == Array(ids[2...]))
            // What was removed is known as that: nothing is missing.
            #expect(try SnapTool.attempt(["list", "--problems"] + store.flags).status == 0)
            let again = try prune(flags)
            #expect(again.status == 0 && again.text.contains("removed 0 of 4 backups"), "\(again.text)")
        }

        @Test func muchIsOnlyRemovedWithConsent() throws {
            let flags = ["--keep-last", "1", "--floor", "1"]
            let refused = try prune(flags)
            #expect(refused.status == 2)
            for words in ["nothing was removed: test/node: 4 of 6 backups would go", "hint: add --yes"] {
                #expect(refused.errorText.contains(words), "\(refused.errorText)")
            }
            // What would go and why is told before anybody agrees to it.
            #expect(refused.text.contains("would be removed") && refused.text.contains("floor of 1"), "\(refused.text)")
            #expect(refused.text.contains("would remove 4 of 6 backups"))
            #expect(try JSON(prune(flags, ["-o", "json"]).output).dryRun.value as? Bool == true)
            #expect(try listed() == ids)
            let dryRun = try prune(flags, ["--dry-run"])
            #expect(dryRun.status == 2 && dryRun.errorText.contains("--yes"), "\(dryRun.errorText)")
            #expect(dryRun.text.contains("would be removed") && dryRun.text.contains("floor of 1"))
            #expect(try prune(flags, ["--dry-run", "--yes"]).status == 0)
            let result = try prune(flags, ["--yes"])
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try listed() == [ids[3], ids[5]])
        }

        @Test func classesHaveRulesOfTheirOwn() throws {
            let file = try store.directory.write(
                """
                store: \(store.root)
                retention: {keepLast: 1, floor: 1, classes: {pre-upgrade: {keepLast: 1}}}
                """, to: "classes.yaml")
            let upgrades = try (0..<2).map { _ in try store.makeBackupID(["--class", "pre-upgrade"]) }
            let other = try store.makeBackupID(["--class", "typo"])
            let prune = ["prune", "--config", file, "--yes", "-o", "json"]
            let one = try JSON(SnapTool.run(prune + ["--class", "pre-upgrade", "--dry-run"]).output)
            #expect(one.removed.array.map(\.id.string) == [upgrades[0]])
            #expect(one.kept.array.map(\.id.string) == [upgrades[1]])
            let given = try JSON(
                SnapTool.run(prune + ["--class", "pre-upgrade", "--dry-run", "--keep-last", "2"]).output)
            #expect(given.removed.array.isEmpty && given.kept.array.count == 2)
            let report = try JSON(SnapTool.run(prune).output)
            #expect(report.removed.array.map(\.id.string) == Array(ids[0..<3]) + [ids[4], upgrades[0]])
            let kept = Dictionary(
                uniqueKeysWithValues: report.kept.array.map { ($0.id.string, $0.reasons.array.map(\.string)) })
            #expect(kept[ids[3]] == ["last"] && kept[ids[5]] == ["last", "floor of 1"], "\(kept)")
            #expect(kept[other]?.first == "no rules for class typo" && kept[upgrades[1]] == ["last"], "\(kept)")
            let list = try SnapTool.run(["list"] + store.flags).text
            #expect(list.contains("CLASS") && list.contains("pre-upgrade"))
            let named = try JSON(SnapTool.run(["list", "--class", "typo", "-o", "json"] + store.flags).output)
            #expect(named.array.map(\.retentionClass.string) == ["typo"])
            expectFailure(
                try SnapTool.attempt(["list", "--class", "none"] + store.flags), 4, naming: "\"none\"", hasHint: false)
            #expect(try SnapTool.run(["describe", other] + store.flags).text.contains("typo"))
            #expect(try SnapTool.run(["verify", other, "-i", store.key.path] + store.flags).status == 0)
            expectFailure(try SnapTool.attempt(store.backup(["--class", "Pre Upgrade"])), 2, naming: "Pre Upgrade")
        }

        @Test func rulesOfTheConfiguration() throws {
            let file = try store.directory.write(
                "store: \(store.root)\nretention: {keepLast: 3, floor: 1}\n", to: "config.yaml")
            let configuration = ["--config", file, "--dry-run", "-o", "json"]
            #expect(try JSON(SnapTool.run(["prune"] + configuration).output).removed.array.count == 1)
            let flag = try JSON(SnapTool.run(["prune", "--keep-last", "unlimited"] + configuration).output)
            #expect(flag.removed.array.isEmpty)
            for (text, words) in [
                ("retention: {keepLast: -2}", "-2"), ("retention: {keepWeeks: 3}", "keepWeeks"),
                ("retention: {keepWithin: 3 weeks}", "3 weeks"), ("retention: {keepLast: 1, floor: 0}", "floor"),
                ("retention: {keepLast: 1, floorLevel: best}", "best"), ("retention: 3", "retention"),
                ("retention: {}", "no rule"),
            ] {
                let file = try store.directory.write(text, to: "wrong.yaml")
                expectFailure(try SnapTool.attempt(["prune", "--config", file] + store.flags), 2, naming: words)
            }
            #expect(try listed() == ids)
        }

        @Test func whatIsBusyOrEmpty() throws {
            let flags = ["--keep-last", "1", "--floor", "2"]
            let (holder, lock) = try store.holdLock()
            expectFailure(try prune(flags), 5, naming: lock)
            #expect(try prune(flags, ["--dry-run"]).status == 0)
            holder.stop()
            #expect(try listed() == ids)
            expectFailure(
                try SnapTool.attempt(["prune", "--keep-last", "1", "--store", store.directory.file("none")]), 4,
                naming: "none")
            expectFailure(try SnapTool.attempt(["prune", "--store", store.root]), 2, naming: "no rule")
        }

        /// What can't be relied on is neither counted nor touched.
        @Test func anArchiveWithoutSidecarIsLeftAlone() throws {
            try run("rm", ["\(store.scopeDirectory)/\(ids[3]).json"])
            let result = try prune(["--keep-last", "1", "--floor", "2"])
            #expect(result.status == 0 && result.errorText.contains(ids[3]), "\(result.errorText)")
            #expect(try listed() == [ids[1], ids[2], ids[4], ids[5]])
            #expect(FileManager.default.fileExists(atPath: "\(store.scopeDirectory)/\(ids[3]).tar.zst.age"))
        }

        /// Wherever it is killed, what is to stay stays, and the next run comes to the same end.
        @Test func killedAtEveryStep() throws {
            let copy = store.directory.file("copy")
            try run("cp", ["-a", store.root, copy])
            var killCount = 0
            for (call, count) in [("renameat", 4), ("unlinkat", 4), ("fsync", 4), ("renameat2", 2)] {
                for number in 1...count {
                    try run("rm", ["-rf", store.root])
                    try run("cp", ["-a", copy, store.root])
                    let result = try RunningCommand(
                        "strace",
                        [
                            "-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e",
                            "inject=\(call):signal=SIGKILL:when=\(number)", SnapTool.executable(), "prune",
                            "--keep-last",
                            "1", "--floor", "2",
                        ] + store.flags
                    ).wait()
                    if result.status == SIGKILL { killCount += 1 }
                    #expect(try Array(listed().suffix(4)) == Array(ids[2...]), "\(call) \(number)")
                    let again = try prune(["--keep-last", "1", "--floor", "2"])
                    #expect(again.status == 0, "\(call) \(number): \(again.errorText)")
                    #expect(try listed() == Array(ids[2...]), "\(call) \(number)")
                    // What has a temporary name is removed by the next that writes.
                    #expect(try store.names().count { !$0.hasPrefix(".") } == 8, "\(call) \(number)")
                }
            }
            #expect(killCount >= 8)
        }
    }
}
