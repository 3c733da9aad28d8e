import Foundation
import TestSupport
import Testing

extension Integration {
    /// A restore into directories that are there already is killed between its renames: the same command again completes.
    @Suite(.enabled(if: geteuid() == 0, "mounting needs root")) struct InterruptedRestoreTests {
        private static let members = "a=http://127.0.0.1:1,b=http://127.0.0.1:2"
        /// The call that gives what is complete its name.
        private static let rename = "renameat2,renameat"
        private let store: TestStore
        private let target: String
        private let state: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup(["--include", SourceTree.make(in: store.directory)])
            target = store.directory.file("target")
            state = store.directory.file("state")
        }

        private func all(_ more: [String] = []) -> [String] {
            ["restore", "latest", "-i", store.key.path, "--target", target] + store.flags + more
        }

        private func members(_ more: [String] = []) -> [String] {
            ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", target, "--all-members"]
                + ["--initial-cluster", Self.members] + store.flags + more
        }

        private func traced(_ call: String, _ fault: String, _ arguments: [String]) throws -> CommandResult {
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e", "inject=\(call):\(fault)"]
            return try RunningCommand(
                "strace", options + [SnapTool.executable()] + arguments, environment: ["XDG_STATE_HOME": state]
            ).wait()
        }

        private func killed(_ call: String, _ number: Int, _ arguments: [String]) throws -> Bool {
            let result = try traced(call, "signal=SIGKILL:when=\(number)", arguments)
            if result.status == 0 { return false }
            #expect(result.status == SIGKILL, "\(call) \(number): \(result.errorText)")
            return true
        }

        private func names(_ path: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        }

        private func expectNothingHidden() throws {
            let hidden = try run("find", [target, store.directory.path, "-name", ".p*ing-*"]).text
            #expect(hidden == "")
        }

        /// Restores into a mount, which is unmounted at the end.
        private func mounted(_ body: () throws -> Void) throws {
            try shell("mkdir -p \"$1\"; mount -t tmpfs none \"$1\"", target)
            defer { _ = try? run("umount", ["--lazy", target], allowsFailure: true) }
            try body()
        }

        @Test(arguments: [rename, "fsync", "unlinkat"]) func everythingIntoAMountPoint(call: String) throws {
            let expected = store.directory.file("expected")
            try SnapTool.run(all().map { $0 == target ? expected : $0 })
            var count = 0
            var isKilled = true
            while isKilled {
                try mounted {
                    isKilled = try killed(call, count + 1, all())
                    guard isKilled else { return }
                    count += 1
                    let dry = try SnapTool.attempt(all(["--dry-run"]))
                    let isDone = try Set(names(expected)).isSubset(of: names(target))
                    #expect(dry.status == (isDone ? 1 : 0), "\(call) \(count): \(dry.errorText)")
                    let again = try SnapTool.attempt(all(), environment: ["XDG_STATE_HOME": state])
                    #expect(again.status == (isDone ? 1 : 0), "\(call) \(count): \(again.errorText)")
                    let others = try run("diff", ["-r", "--no-dereference", expected, target], allowsFailure: true)
                    #expect(others.text == "", "\(call) \(count)")
                    try expectNothingHidden()
                }
            }
            #expect(count >= 4)
        }

        /// Another restore of this user takes back what a killed one has placed.
        @Test func theNextRestoreAnywhereTakesItBack() throws {
            try mounted {
                #expect(try killed(Self.rename, 3, all()))
                #expect(try names(target).count == 4)
                let other = all().map { $0 == target ? store.directory.file("other") : $0 }
                let result = try SnapTool.attempt(other, environment: ["XDG_STATE_HOME": state])
                #expect(result.status == 0 && result.errorText.contains(target), "\(result.errorText)")
                #expect(try names(target) == [])
            }
        }

