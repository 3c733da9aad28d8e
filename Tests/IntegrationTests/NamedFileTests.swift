import Foundation
import TestSupport
import Testing

extension Integration {
    /// What people name in place of a backup: every command says what it really is.
    @Suite struct NamedFileTests {
        private let store: TestStore
        private let snapshot: String
        private var directory: TemporaryDirectory { store.directory }

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            snapshot = store.directory.file("snapshot.db")
            let server = store.server
            try server.etcdctl("snapshot", "save", snapshot)
        }

        private static let commands = ["verify", "describe", "download", "delete", "adopt", "restore", "restore files"]

        /// A command that names `name`, run in the test's directory.
        private func attempt(_ command: String, _ name: String) throws -> CommandResult {
            var arguments = command.split(separator: " ").map(String.init) + [name]
            if command.hasPrefix("restore") { arguments += ["--target", "new"] }
            if ["restore", "restore files", "adopt", "verify"].contains(command) {
                arguments += ["-i", store.key.path]
            }
            if command == "download" { arguments += ["copy"] }
            if command == "delete" { arguments += ["--dry-run"] }
            return try inDirectory(arguments + ["--store", store.root])
        }

        private func inDirectory(_ arguments: [String]) throws -> CommandResult {
            try run(
                "sh", ["-c", "cd \"$0\" && exec \"$@\"", directory.path, try SnapTool.executable()] + arguments,
                allowsFailure: true)
        }

        /// By a path with one slash, with none, and without a suffix that tells.
        @Test(arguments: [
            ("zip", "python3 -m zipfile -c FILE snapshot.db", "unzip", 7),
            ("gzip", "gzip -c snapshot.db >FILE", "gunzip", 7),
            ("zstd", "zstd -q -c snapshot.db >FILE", "unzstd", 7), ("tar", "tar cf FILE snapshot.db", "tar xf", 7),
            ("a database of etcd", "cp snapshot.db FILE", "etcd-snap restore etcd", 7),
            ("SQLite", "printf 'SQLite format 3\\000' >FILE; head -c 4096 /dev/zero >>FILE", "state.db", 7),
            ("empty", ": >FILE", "another copy", 7), ("named pipe", "mkfifo FILE", "hint: ", 7),
            ("a directory", "mkdir FILE", "--store", 7),
            ("member/snap/db", "mkdir -p FILE/member/snap; : >FILE/member/snap/db", "hint: ", 7),
            ("a device", "ln -s /dev/null FILE", "hint: ", 7),
            ("gpg", "printf '\\214\\015\\004\\011\\003\\012abcdefgh\\077' >FILE", "gpg -d", 7),
            ("No such file", "ln -s nowhere FILE", "hint: ", 4),
        ])
        func isCalledByItsName(words: String, making: String, hint: String, status: Int32) throws {
            for name in ["wk/other.db", "other.db", "other", "wk/other"] {
                let shell = making.replacing("FILE", with: name)
                try run("sh", ["-ec", "cd '\(directory.path)'; mkdir -p wk; \(shell)"])
                for command in Self.commands {
                    let result = try attempt(command, name)
                    #expect(result.status == status, "\(command) \(name): \(result.errorText)")
                    #expect(result.errorText.contains(words), "\(command) \(name): \(result.errorText)")
                    #expect(result.errorText.contains(hint), "\(command) \(name): \(result.errorText)")
                }
            }
            #expect(!FileManager.default.fileExists(atPath: directory.file("new")))
        }

