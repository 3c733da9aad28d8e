import Age
import Dispatch
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import SealedArchive

/// Reading an archive at any offset by several threads.
@Suite struct FrameCacheTests {
    private static let contents = pattern(3 << 20, seed: 3)

    private func member() throws -> any RandomAccessBytes {
        let laboratory = try Laboratory()
        let archive = try laboratory.archive([.file("big", Self.contents)])
        let entry = try #require(archive.manifest.entries.first { $0.path == "big" })
        return try laboratory.open(archive.bytes).bytes(of: entry)
    }

    @Test func manyThreadsReadTheSameBytes() throws {
        let bytes = try member()
        let wrong = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for index in 0..<200 {
                // Every other thread reads in order, which loads ahead; the rest jump.
                let offset =
                    thread % 2 == 0
                    ? index * 15_000 : Int.random(in: 0..<Self.contents.count, using: &generator)
                let count = Int.random(in: 0...70_000, using: &generator)
                let expected = Self.contents[offset..<min(Self.contents.count, offset + count)]
                if (try? bytes.bytes(at: offset, count: count)) != Array(expected) {
                    wrong.add(1, ordering: .relaxed)
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test(arguments: [1, 2, 4]) func readsInOrder(_ workerCount: Int) throws {
        let laboratory = try Laboratory()
        let archive = try laboratory.archive([.file("big", Self.contents)])
        let source = MemoryBytes(archive.bytes)
        let payload = try OpenedFile(source, identities: [laboratory.identity]).payload
        let tar = try TarBytes(payload: payload, name: "memory", workerCount: workerCount)
        let entry = try #require(archive.manifest.entries.first { $0.path == "big" })
        var read: [UInt8] = []
        while read.count < entry.size {
            read += try tar.bytes(at: entry.offset + read.count, count: min(10_000, entry.size - read.count))
        }
        #expect(read == Self.contents)
        #expect(try tar.bytes(at: tar.byteCount, count: 10).isEmpty)
    }

    /// A source that fails once: the error reaches the caller and the frame is read again.
    @Test func failedFramesAreTriedAgain() throws {
        let laboratory = try Laboratory()
        let archive = try laboratory.archive([.file("big", Self.contents)])
        let source = FailingBytes(archive.bytes)
        let reader = try ArchiveReader(source, identities: [laboratory.identity])
        let entry = try #require(archive.manifest.entries.first { $0.path == "big" })
        let bytes = try reader.bytes(of: entry)
        for offset in stride(from: 0, to: 1 << 20, by: 100_000) {
            source.fails.store(true, ordering: .relaxed)
            #expect(throws: Failure.self) { try bytes.bytes(at: offset, count: 90_000) }
            source.fails.store(false, ordering: .relaxed)
            #expect(try bytes.bytes(at: offset, count: 90_000) == Array(Self.contents[offset..<(offset + 90_000)]))
        }
    }
}

/// Bytes whose source is gone now and then.
private final class FailingBytes: RandomAccessBytes {
    let name = "failing"
    let fails = Atomic<Bool>(false)
    private let bytes: MemoryBytes
    var byteCount: Int { bytes.byteCount }

    init(_ bytes: [UInt8]) { self.bytes = MemoryBytes(bytes) }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        if fails.load(ordering: .relaxed) { throw Failure(.failed, "the source is gone") }
        return try bytes.read(at: offset, into: buffer)
    }
}