        /// Whoever has put something into what was placed keeps it, and is told.
        @Test(arguments: ["echo mine >\"$1/etcd/mine\"", "echo more >>\"$1/etcd-snap.json\""])
        func whatIsNotOursStays(change: String) throws {
            try mounted {
                #expect(try killed(Self.rename, 3, all()))
                try shell(change, target)
                let before = try listing(target)
                for more in [["--dry-run"], []] {
                    let result = try SnapTool.attempt(all(more), environment: ["XDG_STATE_HOME": state])
                    expectFailure(result, 1, naming: target, "made or changed since")
                    #expect(try listing(target) == before)
                }
                try shell("rm -f \"$1/etcd/mine\" \"$1/etcd-snap.json\"", target)
                try SnapTool.run(all())
                try expectNothingHidden()
            }
        }

        /// A file that somebody else could have written says nothing: by it files are removed.
        @Test func aNoteOfAnotherUserIsNone() throws {
            try mounted {
                #expect(try killed(Self.rename, 3, all()))
                try run("chown", ["4711", "\(target)/.publishing-target"])
                let before = try listing(target)
                expectFailure(try SnapTool.attempt(all()), 1, naming: target, "etcd")
                #expect(try listing(target) == before)
            }
        }

        @Test func whatFailsHalfWayIsTakenBackAtOnce() throws {
            var count = 0
            var isFailing = true
            while isFailing {
                try mounted {
                    let result = try traced(Self.rename, "error=EIO:when=\(count + 1)", all())
                    isFailing = result.status != 0
                    guard isFailing else { return }
                    count += 1
                    #expect(result.status == 1, "\(result.errorText)")
                    #expect(try names(target) == [], "\(count)")
                }
            }
            #expect(count >= 4)
        }

        // MARK: Members

        /// The IDs of all members, which follow from the token, as each member has them.
        private func identities(_ name: String) throws -> Set<String> {
            let snap = "\(target)/\(name)/member/snap"
            let file = try #require(names(snap).first { $0.hasSuffix(".snap") })
            let text = String(decoding: try Data(contentsOf: URL(fileURLWithPath: "\(snap)/\(file)")), as: UTF8.self)
            return Set(text.matches(of: /members\/([0-9a-f]+)\/raftAttributes/).map { String($0.output.1) })
        }

        /// Both prepared, one of them, and only the directory of both.
        @Test(arguments: [["a", "b"], ["a"], ["b"], []])
        func membersAreOfOneCluster(prepared: [String]) throws {
            var count = 0
            while true {
                try shell("rm -rf \"$1\"; mkdir \"$1\"", target)
                for name in prepared { try run("mkdir", ["\(target)/\(name)"]) }
                guard try killed(Self.rename, count + 1, members()) else { break }
                count += 1
                let dry = try SnapTool.attempt(members(["--dry-run"]))
                #expect(dry.status == 0, "\(count): \(dry.errorText)")
                let report = try SnapTool.json(members())
                let expected = ["a", "b"].map { report.memberIDs[$0].string }
                #expect(try names(target) == ["a", "b"])
                for name in ["a", "b"] { #expect(try identities(name) == Set(expected), "\(name) after \(count)") }
                try expectNothingHidden()
            }
            #expect(count >= 2)
        }

        /// Killed while it takes back what the run before has placed.
        @Test func killedWhileItIsTakenBack() throws {
            var count = 0
            while true {
                try shell("rm -rf \"$1\"; mkdir -p \"$1/a\" \"$1/b\"", target)
                #expect(try killed(Self.rename, 2, members()))
                guard try killed("unlinkat", count + 1, members()) else { break }
                count += 1
                let again = try SnapTool.attempt(members(), environment: ["XDG_STATE_HOME": state])
                let isDone = again.status == 1 && again.errorText.contains("not an empty directory")
                #expect(again.status == 0 || isDone, "\(count): \(again.errorText)")
                #expect(try identities("a") == identities("b") && identities("a").count == 2, "\(count)")
                try expectNothingHidden()
            }
            #expect(count >= 8)
        }
    }
}
