import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import ArchiveStore

/// What every remote does.
@Suite(.serialized, .timeLimit(.minutes(45))) struct RcloneStorageTests {
    private typealias Check = (RcloneLaboratory) async throws -> Void

    /// Each in a place of its own on one server; sftp is OpenSSH's, for rclone's own server does no more.
    @Test(arguments: everyRemote.filter { $0.0 != .sftp })
    func everyRemoteKeepsItsPromises(kind: RcloneRemoteKind, release: RcloneRelease) async throws {
        let laboratory = try RcloneLaboratory(kind, release)
        let checks: [(name: String, check: Check)] = [
            ("objectsAreWrittenReadAndRemoved", objectsAreWrittenReadAndRemoved),
            ("whatIsThereIsNotReplaced", whatIsThereIsNotReplaced),
            ("whatIsDiscardedIsNeverAnObject", whatIsDiscardedIsNeverAnObject),
            ("listsAreCompleteAndInOrder", listsAreCompleteAndInOrder),
            ("whatWasNotedIsRemovedLater", whatWasNotedIsRemovedLater), ("aProbeLeavesNothing", aProbeLeavesNothing),
            ("leftoversAreRemovedWhenTheyAreOld", leftoversAreRemovedWhenTheyAreOld),
            ("aKilledProcessLeavesNothingThatCounts", aKilledProcessLeavesNothingThatCounts),
            ("aKilledProgramLeavesNothingThatCounts", aKilledProgramLeavesNothingThatCounts),
        ]
        for (name, check) in checks {
            laboratory.place = name
            do {
                try await check(laboratory)
            } catch {
                Issue.record(error, "\(kind.rawValue), \(release.rawValue): \(name)")
            }
        }
    }

    private func objectsAreWrittenReadAndRemoved(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        try storage.checkReachable()
        #expect(try storage.objects(below: "", behind: nil) == [])
        #expect(try storage.directories(below: "prod/") == [])
        #expect(try storage.object("prod/a/x.json") == nil)
        #expect(try objectError { _ = try storage.bytes(of: "prod/a/x.json", limit: 9) }.kind == .absent)

        let sidecar = noise(1500)
        try storage.create("prod/a/x.json", sidecar)
        let archive = noise(5_000_000)
        let pending = try storage.begin("prod/a/x.tar.zst.age", byteCount: nil) { _ in }
        // Nobody sees it before it is whole.
        for start in stride(from: 0, to: archive.count, by: 700_000) {
            try pending.write(Array(archive[start..<min(start + 700_000, archive.count)]))
        }
        #expect(try storage.object("prod/a/x.tar.zst.age") == nil)
        #expect(try storage.objects(below: "", behind: nil).map(\.key) == ["prod/a/x.json"])
        let finished = try pending.finish()
        #expect(finished.byteCount == archive.count && finished.key == "prod/a/x.tar.zst.age")
        #expect(try laboratory.everything() == ["prod/a/x.json", "prod/a/x.tar.zst.age"])

        let object = try #require(try storage.object("prod/a/x.tar.zst.age"))
        #expect(object.byteCount == archive.count)
        #expect(abs(try #require(object.modifiedAt).timeIntervalSinceNow) < 120)
        for (offset, count) in [(0, 1), (0, 100_000), (4_321_000, 65_537), (4_999_999, 1), (4_999_990, 100)] {
            let expected = Array(archive[offset..<min(offset + count, archive.count)])
            #expect(try storage.range(object, offset, count) == expected)
        }
        #expect(try storage.range(object, archive.count, 10) == [])
        let small = try storage.bytes(of: "prod/a/x.json", limit: 1500)
        #expect(small.bytes == sidecar && small.object.byteCount == 1500)
        #expect(throws: ObjectError.self) { try storage.bytes(of: "prod/a/x.json", limit: 1499) }

        #expect(try storage.remove(["prod/a/x.json", "prod/a/none", "none/none"]).isEmpty)
        #expect(try laboratory.everything() == ["prod/a/x.tar.zst.age"])
        #expect(try storage.directories(below: "") == ["prod"])
    }

    /// `copyto` and `rcat` replace whatever is there, in spite of `--immutable`.
    private func whatIsThereIsNotReplaced(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        try storage.create("c/n/x.json", [1, 2, 3])
        #expect(try objectError { try storage.create("c/n/x.json", [4, 5, 6]) }.kind == .exists)
        #expect(try objectError { try storage.create("c/n/x.json", [7]) }.kind == .exists)
        #expect(try objectError { _ = try storage.begin("c/n/x.json", byteCount: 9) { _ in } }.kind == .exists)
        #expect(try storage.bytes(of: "c/n/x.json", limit: 9).bytes == [1, 2, 3])
        #expect(try laboratory.everything() == ["c/n/x.json"])
        guard laboratory.kind != .s3 else { return }
        // Another writer comes while the second one writes.
        let second = try storage.begin("c/n/y", byteCount: nil) { _ in }
        try second.write([9, 9])
        try storage.create("c/n/y", [1])
        #expect(try objectError { _ = try second.finish() }.kind == .exists)
        second.discard()
        #expect(try storage.bytes(of: "c/n/y", limit: 9).bytes == [1])
        #expect(try laboratory.everything() == ["c/n/x.json", "c/n/y"])
    }

    /// `rcat` takes the end of its input for the end of the object, and ends with status 0.
    private func whatIsDiscardedIsNeverAnObject(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        for count in [0, 10, 300_000, 12_000_000] {
            let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
            try pending.write(noise(count))
            pending.discard()
            #expect(try laboratory.everything() == [], "\(count)")
        }
        // Dropped without a word.
        do {
            let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
            try pending.write(noise(6_000_000))
        }
        #expect(try storage.objects(below: "", behind: nil) == [])
        _ = try storage.removeLeftovers(below: "", before: Date() + 3_600)
        // Finished, and then not wanted.
        let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
        try pending.write(noise(1000))
        _ = try pending.finish()
        pending.discard()
        #expect(try laboratory.everything() == [])
    }

    private func listsAreCompleteAndInOrder(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        let keys = ["a-b/n/1", "a/n/1", "a/n/10", "a/n/2", "a/n-1/x", "a.b/n/1", "a/m/zz"]
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for key in keys { try laboratory.rclone(["rcat", "far:\(laboratory.path)/\(key)"], input: key) }
        // What is being written is not there yet.
        try laboratory.rclone(["rcat", "far:\(laboratory.path)/a/n/\(HiddenName().key(beside: "x"))"], input: "x")
        let objects = try storage.objects(below: "", behind: nil)
        #expect(objects.map(\.key) == sorted)
        #expect(objects.map(\.byteCount) == sorted.map(\.utf8.count))
        #expect(objects.allSatisfy { abs($0.modifiedAt?.timeIntervalSinceNow ?? 1e9) < 300 })
        #expect(try storage.objects(below: "a/", behind: nil).map(\.key) == sorted.filter { $0.hasPrefix("a/") })
        #expect(try storage.objects(below: "a/n/", behind: "a/n/1").map(\.key) == ["a/n/10", "a/n/2"])
        #expect(try storage.objects(below: "none/", behind: nil) == [])
        #expect(try storage.directories(below: "") == ["a", "a-b", "a.b"])
        #expect(try storage.directories(below: "a/") == ["m", "n", "n-1"])
        #expect(try storage.directories(below: "a/n/") == [])
    }

    private func leftoversAreRemovedWhenTheyAreOld(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        let now = Date()
        let old = HiddenName(at: now - 200_000).key(beside: "c/n/x")
        let young = HiddenName(at: now).key(beside: "c/n/x")
        for key in [old, young, "c/n/.partial-of-somebody", "c/n/x.json"] {
            try laboratory.rclone(["rcat", "far:\(laboratory.path)/\(key)"], input: "x")
        }
        // The remote has just written them: a name alone proves nothing, for a clock may have been wrong.
        #expect(try storage.removeLeftovers(below: "", before: now - 100_000) == [])
        #expect(try storage.removeLeftovers(below: "c/m/", before: now + 3_600) == [])
        #expect(try laboratory.everything().count == 4)
        #expect(try storage.removeLeftovers(below: "c/", before: now + 3_600) == [old, young].sorted())
        #expect(try laboratory.everything() == ["c/n/.partial-of-somebody", "c/n/x.json"])
    }

    private func whatWasNotedIsRemovedLater(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        let noted = Mutex<String?>(nil)
        do {
            let pending = try storage.begin("c/n/x", byteCount: nil) { upload in noted.withLock { $0 = upload } }
            try pending.write(noise(100_000))
        }
        let upload = noted.withLock(\.self)
        #expect((upload == nil) == (laboratory.kind == .s3))
        try storage.create("c/n/y", [1])
        if let upload { try laboratory.rclone(["rcat", "far:\(laboratory.path)/\(upload)"], input: "part") }
        // Nothing but what can be a part of that key.
        for other in ["c/n/y", "c/n/x", "", "c/.partial-20261127T063000Z-0f3a55c2d9e1"] {
            try storage.removeLeftover(of: "c/n/x", upload: other)
        }
        try storage.removeLeftover(of: "c/n/x", upload: nil)
        #expect(try laboratory.everything() == ["c/n/y", upload].compactMap(\.self).sorted())
        for _ in 0..<2 { try storage.removeLeftover(of: "c/n/x", upload: upload) }
        #expect(try laboratory.everything() == ["c/n/y"])
    }

    private func aProbeLeavesNothing(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        for _ in 0..<2 { #expect(try storage.probe(below: "c/n/").count > 2) }
        #expect(try laboratory.everything() == [])
        // One that was interrupted.
        try storage.create("c/n/probe", [7, 7])
        let traits = try storage.probe(below: "c/n/")
        #expect(traits.contains { $0.message.contains("second writer") && $0.advice != nil && !$0.isFault })
        #expect(try laboratory.everything() == [])
    }

    /// The whole process is killed in the middle of an upload: rclone must not take that for the end of the object.
    private func aKilledProcessLeavesNothingThatCounts(_ laboratory: RcloneLaboratory) async throws {
        let storage = try laboratory.storage()
        // Other moments for each remote.
        var generator = SeededGenerator(seed: laboratory.kind.rawValue.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
        for limit in [1, 400_000, 9_000_000] as [UInt64] {
            let count = Int(generator.next() as UInt64 % limit)
            let delay = UInt32(generator.next() as UInt64 % 200_000)
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [
                    location = storage.location.description as String, config = laboratory.configFile as String,
                    path = laboratory.release.path as String,
                    count = count as Int, delay = delay as UInt32
                ] in
                var settings = RcloneSettings()
                settings.configFile = config
                settings.executable = path
                let storage = try RcloneStorage(RcloneLocation(location), settings)
                let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
                try pending.write(noise(count))
                usleep(delay)
                kill(getpid(), SIGKILL)
            }
            // rclone ends by itself; nothing waits for it.
            let end = ContinuousClock.now + .seconds(60)
            while try !uploads(laboratory).isEmpty, ContinuousClock.now < end { usleep(50_000) }
            #expect(try uploads(laboratory) == [])
            #expect(try storage.object("c/n/x") == nil)
            #expect(try storage.objects(below: "", behind: nil) == [], "\(count) bytes")
        }
        _ = try storage.removeLeftovers(below: "", before: Date() + 3_600)
        #expect(try laboratory.everything() == [])
    }

    /// The same, and rclone with it.
    private func aKilledProgramLeavesNothingThatCounts(_ laboratory: RcloneLaboratory) throws {
        let storage = try laboratory.storage()
        for count in [1_000, 7_000_000] {
            let pending = try storage.begin("c/n/x", byteCount: nil) { _ in }
            try pending.write(noise(count))
            usleep(300_000)
            let processes = try uploads(laboratory)
            #expect(processes.count == 1)
            for process in processes { kill(process, SIGKILL) }
            let error = try objectError { _ = try pending.finish() }
            #expect(error.failure.message.contains("signal 9"), "\(error.failure)")
            #expect(try storage.objects(below: "", behind: nil) == [])
            // Whoever is killed discards nothing.
        }
        #expect(try storage.object("c/n/x") == nil)
        _ = try storage.removeLeftovers(below: "", before: Date() + 3_600)
        #expect(try laboratory.everything() == [])
    }
}

/// The processes of rclone that read an upload to a remote.
private func uploads(_ laboratory: RcloneLaboratory) throws -> [pid_t] {
    // Without the dashes the pattern would be an option.
    let result = try run(
        "pgrep", ["-f", "--", "rcat far:.*--config=\(laboratory.configFile)"], allowsFailure: true)
    guard result.status <= 1 else { throw TestSupportError(result.errorText) }
    return result.text.split(separator: "\n").compactMap { pid_t($0) }
}
