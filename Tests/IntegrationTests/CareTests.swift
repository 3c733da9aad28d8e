import Foundation
import TestSupport
import Testing

extension Integration {
    /// What would go wrong without a word.
    @Suite struct CareTests {
        private let store: TestStore

        init() throws { store = try TestStore(Laboratory.shared().server(.v3_5)) }

        /// A store at or above what is captured would take it out of the capture.
        @Test func aStoreAboveWhatIsCapturedIsRefused() throws {
            let data = store.directory.file("data")
            try run("mkdir", ["-p", "\(data)/kept/store"])
            for place in [data, "\(data)/kept", "\(data)/kept/../../data"] {
                let result = try SnapTool.attempt(
                    store.backup(["--include", "\(data)/kept"]).map { $0 == store.root ? place : $0 })
                expectFailure(result, 2, naming: "\(data)/kept")
            }
            let inside = store.backup(["--include", "\(data)/kept"]).map {
                $0 == store.root ? "\(data)/kept/store" : $0
            }
            for _ in 0..<2 { try SnapTool.run(inside) }
            let archives = try FileManager.default.subpathsOfDirectory(atPath: data).filter { $0.hasSuffix(".age") }
            #expect(archives.count == 2)
            let listing = try SnapTool.json(["describe", "-i", store.key.path, "--store", "\(data)/kept/store"])
            #expect(archives.contains { $0.contains(listing.sidecar.archive.id.string) })
            let paths = listing.manifest.entries.array.map(\.path.string)
            #expect(paths.contains("files\(data)/kept") && !paths.contains { $0.contains(".age") })
        }

        /// The one before it must not pass for the latest.
        @Test func theLatestIsNotTheOneBeforeIt() throws {
            try store.makeBackup()
            Thread.sleep(forTimeInterval: 1.1)
            let newest = try store.makeBackup()
            let sidecar = newest.replacingOccurrences(of: ".tar.zst.age", with: ".json")
            let id = URL(fileURLWithPath: sidecar).deletingPathExtension().lastPathComponent
            let whole = try Data(contentsOf: URL(fileURLWithPath: sidecar))
            for command in [["describe"], ["verify"], ["download", "latest", store.directory.file("copy")]] {
                try Data("{".utf8).write(to: URL(fileURLWithPath: sidecar))
                expectFailure(try SnapTool.attempt(command + store.flags), 7, naming: id)
                try whole.write(to: URL(fileURLWithPath: sidecar))
                try SnapTool.run(command + store.flags)
            }
            expectFailure(try SnapTool.attempt(["verify", "2000"] + store.flags), 4, naming: "2000")
            try FileHandle(forWritingTo: URL(fileURLWithPath: newest)).truncate(atOffset: 1000)
            let listing = try SnapTool.attempt(["list"] + store.flags)
            #expect(listing.status == 7 && !listing.text.contains(id) && listing.errorText.contains("has 1000 bytes"))
        }

        @Test func aHeaderIsCheckedOnTheWay() throws {
            let archive = try store.makeBackup()
            let handle = try FileHandle(forUpdating: URL(fileURLWithPath: archive))
            try handle.seek(toOffset: 30)
            try handle.write(contentsOf: Data("!".utf8))
            let copy = store.directory.file("copy.tar.zst.age")
            let result = try SnapTool.attempt(["download", "latest", copy] + store.flags)
            #expect(result.status == 7, "\(result.errorText)")
            #expect(!FileManager.default.fileExists(atPath: copy))
            let verified = try SnapTool.attempt(["verify", "-i", store.key.path] + store.flags)
            #expect(verified.status == 7, "\(verified.errorText)")
        }

        /// `full(4)`: writing to `/dev/full` fails with ENOSPC.
        @Test(arguments: [["list"], ["describe"], ["verify"], ["completion", "bash"], ["--help"]])
        func whatCantBePrintedIsAnError(command: [String]) throws {
            try store.makeBackup()
            let arguments = ["list", "describe", "verify"].contains(command[0]) ? command + store.flags : command
            let script = "exec \"$0\" \"$@\" >/dev/full"
            let result = try RunningCommand("bash", ["-c", script, SnapTool.executable()] + arguments).wait()
            #expect(result.status == 6 && result.errorText.contains("standard output"), "\(result.errorText)")
            let early = "\"$0\" \"$@\" | head -c 1; exit ${PIPESTATUS[0]}"
            let reader = try RunningCommand("bash", ["-c", early, SnapTool.executable()] + arguments).wait()
            #expect(reader.status == 0 && reader.errorText.isEmpty, "\(reader.errorText)")
        }

