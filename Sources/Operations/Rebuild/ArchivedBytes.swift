import Crypto
import HostIO
import SealedArchive

/// Copies a large file out of an archive, compared with the manifest's digest before it gets its name.
enum ArchivedBytes {
    private static let pieceByteCount = 1 << 20

    static func copy(_ source: any RandomAccessBytes, _ entry: ManifestEntry, to sink: any ByteSink) throws {
        var hash = SHA256()
        var offset = 0
        while offset < source.byteCount {
            try Task.checkCancellation()
            let bytes = try source.bytes(at: offset, count: min(pieceByteCount, source.byteCount - offset))
            hash.update(data: bytes)
            try bytes.withUnsafeBytes { try sink.write($0) }
            offset += bytes.count
        }
        guard Array(hash.finalize()).hexadecimal == entry.sha256 else {
            throw Failure(
                .integrity, "\(quoted(entry.path)) is not what the archive's manifest says",
                hint: "verify the archive, and take another copy of it")
        }
    }
}
