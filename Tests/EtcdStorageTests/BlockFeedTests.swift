@testable import EtcdStorage
import HostIO
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#endif

/// One reader, several stages.
@Suite struct BlockFeedTests {
    /// Bytes that tell their place: each block of 1 MiB is full of its number.
    private static let blockCount = 17
    private static let bytes: [UInt8] =
        (0..<blockCount << 20).map { UInt8($0 >> 20) } + [200, 201]

    @Test func everyStageSeesEverythingInOrder() throws {
        let seen = Mutex([[UInt8]](repeating: [], count: 3))
        let stages = (0..<3).map { stage in
            { (block: UnsafeRawBufferPointer) in
                if stage == 1, block[0] % 5 == 0 { usleep(20_000) }
                seen.withLock { $0[stage] += [block[0], block[block.count - 1]] }
            }
        }
        try BlockFeed(source: MemoryBytes(Self.bytes)).run(stages)
        let expected = (0..<2 * Self.blockCount).map { UInt8($0 / 2) } + [200, 201]
        #expect(seen.withLock { $0 } == [expected, expected, expected])
    }

    @Test func nothingIsReadOfNothing() throws {
        try BlockFeed(source: MemoryBytes([])).run([{ _ in Issue.record("there is no block") }])
    }

    /// The error of the first stage in order counts, and the others end too.
    @Test func errorsOfStagesEndTheRun() throws {
        let blocksSeen = Atomic<Int>(0)
        #expect {
            try BlockFeed(source: MemoryBytes(Self.bytes)).run([
                { _ in blocksSeen.add(1, ordering: .relaxed) },
                { block in if block[0] == 3 { throw Failure(.failed, "second stage") } },
                { block in if block[0] == 2 { throw Failure(.failed, "third stage") } },
            ])
        } throws: { error in
            "\(error)".contains("second stage") || "\(error)".contains("third stage")
        }
        #expect(blocksSeen.load(ordering: .relaxed) < Self.blockCount)
    }

    @Test func errorsOfReadingEndTheRun() throws {
        #expect {
            try BlockFeed(source: ShortBytes(bytes: MemoryBytes(Self.bytes))).run([{ _ in }, { _ in }])
        } throws: { error in
            guard case .truncated = error as? StorageError else { return false }
            return true
        }
    }
}

/// A file that has become shorter since it was opened.
private struct ShortBytes: RandomAccessBytes {
    let bytes: MemoryBytes
    var name: String { bytes.name }
    var byteCount: Int { bytes.byteCount }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        offset < 9 << 20 ? try bytes.read(at: offset, into: buffer) : 0
    }
}
