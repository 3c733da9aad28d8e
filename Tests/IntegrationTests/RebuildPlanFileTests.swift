import Foundation
import TestSupport
import Testing

extension Integration {
    /// A plan on its way to the hosts, and the journal on one: what was cut or changed is carried out by nobody.
    @Suite struct RebuildPlanFileTests {
        private let nodes: RebuildNodes
        private let plan: String

        init() throws {
            nodes = try RebuildNodes(["ecdsa"])
            plan = try nodes.plan([nodes.backUp("ecdsa", as: "cp-1")], ["--node", "cp-21=10.0.0.21"])
        }

        private func applying(_ plan: String, _ root: String, _ more: [String] = []) -> [String] {
            nodes.applying(plan, "cp-21", root, more)
        }

        private func contents(_ root: String) throws -> String {
            try shell("cd \"$1\"; find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum; find . | sort", root)
                .text
        }

        @Test func oneIDWhereverThePlanIs() throws {
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: plan)))
            let digest = document.sha256.string
            let id = String(digest.prefix(12))
            #expect(digest.count == 64)
            // Others can compute it: sorted fields, no spaces, without itself.
            let computed = try run(
                "python3",
                [
                    "-c",
                    "import hashlib, json, sys; d = json.load(open(sys.argv[1])); del d['sha256']; "
                        + "print(hashlib.sha256(json.dumps(d, sort_keys=True, separators=(',', ':'), ensure_ascii=False)"
                        + ".encode()).hexdigest())",
                    plan,
                ]
            ).text
            #expect(computed == digest + "\n")
            let runbook = nodes.store.directory.file("runbook.md")
            let text = try SnapTool.run(
                ["rebuild", "plan", document.archives[0].reference.string] + nodes.access
                    + ["--node", "cp-21=10.0.0.21", "--runbook", runbook]
            ).text
            let other = try #require(text.firstMatch(of: #/plan:\s+([0-9a-f]{12})\n/#)).1
            // It has another token: its members would be another cluster.
            #expect(other != id)
            let book = try String(contentsOfFile: runbook, encoding: .utf8)
            #expect(
                book.contains("--node cp-21 --plan-id \(other) ") && book.contains("must read the same on every host"))

            let root = try nodes.newRoot("new")
            let refused = try SnapTool.attempt(applying(plan, root, ["--plan-id", String(other)]))
            expectFailure(refused, 1, naming: id, String(other))
            expectFailure(
                try SnapTool.attempt(applying(plan, root, ["--plan-id", String(id.dropLast())])), 2, naming: "no ID")
            #expect(try run("ls", ["-A", root]).text == "")
            // Written anew by another program it is the same plan.
            let written = nodes.store.directory.file("written.json")
            try shell("python3 -m json.tool --indent 1 \"$1\" \"$2\"; ! cmp -s \"$1\" \"$2\"", plan, written)
            let report = try SnapTool.json(applying(written, root, ["--plan-id", id]))
            #expect(report.planID.string == id)
            let status = try SnapTool.json(["rebuild", "status", "--root", root])
            #expect(status.planID.string == id && status.planSHA256.string == digest)
            #expect(try SnapTool.run(["rebuild", "status", "--root", root]).text.contains(id))
            #expect(try SnapTool.run(applying(plan, root, ["--plan-id", digest])).errorText.contains("already"))
        }

        /// A copy that was cut, changed, or is something else.
        @Test(
            arguments: [
                (
                    "sed -i 's#\"dataDirectory\" : \"/var/lib/etcd\"#\"dataDirectory\" : \"/var/lib/data\"#'",
                    "was changed"
                ),
                ("sed -i '/\"sha256\" :/d; s#\\(\"warnings\" : .*[^,]\\),$#\\1#'", "no digest"),
                ("sed -i 's#\"formatVersion\" : 1,#&\"more\" : 1,#'", "was changed"), ("truncate -s 3000", "was cut"),
                ("truncate -s 0", "is empty"), ("sh -c 'echo \"{\\\"formatVersion\\\": 1}\" >\"$0\"'", "no plan"),
                ("sh -c 'echo hello >\"$0\"'", "no plan"),
            ])
        func whatIsNotThePlanIsRefused(change: String, word: String) throws {
            let copy = nodes.store.directory.file("copy.json")
            try shell("cp \"$1\" \"$2\"; \(change) \"$2\"; ! cmp -s \"$1\" \"$2\"", plan, copy)
            let root = try nodes.newRoot("new")
            for more in [[], ["--dry-run"]] {
                let result = try SnapTool.attempt(applying(copy, root, more))
                expectFailure(result, 7, naming: "copy.json", word)
                #expect(result.errorText.contains("make it again with `etcd-snap rebuild plan`"))
            }
            expectFailure(
                try SnapTool.attempt(["rebuild", "finish", "--plan", copy, "--kubeconfig", plan]), 7,
                naming: "copy.json", word)
            #expect(try run("ls", ["-A", root]).text == "")
        }

        /// The copy in the journal: whoever goes on by it is told, and taking back needs none.
        @Test(
            arguments: [
                (
                    "sed -i 's#\"dataDirectory\" : \"/var/lib/etcd\"#\"dataDirectory\" : \"/var/lib/data\"#'",
                    "was changed"
                ),
                ("truncate -s 3000", "was cut"), ("rm", "is not there any more"),
                ("cp \"$2\"", "was begun by the plan"),
            ])
        func thePlanOfTheJournal(change: String, word: String) throws {
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: plan)))
            let other = try nodes.plan(
                [document.archives[0].reference.string], ["--node", "cp-21=10.0.0.21"], as: "other.json")
            let root = try nodes.newRoot("new")
            try shell("mkdir -p \"$1/etc/kubernetes\"; echo old >\"$1/etc/kubernetes/admin.conf\"", root)
            let before = try contents(root)
            let own = "\(root)/var/lib/etcd-snap-rebuild/plan.json"
            try SnapTool.run(applying(plan, root))
            try shell("\(change) \"$1\"", own, other)
            for command in [["status"], ["continue"] + nodes.access, ["finish", "--kubeconfig", plan]] {
                let result = try SnapTool.attempt(["rebuild"] + command + ["--root", root])
                expectFailure(result, 7, naming: own, word)
                #expect(result.errorText.contains("`etcd-snap rebuild undo` needs none (--plan, --yes, --root)"))
            }
            try SnapTool.run(applying(plan, root))
            #expect(try SnapTool.json(["rebuild", "status", "--root", root]).state.string == "done")
            try shell("\(change) \"$1\"", own, other)
            try SnapTool.run(["rebuild", "undo", "--root", root, "--dry-run"])
            try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
            #expect(try contents(root) == before)
        }

        /// A journal that is not whole takes nothing back by halves, and loses nothing of what is kept.
        @Test(
            arguments: [
                ("sed -i '5s/.*/hello/'", "line 5"), ("sed -i 1d", "a line is missing"), ("truncate -s 0", "no record"),
                ("sed -i '0,/\"kind\":\"places\"/s/,\"path\":\"[^\"]*\"//'", "is no record"),
                ("sed -i '1s/\"version\":1/\"version\":2/'", "version 2"),
            ])
        func theJournalIsDamaged(change: String, word: String) throws {
            let root = try nodes.newRoot("new")
            try shell("mkdir -p \"$1/etc/kubernetes\"; echo old >\"$1/etc/kubernetes/admin.conf\"", root)
            try SnapTool.run(applying(plan, root))
            let journal = "\(root)/var/lib/etcd-snap-rebuild/journal.jsonl"
            try shell("cp \"$1\" \"$2\"; \(change) \"$1\"; ! cmp -s \"$1\" \"$2\"", journal, root + ".copy")
            let damaged = try contents(root)
            let undo = ["undo", "--yes"]
            for command in [["status"], undo, ["undo"], ["undo", "--dry-run"], ["continue"] + nodes.access] {
                let result = try SnapTool.attempt(["rebuild"] + command + ["--root", root])
                expectFailure(result, 7, naming: journal, word)
                #expect(result.errorText.contains("use the etcd-snap that wrote it"))
            }
            expectFailure(try SnapTool.attempt(applying(plan, root)), 7, naming: journal)
            #expect(try contents(root) == damaged)
            try shell("mv \"$2\" \"$1\"", journal, root + ".copy")
            try SnapTool.run(["rebuild"] + undo + ["--root", root])
            #expect(try shell("cat \"$1/etc/kubernetes/admin.conf\"; ls -A \"$1\"", root).text == "old\netc\n")
        }

        /// What a run leaves that is killed just before its end, or just behind its beginning.
        @Test(arguments: [
            (["undone"], "taken back already"), (["journal.jsonl", "plan.json"], "before it changed"),
            ([], "nothing to take"),
        ])
        func nothingIsLeftToTakeBack(names: [String], word: String) throws {
            let root = try nodes.newRoot("new")
            let directory = "\(root)/var/lib/etcd-snap-rebuild"
            for more in [[], ["--yes"]] {
                try run("mkdir", ["-p", directory])
                for name in names { try run("touch", ["\(directory)/\(name)"]) }
                let status = try SnapTool.attempt(["rebuild", "status", "--root", root])
                expectFailure(status, 4, naming: word)
                #expect(status.errorText.contains("`etcd-snap rebuild undo` removes it (--yes, --root)"))
                let undo = ["rebuild", "undo", "--root", root]
                #expect(try SnapTool.run(undo + ["--dry-run"]).errorText.contains(word))
                #expect(FileManager.default.fileExists(atPath: directory))
                let result = try SnapTool.run(undo + more)
                #expect(result.errorText.contains(word) && result.text.contains("nothing is left to take back"))
                #expect(!FileManager.default.fileExists(atPath: directory))
            }
            expectFailure(
                try SnapTool.attempt(["rebuild", "undo", "--root", root, "--yes"]), 4, naming: "is taken back")
        }

        /// The command that `status` names for the way back is one that works.
        @Test func theWayBackIsNamed() throws {
            let root = try nodes.newRoot("a host's root")
            try SnapTool.run(applying(plan, root))
            let text = try SnapTool.run(["rebuild", "status", "--root", root]).text
            let line = try #require(text.split(separator: "\n").last { $0.contains("to take it back: etcd-snap ") })
            let command = try #require(line.split(separator: "etcd-snap ").last)
            try shell("\"$1\" \(command)", SnapTool.executable())
            #expect(try run("ls", ["-A", root]).text == "")
        }
    }
}
