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
    /// The digest of the sidecar is checked on the way, and nothing is left under the names if it does not hold. Without a
    /// sidecar the bytes are copied as they are.
    ///
    /// - Returns: the paths written.
    public static func run(
        _ source: OpenedArchive, to destination: String, observer: Observer = Observer()
    ) throws -> [String] {
        let (directory, name) = try place(destination, source)
        guard let document = source.sidecarBytes else {
            let archive = try PendingFile(in: directory, name: name)
            guard !directory.contains(name) else { throw exists(directory.path(of: name)) }
            try copy(source, to: archive, observer: observer)
            try archive.publish()
            return [directory.path(of: name)]
        }
        let sidecarName = OpenedArchive.sidecarName(besides: name)
        let paths = [name, sidecarName].map { directory.path(of: $0) }
        let isBegun = directory.contains(name)
        guard !directory.contains(sidecarName) else { throw exists(paths[isBegun ? 0 : 1]) }
        if isBegun {
            // What was interrupted before the sidecar had its name goes on there.
            guard try isCopy(paths[0], of: source, observer: observer) else { throw exists(paths[0]) }
            let sidecar = try PendingFile(in: directory, name: sidecarName)
            try sidecar.write(document)
            try sidecar.publish()
        } else {
            let archive = try PendingFile(in: directory, name: name)
            try copy(source, to: archive, observer: observer)
            try archive.publish(withSidecar: document, named: sidecarName)
        }
        return paths
    }

    /// Whether a file is the archive: its header byte for byte, the rest by the digest of the sidecar.
    private static func isCopy(_ path: String, of source: OpenedArchive, observer: Observer) throws -> Bool {
        guard let sidecar = source.sidecar else { return false }
        do {
            let copy = try RandomAccessFile(path: path)
            try VerifyOperation.checkSealed(copy, sidecar, observer: observer)
            let headerByteCount = sidecar.object.headerSize
            return try copy.bytes(at: 0, count: headerByteCount) == source.file.bytes(at: 0, count: headerByteCount)
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

    /// Copies the sealed archive to a sink, checking its digest where there is a sidecar.
    ///
    /// - Throws: ``Failure`` with the code `integrity` at the end if the digest does not hold.
    public static func copy(
        _ source: OpenedArchive, to sink: any ByteSink, observer: Observer = Observer()
    ) throws {
        let file = source.file
        if let sidecar = source.sidecar {
            try VerifyOperation.checkHeader(file, sidecar)
        } else {
            // Without anything to check it by it is an age file at least.
            _ = try Header.read(from: file)
        }
        let headerByteCount = source.sidecar?.object.headerSize ?? 0
        var hash = SHA256()
        let block = ByteBlock(capacity: 1 << 20)
        var offset = 0
        while offset < file.byteCount {
            try Task.checkCancellation()
            try block.fill { try file.read(at: offset, into: $0) }
            guard block.count > 0 else { break }
            try block.withUnsafeBytes { bytes in
                let skipped = min(bytes.count, max(0, headerByteCount - offset))
                hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[skipped...]))
                try sink.write(bytes)
            }
            offset += block.count
            observer.progress(Progress(phase: "download", doneByteCount: offset, totalByteCount: file.byteCount))
        }
        guard let sidecar = source.sidecar else { return }
        guard Array(hash.finalize()).hexadecimal == sidecar.object.payloadSHA256 else {
            throw Failure(
                .integrity, "\(quoted(file.name)): its payload does not have the sha256 of its sidecar",
                hint: "it is damaged or was replaced: use another copy or another backup")
        }
    }

    private static func place(_ destination: String, _ source: OpenedArchive) throws -> (OpenDirectory, String) {
        if let directory = try? OpenDirectory(path: destination) { return (directory, source.fileName) }
        return try OutputFile.place(destination)
    }
}
