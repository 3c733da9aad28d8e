import Dispatch
import Foundation
import HostIO
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite struct DirectoryLockTests {
    @Test func oneAtATime() throws {
        let scratch = try TemporaryDirectory()
        let directory = try OpenDirectory(path: scratch.path)
        var lock: DirectoryLock? = try DirectoryLock(directory)
        #expect(try contents(scratch.file(".lock")) == Array("\(getpid())\n".utf8))
        #expect(try mode(scratch.file(".lock")) == 0o600)
        let error = #expect(throws: Failure.self) { try DirectoryLock(OpenDirectory(path: scratch.path)) }
        #expect(error?.code == .locked)
        #expect(error?.message.contains("(process \(getpid()))") == true)
        withExtendedLifetime(lock) {}
        lock = nil
        _ = try DirectoryLock(directory)
        #expect(try names(in: scratch.path) == [".lock"])
    }

    /// A descriptor that is closed twice may by then be somebody else's.
    @Test func closesItsFileOnceWhenItIsRefused() async {
        await #expect(processExitsWith: .success) {
            let scratch = try TemporaryDirectory()
            let directory = try OpenDirectory(path: scratch.path)
            let lock = try DirectoryLock(directory)
            let failedCloseCount = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 2) { index in
                for _ in 0..<20_000 {
                    if index == 0 {
                        _ = try? DirectoryLock(directory)
                    } else if close(open("/dev/null", O_RDONLY)) != 0 {
                        failedCloseCount.add(1, ordering: .relaxed)
                    }
                }
            }
            try #require(failedCloseCount.load(ordering: .relaxed) == 0)
            withExtendedLifetime(lock) {}
        }
    }

    @Test func goesWithItsProcess() throws {
        let scratch = try TemporaryDirectory()
        try scratch.write("1\n", to: ".lock")
        let holder = try BackgroundProcess.holdingLock(on: scratch.file(".lock"), ready: scratch.file("ready"))
        let directory = try OpenDirectory(path: scratch.path)
        let error = #expect(throws: Failure.self) { try DirectoryLock(directory) }
        #expect(error?.code == .locked)
        holder.stop()
        _ = try DirectoryLock(directory)
    }

    @Test func doesNotFollowALink() throws {
        let scratch = try TemporaryDirectory()
        try scratch.write("mine", to: "target")
        symlink("target", scratch.file(".lock"))
        #expect(throws: SystemCallError.self) { try DirectoryLock(OpenDirectory(path: scratch.path)) }
        #expect(try contents(scratch.file("target")) == Array("mine".utf8))
    }
}

@Suite struct StagingDirectoryTests {
    let scratch: TemporaryDirectory
    init() throws { scratch = try TemporaryDirectory() }

    @Test func becomesVisibleWhenPublished() throws {
        let staging = try StagingDirectory(target: scratch.file("new"))
        try staging.directory.createFile(entry("file")).close()
        #expect(try names(in: scratch.path) == [".pending-new"])
        #expect(try mode(scratch.file(".pending-new")) == 0o700)
        try staging.publish()
        #expect(try names(in: scratch.path) == ["new"])
        #expect(try names(in: scratch.file("new")) == ["file"])
    }

    @Test func leavesNothingWhenDiscarded() throws {
        let staging = try StagingDirectory(target: scratch.file("new"))
        try staging.directory.makeDirectory("below").createFile(entry("file")).close()
        staging.discard()
        #expect(try names(in: scratch.path).isEmpty)
    }

    @Test func replacesAnEmptyDirectoryOnly() throws {
        _ = try OpenDirectory.make(path: scratch.file("empty"))
        try StagingDirectory(target: scratch.file("empty")).publish()
        #expect(try names(in: scratch.path) == ["empty"])
        try scratch.write("kept", to: "empty/file")
        let error = #expect(throws: Failure.self) { try StagingDirectory(target: scratch.file("empty")) }
        #expect(error?.message.contains("exists and is not an empty directory") == true)
        try scratch.write("kept", to: "file")
        #expect(throws: Failure.self) { try StagingDirectory(target: scratch.file("file")) }
        #expect(try names(in: scratch.path) == ["empty", "file"])
        #expect(try contents(scratch.file("empty/file")) == Array("kept".utf8))
    }

    /// As a process has it that was forked and has not yet executed its program.
    @Test func aLockEndsThoughAnotherHasTheSameOpening() throws {
        func lockAndLeave() throws -> CInt {
            let directory = try OpenDirectory(path: scratch.path)
            #expect(try directory.tryLock())
            #expect(try !OpenDirectory(path: scratch.path).tryLock())
            return dup(directory.descriptor.rawValue)
        }
        let inherited = try lockAndLeave()
        defer { close(inherited) }
        #expect(inherited >= 0)
        #expect(try OpenDirectory(path: scratch.path).tryLock())
    }

