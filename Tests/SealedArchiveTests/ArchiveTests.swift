import Age
import Dispatch
import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import SealedArchive

@Suite struct ArchiveTests {
    let laboratory: Laboratory
    init() throws { laboratory = try Laboratory() }

    static let members: [TestMember] = [
        .directory("files/etc"), .file("files/etc/a", Array("plain".utf8)), .file("files/etc/empty", []),
        .file("files/etc/big", pattern(100_000)), .link("files/etc/link", to: "a"),
        .link("files/etc/again", to: "files/etc/a", kind: .hardLink), .snapshot(pattern(70_001, seed: 3)),
    ]

    @Test func comesBackAsItWas() throws {
        let (bytes, manifest, summary) = try laboratory.archive(Self.members)
        try laboratory.verify(bytes)
        let reader = try laboratory.open(bytes)
        var members: [(EntryMetadata, [UInt8])] = []
        try reader.forEachMember { members.append(($0.metadata, try $0.bytes(limit: 1 << 20))) }
        #expect(members.dropFirst().dropLast().map(\.0) == Self.members.map(\.metadata))
        #expect(members.dropFirst().dropLast().map(\.1) == Self.members.map(\.bytes))
        #expect(members.first?.0.displayPath == "etcd-snap.json" && members.last?.0.displayPath == "manifest.json")
        #expect(try reader.readManifest().entries == manifest.entries)
        #expect(try reader.readManifest().archive == makeHeader())
        #expect(summary.entryCount == Self.members.count + 2)
        #expect(summary.object.size == bytes.count && summary.object.tarSize == reader.tarByteCount)
        let payload = Array(bytes.dropFirst(summary.object.headerSize))
        #expect(summary.object.payloadSHA256 == sha256(payload).hexadecimal)
        #expect(summary.manifestSHA256 == reader.manifestSHA256)
    }

    /// As large as a frame or not, in a member that begins a frame or in the midst of one, and used again at once.
    @Test(arguments: [16 << 10, 8 << 10, 20_000])
    func takesBlocksAsTheyAre(blockByteCount: Int) throws {
        let content = pattern(5 * (16 << 10) + 777)
        let sink = MemorySink()
        let writer = try ArchiveWriter(
            to: sink, recipients: [laboratory.identity.recipient], header: makeHeader(), options: laboratory.options)
        var pool = ByteBlockPool(capacity: blockByteCount)
        for (name, byteCount) in [("files/large", content.count), ("files/small", 10_000), ("files/last", 16 << 10)] {
            try writer.begin(EntryMetadata(path: name, byteCount: byteCount, time: backupTime), role: EntryRole.include)
            for start in stride(from: 0, to: byteCount, by: blockByteCount) {
                let block = pool.take()
                block.removeAll()
                content[start..<min(byteCount, start + blockByteCount)].withUnsafeBytes { block.append($0) }
                try writer.write(block)
            }
            try writer.end()
        }
        _ = try writer.finish(Manifest(archive: writer.header))
        try laboratory.verify(sink.bytes)
        let reader = try laboratory.open(sink.bytes)
        for entry in try reader.readManifest().entries where entry.path.hasPrefix("files/") {
            #expect(try reader.bytes(of: entry).bytes(at: 0, count: entry.size) == Array(content.prefix(entry.size)))
        }
    }

    @Test func readsPiecesOfMembers() throws {
        let (bytes, manifest, _) = try laboratory.archive(Self.members)
        let reader = try laboratory.open(bytes)
        let entry = try #require(manifest.entries.first { $0.path == "files/etc/big" })
        let content = try reader.bytes(of: entry)
        #expect(content.byteCount == 100_000)
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<100 {
            let offset = Int.random(in: 0..<100_000, using: &generator)
            let count = Int.random(in: 0..<40_000, using: &generator)
            #expect(try content.bytes(at: offset, count: count) == Array(pattern(100_000)[offset...].prefix(count)))
        }
        for entry in manifest.entries where entry.kind == .file {
            let expected = try reader.bytes(of: entry).bytes(at: 0, count: entry.size)
            #expect(sha256(expected).hexadecimal == entry.sha256)
        }
    }

