import Foundation
import TestSupport
import Testing

extension Integration {
    /// Every step of publishing fails once, and kills the program once; strace does that to a system call.
    @Suite struct CrashPointTests {
        /// A system call, and how many times a backup into a new store makes it at most.
        private static let steps = [("mkdirat", 3), ("ftruncate", 1), ("fsync", 5), ("renameat2", 2)]
        private static let points = steps.flatMap { step in (1...step.1).map { (step.0, $0) } }

        private func backup(_ store: TestStore, _ call: String, _ fault: String) throws -> CommandResult {
            let options = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=\(call)", "-e", "inject=\(call):\(fault)"]
            return try RunningCommand("strace", options + [SnapTool.executable()] + store.backup()).wait()
        }

        @Test func killedAtEveryStep() throws {
            var killCount = 0
            for (call, number) in Self.points {
                let store = try TestStore(Laboratory.shared().server(.v3_4))
                let result = try backup(store, call, "signal=SIGKILL:when=\(number)")
                guard result.status != 0 else { continue }
                killCount += 1
                #expect(result.status == SIGKILL, "\(call) \(number): \(result.errorText)")
                try expectWholeOrNothing(store)
                try store.expectNextRunSucceeds()
            }
            #expect(killCount >= 8)
        }

        @Test(arguments: ["EIO", "ENOSPC"])
        func failsAtEveryStep(_ error: String) throws {
            var failureCount = 0
            for (call, number) in Self.points {
                let store = try TestStore(Laboratory.shared().server(.v3_5))
                let result = try backup(store, call, "error=\(error):when=\(number)")
                guard result.status != 0 else { continue }
                failureCount += 1
                expectFailure(
                    result, error == "EIO" ? 1 : 6, naming: store.directory.path, hasHint: error == "ENOSPC")
                #expect(try !store.names().contains { $0.hasPrefix(".") }, "\(call) \(number)")
                try expectWholeOrNothing(store)
                try store.expectNextRunSucceeds()
            }
            #expect(failureCount >= 8)
        }

        private func expectWholeOrNothing(_ store: TestStore) throws {
            let list = try SnapTool.attempt(["list", "-o", "json"] + store.flags)
            #expect(list.status == 0 || list.status == 4, "\(list.errorText)")
            guard list.status == 0 else { return }
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
        }
    }
}
