import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import ArchiveStore

/// Objects in memory that note what is read of them.
private final class NotedObjects: ObjectStorage {
    private let content: [UInt8]
    private let notes = Mutex<[Range<Int>]>([])
    private let failures = Mutex(0)

    init(_ content: [UInt8]) { self.content = content }

    var reads: [Range<Int>] { notes.withLock { $0 } }

    /// Makes the next reads fail.
    func fail(_ count: Int) { failures.withLock { $0 = count } }

    let name = "memory:"
    let readByteCount = 1000

    func read(_ object: StoredObject, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let fails = failures.withLock { left in
            defer { left = max(0, left - 1) }
            return left > 0
        }
        if fails { throw ObjectError(.failed, Failure(.failed, "it was to fail")) }
        let range = offset..<min(offset + buffer.count, content.count)
        notes.withLock { $0.append(range) }
        buffer.copyBytes(from: content[range])
        return range.count
    }

    private func unused() -> Failure { Failure(.failed, "only reading is tried here") }

    func objects(below prefix: String, behind key: String?) throws -> [StoredObject] { throw unused() }
    func directories(below prefix: String) throws -> [String] { throw unused() }
    func object(_ key: String) throws -> StoredObject? { throw unused() }
    func bytes(of key: String, limit: Int) throws -> (object: StoredObject, bytes: [UInt8]) { throw unused() }
    func create(_ key: String, _ bytes: [UInt8], isLocked: Bool) throws { throw unused() }
    func begin(
        _ key: String, byteCount: Int?, note: @escaping @Sendable (String) throws -> Void
    ) throws -> any PendingObject { throw unused() }
    func removeLeftover(of key: String, upload: String?) throws { throw unused() }
    func remove(_ keys: [String]) throws -> [ObjectRemovalFailure] { throw unused() }
    func lock(of key: String) throws -> ObjectLock? { throw unused() }
    func removeLeftovers(below prefix: String, before date: Date) throws -> [String] { throw unused() }
    func availableByteCount() throws -> Int? { throw unused() }
    func checkReachable() throws { throw unused() }
    func probe(below prefix: String) throws -> [StoreTrait] { throw unused() }
}

@Suite struct CoalescedBytesTests {
    private let content: [UInt8]
    private let objects: NotedObjects

    init() {
        var generator = SeededGenerator(seed: 3)
        content = (0..<100_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        objects = NotedObjects(content)
    }

    private var bytes: CoalescedBytes {
        CoalescedBytes(StoredObject(key: "k", byteCount: content.count), in: objects)
    }

    @Test func theEndComesAtOnce() throws {
        let bytes = bytes
        #expect(try bytes.bytes(at: 99_990, count: 10) == content.suffix(10))
        for offset in stride(from: 98_000, to: 100_000, by: 100) {
            #expect(try bytes.bytes(at: offset, count: 100).elementsEqual(content[offset..<offset + 100]))
        }
        #expect(objects.reads == [98_000..<100_000])
    }

    @Test func smallReadsShareAWindow() throws {
        let bytes = bytes
        for offset in stride(from: 50_000, to: 50_900, by: 30) { _ = try bytes.bytes(at: offset, count: 30) }
        #expect(objects.reads == [50_000..<51_000])
    }

    @Test func readsThatGoOnGetLarger() throws {
        let bytes = bytes
        var offset = 0
        while offset < content.count {
            let piece = try bytes.bytes(at: offset, count: 700)
            #expect(piece.elementsEqual(content[offset..<min(offset + 700, content.count)]))
            offset += piece.count
        }
        #expect(objects.reads.count < 10)
        #expect(objects.reads.reduce(0) { $0 + $1.count } <= content.count + 2000)
    }

    @Test func anyReadOfManyThreadsIsRight() throws {
        let bytes = bytes
        DispatchQueue.concurrentPerform(iterations: 8) { thread in
            var generator = SeededGenerator(seed: UInt64(thread))
            for _ in 0..<300 {
                let offset = Int.random(in: 0...100_000, using: &generator)
                let count = Int.random(in: 0...9_000, using: &generator)
                let expected = content[offset..<min(offset + count, 100_000)]
                let isRight = (try? bytes.bytes(at: offset, count: count).elementsEqual(expected)) == true
                #expect(isRight, "\(count) bytes at \(offset)")
            }
        }
    }

    @Test func aFailureIsNotKept() throws {
        let bytes = bytes
        objects.fail(1)
        #expect(throws: ObjectError.self) { try bytes.bytes(at: 10, count: 10) }
        #expect(try bytes.bytes(at: 10, count: 10).elementsEqual(content[10..<20]))
    }

    @Test func nothingIsThereBehindTheEnd() throws {
        #expect(try bytes.bytes(at: 100_000, count: 10).isEmpty)
        #expect(try bytes.bytes(at: 200_000, count: 10).isEmpty)
        #expect(objects.reads.isEmpty)
    }
}