    @Test func readsPiecesOnSeveralThreads() throws {
        let (bytes, manifest, _) = try laboratory.archive(Self.members)
        let reader = try laboratory.open(bytes)
        let entry = try #require(manifest.entries.first { $0.path == "files/etc/big" })
        let content = try reader.bytes(of: entry)
        let expected = pattern(100_000)
        let wrongCount = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 64) { index in
            let offset = (index * 7919) % 90_000
            let found = try? content.bytes(at: offset, count: 10_000)
            if found != Array(expected[offset..<offset + 10_000]) {
                wrongCount.add(1, ordering: .sequentiallyConsistent)
            }
        }
        #expect(wrongCount.load(ordering: .sequentiallyConsistent) == 0)
    }

    @Test func refusesEntriesOutside() throws {
        let (bytes, manifest, _) = try laboratory.archive(Self.members)
        let reader = try laboratory.open(bytes)
        let good = try #require(manifest.entries.first { $0.path == "files/etc/big" })
        for (offset, size) in [(-1, 1), (0, -1), (Int.max, 1), (1, Int.max), (reader.tarByteCount, 1), (.min, .max)] {
            var entry = good
            entry.offset = offset
            entry.size = size
            let error = #expect(throws: Failure.self) { try reader.bytes(of: entry) }
            #expect(error?.code == .integrity)
        }
    }

    @Test func opensForEachRecipientAndNobodyElse() throws {
        let others = try (0..<3).map { _ in try X25519Identity.generate() }
        let recipients = [laboratory.identity.recipient] + others.prefix(2).map(\.recipient)
        let (bytes, _, _) = try laboratory.archive(Self.members, recipients: recipients)
        for identity in [laboratory.identity] + others.prefix(2) {
            #expect(try ArchiveReader(MemoryBytes(bytes), identities: [identity]).readManifest().entries.count == 8)
        }
        #expect(throws: AgeError.self) { try ArchiveReader(MemoryBytes(bytes), identities: [others[2]]) }
        #expect(throws: (any Error).self) { try ArchiveReader(MemoryBytes(bytes), identities: []) }
        let both: [any Identity] = [others[2], others[1]]
        #expect(try ArchiveReader(MemoryBytes(bytes), identities: both).readManifest().entries.count == 8)
    }

    @Test func opensForPostQuantumRecipients() throws {
        let identities = try (0..<2).map { _ in try HybridIdentity.generate() }
        let (bytes, _, _) = try laboratory.archive(Self.members, recipients: identities.map(\.recipient))
        for identity in identities {
            let reader = try ArchiveReader(MemoryBytes(bytes), identities: [identity])
            #expect(try reader.readManifest().entries.count == 8)
        }
        let error = #expect(throws: AgeError.self) {
            try ArchiveReader(MemoryBytes(bytes), identities: [laboratory.identity])
        }
        #expect(error?.failure.code == .untrusted)
    }

    @Test func boundsWhatIsReadIntoMemory() throws {
        let (bytes, _, _) = try laboratory.archive([.file("a", pattern(100))])
        #expect(throws: Failure.self) {
            try laboratory.open(bytes).forEachMember { member in
                if member.metadata.displayPath == "a" { _ = try member.bytes(limit: 99) }
            }
        }
    }

    @Test func stopsWhereItsReaderStops() throws {
        let (bytes, _, _) = try laboratory.archive(Self.members)
        for stop in 0..<8 {
            var count = 0
            #expect(throws: CancellationError.self) {
                try laboratory.open(bytes).forEachMember(workerCount: 3) { member in
                    if count == stop { throw CancellationError() }
                    count += 1
                }
            }
            #expect(count == stop)
        }
    }

    @Test func refusesAMemberThatIsTooShortOrTooLong() throws {
        let writer = try ArchiveWriter(
            to: MemorySink(), recipients: [laboratory.identity.recipient], header: makeHeader())
        try writer.begin(EntryMetadata(path: "a", byteCount: 4, time: backupTime), role: EntryRole.include)
        try [1, 2, 3].withUnsafeBytes { try writer.write(UnsafeRawBufferPointer(rebasing: $0[..<3])) }
        let error = #expect(throws: Failure.self) { try writer.end() }
        #expect(error?.message == "\"a\" got 3 of 4 bytes")
        writer.abandon()
    }

    @Test func isReadBackWithoutAnIdentity() throws {
        let sink = MemorySink()
        let writer = try ArchiveWriter(to: sink, recipients: [laboratory.identity.recipient], header: makeHeader())
        try writer.add(
            EntryMetadata(path: "a", byteCount: 3, time: backupTime), role: EntryRole.include, bytes: [1, 2, 3])
        _ = try writer.finish(Manifest(archive: writer.header))
        let reader = try writer.reopen(MemoryBytes(sink.bytes))
        let entries = try reader.readManifest().entries
        #expect(entries.map(\.path) == [ArchiveFormat.headerPath, "a"])
        #expect(try reader.bytes(of: #require(entries.last)).bytes(at: 0, count: 10) == [1, 2, 3])
    }

    @Test func refusesANewerVersionByItsNumber() throws {
        var manifest = Manifest(archive: try makeHeader())
        manifest.archive.formatVersion = ArchiveFormat.version + 1
        let bytes = try laboratory.forge([], manifest: manifest)
        let error = #expect(throws: Failure.self) { try laboratory.open(bytes).readManifest() }
        #expect(error?.message.contains("format version \(ArchiveFormat.version + 1)") == true)
    }

    /// File systems with 64 bits for a time let anybody set any.
    @Test(arguments: [Int64(-1), -62_135_596_800, -1 << 40, 253_402_300_800, 1 << 40, 1 << 55, .max, .min])
    func strangeTimesLeaveTheManifestReadable(seconds: Int64) throws {
        var member = TestMember.file("a", [1])
        member.metadata.modificationSeconds = seconds
        member.metadata.modificationNanoseconds = 999_999_999
        let (bytes, _, _) = try laboratory.archive([member])
        try laboratory.verify(bytes)
    }

    @Test func sidecarSaysWhatIsPublic() throws {
        let (_, manifest, summary) = try laboratory.archive(Self.members)
        let sidecar = Sidecar(
            manifest: manifest, sealed: summary, recipients: [.init(type: "X25519", fingerprint: "SHA256:x")],
            completedAt: backupTime, sequence: 3, previousSidecarSHA256: nil)
        let bytes = try DocumentCoding.encode(sidecar)
        let again = try DocumentCoding.decode(Sidecar.self, from: bytes, name: "sidecar")
        #expect(try DocumentCoding.encode(again) == bytes)
        #expect(!String(decoding: bytes, as: UTF8.self).contains("files/etc"))
        #expect(again.entryCount == 9 && again.sequence == 3 && again.verification == .streamed)
    }
}

