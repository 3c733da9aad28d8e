import Foundation
import TestSupport
import Testing

extension Integration {
    /// Archives outside of a store, and what people name in their place.
    @Suite struct ArchivePathTests {
        private let store: TestStore
        private let archive: String
        private let id: String
        private var directory: TemporaryDirectory { store.directory }
        private var key: [String] { ["-i", store.key.path] }

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            archive = try store.makeBackup()
            id = TestStore.id(of: archive)
        }

        /// Copies the archive, with its sidecar or without, and returns its path.
        private func copy(sidecar: Bool, as name: String? = nil) throws -> String {
            try run("mkdir", ["-p", directory.file("usb")])
            let path = directory.file("usb/\(name ?? "\(id).tar.zst.age")")
            try run("cp", [archive, path])
            if sidecar { try run("cp", ["\(store.scopeDirectory)/\(id).json", directory.file("usb/\(id).json")]) }
            return path
        }

        @Test(arguments: [true, false])
        func everyCommandTakesAPath(sidecar: Bool) throws {
            let path = try copy(sidecar: sidecar)
            for command in [["verify"], ["describe"], ["inspect", "status"], ["inspect", "volumes"]] {
                let result = try SnapTool.attempt(command + [path] + key)
                #expect(result.status == 0, "\(command): \(result.errorText)")
            }
            try SnapTool.run(["restore", path, "--target", directory.file("restored")] + key)
            try SnapTool.run(["download", path, directory.file("again.tar.zst.age")])
            #expect(FileManager.default.fileExists(atPath: directory.file("again.json")) == sidecar)
            #expect(
                try Data(contentsOf: URL(filePath: path))
                    == Data(contentsOf: URL(filePath: directory.file("again.tar.zst.age"))))
            // Without a key there is the sidecar to go by, or nothing.
            for command in ["verify", "describe"] {
                let result = try SnapTool.attempt([command, path])
                #expect(result.status == (sidecar ? 0 : 2), "\(result.errorText)")
            }
            if sidecar { try SnapTool.run(["verify", directory.file("usb/\(id).json")]) }
            let document = try SnapTool.json(["describe", path] + key)
            #expect(document.manifest.archive.id.string == id)
            #expect((document.sidecar.archive.id.string == id) == sidecar)
        }

        @Test func aPathInAStoreCanBeDeleted() throws {
            try SnapTool.run(["delete", archive, "--yes"])
            try store.expectEmpty()
            #expect(try SnapTool.attempt(["list"] + store.flags).status == 4)
            try SnapTool.run(store.backup())
            #expect(try SnapTool.json(["list"] + store.flags)[0].sequence.int == 2)
        }

        @Test func aDirectoryOfArchivesIsAStore() throws {
            try SnapTool.run(["download", id, directory.path] + store.flags)
            let flat = ["--store", directory.path]
            #expect(try SnapTool.json(["list"] + flat).array.map(\.archive.id.string) == [id])
            for command in [["verify", "latest"], ["describe", id], ["verify", "test/node/\(id)"]] {
                try SnapTool.run(command + flat + key)
            }
            expectFailure(try SnapTool.attempt(["delete", id, "--yes"] + flat), 2, naming: id)
            #expect(FileManager.default.fileExists(atPath: directory.file("\(id).tar.zst.age")))
        }

        @Test func aDamagedSidecarIsLeftAside() throws {
            let path = try copy(sidecar: false)
            try directory.write("{", to: "usb/\(id).json")
            let restored = try SnapTool.attempt(["restore", path, "--target", directory.file("restored")] + key)
            #expect(restored.status == 0 && restored.errorText.contains("warning: "))
            expectFailure(try SnapTool.attempt(["verify", path]), 7, naming: "\(id).json")
        }

        @Test func aDamagedBackupCanBeDeleted() throws {
            try directory.write("{", to: "store/test/node/\(id).json")
            #expect(try SnapTool.attempt(["list"] + store.flags).status == 7)
            expectFailure(try SnapTool.attempt(["delete", id] + store.flags), 2, naming: "terminal")
            let dry = try SnapTool.run(["delete", id, "--dry-run"] + store.flags)
            #expect(dry.text.contains(id))
            try SnapTool.run(["delete", id, "--yes"] + store.flags)
            try store.expectEmpty()
            let next = try SnapTool.attempt(store.backup())
            #expect(next.status == 0, "\(next.errorText)")
        }

        @Test func whatOthersRemoveIsAFinding() throws {
            try run("rm", [archive, "\(store.scopeDirectory)/\(id).json"])
            let backup = try SnapTool.attempt(store.backup(["-o", "json"]))
            #expect(backup.status == 3)
            #expect(try JSON(backup.output).findings.array.map(\.code.string) == ["backup-missing"])
            #expect(backup.errorText.contains("warning: backup-missing"))
            let list = try SnapTool.attempt(["list", "--problems", "-o", "json"] + store.flags)
            #expect(list.status == 3)
            #expect(try JSON(list.output).array.map(\.code.string) == ["backup-missing"])
            let doctor = try SnapTool.attempt(
                ["doctor", "--no-discover", "-r", store.key.recipient] + store.server.flags() + store.flags)
            #expect(doctor.status == 3 && doctor.text.contains("number 1 is missing"))
        }

        /// What people name instead of a snapshot or an archive.
        @Test(arguments: [
            ("zip", "python3 -m zipfile -c FILE snapshot.db", "unzip"),
            ("gzip", "gzip -c snapshot.db > FILE", "gunzip"),
            ("zstd", "zstd -q -c snapshot.db > FILE", "unzstd"), ("tar", "tar cf FILE snapshot.db", "tar xf"),
            ("write-ahead log", "cp $(ls data/member/wal/*.wal | head -n 1) FILE", "member/snap/db"),
            ("empty", ": > FILE", "another copy"),
        ])
        func otherFilesAreNamed(noun: String, command: String, advice: String) throws {
            let server = try EtcdServer.start(.v3_5, flags: ["--data-dir=\(directory.file("data"))"])
            try server.etcdctl("put", "a", "b")
            try server.etcdctl("snapshot", "save", directory.file("snapshot.db"))
            server.kill()
            for name in ["other.db", "other.tar.zst.age"] {
                let shell = command.replacing("FILE", with: name)
                try run("sh", ["-ec", "cd '\(directory.path)'; \(shell)"])
            }
            let snapshot = directory.file("other.db")
            for arguments in [
                ["inspect", "status", snapshot], ["restore", "etcd", snapshot, "--data-dir", directory.file("new")],
            ] {
                let result = try SnapTool.attempt(arguments)
                expectFailure(result, 7, naming: noun, "etcd snapshot")
                #expect(result.errorText.contains(advice))
            }
            let sealed = directory.file("other.tar.zst.age")
            for arguments in [["verify", sealed] + key, ["restore", sealed, "--target", directory.file("new")] + key] {
                expectFailure(try SnapTool.attempt(arguments), 7, naming: noun, "sealed archive")
            }
            try SnapTool.run(["inspect", "status", directory.file("snapshot.db")])
            try SnapTool.run(["inspect", "status", directory.file("data/member/snap/db")])
        }

        /// `members` are etcd's; what an archive holds are entries.
        @Test func whatAnArchiveHoldsAreEntries() throws {
            let tree = try SourceTree.make(in: directory)
            let texts = [
                try SnapTool.run(store.backup(["--include", tree])).text,
                try SnapTool.run(["describe", "latest"] + store.flags).text,
                try SnapTool.run(["describe", "latest"] + key + store.flags).text,
                try SnapTool.run(["verify", "latest"] + key + store.flags).text,
                try SnapTool.run(["restore", "latest", "--target", directory.file("all")] + key + store.flags).text,
            ]
            let count = try SnapTool.json(["describe", "latest"] + store.flags).sidecar.entryCount.int
            #expect(count > 20)
            for text in texts {
                #expect(!text.contains(/members: +[0-9]|[0-9] members/), "\(text)")
            }
            for text in texts.dropLast(2) {
                #expect(text.contains("\(count) entries") || text.contains(/entries: +[0-9]/), "\(text)")
            }
        }

        @Test func aNewKeyNamesItsFingerprint() throws {
            for flags in [[], ["--pq"]] {
                let path = directory.file("new\(flags.count).txt")
                let made = try SnapTool.run(["keygen", "-o", path] + flags).errorText
                let fingerprint = try #require(made.firstMatch(of: /Fingerprint: (SHA256:\S{43})\n/)).1
                #expect(try SnapTool.run(["keygen", "--show", path]).text.contains(fingerprint))
            }
        }

        @Test func aFingerprintCanBeMatchedWithAKey() throws {
            let shown = try SnapTool.run(["keygen", "--show", store.key.path]).text
            #expect(shown.contains(store.key.recipient))
            let fingerprint = try #require(shown.firstMatch(of: /SHA256:\S+/)).0
            #expect(try SnapTool.run(["describe", "latest"] + store.flags).text.contains(fingerprint))
            let file = try directory.write("# ours\n\(store.key.recipient)\n", to: "recipients.txt")
            #expect(try SnapTool.run(["keygen", "--show", file]).text.contains(fingerprint))
            let labelled = try directory.write(
                "discover: false\nhostFacts: false\nrecipients: [{key: \(store.key.recipient), label: safe in Bonn}]\n",
                to: "labelled.yaml")
            let flags = ["--config", labelled] + store.server.flags() + store.flags
            try SnapTool.run(["backup"] + flags)
            #expect(
                try SnapTool.run(["describe", "latest"] + store.flags).text.contains(
                    "safe in Bonn (X25519 \(fingerprint))"))
            #expect(try SnapTool.attempt(["doctor"] + flags).text.contains("safe in Bonn"))
            #expect(try SnapTool.run(["backup", "--dry-run"] + flags).text.contains("safe in Bonn"))
        }

        @Test func aWrongNameIsAnsweredWithTheNamesThatThereAre() throws {
            for arguments in [
                ["list", "--cluster", "typo"], ["describe", "typo/node/latest"], ["list", "--node", "typo"],
                ["restore", "--node", "typo", "--target", directory.file("x")] + key,
            ] {
                let result = try SnapTool.attempt(arguments + ["--store", store.root])
                expectFailure(result, 4, naming: "typo")
                let name = arguments.contains("--node") ? "node" : "test"
                #expect(result.errorText.contains("hint: it has \(name)"), "\(result.errorText)")
            }
        }
    }
}
