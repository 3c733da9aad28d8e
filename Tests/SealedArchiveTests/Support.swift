import Age
import Crypto
import Foundation
import HostIO
import TestSupport
import Testing

@testable import SealedArchive

/// Collects what is written, in memory.
final class MemorySink: ByteSink {
    private(set) var bytes: [UInt8] = []
    func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

/// Bytes in memory, to read at random.
struct MemoryBytes: RandomAccessBytes {
    var name = "memory"
    var bytes: [UInt8]
    var byteCount: Int { bytes.count }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard offset < bytes.count else { return 0 }
        let part = bytes[offset..<min(bytes.count, offset + buffer.count)]
        buffer.copyBytes(from: part)
        return part.count
    }
}

/// Bytes that don't compress and are the same in every run.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
    return Array(bytes.prefix(count))
}

/// `SHA256(bytes)`.
func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

let backupTime = Date(timeIntervalSince1970: 1_795_402_800)

func makeHeader() throws -> ArchiveHeader {
    let id = try #require(BackupID("20261123T030000Z-abc234"))
    return ArchiveHeader(id: id, cluster: "prod", node: "cp-0", createdAt: backupTime)
}

/// One member to be written.
struct TestMember {
    var metadata: EntryMetadata
    var role = EntryRole.include
    var bytes: [UInt8] = []

    static func file(_ path: String, _ bytes: [UInt8], role: String = EntryRole.include) -> TestMember {
        TestMember(
            metadata: EntryMetadata(path: path, byteCount: bytes.count, time: backupTime), role: role, bytes: bytes)
    }

    static func directory(_ path: String) -> TestMember {
        TestMember(
            metadata: EntryMetadata(path: Array(path.utf8), kind: .directory, mode: 0o750, modifiedAt: backupTime))
    }

    static func link(_ path: String, to target: String, kind: EntryKind = .symbolicLink) -> TestMember {
        var metadata = EntryMetadata(path: Array(path.utf8), kind: kind, mode: 0o777, modifiedAt: backupTime)
        metadata.linkTarget = Array(target.utf8)
        return TestMember(metadata: metadata)
    }

    /// A snapshot as etcd sends it, with its SHA-256 behind it.
    static func snapshot(_ database: [UInt8]) -> TestMember {
        .file("etcd/etcd.db", database + sha256(database), role: EntryRole.etcd)
    }
}

/// A key pair and archives sealed for it.
struct Laboratory {
    let identity: X25519Identity
    var options = CompressionOptions(level: 1, frameSize: 16 << 10, coreCount: 2)

    init() throws { identity = try X25519Identity.generate() }

    /// An archive in the way of the product.
    func archive(
        _ members: [TestMember], recipients: [any Recipient]? = nil
    ) throws -> (bytes: [UInt8], manifest: Manifest, summary: SealedArchiveSummary) {
        let sink = MemorySink()
        let writer = try ArchiveWriter(
            to: sink, recipients: recipients ?? [identity.recipient], header: try makeHeader(), options: options)
        for member in members { try writer.add(member.metadata, role: member.role, bytes: member.bytes) }
        let summary = try writer.finish(Manifest(archive: writer.header))
        return (sink.bytes, try writer.reopen(MemoryBytes(sink.bytes)).readManifest(), summary)
    }

    /// An archive of any members with any manifest, as somebody could make it who knows a public key.
    func forge(_ members: [TestMember], manifest: Manifest, trailing: [UInt8] = []) throws -> [UInt8] {
        let sink = MemorySink()
        let encryptor = try Encryptor(recipients: [identity.recipient])
        try sink.write(encryptor.headerBytes)
        let frames = try SealedFrameWriter(options: options, encryptor: encryptor, sink: PayloadSink(sink))
        let tar = try PaxWriter { try frames.append($0) }
        func add(_ metadata: EntryMetadata, _ bytes: [UInt8]) throws {
            try tar.begin(metadata)
            try bytes.withUnsafeBytes { try tar.write($0) }
            try tar.end()
        }
        let document = try DocumentCoding.encode(try makeHeader())
        try add(
            EntryMetadata(path: ArchiveFormat.headerPath, byteCount: document.count, time: backupTime), document)
        for member in members { try add(member.metadata, member.bytes) }
        try frames.cutFrame()
        let bytes = try DocumentCoding.encode(manifest)
        try tar.begin(EntryMetadata(path: ArchiveFormat.manifestPath, byteCount: bytes.count, time: backupTime))
        let locator = ManifestLocator(offset: tar.byteCount, byteCount: bytes.count, sha256: sha256(bytes))
        try bytes.withUnsafeBytes { try tar.write($0) }
        try tar.end()
        try tar.finish()
        try trailing.withUnsafeBytes { try frames.append($0) }
        try frames.finish(locator: locator)
        return sink.bytes
    }

    /// An age file of any payload.
    func seal(_ payload: [UInt8]) throws -> [UInt8] {
        let sink = MemorySink()
        var encryptor = try Encryptor(recipients: [identity.recipient])
        try sink.write(encryptor.headerBytes)
        try payload.withUnsafeBytes { try encryptor.write($0, to: sink.write) }
        try encryptor.finish(to: sink.write)
        return sink.bytes
    }

    func open(_ bytes: [UInt8]) throws -> ArchiveReader {
        try ArchiveReader(MemoryBytes(bytes), identities: [identity])
    }

    /// Reads and checks everything, as `verify` does.
    func verify(_ bytes: [UInt8], workerCount: Int = 1) throws {
        let reader = try open(bytes)
        var checker = try MemberChecker(reader)
        try reader.forEachMember(workerCount: workerCount) { member in
            try checker.begin(member)
            try member.forEachPiece { checker.update($0) }
            try checker.end()
        }
        try checker.finish()
    }

    /// Why an archive is refused; nil if it is not.
    func refusal(of bytes: [UInt8]) -> Failure? {
        do {
            try verify(bytes)
            return nil
        } catch { return Failure(wrapping: error) }
    }
}
