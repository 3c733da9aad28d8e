import Age
import Foundation
import HostIO
import Testing

@testable import SealedArchive

private struct SinkError: Error, Equatable { var write: Int }

/// Fails from one write on.
private final class FailingSink: ByteSink {
    let failingWrite: Int
    private(set) var writeCount = 0
    init(failingWrite: Int) { self.failingWrite = failingWrite }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        defer { writeCount += 1 }
        if writeCount >= failingWrite { throw SinkError(write: failingWrite) }
    }
}

/// Counts what is written.
private final class CountingSink: ByteSink {
    private(set) var byteCount = 0
    func write(_ bytes: UnsafeRawBufferPointer) { byteCount += bytes.count }
}

@Suite(.timeLimit(.minutes(45))) struct WriterTests {
    let laboratory: Laboratory
    init() throws { laboratory = try Laboratory() }

    private func write(to sink: any ByteSink) throws {
        let writer = try ArchiveWriter(
            to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(), options: laboratory.options)
        let random = try RandomSource()
        for index in 0..<16 {
            let bytes = try random.next()
            let metadata = EntryMetadata(path: "files/\(index)", byteCount: bytes.count, time: backupTime)
            try writer.begin(metadata, role: EntryRole.include)
            try writer.write(bytes)
            try writer.end()
        }
        _ = try writer.finish(Manifest(archive: writer.header))
    }

    @Test func aSinkThatFailsAtAnyWrite() throws {
        let whole = FailingSink(failingWrite: .max)
        try write(to: whole)
        #expect(whole.writeCount > 10)
        for failingWrite in 0..<whole.writeCount {
            let sink = FailingSink(failingWrite: failingWrite)
            #expect(throws: SinkError(write: failingWrite)) { try write(to: sink) }
            #expect(sink.writeCount == failingWrite + 1, "it is not asked again")
        }
    }

    /// In order, whatever their sizes, and before what is written without the queue.
    @Test func aQueueWritesWhatWasAdded() throws {
        let sink = MemorySink()
        let writer = try ArchiveWriter(
            to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(), options: laboratory.options)
        let queue = MemberQueue(writer)
        let limit = MemberQueue.memberByteCountLimit
        let sizes = [0, 1, limit, limit + 1, 3, limit - 1, 1, 2] + (0..<1500).map { $0 % 700 }
        for (index, size) in sizes.enumerated() {
            let metadata = EntryMetadata(path: "files/\(index)", byteCount: size, time: backupTime)
            try pattern(size, seed: UInt64(index)).withUnsafeBytes {
                try queue.add(metadata, role: EntryRole.include, source: Array("/\(index)".utf8), bytes: $0)
            }
        }
        try queue.flush()
        try writer.add(EntryMetadata(path: "files/last", byteCount: 1, time: backupTime), role: "x", bytes: [7])
        _ = try writer.finish(Manifest(archive: writer.header))
        try laboratory.verify(sink.bytes)
        let reader = try laboratory.open(sink.bytes)
        var contents: [[UInt8]] = []
        try reader.forEachMember { contents.append(try $0.bytes(limit: 1 << 20)) }
        // Between the header, and the last file and the manifest.
        #expect(
            contents.dropFirst().dropLast(2) == ArraySlice(sizes.indices.map { pattern(sizes[$0], seed: UInt64($0)) }))
        let entries = try reader.readManifest().entries
        #expect(entries.last?.path == "files/last" && entries.count == sizes.count + 2)
    }

    @Test func aQueueTellsWhatTheSinkSays() throws {
        let sink = FailingSink(failingWrite: 3)
        let writer = try ArchiveWriter(
            to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(), options: laboratory.options)
        let queue = MemberQueue(writer)
        let bytes = pattern(200_000)
        #expect(throws: SinkError(write: 3)) {
            for index in 0..<1000 {
                let metadata = EntryMetadata(path: "files/\(index)", byteCount: bytes.count, time: backupTime)
                try bytes.withUnsafeBytes {
                    try queue.add(metadata, role: EntryRole.include, source: nil, bytes: $0)
                }
            }
        }
        #expect(throws: SinkError(write: 3)) { try queue.flush() }
        #expect(sink.writeCount == 4)
    }

    /// A snapshot that breaks off leaves a member of gigabytes begun; giving up must not fill it up.
    @Test(arguments: [0, 1, 5], [true, false])
    func givingUpInTheMiddleOfAMemberWritesNothingMore(mebibyteCount: Int, isAbandoned: Bool) throws {
        let sink = CountingSink()
        var afterwards = 0
        do {
            let writer = try ArchiveWriter(
                to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(),
                options: laboratory.options)
            try writer.begin(
                EntryMetadata(path: "etcd/etcd.db", byteCount: 2 << 30, time: backupTime), role: EntryRole.etcd,
                isHashed: false)
            let piece = pattern(1 << 20)
            for _ in 0..<mebibyteCount { try piece.withUnsafeBytes { try writer.write($0) } }
            if isAbandoned {
                writer.abandon()
                writer.abandon()
                afterwards = sink.byteCount
            }
        }
        #expect(sink.byteCount <= (mebibyteCount + 1) << 20)
        if isAbandoned { #expect(sink.byteCount == afterwards) }
    }

    @Test func anArchiveMayBeGivenUpAtOnce() throws {
        for _ in 0..<20 {
            let sink = CountingSink()
            let writer = try ArchiveWriter(
                to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(),
                options: laboratory.options)
            writer.abandon()
        }
    }

    @Test func mixedRecipientsAreRefusedBeforeAnythingIsWritten() throws {
        let sink = CountingSink()
        let recipients: [any Recipient] = [laboratory.identity.recipient, try HybridIdentity.generate().recipient]
        #expect(throws: AgeError.self) { try ArchiveWriter(to: sink, recipients: recipients, header: makeHeader()) }
        #expect(throws: AgeError.self) { try ArchiveWriter(to: sink, recipients: [], header: makeHeader()) }
        #expect(sink.byteCount == 0)
    }

    /// In a process of its own, whose peak memory nobody else raises.
    @Test func memoryIsConstant() async {
        await #expect(processExitsWith: .success) {
            let writer = try ArchiveWriter(
                to: CountingSink(), recipients: [X25519Identity.generate().recipient], header: makeHeader(),
                options: CompressionOptions(coreCount: 2))
            let random = try RandomSource()
            func add(_ name: String, mebibyteCount: Int) throws {
                try writer.begin(
                    EntryMetadata(path: name, byteCount: mebibyteCount << 20, time: backupTime),
                    role: EntryRole.include)
                for _ in 0..<mebibyteCount { try writer.write(random.next()) }
                try writer.end()
            }
            try add("first", mebibyteCount: 48)
            let before = peakMemory()
            try add("second", mebibyteCount: 192)
            _ = try writer.finish(Manifest(archive: writer.header))
            try #require(peakMemory() - before < 16 << 20)
        }
    }
}

/// The most memory that this process had so far, in bytes.
private func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss << 10
}
