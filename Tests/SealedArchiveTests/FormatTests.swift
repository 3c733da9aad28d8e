import Foundation
import HostIO
import Testing

@testable import SealedArchive

/// Golden bytes written down by hand from RFC 8878, section 3.1.2 (skippable frames), and from
/// `contrib/seekable_format/zstd_seekable_compression_format.md` of zstd 1.5.4 (seek table).
@Suite struct SeekTableTests {
    static let table: SeekTable = {
        var table = SeekTable()
        table.frames = [
            SeekTable.Frame(compressedSize: 0x0102_0304, decompressedSize: 0x0040_0000),
            SeekTable.Frame(compressedSize: 64, decompressedSize: 0),
        ]
        return table
    }()
    static let golden: [UInt8] = [
        0x5E, 0x2A, 0x4D, 0x18,  // Skippable_Magic_Number 0x184D2A5E
        0x19, 0x00, 0x00, 0x00,  // Frame_Size: 2 entries of 8 bytes, a footer of 9
        0x04, 0x03, 0x02, 0x01, 0x00, 0x00, 0x40, 0x00,
        0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x00, 0x00, 0x00,  // Number_Of_Frames
        0x00,  // Seek_Table_Descriptor: no checksums
        0xB1, 0xEA, 0x92, 0x8F,  // Seekable_Magic_Number 0x8F92EAB1
    ]
    static let precedingByteCount = 0x0102_0304 + 64

    private func parse(_ bytes: [UInt8]) throws -> SeekTable {
        let size = try SeekTable.encodedSize(footer: bytes.suffix(SeekTable.footerSize), name: "test")
        guard size == bytes.count else { throw Failure(.integrity, "another size") }
        return try SeekTable(bytes, precedingByteCount: Self.precedingByteCount, name: "test")
    }

    @Test func hasTheBytesOfTheSpecification() throws {
        #expect(Self.table.encode() == Self.golden)
        #expect(try parse(Self.golden) == Self.table)
        #expect(SeekTable().encode().count == 17)
    }

    @Test func refusesEveryTruncation() {
        for count in 0..<Self.golden.count {
            let bytes = Array(Self.golden.prefix(count))
            #expect(throws: Failure.self) { try parse(bytes) }
            #expect(throws: Failure.self) {
                try SeekTable(bytes, precedingByteCount: Self.precedingByteCount, name: "test")
            }
        }
    }

    /// A flip in a decompressed size is not seen here, but when the frame is decompressed.
    @Test func seesEveryFlippedBitButThoseOfDecompressedSizes() throws {
        let decompressedSizes = Set(Array(12..<16) + Array(20..<24))
        for index in Self.golden.indices {
            for bit in 0..<8 {
                var bytes = Self.golden
                bytes[index] ^= 1 << bit
                guard decompressedSizes.contains(index) else {
                    #expect(throws: Failure.self, "byte \(index) bit \(bit)") { try parse(bytes) }
                    continue
                }
                #expect((try? parse(bytes)) != Self.table)
            }
        }
    }

    @Test(arguments: [0, 1, 7, 8, 9, 16, 18])
    func refusesFramesThatHoldNoWholeTable(contentSize: Int) {
        let bytes = SkippableFrame.encode(
            magic: SeekTable.skippableMagic, content: [UInt8](repeating: 0, count: contentSize))
        #expect(throws: Failure.self) { try SeekTable(bytes, precedingByteCount: 5, name: "test") }
    }

    @Test func refusesAbsurdCounts() throws {
        var bytes = Self.golden
        bytes.replaceSubrange(24..<28, with: [0x00, 0x00, 0x10, 0x00])
        #expect(try SeekTable.encodedSize(footer: bytes.suffix(9), name: "test") == 17 + 8 * (1 << 20))
        for count: [UInt8] in [[0x01, 0x00, 0x10, 0x00], [0xFF, 0xFF, 0xFF, 0xFF]] {
            bytes.replaceSubrange(24..<28, with: count)
            #expect(throws: Failure.self) { try SeekTable.encodedSize(footer: bytes.suffix(9), name: "test") }
        }
    }

    @Test func refusesFramesLargerThanMemory() throws {
        var table = Self.table
        table.frames[0].decompressedSize = SeekTable.maximumFrameSize
        #expect(try parse(table.encode()) == table)
        table.frames[0].decompressedSize += 1
        #expect(throws: Failure.self) { try parse(table.encode()) }
    }

    @Test func namesTheFileAndTheWayOut() {
        let error = #expect(throws: Failure.self) {
            try SeekTable.encodedSize(footer: Array("just text".utf8), name: "x.age")
        }
        #expect(error?.code == .integrity)
        #expect(error?.message == "\"x.age\" has no zstd seek table at its end")
        #expect(error?.hint?.contains("unseal") == true)
    }
}

