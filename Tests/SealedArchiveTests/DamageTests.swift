import Age
import Foundation
import HostIO
import TestSupport
import Testing

@testable import SealedArchive

/// Whatever is done to an archive, reading it fails with the right exit code.
@Suite(.timeLimit(.minutes(45))) struct DamageTests {
    let laboratory: Laboratory
    /// About 200 KiB sealed: four chunks of age and some 14 frames.
    let archive: [UInt8]
    let headerSize: Int

    init() throws {
        laboratory = try Laboratory()
        let (bytes, _, summary) = try laboratory.archive([
            .file("files/a", pattern(60_000)), .snapshot(pattern(120_000, seed: 9)), .directory("files/d"),
        ])
        archive = bytes
        headerSize = summary.object.headerSize
    }

    private func expectRefusal(_ bytes: [UInt8], _ what: @autoclosure () -> String) {
        let failure = laboratory.refusal(of: bytes)
        #expect(failure?.code == .integrity || failure?.code == .untrusted, "\(what()): \(String(describing: failure))")
    }

    @Test func isWholeToBeginWith() { #expect(laboratory.refusal(of: archive) == nil) }

    @Test func wrongKey() throws {
        let error = #expect(throws: AgeError.self) {
            try ArchiveReader(MemoryBytes(archive), identities: [X25519Identity.generate()])
        }
        #expect(error?.failure.code == .untrusted)
    }

    @Test func cutAtAndAroundEveryChunk() {
        var lengths: Set<Int> = [0, 1, headerSize - 1, headerSize, headerSize + 1, headerSize + 16, archive.count - 1]
        for boundary in stride(from: headerSize + 16, to: archive.count, by: PayloadFormat.sealedChunkByteCount) {
            lengths.formUnion([boundary - 16, boundary - 1, boundary, boundary + 1, boundary + 16])
        }
        #expect(lengths.count >= 20)
        for length in lengths { expectRefusal(Array(archive.prefix(length)), "cut at \(length)") }
    }

    @Test func cutAtThreeThousandLengths() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<3_000 {
            let length = Int.random(in: 0..<archive.count, using: &generator)
            expectRefusal(Array(archive.prefix(length)), "cut at \(length)")
        }
    }

    @Test func everyBitOfTheHeader() {
        for index in 0..<headerSize {
            for bit in 0..<8 {
                var bytes = archive
                bytes[index] ^= 1 << bit
                expectRefusal(bytes, "byte \(index) bit \(bit)")
            }
        }
    }

    @Test func twoThousandBitsOfTheBody() {
        var generator = SeededGenerator(seed: 13)
        for _ in 0..<2_000 {
            let index = Int.random(in: headerSize..<archive.count, using: &generator)
            var bytes = archive
            bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            expectRefusal(bytes, "byte \(index)")
        }
    }

    @Test func bytesAddedAndMoved() {
        for count in [1, 16, 17, 65_552, 100_000] {
            expectRefusal(archive + pattern(count), "\(count) bytes behind")
            expectRefusal(archive + [UInt8](repeating: 0, count: count), "\(count) zeros behind")
        }
        expectRefusal([0] + archive, "a byte before")
        expectRefusal(archive + archive, "twice")
        let start = headerSize + PayloadFormat.nonceByteCount
        let size = PayloadFormat.sealedChunkByteCount
        var swapped = archive
        swapped.replaceSubrange(start..<start + size, with: archive[start + size..<start + 2 * size])
        swapped.replaceSubrange(start + size..<start + 2 * size, with: archive[start..<start + size])
        expectRefusal(swapped, "chunks swapped")
        expectRefusal(Array(archive[..<start] + archive[(start + size)...]), "a chunk missing")
    }

    @Test func otherFiles() throws {
        let scratch = try TemporaryDirectory()
        let text = try scratch.write("just text", to: "text")
        try run("python3", ["-m", "zipfile", "-c", scratch.file("a.zip"), text])
        try run("gzip", ["-k", text])
        for name in ["text", "a.zip", "text.gz"] {
            let bytes = Array(try Data(contentsOf: URL(filePath: scratch.file(name))))
            expectRefusal(bytes, name)
        }
        expectRefusal([], "an empty file")
        expectRefusal([UInt8](repeating: 0, count: 100_000), "zeros")
        expectRefusal(Armor.encode(archive), "an armored file")
    }

    @Test func ageFilesOfSomethingElse() throws {
        let zstd = Array(try run("zstd", ["-q", "-c"], input: Data(pattern(5_000))).output)
        let tar = Array(try run("tar", ["-c", "/etc/hostname"], allowsFailure: true).output)
        for payload in [[], [0], Array("just text".utf8), zstd, tar, pattern(200_000)] {
            let failure = laboratory.refusal(of: try laboratory.seal(payload))
            #expect(failure?.code == .integrity)
            #expect(failure?.hint?.contains("unseal") == true, "\(String(describing: failure))")
        }
    }
}

