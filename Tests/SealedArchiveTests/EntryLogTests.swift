import Foundation
import HostIO
import Testing

@testable import SealedArchive

@Suite struct EntryLogTests {
    private func entry(
        _ path: [UInt8], kind: EntryKind = .file, target: [UInt8]? = nil,
        source: [UInt8] = Array("/etc/a \"quoted\" \\ name".utf8), seconds: Int64 = 1_795_402_800
    ) -> ManifestEntry {
        var metadata = EntryMetadata(path: path, kind: kind, byteCount: 7, mode: 0o4755, modifiedAt: Date())
        metadata.modificationSeconds = seconds
        metadata.linkTarget = target
        return ManifestEntry(
            metadata, role: "ca-key", source: source,
            sha256: kind == .file ? [UInt8](repeating: 0xAB, count: 32) : nil, offset: 1536)
    }

    private func encoded(_ entry: ManifestEntry) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return Array(try encoder.encode(entry))
    }

    private var awkward: [ManifestEntry] {
        [
            entry(Array("files/etc/kubernetes/pki/ca.key".utf8)), entry([]), entry([0xFF, 0xFE, 0x2F, 0x61]),
            entry(Array("files/\u{1}\u{8}\t\n\u{B}\u{C}\r\u{1F}\u{7F}\u{80}".utf8)),
            entry(Array("files/日本語 \u{1F600} \u{2028}".utf8)),
            entry(Array("files/link".utf8), kind: .symbolicLink, target: Array("../\"x\"\\{}[]:,".utf8)),
            entry(Array("files/hard".utf8), kind: .hardLink, target: [0x6E, 0xE9], source: [0x2F, 0xE9, 0x22]),
            entry(Array("files/early".utf8), seconds: -62_135_596_800),
            entry(Array("files/late".utf8), seconds: 253_402_300_799),
            entry(Array("files/before".utf8), seconds: .min), entry(Array("files/after".utf8), seconds: .max),
        ]
    }

    @Test func anEntryIsWrittenAsTheEncoderWould() throws {
        for entry in awkward {
            var line: [UInt8] = []
            EntryLine.append(entry, modifiedAt: entry.modifiedAt.formatted(.iso8601), to: &line)
            #expect(try DocumentCoding.decode(ManifestEntry.self, from: line, name: "line") == entry)
            let ours = try JSONSerialization.jsonObject(with: Data(line)) as? NSDictionary
            let theirs = try JSONSerialization.jsonObject(with: Data(encoded(entry))) as? NSDictionary
            #expect(ours == theirs && ours != nil)
        }
    }

    @Test(arguments: [0, 1, 2, 5000])
    func aManifestHoldsEveryEntry(count: Int) throws {
        let log = try EntryLog()
        let entries = (0..<count).map { index in
            var entry = awkward[index % awkward.count]
            entry.offset = index
            return entry
        }
        for entry in entries { try log.append(entry) }
        var manifest = Manifest(archive: try makeHeader())
        // Looks like the key, but is a value.
        manifest.skipped = [SkippedPath(path: "\n  \"entries\" : [", reason: "]")]
        let document = ManifestDocument(try DocumentCoding.encode(manifest), entries: log)
        var bytes: [UInt8] = []
        try document.forEachPiece { bytes += $0 }
        #expect(bytes.count == document.byteCount)
        let decoded = try DocumentCoding.decode(Manifest.self, from: bytes, name: "manifest")
        #expect(decoded.entries == entries)
        #expect(decoded.skipped == manifest.skipped)
    }
}
