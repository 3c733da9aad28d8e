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