        /// A key that is never on a disk.
        @Test func identitiesFromPipes() throws {
            try store.makeBackup()
            let script = "exec \"$0\" verify -i <(cat \"$1\") \"${@:2}\""
            let arguments = ["-c", script, try SnapTool.executable(), store.key.path] + store.flags
            #expect(try RunningCommand("bash", arguments).wait().status == 0)
            let key = try Data(contentsOf: URL(fileURLWithPath: store.key.path))
            #expect(try SnapTool.attempt(["verify", "-i", "-"] + store.flags, input: key).status == 0)
            #expect(try SnapTool.attempt(["verify", "-i", "-"] + store.flags, input: Data()).status != 0)
        }

        @Test func aTrailerThatIsCut() throws {
            let snapshot = store.directory.file("saved.db")
            try store.server.etcdctl("snapshot", "save", snapshot)
            let whole = try Data(contentsOf: URL(fileURLWithPath: snapshot))
            for bytes in [whole.dropLast(1), whole.dropLast(31), whole + Data([1, 2, 3, 4, 5, 6])] {
                try bytes.write(to: URL(fileURLWithPath: snapshot))
                expectFailure(try SnapTool.attempt(["inspect", "status", snapshot]), 7, naming: snapshot)
                let data = store.directory.file("data")
                expectFailure(
                    try SnapTool.attempt(["restore", "etcd", snapshot, "--data-dir", data]), 7, naming: snapshot)
                #expect(!FileManager.default.fileExists(atPath: data))
            }
            try whole.dropLast(32).write(to: URL(fileURLWithPath: snapshot))
            #expect(try SnapTool.json(["inspect", "status", snapshot]).trailer.string == "absent")
        }

        /// Who has nothing else gets it, and is told.
        @Test func aWrongTrailerThatIsNotToBeChecked() throws {
            let snapshot = store.directory.file("saved.db")
            try store.server.etcdctl("snapshot", "save", snapshot)
            var bytes = try Data(contentsOf: URL(fileURLWithPath: snapshot))
            bytes[bytes.count - 1] ^= 1
            try bytes.write(to: URL(fileURLWithPath: snapshot))
            let restore = ["restore", "etcd", snapshot, "--data-dir", store.directory.file("data")]
            expectFailure(try SnapTool.attempt(restore), 7, naming: snapshot)
            let result = try SnapTool.attempt(restore + ["--skip-hash-check", "-o", "json"])
            #expect(result.status == 3 && result.errorText.contains("does not match"), "\(result.errorText)")
            #expect(try JSON(result.output).warnings.array.count == 1)
            try bytes.dropLast(32).write(to: URL(fileURLWithPath: snapshot))
            let without = restore.map { $0.replacing("/data", with: "/other") } + ["--skip-hash-check"]
            #expect(try SnapTool.attempt(without).status == 0)
        }

        @Test func mistakesAreSaid() throws {
            let data = store.directory.file("data")
            let mistakes = [
                ["certs", "-i", store.key.path], ["certs", "--store", store.root], store.backup(["--include", ""]),
                store.backup(["--root", store.directory.path, "--include", "relative"]),
                ["restore", "etcd", "a.db", "--data-dir", data, "--wal-dir", data],
                ["restore", "etcd", "a.db", "--data-dir", data, "--wal-dir", "\(data)/log"],
            ]
            for mistake in mistakes { #expect(try SnapTool.attempt(mistake).status == 2, "\(mistake)") }
            let snapshot = store.directory.file("saved.db")
            try store.server.etcdctl("snapshot", "save", snapshot)
            try SnapTool.run(["restore", "etcd", snapshot, "--data-dir", data, "--wal-dir", "\(data)/member/wal"])
            #expect(FileManager.default.fileExists(atPath: "\(data)/member/wal/0000000000000000-0000000000000000.wal"))
        }
    }
}
