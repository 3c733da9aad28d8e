import Age
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import Operations

/// Whoever can write to a store can change a sidecar: what is sealed contradicts, and what can't be compared is not said to be
/// checked.
@Suite struct SidecarForgeryTests {
    private let scratch: TemporaryDirectory
    private let key: X25519Identity
    private let other: X25519Identity
    private let sidecar: Sidecar
    private var archivePath: String { scratch.file("a.tar.zst.age") }
    private var sidecarPath: String { scratch.file("a.json") }

    private static let began = Date(timeIntervalSince1970: 1_795_402_800)
    private static let digest = String(repeating: "ab", count: 32)

    init() throws {
        scratch = try TemporaryDirectory()
        (key, other) = (try X25519Identity.generate(), try X25519Identity.generate())
        var sealed = try Self.seal(to: scratch.file("a.tar.zst.age"), for: [key.recipient, other.recipient])
        sealed.recipients[0].label = "office"
        sealed.checkFindings = [Finding(.note, code: "hashkv-not-compared", subject: "s", message: "m")]
        sidecar = sealed
        try write(sealed)
    }

    /// Seals an archive with a snapshot of etcd.
    private static func seal(
        to path: String, for recipients: [any Recipient], change: (inout Manifest) -> Void = { _ in }
    ) throws -> Sidecar {
        let directory = URL(filePath: path).deletingLastPathComponent().path
        let name = URL(filePath: path).lastPathComponent
        let file = try PendingFile(in: OpenDirectory(path: directory), name: name)
        let id = BackupID(time: began)
        let header = ArchiveHeader(id: id, cluster: "prod", node: "cp-0", createdAt: began)
        let writer = try ArchiveWriter(
            to: file, recipients: recipients, header: header, options: CompressionOptions(coreCount: 1))
        let snapshot = Array(
            try Data(contentsOf: repository.appending(path: "Tests/Fixtures/etcd/snap-3.5.30.db")))
        var metadata = EntryMetadata(path: Array("etcd/etcd.db".utf8), kind: .file, mode: 0o600, modifiedAt: began)
        metadata.byteCount = snapshot.count
        try writer.add(metadata, role: EntryRole.etcd, bytes: snapshot)
        var manifest = Manifest(archive: header, sequence: 7, previousSidecarSHA256: digest)
        var record = EtcdSnapshotRecord(
            name: "etcd", endpoint: "https://127.0.0.1:2379", reason: "it leads", clusterID: "ab", memberID: "cd",
            serverVersion: "3.5.30", storageVersion: nil, revisionAtStart: 69, raftTerm: 2,
            databaseSize: snapshot.count - 32, databaseSHA256: Array(snapshot.suffix(32)).hexadecimal, members: [],
            alarms: [], verification: .structural, durationSeconds: 1)
        // As `etcdutl snapshot status` and etcd itself say of it.
        (record.revision, record.compactRevision, record.hash, record.hashKV) = (69, 20, 1_442_683_241, 325_364_589)
        record.mayBeOld = true
        manifest.etcd = [record]
        manifest.slot = SlotRecord(number: 498_723, lengthMinutes: 60)
        var shared = SharedSnapshot(name: "etcd-events", clusterID: "ef", slot: 498_722)
        (shared.reference, shared.createdAt) = ("prod/cp-1/20261123T030000Z-abcdef", began)
        (shared.revision, shared.databaseSHA256) = (5, digest)
        manifest.sharedSnapshots = [shared]
        manifest.retentionClass = "pre-upgrade"
        change(&manifest)
        let summary = try writer.finish(manifest)
        try file.publish()
        return Sidecar(
            manifest: manifest, sealed: summary, recipients: Keys.records(recipients), completedAt: began + 9,
            sequence: manifest.sequence ?? 7,
            previousSidecarSHA256: manifest.sequence == nil ? digest : manifest.previousSidecarSHA256)
    }

    private func write(_ sidecar: Sidecar) throws {
        try Data(DocumentCoding.encode(sidecar)).write(to: URL(filePath: sidecarPath))
    }

    private func verify() async throws -> VerifyReport {
        let archive = try OpenedArchive(path: archivePath)
        if let failure = archive.sidecarFailure { throw failure }
        return try await VerifyOperation.run(archive, identities: [key])
    }

