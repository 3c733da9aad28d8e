import Foundation
import TestSupport
import Testing

extension Integration {
    /// What is on a host besides plain files neither stops a backup nor goes missing without a word.
    @Suite struct CaptureTests {
        private let store: TestStore
        private let tree: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_4))
            tree = store.directory.file("tree")
            try run("mkdir", [tree])
        }

        private func manifest() throws -> JSON {
            try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest
        }

        @Test func pipesSocketsAndDevicesAreSkipped() throws {
            try shell("cd \"$1\"; mkfifo pipe; echo x >file; [ $(id -u) != 0 ] || mknod null c 1 3", tree)
            let bind = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
            try run("python3", ["-c", bind, "\(tree)/socket"])
            let result = try SnapTool.attempt(store.backup(["-o", "json", "--include", tree]), seconds: 60)
            #expect(result.status == 0, "\(result.errorText)")
            let skipped = try JSON(result.output).skipped.array
            #expect(skipped.contains { $0.path.string == "\(tree)/pipe" && $0.reason.string.contains("pipe") })
            #expect(skipped.contains { $0.path.string == "\(tree)/socket" && $0.reason.string.contains("socket") })
            #expect(skipped.count == (geteuid() == 0 ? 3 : 2))
            let paths = try manifest().entries.array.map(\.path.string)
            #expect(paths.contains("files\(tree)/file") && !paths.contains("files\(tree)/pipe"))
        }

        @Test func linksAreNotFollowedButFromTheirOwnName() throws {
            try shell(
                "cd \"$1\"; mkdir real; echo x >real/file; ln -s real link; ln -s loop2 loop1; ln -s loop1 loop2", tree)
            let selected = ["--include", "\(tree)/link", "--include", "\(tree)/loop1"]
            let result = try SnapTool.attempt(store.backup(["-o", "json"] + selected), seconds: 60)
            #expect(result.status == 3, "\(result.errorText)")
            #expect(try JSON(result.output).findings[0].code.string == "link-loop")
            let entries = try manifest().entries.array
            #expect(entries.contains { $0.path.string == "files\(tree)/link" && $0.linkTarget.string == "real" })
            #expect(entries.contains { $0.path.string == "files\(tree)/real/file" })
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
        }

        @Test func pathsThatCannotBeTaken() throws {
            let result = try SnapTool.attempt(
                store.backup([
                    "-o", "json", "--include", "relative/path", "--include", "\(tree)/../tree", "--include", tree,
                ]))
            #expect(result.status == 3, "\(result.errorText)")
            let findings = try JSON(result.output).findings.array
            #expect(findings.map(\.code.string) == ["path-unusable", "reference-missing"])
            // A relative path is one of the working directory.
            let resolved = FileManager.default.currentDirectoryPath + "/relative/path"
            #expect(findings.last?.subject.string == resolved)
            #expect(try manifest().entries.array.contains { $0.path.string == "files\(tree)" })
        }

        /// A file that is written all the time is taken as it was at some moment, or the archive says that it was not.
        @Test func filesThatChangeAllTheTime() throws {
            let script =
                "while :; do head -c 100000 /dev/urandom >>\"$1/log\"; head -c $RANDOM /dev/zero >\"$1/other\"; done"
            let writer = try RunningCommand("bash", ["-c", script, "test", tree])
            for _ in 0..<5 {
                let result = try SnapTool.attempt(store.backup(["--include", tree]), seconds: 60)
                #expect(result.status == 0 || result.status == 3, "\(result.errorText)")
                try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            }
            writer.signal(SIGKILL)
            _ = try writer.wait()
        }

        /// Files that come and go between their listing and their reading are findings, not failures.
        @Test func filesThatVanish() throws {
            let script = "cd \"$1\"; while :; do for i in {1..200}; do echo x >f$i; done; rm -f f*; done"
            let writer = try RunningCommand("bash", ["-c", script, "test", tree])
            for _ in 0..<10 {
                let result = try SnapTool.attempt(store.backup(["--include", tree]), seconds: 60)
                #expect(result.status == 0 || result.status == 3, "\(result.errorText)")
                try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            }
            writer.signal(SIGKILL)
            _ = try writer.wait()
        }
    }
}