/// What somebody could seal who knows a public key and means ill.
@Suite(.timeLimit(.minutes(45))) struct ForgedArchiveTests {
    let laboratory: Laboratory
    init() throws { laboratory = try Laboratory() }

    /// A payload of frames as they are, with the sizes that the table is to claim for them.
    private func archive(
        _ frames: [(bytes: [UInt8], claimed: UInt32)], offset: Int = 0, byteCount: Int = 10
    ) throws -> [UInt8] {
        var table = SeekTable()
        var payload: [UInt8] = []
        for frame in frames {
            table.frames.append(.init(compressedSize: UInt32(frame.bytes.count), decompressedSize: frame.claimed))
            payload += frame.bytes
        }
        let locator = ManifestLocator(offset: offset, byteCount: byteCount, sha256: Array(0..<32)).encode()
        table.frames.append(.init(compressedSize: UInt32(locator.count), decompressedSize: 0))
        return try laboratory.seal(payload + locator + table.encode())
    }

    private func expectIntegrity(_ bytes: [UInt8]) {
        let failure = laboratory.refusal(of: bytes)
        #expect(failure?.code == .integrity, "\(String(describing: failure))")
    }

    private func zstd(_ bytes: [UInt8]) throws -> [UInt8] {
        Array(try run("zstd", ["-q", "-c"], input: Data(bytes)).output)
    }

    @Test func framesThatHoldMoreOrLessThanTheTableSays() throws {
        let frame = try zstd([UInt8](repeating: 0, count: 4096))
        for claimed: UInt32 in [1, 4095, 4097, 32 << 20] {
            expectIntegrity(try archive([(frame, claimed)], byteCount: 1))
        }
    }

    /// 256 MiB of zeros in 25 KB, said to be 4 KiB.
    @Test func aFrameThatExplodes() throws {
        let scratch = try TemporaryDirectory()
        try run("truncate", ["-s", "256M", scratch.file("zeros")])
        let bomb = Array(try run("zstd", ["-q", "-c", scratch.file("zeros")]).output)
        #expect(bomb.count < 100_000)
        expectIntegrity(try archive([(bomb, 4096)]))
        expectIntegrity(try archive([(bomb, 256 << 20)]))
    }

    /// A raw frame header (RFC 8878, section 3.1.1.1) whose content size is 2^60.
    @Test func aFrameThatClaimsAnExbibyte() throws {
        let header: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xE0, 0, 0, 0, 0, 0, 0, 0, 0x10]
        expectIntegrity(try archive([(header + [0x01, 0, 0], 4096)]))
    }

    @Test func aTableThatClaimsHugeFrames() throws {
        let frame = try zstd([1, 2, 3])
        expectIntegrity(try archive([(frame, .max)]))
        expectIntegrity(try archive([(frame, SeekTable.maximumFrameSize + 1)]))
        expectIntegrity(try archive((0..<500).map { _ in (frame, SeekTable.maximumFrameSize) }, byteCount: 1 << 30))
    }

    @Test func aLocatorThatPointsElsewhere() throws {
        let frame = try zstd([UInt8](repeating: 7, count: 4096))
        for (offset, byteCount) in [(4096, 1), (0, 4097), (Int.max, 1), (Int.max, 1 << 30), (Int.max - 10, 11), (1, 9)]
        {
            expectIntegrity(try archive([(frame, 4096)], offset: offset, byteCount: byteCount))
        }
    }

    @Test func aPayloadOfNothingButATable() throws {
        expectIntegrity(try laboratory.seal(SeekTable().encode()))
        expectIntegrity(try archive([], byteCount: 0))
        expectIntegrity(try archive([([], 0)], byteCount: 0))
    }

    @Test func aTarThatIsNone() throws {
        let manifest = try DocumentCoding.encode(Manifest(archive: makeHeader()))
        let content = pattern(3000) + manifest
        var table = SeekTable()
        let frame = try zstd(content)
        table.frames.append(
            .init(compressedSize: UInt32(frame.count), decompressedSize: UInt32(content.count)))
        let locator = ManifestLocator(offset: 3000, byteCount: manifest.count, sha256: sha256(manifest)).encode()
        table.frames.append(.init(compressedSize: UInt32(locator.count), decompressedSize: 0))
        expectIntegrity(try laboratory.seal(frame + locator + table.encode()))
    }
}

/// Members that are not what the manifest says, sealed with the right key.
@Suite struct MemberCheckerTests {
    let laboratory: Laboratory
    let members: [TestMember]
    let manifest: Manifest

