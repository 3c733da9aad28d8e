import Age
import HostIO
import SealedArchive
import SystemPackage

/// Opens any age file.
public enum UnsealOperation {
    /// Decrypts an age file, and decompresses it when it holds zstd frames, to a sink.
    ///
    /// - Parameters:
    ///   - isRaw: whether compressed data is given as it is.
    ///   - path: the file; nil for standard input.
    public static func run(
        path: String?, identities: [any Identity], isRaw: Bool, to sink: any ByteSink, observer: Observer = Observer()
    ) throws {
        let output = try UnsealOutput(sink, isRaw: isRaw)
        if let path, let file = try? RandomAccessFile(path: path), try !isArmored(file) {
            try decrypt(file, identities, output, observer)
        } else {
            try decryptStream(path: path, identities, output)
        }
        try output.finish()
    }

    /// Opens the payload of a file, whose end is authenticated before its beginning is used.
    private static func decrypt(
        _ file: RandomAccessFile, _ identities: [any Identity], _ output: UnsealOutput, _ observer: Observer
    ) throws {
        let header = try Header.read(from: file)
        let fileKey = try header.unlock(with: identities, name: file.name)
        let payload = try PayloadReader(source: file, payloadOffset: header.byteCount, fileKey: fileKey)
        var doneByteCount = 0
        try payload.forEachBlock(workerCount: availableCoreCount()) { piece in
            try Task.checkCancellation()
            try output.write(piece)
            doneByteCount += piece.count
            observer.progress(
                Progress(
                    phase: "unseal", doneByteCount: doneByteCount, totalByteCount: payload.plaintextByteCount))
        }
    }

    private static func decryptStream(
        path: String?, _ identities: [any Identity], _ output: UnsealOutput
    ) throws {
        let name = path ?? "standard input"
        let input = try path.map { try openForReading($0) } ?? .standardInput
        defer { if path != nil { try? input.close() } }
        var decryptor = StreamDecryptor(identities: identities, name: name)
        let block = ByteBlock(capacity: 1 << 20)
        repeat {
            try Task.checkCancellation()
            try block.fill { try readSome(input, name: name, into: $0) }
            try block.withUnsafeBytes { try decryptor.write($0, to: output.write) }
        } while block.count > 0
        try decryptor.finish(to: output.write)
    }

    private static func isArmored(_ file: RandomAccessFile) throws -> Bool {
        Armor.isArmored(prefix: try file.bytes(at: 0, count: 64)) ?? false
    }
}

/// Passes a plaintext on, decompressing it when its first bytes are those of a zstd frame.
private final class UnsealOutput {
    private let sink: any ByteSink
    private let isRaw: Bool
    private var head: [UInt8] = []
    private var decompressor: ZstdStreamDecompressor?
    private var isDecided = false

    init(_ sink: any ByteSink, isRaw: Bool) throws {
        self.sink = sink
        self.isRaw = isRaw
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard !isDecided else { return try pass(bytes) }
        head += bytes
        if head.count >= ZstdStreamDecompressor.magic.count { try decide() }
    }

    func finish() throws {
        if !isDecided { try decide() }
        try decompressor?.finish()
    }

    private func decide() throws {
        isDecided = true
        if !isRaw, head.starts(with: ZstdStreamDecompressor.magic) { decompressor = try ZstdStreamDecompressor() }
        try head.withUnsafeBytes { try pass($0) }
        head = []
    }

    private func pass(_ bytes: UnsafeRawBufferPointer) throws {
        if let decompressor {
            try decompressor.decompress(bytes) { try sink.write($0) }
        } else {
            try sink.write(bytes)
        }
    }
}