/// What is read to describe an archive.
@Suite struct RangeTests {
    /// Counts what is read.
    private final class CountingFile: RandomAccessBytes {
        let file: RandomAccessFile
        private let count = Atomic<Int>(0)
        var name: String { file.name }
        var byteCount: Int { file.byteCount }
        var readByteCount: Int { count.load(ordering: .sequentiallyConsistent) }

        init(_ path: String) throws { file = try RandomAccessFile(path: path) }

        func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
            let read = try file.read(at: offset, into: buffer)
            count.add(read, ordering: .sequentiallyConsistent)
            return read
        }
    }

    /// Describes an archive of `mebibyteCount` MiB that don't compress; gives its size and how much was read.
    private func describe(mebibyteCount: Int) throws -> (sealed: Int, read: Int) {
        let identity = try X25519Identity.generate()
        let scratch = try TemporaryDirectory()
        let random = try RandomSource()
        let directory = try OpenDirectory(path: scratch.path)
        let file = try PendingFile(in: directory, name: "archive")
        let writer = try ArchiveWriter(to: file, recipients: [identity.recipient], header: makeHeader())
        let metadata = EntryMetadata(path: "etcd/etcd.db", byteCount: mebibyteCount << 20, time: backupTime)
        try writer.begin(metadata, role: EntryRole.include)
        for _ in 0..<mebibyteCount { try writer.write(random.next()) }
        try writer.end()
        _ = try writer.finish(Manifest(archive: writer.header))
        try file.publish()
        let counting = try CountingFile(file.path)
        let manifest = try ArchiveReader(counting, identities: [identity]).readManifest()
        #expect(manifest.entries.map(\.path) == ["etcd-snap.json", "etcd/etcd.db"])
        return (counting.byteCount, counting.readByteCount)
    }

    @Test func describingReadsLittleHoweverLargeTheArchive() throws {
        let small = try describe(mebibyteCount: 8)
        let large = try describe(mebibyteCount: 64)
        #expect(large.sealed > 64 << 20)
        #expect(large.read < 512 << 10)
        // Eight bytes of seek table a frame, and where the chunks of 64 KiB happen to begin.
        #expect(large.read - small.read <= 3 * 65_552)
    }
}

/// Mebibytes that don't compress, from the kernel.
final class RandomSource {
    private let file: FileHandle
    private let block = ByteBlock(capacity: 1 << 20)

    init() throws { file = try #require(FileHandle(forReadingAtPath: "/dev/urandom")) }

    /// The next mebibyte, valid until the next call.
    func next() throws -> UnsafeRawBufferPointer {
        block.fill { Glibc.read(file.fileDescriptor, $0.baseAddress, $0.count) }
        try #require(block.count == block.capacity)
        return block.unownedBytes
    }
}