    init() throws {
        laboratory = try Laboratory()
        members = [
            .directory("files/d"), .file("files/a", pattern(1_000)), .file("files/b", pattern(1_000, seed: 2)),
            .link("files/l", to: "a"), .snapshot(pattern(40_000, seed: 3)),
        ]
        manifest = try laboratory.archive(members).manifest
    }

    private func expectIntegrity(
        _ members: [TestMember], manifest: Manifest? = nil, naming name: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let bytes = try laboratory.forge(members, manifest: manifest ?? self.manifest)
        let failure = laboratory.refusal(of: bytes)
        #expect(failure?.code == .integrity, sourceLocation: sourceLocation)
        #expect(
            failure?.message.contains(name) == true, "\(String(describing: failure))", sourceLocation: sourceLocation)
    }

    @Test func aForgeryOfTheSameMembersPasses() throws {
        #expect(laboratory.refusal(of: try laboratory.forge(members, manifest: manifest)) == nil)
    }

    @Test func aChangedByte() throws {
        for index in [0, 500, 999] {
            var changed = members
            changed[1].bytes[index] ^= 1
            try expectIntegrity(changed, naming: "files/a: sha256 mismatch")
        }
        var changed = members
        changed[4].bytes[39_999] ^= 1
        try expectIntegrity(changed, naming: "etcd/etcd.db: sha256 mismatch")
    }

    @Test func swappedMissingAndFurtherMembers() throws {
        var swapped = members
        swapped.swapAt(1, 2)
        try expectIntegrity(swapped, naming: "member 3 is \"files/b\"")
        var exchanged = members
        exchanged[1].bytes = members[2].bytes
        exchanged[2].bytes = members[1].bytes
        try expectIntegrity(exchanged, naming: "files/a: sha256 mismatch")
        for index in members.indices {
            var fewer = members
            fewer.remove(at: index)
            // Without the largest the tar is too short for what the manifest lists.
            try expectIntegrity(fewer, naming: index == 4 ? "lies outside the tar" : "member \(index + 2) is")
        }
        try expectIntegrity(members + [.file("files/more", [])], naming: "\"files/more\"")
        try expectIntegrity([.file("etcd-snap.json", [])] + members, naming: "member 2 is")
    }

    @Test func anotherTypeSizeOwnerModeOrTarget() throws {
        var changed = members
        changed[0] = .file("files/d", [])
        try expectIntegrity(changed, naming: "\"files/d\"")
        changed = members
        changed[1] = .file("files/a", pattern(999))
        try expectIntegrity(changed, naming: "999 bytes")
        changed = members
        changed[1].metadata.userID = 7
        try expectIntegrity(changed, naming: "\"files/a\"")
        changed = members
        changed[1].metadata.mode = 0o4755
        try expectIntegrity(changed, naming: "\"files/a\"")
        changed = members
        changed[3] = .link("files/l", to: "/etc/shadow")
        try expectIntegrity(changed, naming: "\"files/l\"")
    }

    @Test func dataBehindTheEnd() throws {
        let zeros = try laboratory.forge(members, manifest: manifest, trailing: [UInt8](repeating: 0, count: 100_000))
        #expect(laboratory.refusal(of: zeros) == nil)
        let data = try laboratory.forge(members, manifest: manifest, trailing: pattern(100_000))
        #expect(laboratory.refusal(of: data)?.message.contains("data behind the end of its tar") == true)
    }

    @Test func aSnapshotWhoseTrailerDoesNotFit() throws {
        var changed = members
        changed[4].bytes[40_000] ^= 1
        var other = manifest
        other.entries[5].sha256 = sha256(changed[4].bytes).hexadecimal
        try expectIntegrity(changed, manifest: other, naming: "by its own trailer")
        for size in [0, 1, 31, 32] {
            changed[4] = .file("etcd/etcd.db", [UInt8](repeating: 0, count: size))
            other.entries[5].size = size
            other.entries[5].sha256 = sha256(changed[4].bytes).hexadecimal
            try expectIntegrity(changed, manifest: other, naming: "by its own trailer")
        }
    }

    /// The trailer is found however the pieces fall.
    @Test func piecesMayBeAnySize() throws {
        let reader = try laboratory.open(laboratory.archive(members).bytes)
        for pieceSize in [1, 31, 32, 33, 39_999, 40_001] {
            var checker = try MemberChecker(reader)
            try reader.forEachMember { member in
                try checker.begin(member)
                let bytes = try member.bytes(limit: 1 << 20)
                for offset in stride(from: 0, to: bytes.count, by: pieceSize) {
                    bytes[offset..<min(bytes.count, offset + pieceSize)].withUnsafeBytes { checker.update($0) }
                }
                try checker.end()
            }
            try checker.finish()
        }
    }
}
