import Foundation
import TestSupport
import Testing

extension Integration {
    /// Room is looked at before the work, by a dry run as by the run, and what is replaced is kept before the first file is.
    @Suite(.enabled(if: geteuid() == 0, "mounting needs root")) struct RestoreRoomTests {
        private static let member = ["--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]
        private let store: TestStore
        private let source: String
        private let host: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            source = store.directory.file("source")
            host = store.directory.file("host")
            try shell("mkdir \"$1\"; for name in a b c; do head -c 30000 /dev/urandom >\"$1/$name\"; done", source)
            try store.makeBackup(["--include", source])
        }

        private func inPlace(_ more: [String] = ["--yes"]) -> [String] {
            ["restore", "files", "latest", "-i", store.key.path, "--in-place", "--root", host, "--this-node", "node"]
                + store.flags + ["--only", "include"] + more
        }

        private func mounted(_ path: String, _ options: String, _ body: () throws -> Void) throws {
            try shell("mkdir -p \"$1\"; mount -t tmpfs -o \"$2\" none \"$1\"", path, options)
            defer { _ = try? run("umount", ["--lazy", path], allowsFailure: true) }
            try body()
        }

        /// Mounted for one test, with files of the host that are other ones.
        private func resetHost(varOptions: String, _ body: () throws -> Void) throws {
            try shell(
                """
                rm -rf "$1"; mkdir -p "$1/var" "$1$2"
                for name in a b c; do head -c 18000 /dev/zero | tr '\\0' $name >"$1$2/$name"; done
                """, host, source)
            try mounted("\(host)/var", varOptions, body)
        }

        private func expectOld(_ step: String) throws {
            for name in ["a", "b", "c"] {
                let found = FileManager.default.contents(atPath: "\(host)\(source)/\(name)")
                #expect(found == Data(repeating: try #require(name.utf8.first), count: 18000), "\(step)")
            }
            #expect(try run("find", ["\(host)\(source)", "-name", ".etcd-snap*"]).text == "", "\(step)")
        }

        @Test(arguments: ["size=64k", "size=64m,nr_inodes=2"]) func aDryRunSeesThatThereIsNoRoom(options: String) throws
        {
            let place = store.directory.file("small")
            try mounted(place, options) {
                let identity = ["-i", store.key.path] + store.flags
                let target = "\(place)/new"
                let commands = [
                    ["restore", "latest", "--target", target] + identity,
                    ["restore", "files", "latest", "--target", target] + identity,
                    ["restore", "etcd", "latest", "--data-dir", target] + identity + Self.member,
                    ["restore", "etcd", "latest", "--data-dir", target, "--wal-dir", "\(place)/wal"] + identity
                        + Self.member,
                    ["restore", "etcd", "latest", "--all-members", "--data-dir", place, "--initial-cluster"]
                        + ["a=http://127.0.0.1:1,b=http://127.0.0.1:2"] + identity,
                    ["restore", "files", "latest", "--in-place", "--root", place, "--this-node", "node", "--yes"]
                        + ["--only", "include"] + identity,
                ]
                for command in commands {
                    let results = try [["--dry-run"], []].map { try SnapTool.attempt(command + $0) }
                    for result in results { expectFailure(result, 6, naming: place, "needed", "has room for") }
                    #expect(results[0].errorText == results[1].errorText)
                }
                #expect(try run("find", [place, "-name", ".p*ing-*"]).text == "")
            }
        }

        /// A run that was killed has left as much as there is room for; it is removed first.
        @Test func whatAKilledRunHasLeftIsRoom() throws {
            let place = store.directory.file("just")
            let data = "\(place)/data"
            try mounted(place, "size=80m") {
                let arguments =
                    ["restore", "etcd", "latest", "--data-dir", data, "-i", store.key.path] + store.flags + Self.member
                let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat2:signal=KILL"]
                let killed = try RunningCommand(
                    "strace", traced + [SnapTool.executable()] + arguments,
                    environment: ["XDG_STATE_HOME": "/dev/null"]
                ).wait()
                #expect(killed.status == SIGKILL)
                let dry = try SnapTool.attempt(arguments + ["--dry-run"])
                #expect(dry.status == 0, "\(dry.errorText)")
                try SnapTool.run(arguments)
            }
        }

        /// What is kept goes to another file system, which has room for some of it, or none.
        @Test(arguments: ["size=8k", "size=44k"]) func thereIsNoRoomForWhatIsReplaced(options: String) throws {
            try resetHost(varOptions: options) {
                for more in [["--dry-run"], ["--yes"]] {
                    let result = try SnapTool.attempt(inPlace(more))
                    #expect(result.status == 6, "\(result.errorText)")
                    #expect(result.errorText.contains("\(host)/var"), "\(result.errorText)")
                    try expectOld(options)
                }
                #expect(try run("find", ["\(host)/var", "-type", "f"]).text == "")
            }
        }

        /// Where the look at the room was wrong, for somebody else has filled it meanwhile.
        @Test func theRoomGoesMeanwhile() throws {
            try resetHost(varOptions: "size=8m") {
                // The second copy is the one that fails.
                let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=syncfs:error=ENOSPC:when=2"]
                let result = try RunningCommand("strace", traced + [SnapTool.executable()] + inPlace()).wait()
                #expect(result.status == 6, "\(result.errorText)")
                try expectOld("a copy that could not be made")
                #expect(try run("find", ["\(host)/var", "-type", "f"]).text == "")
                try SnapTool.run(inPlace())
            }
        }

        @Test(arguments: ["renameat", "renameat2", "syncfs", "fchmod", "pwrite64", "write"])
        func killedAtEveryStepOfKeeping(call: String) throws {
            var count = 0
            var isKilled = true
            while isKilled {
                try resetHost(varOptions: "size=8m") {
                    let fault = "inject=\(call):signal=KILL:when=\(count + 1)"
                    let traced = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e", fault]
                    let result = try RunningCommand("strace", traced + [SnapTool.executable()] + inPlace()).wait()
                    isKilled = result.status == SIGKILL
                    #expect(isKilled || result.status == 0, "\(result.errorText)")
                    if isKilled { count += 1 }
                    let again = try SnapTool.attempt(inPlace())
                    #expect(again.status == 0, "\(again.errorText)")
                    #expect(try differencesBelow(source, "\(host)\(source)") == [], "\(call) \(count)")
                    // Each old file is kept, whole and once.
                    let kept = try run("find", ["\(host)/var", "-type", "f", "-printf", "%f %s\n"]).text
                    let files = kept.split(separator: "\n").sorted()
                    #expect(files == ["a 18000", "b 18000", "c 18000"], "\(call) \(count)")
                }
            }
            #expect(count >= 1)
        }
    }
}
