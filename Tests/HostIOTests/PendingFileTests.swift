import Dispatch
import Foundation
import HostIO
import Synchronization
import SystemPackage
import TestSupport
import Testing

@Suite struct PendingFileTests {
    let scratch: TemporaryDirectory
    let directory: OpenDirectory

    init() throws {
        scratch = try TemporaryDirectory()
        directory = try OpenDirectory(path: scratch.path)
    }

    @Test func isInvisibleUntilPublished() throws {
        let file = try PendingFile(in: directory, name: "a")
        try file.write(Array("one ".utf8))
        try file.write(Array("two".utf8))
        #expect(try names(in: scratch.path) == [".pending-a"])
        #expect(try mode(scratch.file(".pending-a")) == 0o600)
        try file.publish()
        #expect(try names(in: scratch.path) == ["a"])
        #expect(try contents(scratch.file("a")) == Array("one two".utf8))
        #expect(file.byteCount == 7)
        #expect(file.path == scratch.file("a"))
    }

    @Test func isRemovedWhenDiscardedOrDropped() throws {
        var file: PendingFile? = try PendingFile(in: directory, name: "a")
        try file?.write([1])
        file?.discard()
        file?.discard()
        #expect(try names(in: scratch.path).isEmpty)
        file = try PendingFile(in: directory, name: "b")
        #expect(try names(in: scratch.path) == [".pending-b"])
        file = nil
        #expect(try names(in: scratch.path).isEmpty)
    }

    @Test func staysWhenDroppedAfterPublishing() throws {
        do {
            let file = try PendingFile(in: directory, name: "a")
            try file.publish()
            file.discard()
        }
        #expect(try names(in: scratch.path) == ["a"])
    }

    @Test func isReadBackBeforeItIsPublished() throws {
        var file: PendingFile? = try PendingFile(in: directory, name: "a")
        try file?.write(Array("bytes".utf8))
        let reopened = try #require(try file?.reopen())
        #expect(reopened.name == scratch.file("a"))
        file = nil
        #expect(try names(in: scratch.path).isEmpty)
        #expect(try reopened.bytes(at: 0, count: 10) == Array("bytes".utf8))
    }

    /// In a directory of a disk, and in one of memory, where nothing passes the page cache by.
    @Test(arguments: [NSTemporaryDirectory(), "/dev/shm"])
    func passesThePageCacheBy(place: String) throws {
        let scratch = try TemporaryDirectory(in: place)
        let directory = try OpenDirectory(path: scratch.path)
        let mebibyte = 1 << 20
        for byteCount in [0, 1, mebibyte - 1, mebibyte, mebibyte + 1, 3 * mebibyte + 4097] {
            let bytes = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            let file = try PendingFile(in: directory, name: "\(byteCount)")
            file.bypassPageCache()
            var rest = bytes[...]
            while !rest.isEmpty {
                try file.write(Array(rest.prefix(99_991)))
                rest = rest.dropFirst(99_991)
            }
            #expect(file.byteCount == byteCount)
            #expect(try file.reopen().bytes(at: 0, count: byteCount + 1) == bytes)
            try file.publish()
            #expect(try contents(scratch.file("\(byteCount)")) == bytes)
        }
    }

    @Test func neverReplaces() throws {
        try scratch.write("old", to: "a")
        do {
            let file = try PendingFile(in: directory, name: "a")
            try file.write([0x6E])
            let error = #expect(throws: SystemCallError.self) { try file.publish() }
            #expect(error?.errno == .fileExists)
        }
        #expect(try contents(scratch.file("a")) == Array("old".utf8))
        #expect(try names(in: scratch.path) == ["a"])
    }

    /// Under which of its names it is then does not matter, and what is not it stays.
    @Test func isWithdrawnAfterItWasPublished() throws {
        let file = try PendingFile(in: directory, name: "a")
        try file.publish()
        #expect(file.withdraw())
        #expect(try names(in: scratch.path).isEmpty)
        try scratch.write("theirs", to: "a")
        #expect(file.withdraw())
        #expect(try contents(scratch.file("a")) == Array("theirs".utf8))
    }

    @Test func doesNotPublishWhatHasTakenItsTemporaryName() throws {
        do {
            let file = try PendingFile(in: directory, name: "a")
            try file.write([1])
            try run("rm", [scratch.file(".pending-a")])
            try scratch.write("x", to: ".pending-a")
            #expect(throws: Failure.self) { try file.publish() }
        }
        #expect(try names(in: scratch.path) == [".pending-a"])
        #expect(try contents(scratch.file(".pending-a")) == Array("x".utf8))
    }

