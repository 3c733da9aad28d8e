import Foundation
import TestSupport
import Testing

extension Integration {
    /// Where a restore may go, and what is left of one that was killed.
    @Suite struct RestoreTests {
        private func restore(_ store: TestStore, _ target: String, _ more: [String] = []) -> [String] {
            ["restore", "-i", store.key.path, "--target", target] + store.flags + more
        }

        @Test func onlyIntoAnEmptyPlace() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            try store.makeBackup()
            let target = store.directory.file("target")
            try run("mkdir", [target])
            try SnapTool.run(restore(store, target))
            let before = try FileManager.default.subpathsOfDirectory(atPath: target)
            expectFailure(try SnapTool.attempt(restore(store, target)), 1, naming: target)
            #expect(try FileManager.default.subpathsOfDirectory(atPath: target) == before)
            let file = try store.directory.write("x", to: "file")
            expectFailure(try SnapTool.attempt(restore(store, file)), 1, naming: file)
            let deep = store.directory.file("missing/deep")
            expectFailure(try SnapTool.attempt(restore(store, deep)), 4, naming: "missing")
            expectFailure(try SnapTool.attempt(restore(store, "/")), 2, naming: "\"/\"")
            #expect(try String(contentsOfFile: file, encoding: .utf8) == "x")
            let mode = try FileManager.default.attributesOfItem(atPath: target)[.posixPermissions] as? Int
            #expect(mode == 0o700)
        }

        @Test func aPartOfIt() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let file = try store.directory.write("x", to: "file")
            try store.makeBackup(["--include", file])
            let target = store.directory.file("files-only")
            try SnapTool.run(restore(store, target, ["--only", "files"]))
            #expect(try String(contentsOfFile: "\(target)/files\(file)", encoding: .utf8) == "x")
            #expect(!FileManager.default.fileExists(atPath: "\(target)/etcd"))
        }

        @Test func killedAndRepeated() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            try store.makeBackup()
            let place = try TemporaryDirectory()
            let target = place.file("restored")
            var random = SeededGenerator(seed: 11)
            var killCount = 0
            for _ in 0..<10 {
                let running = try SnapTool.start(restore(store, target))
                while running.isRunning, try FileManager.default.contentsOfDirectory(atPath: place.path).isEmpty {
                    usleep(200)
                }
                usleep(UInt32.random(in: 0...300_000, using: &random))
                running.signal(SIGKILL)
                let result = try running.wait()
                if result.status == 0 {
                    try FileManager.default.removeItem(atPath: target)
                } else {
                    killCount += 1
                    #expect(!FileManager.default.fileExists(atPath: target))
                }
            }
            #expect(killCount > 0)
            try SnapTool.run(restore(store, target))
            #expect(try FileManager.default.contentsOfDirectory(atPath: place.path) == ["restored"])
        }

        /// What a killed restore left is in the clear: whatever comes next finds it, wherever it is.
        @Test(arguments: [["restore"], ["restore", "etcd"]])
        func killedAndNotRepeated(command: [String]) throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            try store.makeBackup()
            let environment = ["XDG_STATE_HOME": store.directory.file("state")]
            let (left, next) = (try TemporaryDirectory(), store.directory.file("next"))
            func arguments(_ target: String) -> [String] {
                let flag = command.count == 1 ? "--target" : "--data-dir"
                return command + ["latest", "-i", store.key.path, flag, target] + store.flags
            }
            let killed = try RunningCommand(SnapTool.executable(), arguments(left.file("x")), environment: environment)
            while killed.isRunning, try run("find", [left.path, "-name", "*.db", "-o", "-name", "db"]).text.isEmpty {
                usleep(200)
            }
            killed.signal(SIGKILL)
            _ = try killed.wait()
            #expect(try FileManager.default.contentsOfDirectory(atPath: left.path) == [".pending-x"])
            let other = try RunningCommand(SnapTool.executable(), arguments(next), environment: environment).wait()
            #expect(other.status == 0 && other.errorText.contains(left.file(".pending-x")), "\(other.errorText)")
            #expect(try FileManager.default.contentsOfDirectory(atPath: left.path) == [])
            #expect(try FileManager.default.contentsOfDirectory(atPath: environment["XDG_STATE_HOME"] ?? "") == [])
        }

        @Test func aReaderThatGoesAway() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            let archive = try store.makeBackup()
            for arguments in [["unseal", archive, "-i", store.key.path], ["download", "latest", "-"] + store.flags] {
                let script = "set +e +o pipefail; \"$@\" | head -c 10 >/dev/null; exit ${PIPESTATUS[0]}"
                let result = try RunningCommand("bash", ["-c", script, "test", SnapTool.executable()] + arguments)
                    .wait()
                expectFailure(result, 1, naming: "standard output", hasHint: result.errorText.contains("hint: "))
            }
        }

        @Test func notOntoATerminal() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let archive = try store.makeBackup()
            for arguments in [["unseal", archive, "-i", store.key.path], ["download", "latest", "-"] + store.flags] {
                let line = try ([SnapTool.executable()] + arguments).joined(separator: " ")
                let result = try RunningCommand("script", ["-qec", line, "/dev/null"]).wait()
                #expect(result.status == 2 && result.text.contains("terminal"), "\(result.text)")
            }
        }
    }
}
