import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whatever happens to a synchronisation, the target has whole archives only, and the next run goes on.
    @Suite(.timeLimit(.minutes(45))) struct SyncFaultTests {
        private let source: TestStore
        private let ids: [String]
        private var target: String { source.directory.file("target") }

        /// A store of three archives of about 60 MB.
        init() throws {
            source = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            let source = source
            ids = try (0..<3).map { _ in try source.makeBackupID() }
        }

        private func arguments(_ target: String? = nil) -> [String] {
            ["sync", "--from", source.root, "--to", target ?? self.target]
        }

        /// The IDs in the target, which nothing is wrong with.
        private func listed(
            _ target: String? = nil, sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> [String] {
            let target = target ?? self.target
            guard FileManager.default.fileExists(atPath: target) else { return [] }
            let result = try SnapTool.attempt(["list", "--store", target, "-o", "json"])
            #expect([0, 4].contains(result.status), "\(result.errorText)", sourceLocation: sourceLocation)
            return try JSON(result.output).array.map(\.archive.id.string)
        }

        /// Expects both stores to be the same, and every archive of the target to open.
        private func expectWhole(_ target: String? = nil) throws {
            let target = target ?? self.target
            #expect(try listed(target) == ids)
            try run("diff", ["-r", "--exclude=.lock", "--exclude=chain.json", source.root, target])
            for id in ids { try SnapTool.run(["verify", id, "-i", source.key.path, "--store", target]) }
        }

        @Test func killsAtAnyMoment() throws {
            let start = ContinuousClock.now
            try SnapTool.run(arguments())
            let length = (ContinuousClock.now - start) / .microseconds(1)
            try expectWhole()
            try run("rm", ["-rf", target])
            var random = SeededGenerator(seed: 61)
            var killedCount = 0
            while killedCount < 40 {
                let sync = try SnapTool.start(arguments())
                usleep(UInt32.random(in: 0...UInt32(length), using: &random))
                sync.signal(SIGKILL)
                if try sync.wait().status == SIGKILL { killedCount += 1 }
                let found = try listed()
                #expect(found == Array(ids.prefix(found.count)))
                // Begun anew once all is there, so that every part of a copy is met.
                if found.count == ids.count { try run("rm", ["-rf", target]) }
            }
            try SnapTool.run(arguments())
            try expectWhole()
        }

        @Test func signalsEndIt() throws {
            let sync = try SnapTool.start(arguments())
            while sync.isRunning, !FileManager.default.fileExists(atPath: "\(target)/test/node/.lock") { usleep(500) }
            usleep(100_000)
            sync.signal(SIGTERM)
            let result = try sync.wait(seconds: 30)
            #expect([0, 143].contains(result.status), "\(result.errorText)")
            let left = try FileManager.default.contentsOfDirectory(atPath: "\(target)/test/node")
            #expect(!left.contains { $0.hasPrefix(".pending") }, "\(left)")
            try SnapTool.run(arguments())
            try expectWhole()
        }

        @Test func aTargetThatIsFull() throws {
            let place = try TemporaryDirectory()
            let attributes = try FileManager.default.attributesOfItem(
                atPath: "\(source.root)/test/node/\(ids[0]).tar.zst.age")
            let byteCount = try #require(attributes[.size] as? Int)
            try shell("mount -t tmpfs -o size=\(byteCount / 2 * 5) none \"$1\"", place.path)
            defer { _ = try? run("umount", ["--lazy", place.path], allowsFailure: true) }
            let target = place.file("store")
            let result = try SnapTool.attempt(arguments(target))
            #expect(result.status == 6 && result.errorText.contains("\(ids[2])\" has"), "\(result.errorText)")
            #expect(result.text.contains("copied 2 backups"), "\(result.text)")
            #expect(try listed(target) == Array(ids.prefix(2)))
            try shell("mount -o remount,size=\(5 * byteCount) \"$1\"", place.path)
            let again = try SnapTool.json(arguments(target))
            #expect(again.targets[0].copied.array.count == 1)
            try expectWhole(target)
        }

        /// Both come to their end, and no archive is copied twice.
        @Test func twoAtTheSameTime() throws {
            let runs = try (0..<2).map { _ in try SnapTool.start(arguments() + ["-o", "json"]) }
            let results = try runs.map { try $0.wait() }
            for result in results { #expect(result.status == 0, "\(result.errorText)") }
            let counts = try results.map { try JSON($0.output).targets[0].copied.array.count }
            #expect(counts.reduce(0, +) == ids.count, "\(counts)")
            try expectWhole()
        }

        @Test func damageInTheSourceIsAFinding() throws {
            let path = "\(source.scopeDirectory)/\(ids[1]).tar.zst.age"
            try shell("printf x | dd of=\"$1\" bs=1 seek=30000000 conv=notrunc 2>/dev/null", path)
            let result = try SnapTool.attempt(arguments() + ["-o", "json"])
            #expect(result.status == 3 && result.errorText.contains("backup-damaged"), "\(result.errorText)")
            #expect(try JSON(result.output).findings.array.map(\.subject.string) == ["test/node/\(ids[1])"])
            let list = try SnapTool.attempt(["list", "--store", target, "-o", "json"])
            #expect(try JSON(list.output).array.map(\.archive.id.string) == [ids[0], ids[2]])
        }

        /// While another run writes there it is waited for, and then said.
        @Test func aBackupOfTheTargetIsWaitedFor() throws {
            try SnapTool.run(arguments())
            try run("rm", ["\(target)/test/node/\(ids[0]).tar.zst.age", "\(target)/test/node/\(ids[0]).json"])
            let lock = try BackgroundProcess.holdingLock(
                on: "\(target)/test/node/.lock", ready: source.directory.file("ready"))
            let sync = try SnapTool.start(arguments())
            usleep(1_500_000)
            #expect(sync.isRunning)
            lock.stop()
            #expect(try sync.wait().status == 0)
            try expectWhole()
        }

        @Test func memoryDoesNotGrowWithArchives() throws {
            let sync = try SnapTool.start(arguments())
            var kibibytes = 0
            while sync.isRunning {
                let status = try? String(contentsOfFile: "/proc/\(sync.processID)/status", encoding: .utf8)
                if let peak = status?.firstMatch(of: /VmHWM:\s+([0-9]+) kB/)?.output.1 { kibibytes = Int(peak) ?? 0 }
                usleep(2000)
            }
            #expect(try sync.wait().status == 0 && kibibytes > 0)
            #expect(kibibytes < 110 * 1024, "\(kibibytes) KiB")
        }
    }
}