    @Test(arguments: [0, 1, 3, 5])
    func refusesToPublishAnotherLength(byteCount: off_t) throws {
        do {
            let file = try PendingFile(in: directory, name: "a")
            try file.write([1, 2, 3, 4])
            #expect(truncate(scratch.file(".pending-a"), byteCount) == 0)
            let error = #expect(throws: Failure.self) { try file.publish() }
            #expect(error?.code == .integrity)
            #expect(error?.message.contains("has \(byteCount) bytes on disk, 4 were written") == true)
        }
        #expect(try names(in: scratch.path).isEmpty)
    }

    @Test func removesWhatADeadProcessLeft() throws {
        try scratch.write("left", to: ".pending-a")
        let file = try PendingFile(in: directory, name: "a")
        #expect(try contents(scratch.file(".pending-a")).isEmpty)
        try file.publish()
        #expect(try names(in: scratch.path) == ["a"])
    }

    @Test func leavesAloneWhatAnotherFills() throws {
        let first = try PendingFile(in: directory, name: "a")
        try first.write(Array("mine".utf8))
        let error = #expect(throws: Failure.self) { try PendingFile(in: directory, name: "a") }
        #expect(error?.code == .locked)
        try first.publish()
        #expect(try contents(scratch.file("a")) == Array("mine".utf8))
    }

    /// Whoever looks whether a file is a leftover holds its lock for that moment.
    @Test func isNotStoppedByWhoLooksAtIt() throws {
        let directory = directory
        let isDone = Atomic<Bool>(false)
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            do {
                guard index == 0 else {
                    while !isDone.load(ordering: .relaxed) { _ = try LeftoverFile(".pending-a", in: directory) }
                    return
                }
                defer { isDone.store(true, ordering: .relaxed) }
                for _ in 0..<20_000 { _ = try PendingFile(in: directory, name: "a") }
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test func doesNotFollowALinkOfItsTemporaryName() throws {
        try scratch.write("mine", to: "target")
        symlink(scratch.file("target"), scratch.file(".pending-a"))
        #expect(throws: Failure.self) { try PendingFile(in: directory, name: "a") }
        #expect(try contents(scratch.file("target")) == Array("mine".utf8))
    }

    /// The lock is on the file, whatever it is called meanwhile.
    @Test func aLeftoverIsWhatNobodyHolds() throws {
        let file = try PendingFile(in: directory, name: "a")
        #expect(try LeftoverFile(".pending-a", in: directory) == nil)
        try run("mv", [scratch.file(".pending-a"), scratch.file(".pending-b")])
        #expect(try LeftoverFile(".pending-b", in: directory) == nil)
        try run("cp", [scratch.file(".pending-b"), scratch.file(".pending-c")])
        try run("mkdir", [scratch.file(".pending-d")])
        try run("ln", ["-s", scratch.file(".pending-c"), scratch.file(".pending-e")])
        for name in [".pending-d", ".pending-e", ".pending-f"] {
            #expect(try LeftoverFile(name, in: directory) == nil, "\(name)")
        }
        let leftover = try #require(try LeftoverFile(".pending-c", in: directory))
        #expect(try LeftoverFile(".pending-c", in: directory) == nil)
        try leftover.publish(as: "c")
        #expect(try names(in: scratch.path) == [".pending-b", ".pending-d", ".pending-e", "c"])
        withExtendedLifetime(file) {}
    }

    @Test func keepsTheReserveFree() throws {
        let piece = [UInt8](repeating: 7, count: 1 << 20)
        let free = try PendingFile(in: directory, name: "free")
        for _ in 0..<9 { try free.write(piece) }
        let file = try PendingFile(in: directory, name: "a")
        file.reservedByteCount = .max
        let error = #expect(throws: Failure.self) {
            for _ in 0..<9 { try file.write(piece) }
        }
        #expect(error?.code == .noSpace)
        #expect(error?.hint?.contains("\(Int.max) bytes are kept free") == true)
    }

    @Test func writesThroughADescriptor() throws {
        let path = FilePath(scratch.file("out"))
        let descriptor = try FileDescriptor.open(path, .writeOnly, options: .create, permissions: .ownerReadWrite)
        defer { try? descriptor.close() }
        try DescriptorSink(descriptor, name: "out").write(Array("bytes".utf8))
        #expect(try contents(path.string) == Array("bytes".utf8))
    }

    /// `full(4)`: writing to `/dev/full` fails with ENOSPC.
    @Test func saysThatADeviceIsFull() throws {
        let descriptor = try FileDescriptor.open("/dev/full", .writeOnly)
        defer { try? descriptor.close() }
        let error = #expect(throws: SystemCallError.self) {
            try DescriptorSink(descriptor, name: "the store").write([1])
        }
        #expect(error?.failure.code == .noSpace)
        #expect(error?.failure.message == "cannot write to \"the store\": No space left on device")
    }
}
