import Foundation
import TestSupport
import Testing

extension Integration {
    /// A rebuild is killed at each record of its journal: the same command again completes it, and undo takes it back.
    @Suite(.enabled(if: geteuid() == 0, "owners need root")) struct RebuildInterruptionTests {
        private let nodes: RebuildNodes
        private let plan: String

        init() throws {
            // Keys on curves are made fast.
            nodes = try RebuildNodes(["ecdsa", "addr"])
            let reference = try nodes.backUp("ecdsa", as: "cp-1")
            plan = try nodes.plan([reference], ["--node", "cp-21=10.0.0.21"])
        }

        /// A host with files of a life before, in part where others will be, and with an etcd's data.
        private func host(_ name: String) throws -> String {
            let root = try nodes.newRoot(name)
            try shell(
                """
                cd "$1"
                mkdir -p etc/kubernetes/manifests var/lib/kubelet; chmod 0700 etc/kubernetes/manifests
                cp -a "$2/etc/kubernetes/pki" "$2/etc/kubernetes/admin.conf" etc/kubernetes/
                chown 12:34 etc/kubernetes/admin.conf; chmod 0640 etc/kubernetes/admin.conf
                ln -s /nowhere etc/kubernetes/scheduler.conf
                echo old >var/lib/kubelet/config.yaml
                mkdir -p var/lib/etcd/member/wal; echo data >var/lib/etcd/member/wal/0.wal; chown -R 52:53 var/lib/etcd
                find . -exec touch -h -d 2026-01-01 '{}' +
                """, root, nodes.tree("addr"))
            return root
        }

        /// Everything but for times of directories and of changes, and inode numbers.
        private func contents(_ root: String) throws -> String {
            try shell(
                """
                cd "$1"
                find . -mindepth 1 -type d -printf '%y %m %U:%G %P\\n' | LC_ALL=C sort
                find . ! -type d -printf '%y %m %U:%G %s %n %T@ %P %l\\n' | LC_ALL=C sort
                find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
                """, root
            ).text
        }

        /// What two runs have in common: all but keys, certificates, the journal and etcd's log.
        private func common(_ root: String) throws -> String {
            try shell(
                """
                cd "$1"
                find . -path ./var/lib/etcd-snap-rebuild -prune -o -printf '%y %m %U:%G %P %l\\n' |
                    sed 's/before-rebuild-[0-9TZ]*/before-rebuild/' | LC_ALL=C sort
                find . -type f ! -path './var/lib/etcd-snap-rebuild/*' ! -name '*.crt' ! -name '*.key' ! -name '*.conf' \
                    ! -path './var/lib/etcd*/member/*' -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
                sha256sum var/lib/etcd/member/snap/db
                """, root
            ).text
        }

        private func apply(_ root: String) -> [String] { nodes.applying(plan, "cp-21", root, ["--keep-data"]) }
        private func undo(_ root: String) -> [String] { ["rebuild", "undo", "--root", root, "--yes"] }

        /// Runs a command that is killed at a call on a file of the root, or any.
        ///
        /// - Returns: whether it was killed.
        private func killed(
            _ call: String, _ number: Int, on file: String? = nil, _ arguments: [String]
        ) throws -> Bool {
            let filter = file.map { ["-P", $0] } ?? []
            let options =
                ["-f", "-qq", "-o", "/dev/null"] + filter
                + ["-e", "trace=\(call)", "-e", "inject=\(call):signal=SIGKILL:when=\(number)"]
            let result = try RunningCommand(
                "strace", options + [SnapTool.executable()] + arguments,
                environment: ["XDG_STATE_HOME": "/dev/null", "NO_COLOR": "1"]
            ).wait()
            if result.status == 0 { return false }
            #expect(result.status == SIGKILL, "\(call) \(number): \(result.errorText)")
            return true
        }

        private func check(_ root: String, expected: String, before: String, _ what: String) throws {
            let copy = root + "-undone"
            try run("cp", ["-a", root, copy])
            let undone = try SnapTool.attempt(undo(copy))
            #expect([0, 4].contains(undone.status), "\(what): \(undone.errorText)")
            #expect(try contents(copy) == before, "\(what), undone")
            let again = try SnapTool.attempt(apply(root))
            let isDone = again.status == 1 && again.errorText.contains("was rebuilt")
            #expect(again.status == 0 || isDone, "\(what): \(again.errorText)")
            #expect(try common(root) == common(expected), "\(what), resumed")
            #expect(try KubeadmComparison.differences(root, expected) == [], "\(what), resumed")
            let back = try SnapTool.attempt(undo(root))
            #expect(back.status == 0, "\(what): \(back.errorText)")
            #expect(try contents(root) == before, "\(what), resumed and undone")
            try run("rm", ["-r", root, copy])
        }

        private func expected() throws -> (root: String, before: String) {
            let root = try host("expected")
            let before = try contents(root)
            try SnapTool.run(apply(root))
            return (root, before)
        }

        @Test(.timeLimit(.minutes(45))) func killedAtEachRecord() throws {
            let (whole, before) = try expected()
            var count = 0
            while true {
                let root = try host("host")
                let journal = "\(root)/var/lib/etcd-snap-rebuild/journal.jsonl"
                guard try killed("fsync", count + 1, on: journal, apply(root)) else {
                    break
                }
                count += 1
                try check(root, expected: whole, before: before, "record \(count)")
            }
            #expect(count >= 12)
        }

        /// strace counts for each thread, and what follows etcd's data is another one's: of that one's first records none
        /// would be met, but for a run that has less to do before.
        @Test(.timeLimit(.minutes(45))) func killedAgainWhenItGoesOn() throws {
            let (whole, before) = try expected()
            var number = 2
            while true {
                let root = try host("host")
                let journal = "\(root)/var/lib/etcd-snap-rebuild/journal.jsonl"
                try #require(try killed("fsync", 6, on: journal, apply(root)))
                let steps = try String(contentsOfFile: journal, encoding: .utf8)
                #expect(steps.contains("makes-data") && !steps.contains("configuration"))
                guard try killed("fsync", number, on: journal, apply(root)) else { break }
                try check(root, expected: whole, before: before, "record \(number)")
                number += 1
            }
            #expect(number >= 12)
        }

        /// Between records too: a sample of the renames and directories.
        @Test(.timeLimit(.minutes(45)), arguments: [("renameat2,renameat", 5), ("mkdirat", 4), ("linkat", 4)])
        func killedBetweenRecords(call: String, distance: Int) throws {
            let (whole, before) = try expected()
            var number = 1
            while true {
                let root = try host("host")
                guard try killed(call, number, apply(root)) else { break }
                try check(root, expected: whole, before: before, "\(call) \(number)")
                number += distance
            }
            #expect(number > distance)
        }

        @Test(.timeLimit(.minutes(45)), arguments: [("renameat2,renameat", 2), ("unlinkat", 5), ("fsync", 7)])
        func undoIsKilledToo(call: String, distance: Int) throws {
            let (whole, before) = try expected()
            /// - Returns: whether it was killed.
            func check(_ number: Int) throws -> Bool {
                let root = whole + "-copy"
                try run("cp", ["-a", whole, root])
                defer { _ = try? run("rm", ["-r", root]) }
                guard try killed(call, number, undo(root)) else { return false }
                let again = try SnapTool.attempt(undo(root))
                #expect(again.status == 0, "\(call) \(number): \(again.errorText)")
                #expect(try contents(root) == before, "\(call) \(number)")
                return true
            }
            var number = 1
            while try check(number) { number += distance }
            #expect(number > distance)
            // Each of the last calls: there only a trace is left of it.
            var last = number - distance
            while try check(last + 1) { last += 1 }
        }

        /// A file system of etcd's own is filled, also after kills, and emptied again; data on it is never moved.
        @Test(.timeLimit(.minutes(45))) func aFileSystemOfEtcdsOwn() throws {
            let root = try host("host")
            let data = "\(root)/var/lib/etcd"
            try shell("rm -r \"$1\"/*; mount -t tmpfs -o mode=0750,uid=52 none \"$1\"", data)
            defer { _ = try? run("umount", ["--lazy", data], allowsFailure: true) }
            let before = try contents(root)
            var number = 1
            while true {
                let isKilled = try killed("renameat2,renameat", number, apply(root))
                if isKilled, number.isMultiple(of: 2) { try SnapTool.run(apply(root)) }
                if !isKilled || number.isMultiple(of: 2) {
                    #expect(try run("stat", ["-c", "%u", "\(data)/member/snap/db"]).text == "52\n")
                }
                try SnapTool.run(undo(root))
                #expect(try contents(root) == before, "\(number)")
                guard isKilled else { break }
                number += 1
            }
            #expect(number > 5)
            try shell("mkdir -p \"$1/member\"", data)
            let occupied = try contents(root)
            expectFailure(try SnapTool.attempt(apply(root)), 1, naming: "file system of its own", data)
            #expect(try contents(root) == occupied)
            try shell("rmdir \"$1/member\"; mount -o remount,size=3m \"$1\"", data)
            for more in [["--dry-run"], []] {
                expectFailure(try SnapTool.attempt(apply(root) + more), 6, naming: "bytes are needed", data)
                #expect(try contents(root) == before)
            }
            try shell("mount -o remount,size=400m \"$1\"", data)
            try SnapTool.run(apply(root))
            try shell("umount \"$1\"; rmdir \"$1\"", data)
            try SnapTool.run(undo(root))
            try shell("mkdir \"$1\"; mount -t tmpfs -o mode=0750,uid=52 none \"$1\"", data)
            #expect(try contents(root) == before)
        }

        /// What was replaced is never given up because what tells of it, or it itself, is not whole.
        @Test(arguments: [
            ("rm \"$1/journal.jsonl\"", "is gone"),
            ("sed -i 5d \"$1/journal.jsonl\"", "a line is missing"),
            ("rm -r \"$1\"/kept/*", "is not kept"),
            ("sed -i '/\"before\":\"kept\"/,$d' \"$1/journal.jsonl\"", "does not tell of"),
        ])
        func whatIsKeptIsNotGivenUp(damage: String, naming words: String) throws {
            let root = try host("host")
            try SnapTool.run(apply(root))
            try shell(damage, "\(root)/var/lib/etcd-snap-rebuild")
            let damaged = try contents(root)
            for _ in 0..<2 { expectFailure(try SnapTool.attempt(undo(root)), 7, naming: words, root) }
            #expect(try contents(root) == damaged)
        }

        /// On a file system of its own what is replaced is kept as copies, for which there has to be room.
        @Test func aFileSystemOfTheJournalsOwn() throws {
            let root = try host("host")
            let own = "\(root)/var/lib/etcd-snap-rebuild"
            try shell(
                "head -c 1000000 /dev/zero >\"$1/etc/kubernetes/admin.conf\"; mkdir -p \"$2\"; mount -t tmpfs -o size=800k none \"$2\"",
                root, own)
            defer { _ = try? run("umount", ["--lazy", own], allowsFailure: true) }
            let before = try contents(root)
            expectFailure(try SnapTool.attempt(apply(root)), 6, naming: "bytes are needed", own)
            #expect(try contents(root) == before)
            try shell("mount -o remount,size=8m \"$1\"", own)
            try SnapTool.run(apply(root))
            #expect(try contents(root) != before)
            try SnapTool.run(undo(root))
            #expect(try contents(root) == before)
        }

        @Test func whatIsRefusedChangesNothing() throws {
            let root = try host("host")
            let before = try contents(root)
            let without = nodes.applying(plan, "cp-21", root)
            expectFailure(try SnapTool.attempt(without), 1, naming: "\(root)/var/lib/etcd", "already")
            expectFailure(try SnapTool.attempt(nodes.applying(plan, "cp-9", root)), 2, naming: "no node \"cp-9\"")
            try shell("mkdir \"$1/etc/kubernetes/controller-manager.conf\"", root)
            for more in [["--dry-run"], []] {
                expectFailure(
                    try SnapTool.attempt(apply(root) + more), 1, naming: "controller-manager.conf", "directory")
            }
            try shell("rmdir \"$1/etc/kubernetes/controller-manager.conf\"", root)
            let level = apply(root) + ["--min-level", "stored"]
            expectFailure(try SnapTool.attempt(level), 1, naming: "stored")
            expectFailure(try SnapTool.attempt(undo(root)), 4, naming: root)
            expectFailure(try SnapTool.attempt(["rebuild", "status", "--root", root]), 4, naming: root)
            try SnapTool.run(apply(root) + ["--dry-run"])
            #expect(try contents(root) == before)
            try SnapTool.run(apply(root))
            let done = try contents(root)
            let again = try SnapTool.run(apply(root))
            #expect(again.errorText.contains("already") && again.errorText.contains("cp-21"), "\(again.errorText)")
            #expect(try contents(root) == done)
            let status = try SnapTool.json(["rebuild", "status", "--root", root])
            #expect(status.state.string == "done" && status.steps.array.allSatisfy { $0.state.string == "done" })
            expectFailure(try SnapTool.attempt(["rebuild", "undo", "--root", root]), 2, naming: "cp-21")
            try SnapTool.run(undo(root))
            #expect(try contents(root) == before)
        }
    }
}
