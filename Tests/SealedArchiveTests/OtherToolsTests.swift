import Age
import Foundation
import HostIO
import TestSupport
import Testing

@testable import SealedArchive

/// That an archive opens without this program.
@Suite struct OtherToolsTests {
    let laboratory: Laboratory
    let scratch: TemporaryDirectory
    let manifest: Manifest

    /// Leaves `a.age`, `key.txt`, and by plain age and zstd `payload.zst` and `a.tar`.
    init() throws {
        laboratory = try Laboratory()
        scratch = try TemporaryDirectory()
        let (bytes, manifest, _) = try laboratory.archive(ArchiveTests.members)
        self.manifest = manifest
        try Data(bytes).write(to: URL(filePath: scratch.file("a.age")))
        try Data(laboratory.identity.encoded()).write(to: URL(filePath: scratch.file("key.txt")))
        try run("age", ["-d", "-i", scratch.file("key.txt"), "-o", scratch.file("payload.zst"), scratch.file("a.age")])
        try run("zstd", ["-q", "-d", scratch.file("payload.zst"), "-o", scratch.file("a.tar")])
    }

    @Test(arguments: TarProgram.allCases)
    func ageAndZstdAndTarGiveEveryFile(program: TarProgram) throws {
        let root = try OpenDirectory.make(path: scratch.file("out"))
        try program.extract(scratch.file("a.tar"), to: root.path)
        for member in ArchiveTests.members where member.metadata.kind == .file {
            let path = "\(root.path)/\(member.metadata.displayPath)"
            #expect(Array(try Data(contentsOf: URL(filePath: path))) == member.bytes)
        }
        let document = try Data(contentsOf: URL(filePath: "\(root.path)/manifest.json"))
        let read = try DocumentCoding.decode(Manifest.self, from: Array(document), name: "manifest")
        #expect(read.entries == manifest.entries)
    }

    @Test func entriesSayWhereTheirBytesAre() throws {
        let tar = Array(try Data(contentsOf: URL(filePath: scratch.file("a.tar"))))
        let contents = Dictionary(
            uniqueKeysWithValues: ArchiveTests.members.map { ($0.metadata.displayPath, $0.bytes) })
        var checkedCount = 0
        for entry in manifest.entries where entry.kind == .file {
            let bytes = Array(tar[entry.offset..<entry.offset + entry.size])
            #expect(sha256(bytes).hexadecimal == entry.sha256)
            if let expected = contents[entry.path] { #expect(bytes == expected) }
            checkedCount += 1
        }
        #expect(checkedCount == 5)
        #expect(
            try laboratory.open(Array(Data(contentsOf: URL(filePath: scratch.file("a.age"))))).tarByteCount == tar.count
        )
    }

    @Test func zstdCountsAndTestsTheFrames() throws {
        try run("zstd", ["-q", "-t", scratch.file("payload.zst")])
        let listing = try run("zstd", ["-l", "-v", scratch.file("payload.zst")])
        let text = listing.text + listing.errorText
        let tarSize = try Data(contentsOf: URL(filePath: scratch.file("a.tar"))).count
        let frameCount = (tarSize + (16 << 10) - 1) / (16 << 10)
        #expect(text.contains("# Skippable Frames: 2"))
        #expect(text.contains("(\(tarSize) B)"))
        // The manifest, and what is longer than a frame, begins a frame of its own.
        let largeCount = ArchiveTests.members.count { $0.bytes.count >= 16 << 10 }
        let count = try #require(text.firstMatch(of: #/# Zstandard Frames: (\d+)/#).flatMap { Int($0.1) })
        #expect((frameCount...frameCount + largeCount + 1).contains(count))
    }

    @Test func aStreamDecompressorTakesItInAnyPieces() throws {
        let payload = Array(try Data(contentsOf: URL(filePath: scratch.file("payload.zst"))))
        let tar = Array(try Data(contentsOf: URL(filePath: scratch.file("a.tar"))))
        for pieceSize in [1, 7, 4096, payload.count] {
            let decompressor = try ZstdStreamDecompressor()
            var output: [UInt8] = []
            for offset in stride(from: 0, to: payload.count, by: pieceSize) {
                try payload[offset..<min(payload.count, offset + pieceSize)].withUnsafeBytes { piece in
                    try decompressor.decompress(piece) { output.append(contentsOf: $0) }
                }
            }
            try decompressor.finish()
            #expect(output == tar)
        }
        let decompressor = try ZstdStreamDecompressor()
        try payload.prefix(1000).withUnsafeBytes { try decompressor.decompress($0) { _ in } }
        #expect(throws: Failure.self) { try decompressor.finish() }
    }
}
