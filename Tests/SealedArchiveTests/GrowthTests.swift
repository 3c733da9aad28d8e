import Foundation
import HostIO
import Testing

@testable import SealedArchive

/// What later versions may write, and what this one makes of it.
@Suite struct GrowthTests {
    enum Document: CaseIterable {
        case sidecar, manifest
    }

    let laboratory: Laboratory
    private let sidecar: [String: Any]
    private let manifest: [String: Any]

    init() throws {
        laboratory = try Laboratory()
        let members: [TestMember] = [.file("files/a", pattern(10)), .snapshot(pattern(100))]
        var (_, manifest, summary) = try laboratory.archive(members)
        manifest.etcd = [snapshotRecord()]
        manifest.skipped = [SkippedPath(path: "/pipe", reason: "a named pipe")]
        manifest.findings = [Finding(.warning, code: "x", subject: "y", message: "z")]
        var sidecar = Sidecar(
            manifest: manifest, sealed: summary, recipients: [.init(type: "X25519", fingerprint: "SHA256:x")],
            completedAt: backupTime, sequence: 3, previousSidecarSHA256: nil)
        sidecar.checkFindings = manifest.findings
        self.sidecar = try Self.object(DocumentCoding.encode(sidecar))
        self.manifest = try Self.object(DocumentCoding.encode(manifest))
    }

    private static func object(_ bytes: [UInt8]) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    private func bytes(_ object: [String: Any]) throws -> [UInt8] {
        Array(try JSONSerialization.data(withJSONObject: object))
    }

    private func fields(_ document: Document) -> [String: Any] { document == .sidecar ? sidecar : manifest }

    private func decode(_ document: Document, _ object: [String: Any]) throws {
        switch document {
        case .sidecar: _ = try Sidecar.decode(bytes(object), name: "doc")
        case .manifest: _ = try Manifest.decode(bytes(object), tarByteCount: 1 << 20, name: "doc")
        }
    }

    @Test(arguments: Document.allCases)
    func statesItsVersionAndWhatItRequires(document: Document) throws {
        let fields = fields(document)
        let archive = try #require(fields["archive"] as? [String: Any])
        for object in [fields, archive] {
            #expect(object["formatVersion"] as? Int == 1)
            #expect(object["requires"] as? [String] == [])
        }
        try decode(document, fields)
    }

    /// Version 1 before both fields were written.
    @Test(arguments: Document.allCases)
    func withoutThemItIsVersionOne(document: Document) throws {
        var fields = fields(document)
        fields["formatVersion"] = nil
        fields["requires"] = nil
        try decode(document, fields)
    }

    @Test(arguments: Document.allCases, [true, false])
    func anotherVersionIsRefused(document: Document, isArchives: Bool) throws {
        for (version, code) in [(2, Failure.Code.failed), (900, .failed), (0, .integrity), (-1, .integrity)] {
            var fields = fields(document)
            if isArchives {
                var archive = try #require(fields["archive"] as? [String: Any])
                archive["formatVersion"] = version
                fields["archive"] = archive
            } else {
                fields["formatVersion"] = version
            }
            let error = try #require(throws: Failure.self) { try decode(document, fields) }
            #expect(error.code == code && error.message.contains("\"doc\" has format version \(version)"))
            if version > 1 { #expect(error.hint?.contains("newer etcd-snap") == true) }
        }
    }

    /// Of a later version nothing but these fields need be as it was.
    @Test(arguments: Document.allCases)
    func aLaterVersionThatLooksDifferentIsCalledThat(document: Document) throws {
        for object: [String: Any] in [
            ["formatVersion": 2], ["formatVersion": 2, "archive": ["formatVersion": 2], "etcd": "moved"],
            ["formatVersion": 1, "archive": ["formatVersion": 2]],
        ] {
            let error = try #require(throws: Failure.self) { try decode(document, object) }
            #expect(error.code == .failed && error.message.contains("has format version 2, this program reads 1"))
        }
        let feature = try #require(throws: Failure.self) {
            try decode(document, ["formatVersion": 1, "requires": ["mirrored"]])
        }
        #expect(feature.code == .failed && feature.message.contains("requires the feature \"mirrored\""))
        let damaged = try #require(throws: Failure.self) { try decode(document, ["formatVersion": 1]) }
        #expect(damaged.code == .integrity)
    }

    @Test(arguments: Document.allCases, [true, false])
    func aRequiredFeatureThatIsNotKnownIsRefused(document: Document, isArchives: Bool) throws {
        var fields = fields(document)
        if isArchives {
            var archive = try #require(fields["archive"] as? [String: Any])
            archive["requires"] = ["mirrored"]
            fields["archive"] = archive
        } else {
            fields["requires"] = ["mirrored"]
        }
        let error = try #require(throws: Failure.self) { try decode(document, fields) }
        #expect(error.code == .failed && error.message.contains("requires the feature \"mirrored\""))
        #expect(error.hint?.contains("newer etcd-snap") == true)
    }

    /// Puts a value of a later version wherever an enumeration is.
    private func growing(_ value: Any) -> Any {
        if let array = value as? [Any] { return array.map(growing) }
        guard let object = value as? [String: Any] else { return value }
        var grown = object.mapValues(growing)
        for name in ["kind", "role", "verification", "severity", "type"] where object[name] is String {
            if object["role"] as? String != EntryRole.etcd { grown[name] = "later" }
        }
        grown["unheardOf"] = ["deep": [1, 2.5, true, "x", NSNull()] as [Any]]
        return grown
    }

