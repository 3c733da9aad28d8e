import Testing
import EtcdStorage
import Foundation
import HostIO

/// Files under Tests/Fixtures/etcd.
enum Fixtures {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/etcd")

    static func bytes(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: directory.appending(path: name)))
    }

    static func file(_ name: String) throws -> RandomAccessFile {
        try RandomAccessFile(path: directory.appending(path: name).path)
    }

    /// What real tools say of a file.
    struct Expected: Decodable, Sendable, CustomTestStringConvertible {
        struct Status: Decodable, Sendable {
            var hash: UInt32
            var revision: Int64
            var totalKey: Int
            var totalSize: Int
            var version: String?
        }
        struct KVHash: Decodable, Sendable {
            var hash: UInt32
            var hashRevision: Int64
            var compactRevision: Int64
        }
        enum CodingKeys: String, CodingKey {
            case file
            case status35 = "etcdutl-3.5.30"
            case status37 = "etcdutl-3.7.1"
            case hashkv
        }
        var file: String
        var status35: Status
        var status37: Status
        var hashkv: KVHash
        var testDescription: String { file }
    }

    static let expected: [Expected] = {
        guard let text = try? String(contentsOf: directory.appending(path: "expected.jsonl"), encoding: .utf8) else {
            return []
        }
        return text.split(separator: "\n").compactMap { try? JSONDecoder().decode(Expected.self, from: Data($0.utf8)) }
    }()
}

/// Bytes in memory as a file.
struct MemoryBytes: RandomAccessBytes {
    let name: String
    let bytes: [UInt8]

    init(_ bytes: [UInt8], name: String = "memory") {
        self.bytes = bytes
        self.name = name
    }

    var byteCount: Int { bytes.count }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = max(0, min(buffer.count, bytes.count - offset))
        bytes.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)]))
        }
        return count
    }
}

/// A directory that is removed at the end of `body`.
func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let url = FileManager.default.temporaryDirectory.appending(path: "etcd-storage-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try await body(url.path)
}

/// The whole status of a file: structure, trailer, hashes, counts, prefixes.
func readStatus(_ bytes: any RandomAccessBytes) throws -> (report: SnapshotReport, survey: RowSurvey) {
    let snapshot = try SnapshotStatus.verify(bytes)
    try snapshot.report.requireSound(trailer: .optional)
    return (snapshot.report, try snapshot.survey(rereading: bytes))
}

/// The HashKV of a file at a revision, 0 for the current one.
func hashKV(of bytes: any RandomAccessBytes, revision: Int64 = 0) throws -> KeyValueHash {
    let snapshot = try SnapshotStatus.verify(bytes, checksTrailer: false)
    return try #require(try snapshot.survey(rereading: bytes, revision: revision).hashKV)
}

/// Verifies bytes given in pieces of one size, without a source to read again.
func verify(_ bytes: [UInt8], pieceByteCount: Int = 1 << 16, checksTrailer: Bool = true) throws -> SnapshotReport {
    let verifier = SnapshotVerifier(
        name: "memory", checksTrailer: checksTrailer,
        selecting: RowSelection(resources: ["namespaces", "secrets", "things"]))
    try bytes.withUnsafeBytes { buffer in
        for start in stride(from: 0, to: buffer.count, by: pieceByteCount) {
            let end = min(buffer.count, start + pieceByteCount)
            try verifier.consume(UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
        }
    }
    return try verifier.finish()
}