@Suite struct ManifestLocatorTests {
    static let locator = ManifestLocator(
        offset: 0x01_0203_0405, byteCount: 0x0A0B, sha256: Array(0..<32))
    /// By the layout in `docs/archive-format.md`.
    static let golden: [UInt8] =
        [
            0x5D, 0x2A, 0x4D, 0x18, 0x40, 0x00, 0x00, 0x00,
            0x65, 0x73, 0x6E, 0x61, 0x70, 0x6D, 0x66, 0x31,  // esnapmf1
            0x05, 0x04, 0x03, 0x02, 0x01, 0x00, 0x00, 0x00,
            0x0B, 0x0A, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ] + Array(0..<32) + [UInt8](repeating: 0, count: 8)

    private func parse(_ bytes: [UInt8]) throws -> ManifestLocator? { try ManifestLocator(bytes, name: "test") }

    /// A frame with the content of the golden one, changed.
    private func frame(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var content = Array(Self.golden.dropFirst(SkippableFrame.overhead))
        change(&content)
        return SkippableFrame.encode(magic: ManifestLocator.skippableMagic, content: content)
    }

    @Test func hasItsBytes() throws {
        #expect(Self.locator.encode() == Self.golden)
        #expect(Self.golden.count == ManifestLocator.encodedSize)
        #expect(try parse(Self.golden) == Self.locator)
    }

    @Test func refusesTruncationsAndAdditions() throws {
        for count in 0..<Self.golden.count { #expect(try parse(Array(Self.golden.prefix(count))) == nil) }
        #expect(try parse(Self.golden + [0]) == nil)
        for count in (0..<64).filter({ $0 != 56 }) {
            #expect(try parse(frame { $0.removeLast(64 - count) }) == nil, "\(count)")
        }
    }

    @Test func aFrameMayEndBeforeTheFeaturesOrGoOnBehindThem() throws {
        #expect(try parse(frame { $0.removeLast(8) }) == Self.locator)
        #expect(try parse(frame { $0 += [1, 2, 3] }) == Self.locator)
    }

    @Test func isNeverReadAsItselfWithABitFlipped() {
        for index in Self.golden.indices {
            for bit in 0..<8 {
                var bytes = Self.golden
                bytes[index] ^= 1 << bit
                let parsed = try? parse(bytes)
                #expect(parsed != Self.locator)
                if index < 16 { #expect(parsed == nil) }
            }
        }
    }

    @Test func aLaterVersionIsCalledThat() throws {
        let later = try #require(throws: Failure.self) { try parse(frame { $0[7] = UInt8(ascii: "2") }) }
        #expect(later.code == .failed && later.message.contains("format version 2, this program reads 1"))
        #expect(later.hint?.contains("newer etcd-snap") == true)
        let none = try #require(throws: Failure.self) { try parse(frame { $0[7] = UInt8(ascii: "0") }) }
        #expect(none.code == .integrity && none.message.contains("format version 0"))
    }

    @Test(arguments: [0, 5, 63])
    func aFeatureThatIsNotKnownIsRefused(bit: Int) throws {
        let error = try #require(throws: Failure.self) {
            try parse(frame { $0[56 + bit / 8] = 1 << UInt8(bit % 8) })
        }
        #expect(error.code == .failed && error.message.contains("\"locator bit \(bit)\""))
        #expect(error.hint?.contains("newer etcd-snap") == true)
    }

    @Test func refusesAbsurdNumbers() throws {
        var locator = Self.locator
        locator.byteCount = ManifestLocator.maximumManifestSize
        #expect(try parse(locator.encode()) == locator)
        for byteCount in [ManifestLocator.maximumManifestSize + 1, 1 << 30, Int.max] {
            locator.byteCount = byteCount
            let error = try #require(throws: Failure.self) { try parse(locator.encode()) }
            #expect(error.code == .integrity && error.message.contains("\(byteCount) bytes"))
        }
        var bytes = Self.golden
        bytes[23] = 0x80
        #expect(try parse(bytes) == nil)
    }
}

@Suite struct SkippableFrameTests {
    @Test func hasTheBytesOfTheRFC() {
        #expect(
            SkippableFrame.encode(magic: 0x184D_2A50, content: [9, 8]) == [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 8])
        #expect(SkippableFrame.decode(magic: 0x184D_2A50, [0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 9, 8]) == [9, 8])
        #expect(SkippableFrame.decode(magic: 0x184D_2A51, [0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]) == nil)
        #expect(SkippableFrame.decode(magic: 0x184D_2A50, [0x50, 0x2A, 0x4D, 0x18, 0xFF, 0xFF, 0xFF, 0xFF]) == nil)
    }
}