    @Test(arguments: Document.allCases)
    func whatIsNotKnownIsKeptAndShown(document: Document) throws {
        let grown = try #require(growing(fields(document)) as? [String: Any])
        try decode(document, grown)
        let shown = try DocumentCoding.encode(try DocumentValue(bytes(grown), name: "doc"))
        #expect(try Self.object(shown) as NSDictionary == grown as NSDictionary)
        #expect(String(decoding: shown, as: UTF8.self).contains("\"later\""))
    }

    @Test func anUnknownValueIsNoneOfTheKnownOnes() throws {
        let grown = try #require(growing(sidecar) as? [String: Any])
        let sidecar = try Sidecar.decode(bytes(grown), name: "doc")
        #expect(sidecar.verification.rawValue == "later" && "\(sidecar.verification)" == "later")
        #expect(sidecar.verification.known == nil && sidecar.verification != .streamed)
        #expect(sidecar.checkFindings[0].severity != .warning && sidecar.recipients[0].type == "later")
        // Written anew it is still what it was.
        let again = try Sidecar.decode(DocumentCoding.encode(sidecar), name: "doc")
        #expect(again.verification.rawValue == "later")
    }

    @Test(arguments: [
        "0", "-0.5", "1e300", "18446744073709551615", "9223372036854775808", "-9223372036854775808", "true", "null",
        "\"x\"", "[]", "{}", "[[1],{\"a\":[null]}]",
    ])
    func anyValueIsShownAsItIs(text: String) throws {
        let bytes = try DocumentCoding.encode(try DocumentValue(Array("[\(text)]".utf8), name: "doc"))
        let shown = try JSONSerialization.jsonObject(with: Data(bytes)) as? NSArray
        #expect(try shown == JSONSerialization.jsonObject(with: Data("[\(text)]".utf8)) as? NSArray && shown != nil)
    }
}

/// A record of the snapshot `etcd/etcd.db` of 100 bytes.
func snapshotRecord(size: Int = 100) -> EtcdSnapshotRecord {
    EtcdSnapshotRecord(
        name: "etcd", endpoint: "https://[::1]:2379", reason: "the only one", clusterID: "1", memberID: "2",
        serverVersion: "3.5.1", storageVersion: nil, revisionAtStart: 7, raftTerm: 2, databaseSize: size,
        databaseSHA256: sha256(pattern(size)).hexadecimal,
        members: [EtcdMemberRecord(id: "2", name: "a", peerURLs: [], clientURLs: [], isLearner: false)], alarms: [],
        verification: .structural, durationSeconds: 0.5)
}

/// Names are bytes: two that look alike stay two.
@Suite struct NameTests {
    let laboratory: Laboratory
    init() throws { laboratory = try Laboratory() }

    private func name(_ last: UInt8) -> [UInt8] { Array("files/n".utf8) + [last] }

    private func file(_ path: [UInt8], _ bytes: [UInt8]) -> TestMember {
        TestMember(
            metadata: EntryMetadata(
                path: path, kind: .file, byteCount: bytes.count, mode: 0o600, modifiedAt: backupTime), bytes: bytes)
    }

    private func link(_ path: [UInt8], to target: [UInt8], kind: EntryKind = .hardLink) -> TestMember {
        var metadata = EntryMetadata(path: path, kind: kind, mode: 0o600, modifiedAt: backupTime)
        metadata.linkTarget = target
        return TestMember(metadata: metadata)
    }

    @Test func aLinkPointsToTheRightOfTwo() throws {
        let members = [
            file(name(0xE8), [1]), file(name(0xE9), [2]), link(Array("files/h".utf8), to: name(0xE9)),
            link(Array("files/s".utf8), to: [0xE9, 0x2F, 0xFF], kind: .symbolicLink),
        ]
        let (bytes, _, _) = try laboratory.archive(members)
        try laboratory.verify(bytes)
        let entries = try laboratory.open(bytes).readManifest().entries.dropFirst()
        #expect(entries.map(\.pathInArchive) == members.map(\.metadata.path))
        #expect(entries.map(\.linkTargetInArchive) == members.map(\.metadata.linkTarget))
        #expect(Set(entries.map(\.path)).count == 3)
    }

    /// The text is the same, the bytes are not.
    @Test func aLinkToAnotherIsNoticed() throws {
        let members = [
            file(name(0xE8), [1]), file(name(0xE9), [2]), link(Array("files/h".utf8), to: name(0xE9)),
        ]
        let manifest = try laboratory.archive(members).manifest
        #expect(laboratory.refusal(of: try laboratory.forge(members, manifest: manifest)) == nil)
        var other = members
        other[2] = link(Array("files/h".utf8), to: name(0xE8))
        let failure = laboratory.refusal(of: try laboratory.forge(other, manifest: manifest))
        #expect(failure?.code == .integrity && failure?.message.contains("\"files/h\"") == true)
    }

    @Test func sourcesAndSkippedPathsHaveTheirBytes() throws {
        let metadata = EntryMetadata(path: name(0xE9), kind: .directory, mode: 0o700, modifiedAt: backupTime)
        let entry = ManifestEntry(metadata, role: "include", source: [0x2F, 0xE9], sha256: nil, offset: 0)
        #expect(entry.source == "/\u{FFFD}" && entry.sourceBytes == Data([0x2F, 0xE9]))
        let plain = ManifestEntry(metadata, role: "include", source: Array("/é".utf8), sha256: nil, offset: 0)
        #expect(plain.source == "/é" && plain.sourceBytes == nil)
        let skipped = SkippedPath(path: [0x2F, 0xE9], reason: "x")
        #expect(skipped.path == "/\u{FFFD}" && skipped.pathBytes == Data([0x2F, 0xE9]))
        #expect(SkippedPath(path: Array("/é".utf8), reason: "x") == SkippedPath(path: "/é", reason: "x"))
    }
}
