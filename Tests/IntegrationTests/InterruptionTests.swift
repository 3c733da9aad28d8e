import Foundation
import TestSupport
import Testing

extension Integration {
    /// The program itself is told to end, or killed.
    @Suite struct InterruptionTests {
        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func signalsEndABackup(_ signal: Int32) throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            // While connecting, and in the stream.
            for place in [0, 2000, 10_000_000, 40_000_000] {
                let valve = try Valve(to: store.server.clientPort, limit: place)
                defer { valve.close() }
                let backup = try SnapTool.start(store.backup(port: valve.port))
                try valve.waitUntilHeld { backup.isRunning }
                while backup.isRunning, valve.connectionCount == 0 { usleep(1000) }
                backup.signal(signal)
                let result = try backup.wait(seconds: 30)
                expectFailure(result, 128 + signal, naming: "signal \(signal)")
                try store.expectEmpty()
            }
            try store.expectNextRunSucceeds()
        }

        /// What nice(1) or a unit's `Nice=` has given holds for every thread; none preempts others that wake up.
        @Test func theControlPlaneComesFirst() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            let valve = try Valve(to: store.server.clientPort, limit: 30_000_000)
            defer { valve.close() }
            let backup = try RunningCommand(
                "nice", ["-n", "7", SnapTool.executable()] + store.backup(port: valve.port))
            try valve.waitUntilHeld { backup.isRunning }
            let tasks = "/proc/\(backup.processID)/task"
            let threads = try FileManager.default.contentsOfDirectory(atPath: tasks)
            #expect(threads.count > 5)
            for thread in threads {
                let text = try String(contentsOfFile: "\(tasks)/\(thread)/stat", encoding: .utf8)
                // proc(5): behind the name in parentheses come fields 3 and following; 19 is nice, 41 the policy.
                let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ").dropFirst()
                #expect(fields.dropFirst(19 - 3).first == "7")
                #expect(fields.dropFirst(41 - 3).first.map(String.init) == "3", "SCHED_BATCH")
            }
            valve.open()
            #expect(try backup.wait().status == 0)
        }

        @Test func signalsEndARestore() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            try store.makeBackup()
            var random = SeededGenerator(seed: 7)
            for _ in 0..<12 {
                let directory = try TemporaryDirectory()
                let restore = try SnapTool.start(
                    ["restore", "-i", store.key.path, "--target", directory.file("restored")] + store.flags)
                while restore.isRunning, try isEmpty(directory) { usleep(200) }
                usleep(UInt32.random(in: 0...400_000, using: &random))
                restore.signal(SIGTERM)
                let result = try restore.wait(seconds: 30)
                #expect(result.status == 143 || result.status == 0, "\(result.status): \(result.errorText)")
                let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
                #expect(left == (result.status == 0 ? ["restored"] : []))
            }
        }

        private func isEmpty(_ directory: TemporaryDirectory) throws -> Bool {
            try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty
        }

        /// Kills at random places of the stream, spread over all of it.
        @Test func killsInTheStream() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            try store.makeBackup()
            var random = SeededGenerator(seed: 41)
            for _ in 0..<25 {
                let place = Int.random(in: 0..<Laboratory.bulkMebibytes << 20, using: &random)
                let valve = try Valve(to: store.server.clientPort)
                defer { valve.close() }
                let backup = try SnapTool.start(store.backup(port: valve.port))
                while backup.isRunning, valve.passedByteCount < place { usleep(300) }
                backup.signal(SIGKILL)
                _ = try backup.wait()
                try expectOnlyCompleteArchives(store)
            }
            try expectRecovery(store)
        }

        /// Kills at random moments of runs so short that beginning and publishing are as likely as the stream.
        @Test func killsAtAnyMoment() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let start = ContinuousClock.now
            try store.makeBackup()
            let length = (ContinuousClock.now - start) / .microseconds(1)
            var random = SeededGenerator(seed: 97)
            for _ in 0..<40 {
                let backup = try SnapTool.start(store.backup())
                usleep(UInt32.random(in: 0...UInt32(length * 1.1), using: &random))
                backup.signal(SIGKILL)
                _ = try backup.wait()
                try expectOnlyCompleteArchives(store)
            }
            try expectRecovery(store)
        }

        private func expectOnlyCompleteArchives(_ store: TestStore) throws {
            let documents = try SnapTool.json(["list"] + store.flags)
            let names = try store.names()
            #expect(documents.array.count == names.filter { $0.hasSuffix(".age") && !$0.hasPrefix(".") }.count)
            for document in documents.array { #expect(names.contains("\(document.archive.id.string).tar.zst.age")) }
            try store.expectPrivate()
        }

        private func expectRecovery(_ store: TestStore) throws {
            try store.expectNextRunSucceeds()
            let documents = try SnapTool.json(["list"] + store.flags)
            #expect(try store.names().count == 2 * documents.array.count)
            for document in documents.array {
                try SnapTool.run(["verify", document.archive.id.string, "-i", store.key.path] + store.flags)
            }
        }
    }
}
