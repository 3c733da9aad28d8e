import Foundation
import TestSupport
import Testing

extension Integration {
    /// A dry run looks at its target as the run itself does: both are refused alike.
    @Suite struct DryRunTests {
        private let store: TestStore
        private var directory: TemporaryDirectory { store.directory }
        private static let members = [
            "--initial-cluster", "m1=http://127.0.0.1:1,m2=http://127.0.0.1:2", "--all-members",
        ]

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            let included = try store.directory.write("x", to: "included")
            try store.makeBackup(["--include", included])
        }

        private func restore(_ target: String) -> [String] { restore([], target) }

        private func restore(_ command: [String], _ target: String) -> [String] {
            let flag = command == ["etcd"] ? "--data-dir" : "--target"
            return ["restore"] + command + ["latest", "-i", store.key.path, flag, target] + store.flags
        }

        /// Runs a command dry and then not, which must fail alike.
        private func expectAlike(_ arguments: [String], _ status: Int32, naming words: String...) throws {
            let dry = try SnapTool.attempt(arguments + ["--dry-run"])
            let run = try SnapTool.attempt(arguments)
            #expect(dry.status == status && run.status == status, "\(arguments): \(dry.errorText) \(run.errorText)")
            #expect(dry.errorText == run.errorText)
            for word in words { #expect(run.errorText.contains(word), "\(run.errorText)") }
        }

        @Test(arguments: [[], ["files"], ["etcd"]] as [[String]])
        func targetsThatCannotBe(_ command: [String]) throws {
            try shell(
                """
                cd "$1"; mkdir occupied real; touch occupied/.nfs0001 occupied/b occupied/c occupied/d file
                ln -s nowhere dangling; ln -s file tofile; mkfifo pipe
                """, directory.path)
            try expectAlike(
                restore(command, directory.file("occupied")), 1, naming: "\".nfs0001\", \"b\", \"c\" and 1 more")
            try expectAlike(restore(command, directory.file("file")), 1, naming: "is a file")
            try expectAlike(restore(command, directory.file("pipe")), 1, naming: "is a named pipe")
            try expectAlike(restore(command, "/dev/null"), 1, naming: "is a device")
            try expectAlike(
                restore(command, directory.file("dangling")), 1, naming: "symbolic link", "\"nowhere\"",
                "where nothing is")
            try expectAlike(
                restore(command, directory.file("tofile")), 1, naming: "symbolic link", "\"file\"", "no directory")
            try expectAlike(restore(command, directory.file("missing/x")), 4, naming: "No such file")
            try expectAlike(restore(command, directory.file("file/x")), 1, naming: "Not a directory")
            try expectAlike(restore(command, "host:/x"), 2, naming: "another host")
        }

        @Test(arguments: [[], ["files"]] as [[String]])
        func aLinkToADirectoryIsNamedWithWhereItLeads(_ command: [String]) throws {
            try shell("cd \"$1\"; mkdir real; ln -s real link", directory.path)
            try expectAlike(
                restore(command, directory.file("link")), 1, naming: "symbolic link", "leads to \"real\", a directory",
                "/real\"")
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("real")).isEmpty)
        }

        @Test(.enabled(if: geteuid() == 0, "mounting needs root"), arguments: [[], ["files"], ["etcd"]] as [[String]])
        func aReadOnlyFileSystem(_ command: [String]) throws {
            let mount = directory.file("ro")
            try shell("mkdir \"$1\"; mount -t tmpfs -o ro none \"$1\"", mount)
            defer { _ = try? shell("umount \"$1\"", mount) }
            try expectAlike(restore(command, "\(mount)/x"), 1, naming: "Read-only file system")
            let included = directory.file("included")
            try expectAlike(
                [
                    "backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included, "--store",
                    "\(mount)/s",
                ],
                1, naming: "Read-only file system")
        }

        @Test func aStoreThatCannotBe() throws {
            let file = try directory.write("x", to: "file")
            for root in [file, "\(file)/below"] {
                let included = directory.file("included")
                let arguments = [
                    "backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included,
                ]
                try expectAlike(arguments + ["--store", root], 1, naming: "Not a directory")
            }
        }

        @Test func aWriteAheadLogsDirectory() throws {
            try shell("mkdir \"$1/wal\"; touch \"$1/wal/x\"", directory.path)
            try expectAlike(
                restore(["etcd"], directory.file("data")) + ["--wal-dir", directory.file("wal")], 1, naming: "wal",
                "\"x\"")
        }

        /// Directories that were prepared for members are filled, each where it is.
        @Test func preparedDirectoriesOfMembers() throws {
            let all = directory.file("all")
            try shell("mkdir -p \"$1/m1\" \"$1/lost+found\"; chmod 750 \"$1/m1\"", all)
            let before = try run("stat", ["-c", "%i", "\(all)/m1"]).text
            try SnapTool.run(restore(["etcd"], all) + Self.members + ["--dry-run"])
            try SnapTool.run(restore(["etcd"], all) + Self.members)
            for member in ["m1", "m2"] {
                #expect(FileManager.default.fileExists(atPath: "\(all)/\(member)/member/snap/db"))
            }
            #expect(try run("stat", ["-c", "%i", "\(all)/m1"]).text == before)
            let others = directory.file("others")
            try shell("mkdir -p \"$1/m1\"; touch \"$1/mine\"", others)
            try expectAlike(restore(["etcd"], others) + Self.members, 1, naming: "\"mine\"")
            let filled = directory.file("filled")
            try shell("mkdir -p \"$1/m1\" \"$1/m2\"; touch \"$1/m2/mine\"", filled)
            try expectAlike(restore(["etcd"], filled) + Self.members, 1, naming: "/m2\"", "\"mine\"")
            #expect(try FileManager.default.contentsOfDirectory(atPath: "\(filled)/m1").isEmpty)
        }

        @Test(.enabled(if: geteuid() == 0, "owners need root"))
        func anOwnerThatCannotBeGiven() throws {
            let arguments = restore(["etcd"], directory.file("owned")) + ["--owner", "77:77"]
            for prefix in [
                ["unshare", "-Ur"], ["setpriv", "--reuid", "0", "--bounding-set", "-chown", "--inh-caps", "-chown"],
            ] {
                for more in [["--dry-run"], []] {
                    let result = try RunningCommand(
                        prefix[0], Array(prefix.dropFirst()) + [SnapTool.executable()] + arguments + more
                    ).wait()
                    expectFailure(result, 1, naming: "can't be given to 77:77")
                    #expect(!FileManager.default.fileExists(atPath: directory.file("owned")))
                }
            }
        }

        @Test func nothingToBackUp() throws {
            let backup = ["backup", "-r", store.key.recipient, "--no-etcd", "--no-discover"] + store.flags
            try expectAlike(backup, 2, naming: "nothing to back up")
            try expectAlike(backup + ["--include", directory.file("missing")], 2, naming: "nothing to back up")
            #expect(try store.names().count == 2)
        }

        /// As far as it can be told beforehand, the status is that of the run.
        @Test func findingsOfADryRun() throws {
            let backup = store.backup(["--include", directory.file("missing")])
            #expect(try SnapTool.attempt(backup + ["--dry-run"]).status == 3)
            #expect(try SnapTool.attempt(backup).status == 3)
        }

        @Test func removalsThatCannotBe() throws {
            let flat = directory.file("flat")
            try run("mkdir", [flat])
            try SnapTool.run(["download", "latest", flat] + store.flags)
            for more in [["--dry-run"], ["--yes"]] {
                expectFailure(
                    try SnapTool.attempt(["delete", "latest", "--store", flat] + more), 2, naming: "no store")
            }
        }
    }
}
