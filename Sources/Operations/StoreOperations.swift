import Age
import ArchiveStore
import Crypto
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

func sha256(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

/// Copies a sealed archive out of a store.
public enum DownloadOperation {
    /// Copies to a file, with its sidecar beside it; a directory as `destination` keeps the names.
    ///
    /// The digest of the sidecar is checked on the way, and nothing is left under the names if it does not hold.
    ///
    /// - Returns: the paths written.
    public static func run(
        _ backup: StoredBackup, in store: LocalStore, to destination: String, observer: Observer = Observer()
    ) throws -> [String] {
        let (directory, name) = try place(destination, backup)
        let stem =
            name.hasSuffix(ArchiveFormat.archiveSuffix)
            ? String(name.dropLast(ArchiveFormat.archiveSuffix.count)) : name
        let sidecarName = stem + ArchiveFormat.sidecarSuffix
        let paths = [name, sidecarName].map { directory.path(of: $0) }
        let isBegun = directory.contains(name)
        guard !directory.contains(sidecarName) else { throw exists(paths[isBegun ? 0 : 1]) }
        if isBegun {
            // What was interrupted before the sidecar had its name goes on there.
            guard try isCopy(paths[0], of: backup, in: store, observer: observer) else { throw exists(paths[0]) }
            let sidecar = try PendingFile(in: directory, name: sidecarName)
            try sidecar.write(backup.sidecarBytes)
            try sidecar.publish()
        } else {
            let archive = try PendingFile(in: directory, name: name)
            try copy(backup, in: store, to: archive, observer: observer)
            try archive.publish(withSidecar: backup.sidecarBytes, named: sidecarName)
        }
        return paths
    }

    /// Whether a file is the archive: its header byte for byte, the rest by the digest of the sidecar.
    private static func isCopy(
        _ path: String, of backup: StoredBackup, in store: LocalStore, observer: Observer
    ) throws -> Bool {
        do {
            let (copy, stored) = (try RandomAccessFile(path: path), try store.open(backup))
            try VerifyOperation.checkSealed(copy, backup.sidecar, observer: observer)
            let headerByteCount = backup.sidecar.object.headerSize
            return try copy.bytes(at: 0, count: headerByteCount) == stored.bytes(at: 0, count: headerByteCount)
        } catch let failure as Failure where [.integrity, .failed].contains(failure.code) {
            return false
        } catch is AgeError {
            return false
        }
    }

    private static func exists(_ path: String) -> Failure {
        Failure(
            .failed, "\(quoted(path)) exists", hint: "nothing is ever replaced: move it away, or name another place")
    }

    /// Copies the sealed archive to a sink, checking its digest.
    ///
    /// - Throws: ``Failure`` with the code `integrity` at the end if the digest does not hold.
    public static func copy(
        _ backup: StoredBackup, in store: LocalStore, to sink: any ByteSink, observer: Observer = Observer()
    ) throws {
        let file = try store.open(backup)
        try VerifyOperation.checkHeader(file, backup.sidecar)
        var hash = SHA256()
        let block = ByteBlock(capacity: 1 << 20)
        var offset = 0
        while offset < file.byteCount {
            try Task.checkCancellation()
            try block.fill { try file.read(at: offset, into: $0) }
            guard block.count > 0 else { break }
            try block.withUnsafeBytes { bytes in
                let skipped = min(bytes.count, max(0, backup.sidecar.object.headerSize - offset))
                hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[skipped...]))
                try sink.write(bytes)
            }
            offset += block.count
            observer.progress(Progress(phase: "download", doneByteCount: offset, totalByteCount: file.byteCount))
        }
        guard Array(hash.finalize()).hexadecimal == backup.sidecar.object.payloadSHA256 else {
            throw Failure(
                .integrity, "\(quoted(file.name)): its payload does not have the sha256 of its sidecar",
                hint: "it is damaged or was replaced: use another copy or another backup")
        }
    }

    private static func place(_ destination: String, _ backup: StoredBackup) throws -> (OpenDirectory, String) {
        if let directory = try? OpenDirectory(path: destination) { return (directory, backup.archiveName) }
        return try OutputFile.place(destination)
    }
}

/// Removes archives from a store.
public enum DeleteOperation {
    /// The backups that references mean, each once.
    ///
    /// One whose removal was interrupted is found by its reference too, so that this can be done again until it is done.
    public static func find(_ references: [BackupReference], in store: LocalStore) throws -> [StoredBackup] {
        var found: [StoredBackup] = []
        for reference in references {
            let backup = try reference.findForRemoval(in: store)
            if !found.contains(where: { $0.reference == backup.reference }) { found.append(backup) }
        }
        return found
    }

    /// Removes archives with their sidecars.
    ///
    /// - Throws: ``Failure`` with the code `locked`, before anything is removed, while a backup is running in one of the
    ///   places; for any other error it names what was removed before.
    public static func run(_ backups: [StoredBackup], in store: LocalStore) throws {
        let scopes = Set(backups.map(\.scope)).sorted()
        let writers = try scopes.map { try store.writer(for: $0) }
        var removed: [String] = []
        for backup in backups {
            do {
                try writers.first { $0.scope == backup.scope }?.delete(backup)
            } catch {
                var failure = Failure(wrapping: error)
                if !removed.isEmpty { failure.message += "; removed before: \(removed.joined(separator: ", "))" }
                throw failure
            }
            removed.append(backup.reference)
        }
    }
}

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