    @Test func fillsADirectoryThatIsToStay() throws {
        let target = try OpenDirectory.make(path: scratch.file("there"))
        _ = try target.makeDirectory("lost+found")
        for endsWell in [true, false] {
            let staging = try StagingDirectory(target: scratch.file("there"), keepsExisting: true)
            try staging.directory.makeDirectory("a").createFile(entry("file")).close()
            try staging.directory.createFile(entry("b")).close()
            #expect(try names(in: scratch.path) == ["there"])
            #expect(throws: Failure.self) { try StagingDirectory(target: scratch.file("there"), keepsExisting: true) }
            if !endsWell {
                staging.discard()
                #expect(try names(in: scratch.file("there")) == ["lost+found"])
            }
            guard endsWell else { continue }
            try staging.publish()
            #expect(try names(in: scratch.file("there")) == ["a", "b", "lost+found"])
            #expect(throws: Failure.self) { try StagingDirectory(target: scratch.file("there"), keepsExisting: true) }
            staging.discard()
            #expect(try names(in: scratch.file("there")) == ["lost+found"])
        }
        #expect(try target.attributes().identity == OpenDirectory(path: scratch.file("there")).attributes().identity)
    }

    @Test func removesWhatIsInADirectoryThatIsToStay() throws {
        _ = try OpenDirectory.make(path: scratch.file("there/.pending-there/old"))
        symlink("there", scratch.file("link"))
        do {
            let staging = try StagingDirectory(target: scratch.file("there"), keepsExisting: true)
            #expect(try staging.directory.names().isEmpty)
            try staging.publish()
        }
        #expect(try names(in: scratch.file("there")).isEmpty)
        try StagingDirectory(target: scratch.file("link"), keepsExisting: true).publish()
        try scratch.write("mine", to: "there/file")
        let error = #expect(throws: Failure.self) {
            try StagingDirectory(target: scratch.file("link"), keepsExisting: true)
        }
        #expect(error?.message.contains("\"file\"") == true)
    }

    @Test func doesNotPublishOverWhatCameMeanwhile() throws {
        let staging = try StagingDirectory(target: scratch.file("new"))
        try scratch.write("kept", to: "new")
        #expect(throws: Failure.self) { try staging.publish() }
        staging.discard()
        #expect(try names(in: scratch.path) == ["new"])
        #expect(try contents(scratch.file("new")) == Array("kept".utf8))
    }

    @Test func removesTheLeftoverOfAProcessThatIsNoMore() throws {
        let leftover = try OpenDirectory.make(path: scratch.file(".pending-new"))
        try leftover.createFile(#require(EntryName(brokenName))).close()
        let staging = try StagingDirectory(target: scratch.file("new"))
        #expect(try staging.directory.names().isEmpty)
        staging.discard()
    }

    @Test func refusesWhatAnotherProcessIsFilling() throws {
        _ = try OpenDirectory.make(path: scratch.file(".pending-new"))
        try scratch.write("theirs", to: ".pending-new/file")
        let path = scratch.file(".pending-new")
        let holder = try BackgroundProcess.holdingLock(on: path, ready: scratch.file("ready"))
        let error = #expect(throws: Failure.self) { try StagingDirectory(target: scratch.file("new")) }
        #expect(error?.code == .locked)
        #expect(try names(in: path) == ["file"])
        holder.stop()
        try StagingDirectory(target: scratch.file("new")).discard()
        #expect(try names(in: scratch.path) == ["ready"])
    }

    /// Many at once for one target: the loser must fail, never fill the winner's directory.
    @Test func neverSharesADirectory() async throws {
        for round in 0..<50 {
            let target = scratch.file("target\(round)")
            let winners = await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        guard let staging = try? StagingDirectory(target: target) else { return false }
                        guard (try? staging.directory.createFile(entry("only"))) != nil else { return false }
                        return (try? staging.publish()) != nil
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(winners <= 1)
        }
    }

    @Test(arguments: ["", "/", ".", "a/..", ".."])
    func refusesNamesThatAreNone(target: String) throws {
        let error = #expect(throws: Failure.self) { try StagingDirectory(target: target) }
        #expect(error?.code == .usage)
    }

    @Test func needsTheParent() throws {
        #expect(throws: SystemCallError.self) { try StagingDirectory(target: scratch.file("none/new")) }
    }
}
