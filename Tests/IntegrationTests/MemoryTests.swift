import Foundation
import TestSupport
import Testing

extension Integration {
    /// A crash must not leave keys in a core, and others must not read them from memory.
    @Suite struct MemoryTests {
        /// Starts a command that has read an identity and waits for its input.
        private func withWaitingCommand(_ prefix: [String] = [], _ body: (Int32) throws -> Void) throws {
            let key = try Laboratory.shared().key()
            let directory = try TemporaryDirectory()
            let copy = directory.file("key.txt")
            try run("install", ["-m", "644", key.path, copy])
            try run("chmod", ["755", directory.path])
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = prefix + [try SnapTool.executable(), "unseal", "-i", copy, "-"]
            process.currentDirectoryURL = URL(fileURLWithPath: directory.path)
            process.standardInput = Pipe()
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            defer {
                // What waits for a pipe ends at the second signal only.
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
            }
            let status = {
                (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
            }
            for _ in 0..<200 where !status().contains(#/VmLck:\s+[1-9]/#) { usleep(20_000) }
            #expect(status().contains(#/VmLck:\s+[1-9]/#), "the identity is not in locked memory")
            try body(process.processIdentifier)
        }

        @Test func noCoreIsWritten() throws {
            try withWaitingCommand(["bash", "-c", "ulimit -c unlimited; exec \"$@\"", "bash"]) { process in
                let limits = try String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)
                #expect(limits.contains(#/Max core file size\s+0\s+0\s/#), "\(limits)")
            }
        }

        /// Both are done before a command opens anything that is the user's, whatever the command.
        @Test func memoryIsClosedFirst() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let node = try ControlPlaneNode(in: store.directory, runs: store.server)
            let archive = try store.makeBackup(["--include", "\(node.root)/etc/kubernetes/pki"])
            let identity = ["-i", store.key.path]
            let etcd = ["--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"]
            func file(_ name: String) -> String { store.directory.file(name) }
            let onNode = ["--root", node.root, "-r", store.key.recipient] + store.server.flags() + store.flags
            let onStore = ["verify", "describe", "certs", "inspect status", "inspect volumes"]
            try expectClosedMemory("backup", onNode, in: store)
            try expectClosedMemory("doctor", onNode, in: store)
            for command in onStore { try expectClosedMemory(command, ["latest"] + identity + store.flags, in: store) }
            for command in ["restore", "restore files"] {
                let arguments = ["latest", "--target", file("target of \(command)")]
                try expectClosedMemory(command, arguments + identity + store.flags, in: store)
            }
            try expectClosedMemory(
                "restore etcd", ["latest", "--data-dir", file("data")] + etcd + identity + store.flags, in: store)
            try expectClosedMemory("unseal", identity + [archive], in: store)
            try expectClosedMemory("keygen", ["-o", file("key")], in: store)
            try expectClosedMemory("keygen --show", [store.key.path], in: store)
            try expectClosedMemory("download", ["latest", file("copy")] + store.flags, in: store)
            try run("rm", [archive.replacing(".tar.zst.age", with: ".json")])
            try expectClosedMemory("adopt", [archive] + identity + store.flags, in: store)
        }

        private func expectClosedMemory(_ command: String, _ more: [String], in store: TestStore) throws {
            let log = store.directory.file("calls")
            let calls = "trace=prctl,prlimit64,openat"
            let script = "ulimit -c unlimited; exec strace -f -qq -s 4096 -o \"$0\" -e \(calls) \"$@\""
            let arguments = command.split(separator: " ").map(String.init) + more
            let result = try RunningCommand("bash", ["-c", script, log, SnapTool.executable()] + arguments).wait()
            #expect([0, 3, 4].contains(result.status), "\(command): \(result.errorText)")
            let lines = try String(decoding: Data(contentsOf: URL(fileURLWithPath: log)), as: UTF8.self)
                .split(separator: "\n")
            func first(_ texts: String...) throws -> Int {
                try #require(lines.firstIndex { line in texts.contains { line.contains($0) } }, "\(command): \(texts)")
            }
            let opened = try first("AT_FDCWD, \"\(store.directory.path)", "AT_FDCWD, \"\(store.key.path)")
            let closed = try first("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0")
            let limited = try first("prlimit64(0, RLIMIT_CORE, {rlim_cur=0, rlim_max=0}, NULL) = 0")
            #expect(closed < opened && limited < opened, "\(command): \(lines[opened])")
            #expect(!lines.contains { $0.contains("PR_SET_DUMPABLE, SUID_DUMP_USER") }, "\(command)")
        }

        /// What belongs to root in /proc is closed to the process' own user.
        @Test func theSameUserCannotReadTheMemory() throws {
            try withWaitingCommand(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]) { process in
                let attributes = try FileManager.default.attributesOfItem(atPath: "/proc/\(process)/mem")
                #expect((attributes[.ownerAccountID] as? NSNumber)?.intValue == 0)
                let other = try TestSupport.run(
                    "setpriv",
                    ["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", "/proc/\(process)/environ"],
                    allowsFailure: true)
                #expect(other.status != 0)
            }
        }
    }
}