        /// What nothing is known of is no archive either.
        @Test func aFileOfNoKnownKind() throws {
            try directory.write("some text", to: "text")
            for command in Self.commands {
                let result = try attempt(command, "text")
                #expect([2, 7].contains(result.status) && result.errorText.contains("\"text\""), "\(result.errorText)")
            }
            for made in ["new", "copy"] { #expect(!FileManager.default.fileExists(atPath: directory.file(made))) }
        }

        @Test func aFileThatIsMissingIsSaidToBe() throws {
            for name in [
                "dir/x.db", "x.db", "./x", "/nonexistent/x.db", "a/b/c/d.db", "a/b/c/d", "missing.tar.zst.age",
                "missing.json",
            ] {
                for command in Self.commands {
                    let result = try attempt(command, name)
                    #expect(result.status == 4, "\(command) \(name): \(result.errorText)")
                    #expect(result.errorText.contains("No such file"), "\(command) \(name): \(result.errorText)")
                }
                let restore = try inDirectory(["restore", "etcd", name, "--data-dir", "new"])
                #expect(restore.status == 4 && restore.errorText.contains("No such file"), "\(restore.errorText)")
            }
        }

        /// A word that is neither is looked for as both.
        @Test func neitherFileNorBackup() throws {
            for command in Self.commands + ["inspect status", "inspect volumes"] {
                let result = try inDirectory(
                    command.split(separator: " ").map(String.init) + ["nonexist", "--store", directory.file("none")]
                        + (command.hasPrefix("restore") ? ["--target", "new"] : []))
                expectFailure(result, 4, naming: "neither a file \"nonexist\" here nor a store", "none")
            }
            try store.makeBackup()
            expectFailure(
                try attempt("verify", "nonexist"), 4, naming: "no backup \"nonexist\"", "no file of that name")
        }

        /// What can be an ID is one, whatever lies in the working directory; a snapshot may be named by its date.
        @Test func referencesGoBeforeFiles() throws {
            let id = try store.makeBackupID()
            try run("sh", ["-ec", "cd '\(directory.path)'; mkdir \(id); touch latest; cp snapshot.db 20200101"])
            for name in [id, String(id.prefix(20)), "latest", "test/node/\(id)", "test/node/latest"] {
                let result = try attempt("verify", name)
                #expect(result.status == 0, "\(name): \(result.errorText)")
            }
            #expect(try inDirectory(["inspect", "status", "20200101"]).status == 0)
        }

        @Test func aSidecarWithoutItsArchive() throws {
            let archive = try store.makeBackup()
            let sidecar = archive.replacing(".tar.zst.age", with: ".json")
            try run("cp", [sidecar, directory.file("lone.json")])
            expectFailure(
                try SnapTool.attempt(["verify", directory.file("lone.json")]), 4, naming: "lone.json", "archive")
        }

        /// An archive that lies loose is nobody's to remove, and has no name that could be adopted there.
        @Test(arguments: [true, false])
        func aLooseArchive(hasSidecar: Bool) throws {
            let archive = try store.makeBackup()
            let sidecar = archive.replacing(".tar.zst.age", with: ".json")
            try run("mkdir", [directory.file("loose")])
            try run("cp", [archive] + (hasSidecar ? [sidecar] : []) + [directory.file("loose")])
            let name = "loose/" + (archive.split(separator: "/").last ?? "")
            for more in ["--dry-run", "--yes"] {
                let result = try inDirectory(["delete", name, more])
                expectFailure(result, 2, naming: name, "no store")
                #expect(!result.errorText.contains("etcd-snap adopt"), "\(result.errorText)")
            }
            let adopted = try inDirectory(["adopt", name, "-i", store.key.path])
            #expect(adopted.status != 0 && adopted.errorText.contains("test/node"), "\(adopted.errorText)")
            #expect(FileManager.default.fileExists(atPath: directory.file(name)))
        }

        @Test func aDirectoryBesideTheStoreIsCalledWhatItIs() throws {
            try store.makeBackup()
            for command in [["list"], ["verify"], ["describe", "2026"], ["delete", "latest", "--dry-run"]] {
                let below = try SnapTool.attempt(command + ["--store", "\(store.root)/test"])
                expectFailure(below, 4, naming: "directory of a cluster", store.root)
                let above = try SnapTool.attempt(command + ["--store", directory.path])
                expectFailure(above, 4, naming: store.root, "is a store")
            }
            #expect(try SnapTool.run(["list", "--store", store.scopeDirectory]).text.contains("test"))
        }

        @Test func aBackupOfFilesAloneHasNoSnapshot() throws {
            let with = try store.makeBackupID()
            let included = try directory.write("x", to: "included")
            let report = try SnapTool.json(
                ["backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included] + store.flags
            )
            let key = ["-i", store.key.path]
            for command in [
                ["inspect", "status", "latest"], ["restore", "etcd", "latest", "--data-dir", directory.file("new")],
            ] {
                let result = try SnapTool.attempt(command + key + store.flags)
                expectFailure(result, 4, naming: "without a snapshot of etcd")
                #expect(result.errorText.contains("the newest with one is test/node/\(with)"), "\(result.errorText)")
            }
            let path = report.path.string
            expectFailure(
                try SnapTool.attempt(["inspect", "status", path] + key), 4,
                naming: "without a snapshot of etcd")
            expectFailure(
                try SnapTool.attempt(["inspect", "status", with, "--etcd", "other"] + key + store.flags), 4,
                naming: "\"other\"")
        }
    }
}