@Suite struct BackupIDTests {
    @Test func isTimeAndSixRandomCharacters() throws {
        let ids = (0..<100).map { _ in BackupID(time: backupTime) }
        #expect(Set(ids).count == 100)
        for id in ids {
            #expect(id.description.hasPrefix("20261123T030000Z-"))
            #expect(BackupID(id.description) == id)
        }
        #expect(BackupID(time: Date(timeIntervalSince1970: 0)).description.hasPrefix("19700101T000000Z-"))
        #expect(BackupID(time: backupTime) < BackupID(time: backupTime + 1))
    }

    @Test(arguments: [
        "", "latest", "20261123T030000Z", "20261123T030000Z-", "20261123T030000Z-abc23", "20261123T030000Z-abc2345",
        "20261123T030000Z-ABC234", "20261123T030000Z-abc180", "20261123t030000Z-abc234", "2026112AT030000Z-abc234",
        "20261123T030000+-abc234", "20261123T030000Z_abc234", "../../../../etc/passwd1", "２0261123T030000Z-abc2",
        "20261123T030000Z-abc23é",
    ])
    func refusesOtherText(text: String) { #expect(BackupID(text) == nil) }

    @Test func isTextInDocuments() throws {
        let id = try #require(BackupID("20261123T030000Z-abc234"))
        #expect(try DocumentCoding.encode([id]) == Array("[\n  \"20261123T030000Z-abc234\"\n]\n".utf8))
        #expect(throws: Failure.self) {
            try DocumentCoding.decode([BackupID].self, from: Array("[\"no\"]".utf8), name: "x")
        }
    }
}

@Suite struct DocumentCodingTests {
    private struct Document: Codable, Equatable {
        var time = backupTime
        var path = "a/b"
        var inner = Inner()
        struct Inner: Codable, Equatable {
            var kind = OpenValue(EntryKind.file)
            var count: Int8 = 1
        }
    }
    static let golden = """
        {
          "inner" : {
            "count" : 1,
            "kind" : "file"
          },
          "path" : "a/b",
          "time" : "2026-11-23T03:00:00Z"
        }

        """

    @Test func isSortedJSONWithTimesInUTC() throws {
        #expect(String(decoding: try DocumentCoding.encode(Document()), as: UTF8.self) == Self.golden)
        #expect(
            try DocumentCoding.decode(Document.self, from: Array(Self.golden.utf8), name: "x") == Document())
    }

    /// Which field is wrong is said; what stands in it may be a secret and is not.
    @Test(arguments: [
        ("\"path\" : \"a/b\",", "", "path" as String?),
        ("\"a/b\"", "731731", "path"),
        ("\"file\"", "{\"s3cr3t\": 1}", "inner.kind"),
        (": 1", ": 731731", nil),
        (": 1", ": \"s3cr3t\"", "inner.count"),
        ("2026-11-23", "s3cr3t", nil),
        ("\"a/b\"", "null", "path"),
    ])
    func namesTheFieldAndNotItsValue(old: String, new: String, field: String?) throws {
        let text = Self.golden.replacingOccurrences(of: old, with: new)
        #expect(text != Self.golden)
        let error = try #require(throws: Failure.self) {
            try DocumentCoding.decode(Document.self, from: Array(text.utf8), name: "the document")
        }
        #expect(error.code == .integrity)
        #expect(error.description.contains(field.map { "field \($0)" } ?? "one of its times or numbers can't be"))
        #expect(error.description.contains("\"the document\""))
        #expect(!error.description.contains("s3cr3t") && !error.description.contains("731731"))
    }

    @Test(arguments: ["", "{", "[1,2", "s3cr3t", "{\"path\": \"s3cr3t\"", "\u{0}", "{\"path\": s3cr3t}"])
    func refusesWhatIsNotJSON(text: String) throws {
        let error = try #require(throws: Failure.self) {
            try DocumentCoding.decode(Document.self, from: Array(text.utf8), name: "x")
        }
        #expect(error.code == .integrity)
        #expect(!error.description.contains("s3cr3t"))
    }

    @Test func printsHexadecimalDigits() {
        #expect([UInt8](arrayLiteral: 0x00, 0x0F, 0xA0, 0xFF).hexadecimal == "000fa0ff")
    }
}

@Suite struct OptionsTests {
    @Test func leaveACoreToTheStream() {
        let counts = [1, 2, 3, 5, 6, 64].map { CompressionOptions(coreCount: $0).workerCount }
        #expect(counts == [1, 1, 2, 4, 4, 4])
    }

    @Test func verificationLevelsAreOrdered() {
        #expect(VerificationLevel.allCases == VerificationLevel.allCases.sorted())
        #expect(VerificationLevel.streamed < .drilled)
    }
}