    /// `etcd[0].hash` and `etcd.0.hash` as `etcd.hash`.
    private func plain(_ field: String) -> String {
        field.replacing(#/\[\d+\]/#, with: "").replacing(#/\.\d+(?=\.|$)/#, with: "")
    }

    /// Every field of the type, those without a value too.
    private func fields(of value: Any, _ path: String = "") -> [String] {
        let mirror = Mirror(reflecting: value)
        if value is Date || value is BackupID || value is Finding || value is OpenValue<VerificationLevel> {
            return [path]
        }
        if mirror.displayStyle == .optional {
            return mirror.children.first.map { fields(of: $0.value, path) } ?? [path]
        }
        if mirror.displayStyle == .collection {
            return [path] + (value as? [Any] ?? []).prefix(1).flatMap { fields(of: $0, path) }
        }
        guard mirror.displayStyle == .struct, !mirror.children.isEmpty, !(value is String) else { return [path] }
        return mirror.children.flatMap { child in
            let name = child.label ?? ""
            return fields(of: child.value, path.isEmpty ? name : "\(path).\(name)")
        }
    }

    /// The places in a document, lists themselves included.
    private func places(in value: Any, _ path: [String] = []) -> [[String]] {
        if let object = value as? [String: Any] { return object.flatMap { places(in: $0.value, path + [$0.key]) } }
        guard let array = value as? [Any] else { return [path] }
        return [path] + array.enumerated().flatMap { places(in: $0.element, path + ["\($0.offset)"]) }
    }

    private func changed(_ value: Any, _ path: ArraySlice<String>, _ change: (Any) -> Any?) -> Any? {
        guard let name = path.first else { return change(value) }
        if var array = value as? [Any], let index = Int(name) {
            guard let element = changed(array[index], path.dropFirst(), change) else { return nil }
            array[index] = element
            return array
        }
        guard var object = value as? [String: Any], let element = object[name] else { return nil }
        object[name] = changed(element, path.dropFirst(), change)
        return object
    }

    private func other(than value: Any) -> [Any] {
        if let list = value as? [Any] { return list.isEmpty ? [["mirrored"]] : [[Any]()] }
        if let text = value as? String {
            if text.hasSuffix("Z"), text.hasPrefix("2026") { return [text.replacing("2026", with: "2025")] }
            let ending = text.hasSuffix("1") ? "2" : "1"
            return [String(text.dropLast()) + ending]
        }
        guard let number = value as? Int else { return [] }
        return [number + 1, number - 1]
    }

    /// - Returns: what became of it.
    private func expectRefusedOrUnconfirmed(_ field: String, _ document: Any, mayBeAbsent: Bool = false) async throws {
        try JSONSerialization.data(withJSONObject: document).write(to: URL(filePath: sidecarPath))
        do {
            let report = try await verify()
            let unconfirmed = report.unconfirmed.map { plain($0.field) }
            #expect(mayBeAbsent || unconfirmed.contains(field), "\(field) passes as checked: \(unconfirmed)")
        } catch let failure as Failure {
            // What a later version may have written is refused as that.
            let isOfALaterVersion = failure.code == .failed && field.contains(#/formatVersion$|requires$/#)
            #expect(failure.code == .integrity || isOfALaterVersion, "\(field): \(failure)")
            let words = isOfALaterVersion ? "format version|requires" : field == "checkFindings" ? "inding" : field
            let isNamed = try plain(failure.description).contains(Regex(words))
            #expect(isNamed || failure.message.contains("has format version"), "\(field): \(failure)")
        }
    }

    @Test func everyForgedFieldIsRefusedOrNotConfirmed() async throws {
        let original = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: sidecarPath)))
        var tried: Set<String> = ["etcd.hashKVCompactRevision", "rebuilt"]
        for path in places(in: original) {
            let field = plain(path.joined(separator: "."))
            tried.insert(field.hasPrefix("checkFindings.") ? "checkFindings" : field)
            let name = field.hasPrefix("checkFindings") ? "checkFindings" : field
            for value in try other(than: #require(at(path, in: original))) {
                let forged = try #require(changed(original, path[...]) { _ in value })
                try await expectRefusedOrUnconfirmed(name, forged)
            }
            guard Int(path.last ?? "") == nil, let removed = changed(original, path[...], { _ in nil }) else {
                continue
            }
            // A label that is not there says nothing.
            try await expectRefusedOrUnconfirmed(name, removed, mayBeAbsent: field == "recipients.label")
        }
        try await expectRefusedOrUnconfirmed("rebuilt", adding("rebuilt", true, to: [], of: original))
        // Under another compaction it is another hash.
        try await expectRefusedOrUnconfirmed(
            "etcd.hashKV", adding("hashKVCompactRevision", 69, to: ["etcd", "0"], of: original))
        let known = Set(fields(of: sidecar).map(plain))
        #expect(known.subtracting(tried).isEmpty && known.count > 40, "\(known.subtracting(tried).sorted())")
    }

    private func adding(_ name: String, _ value: Any, to path: [String], of document: Any) throws -> Any {
        let forged = changed(document, path[...]) { parent in
            (parent as? [String: Any])?.merging([name: value]) { _, new in new }
        }
        return try #require(forged)
    }

    private func at(_ path: [String], in value: Any) -> Any? {
        path.reduce(Optional(value)) { value, name in
            (value as? [String: Any])?[name] ?? Int(name).flatMap { index in (value as? [Any]).map { $0[index] } }
        }
    }

    @Test func whatIsNotSealedIsNotCalledChecked() async throws {
        let report = try await verify()
        let unconfirmed = Set(report.unconfirmed.map(\.field))
        #expect(
            unconfirmed == [
                "completedAt", "object.frameSize", "object.compressionLevel", "checkFindings", "recipients[0].label",
                "recipients[1].fingerprint",
            ])
        let checked = try #require(report.checked.last)
        for field in ["verification", "recipients[0].fingerprint", "etcd[0]", "findingCount", "sequence"] {
            #expect(checked.contains(field), "\(checked)")
        }
        for field in unconfirmed { #expect(!checked.contains(field), "\(checked)") }
    }

    /// Raised above what the manifest records, and what every page was read for.
    @Test(arguments: ["consistent", "stored", "drilled", "rehearsed"])
    func aHigherLevelIsTheSidecarsWord(level: String) async throws {
        var forged = sidecar
        forged.verification = OpenValue(rawValue: level)
        try write(forged)
        let report = try await verify()
        let field = try #require(report.unconfirmed.first { $0.field == "verification" })
        #expect(field.value.contains(level) && field.reason.contains("structural"))
        #expect(report.checked.allSatisfy { !$0.contains("verification") })
    }

    /// A finding that was added or taken away after the fact changes a number that is not sealed either.
    @Test func findingsOfChecksAreTheSidecarsWord() async throws {
        var forged = sidecar
        forged.checkFindings = [Finding(.error, code: "members-disagree", subject: "s", message: "m")]
        forged.findingCount = 1
        try write(forged)
        let fields = try await verify().unconfirmed.map(\.field)
        #expect(fields.contains("checkFindings") && fields.contains("findingCount"))
    }

    @Test func timesThatCannotBeAreSaid() async throws {
        for (seconds, words) in [(-60, "before that"), (10_000_000_000, "in the future")] as [(Double, String)] {
            var forged = sidecar
            forged.completedAt = Self.began + seconds
            try write(forged)
            let field = try #require(try await verify().unconfirmed.first { $0.field == "completedAt" })
            #expect(field.reason.contains(words), "\(field)")
        }
    }

    /// Frames are cut at a size, and none is larger.
    @Test func aFrameSizeBelowTheLargestFrameIsRefused() async throws {
        var forged = sidecar
        forged.object.frameSize = 4096
        try write(forged)
        let failure = await #expect(throws: Failure.self) { try await verify() }
        #expect(failure?.code == .integrity && failure?.message.contains("object.frameSize: 4096") == true)
    }

    /// An archive from before manifests had a format version: what was not sealed then is not confirmed.
    @Test func whatAnOldManifestLacksIsNotConfirmed() async throws {
        try FileManager.default.removeItem(atPath: archivePath)
        var old = try Self.seal(to: archivePath, for: [key.recipient]) { manifest in
            (manifest.formatVersion, manifest.requires, manifest.sequence) = (nil, nil, nil)
            manifest.previousSidecarSHA256 = nil
        }
        (old.formatVersion, old.requires, old.object.headerSHA256) = (nil, nil, nil)
        old.etcd[0].hashKV = 5
        try write(old)
        let report = try await verify()
        let fields = Set(report.unconfirmed.map(\.field))
        #expect(fields.isSuperset(of: ["sequence", "previousSidecarSHA256", "etcd[0].hashKV"]))
        #expect(report.checked[0].contains("age header") == false)
    }

    @Test func withoutSnapshotsNoPageIsChecked() async throws {
        try FileManager.default.removeItem(atPath: archivePath)
        let file = try PendingFile(in: OpenDirectory(path: scratch.path), name: "a.tar.zst.age")
        let header = ArchiveHeader(id: BackupID(time: Self.began), cluster: "a", node: "b", createdAt: Self.began)
        let writer = try ArchiveWriter(to: file, recipients: [key.recipient], header: header)
        let manifest = Manifest(archive: header)
        let summary = try writer.finish(manifest)
        try file.publish()
        try write(
            Sidecar(
                manifest: manifest, sealed: summary, recipients: Keys.records([key.recipient]), completedAt: Self.began,
                sequence: 1, previousSidecarSHA256: nil))
        let report = try await verify()
        #expect(report.snapshotCount == 0 && report.checked.allSatisfy { !$0.contains("etcd") && !$0.contains("page") })
    }
}
