import ArchiveStore
import Crypto
import HostIO
import SealedArchive

/// Brings one sealed archive from a store into another, byte for byte, and its sidecar as it is.
///
/// Everything that can be checked without a key is, on the way: the size, the digest of the age header and that of the payload,
/// and what the target has of it. It is published by its sidecar, so an interrupted copy is nothing.
struct ArchiveCopy {
    let backup: StoredBackup
    let source: NamedStore
    /// Told how many bytes were read so far.
    var progress: (Int) -> Void = { _ in }

    /// An error of the source, or of what it gave: another one may do better.
    struct SourceError: Error {
        let failure: Failure
        /// Whether what it gave is damaged, or it no longer has it; otherwise the source itself is at fault.
        var isOfArchive: Bool { [.integrity, .notFound].contains(failure.code) }
    }

    /// As much as is read at once, in bytes, and how many such blocks there are at most.
    private static let blockByteCount = 4 << 20
    private static let blockCount = 4
    private static let readerCount = 2

    /// Makes and publishes the copy.
    ///
    /// - Throws: ``SourceError``; `CancellationError`; errors of the target.
    func run(to writer: any StoreWriter) throws {
        let object = backup.sidecar.object
        let file = try fromSource {
            let file = try source.store.open(backup)
            try object.checkSize(file.byteCount, of: file.name)
            try object.checkHeader(of: file)
            return file
        }
        if let available = try writer.availableByteCount(), available < object.size {
            throw Failure(
                .noSpace, "\(quoted(backup.reference)) has \(object.size) bytes, and there are \(available) left",
                hint: "free some space there")
        }
        let pending = try writer.begin(backup.id)
        do {
            try pass(file, to: pending)
            try checkStored(pending)
            try pending.publish(SidecarDocument(of: backup))
        } catch {
            pending.discard()
            throw error
        }
    }

    /// What the target has, as far as this host may read it there.
    private func checkStored(_ pending: any PendingArchive) throws {
        let object = backup.sidecar.object
        let stored = try pending.stored()
        try object.checkSize(stored.byteCount, of: stored.name)
        do {
            try object.checkHeader(of: stored)
        } catch let error as ObjectError where error.kind == .denied {
            // It was sent with its digest.
        }
    }

    /// Gives an archive that lost its sidecar in the target, or never got it, that of the source if it is the same archive.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if it is not; errors of the target.
    func adopt(in target: any Store, _ writer: any StoreWriter) throws {
        let file = try target.open(backup.id, in: backup.scope)
        let object = backup.sidecar.object
        try object.checkSize(file.byteCount, of: file.name)
        try object.checkHeader(of: file)
        var digest = PayloadDigest(object)
        try forEachBlock(of: file) { digest.update($0) }
        try digest.check(file.name)
        try writer.adopt(SidecarDocument(of: backup))
    }

    private func pass(_ file: any RandomAccessBytes, to pending: any PendingArchive) throws {
        var digest = PayloadDigest(backup.sidecar.object)
        try forEachBlock(of: file) { bytes in
            digest.update(bytes)
            try pending.write(bytes)
            progress(digest.byteCount)
        }
        try fromSource { try digest.check(file.name) }
    }

    /// Reads some blocks ahead of `body`.
    private func forEachBlock(
        of file: any RandomAccessBytes, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let blocks = OrderedParallelMap<Int, ByteBlock>(
            name: "etcd-snap.copy", workerCount: Self.readerCount, depth: Self.blockCount
        ) {
            { offset in
                let count = min(Self.blockByteCount, file.byteCount - offset)
                let block = ByteBlock(capacity: count)
                try block.fill { try file.read(at: offset, into: $0) }
                guard block.count == count else {
                    throw Failure(
                        .integrity, "\(quoted(file.name)) ends at byte \(offset + block.count) of \(file.byteCount)",
                        hint: "it was cut short meanwhile: use another copy")
                }
                return block
            }
        }
        let offsets = Array(stride(from: 0, to: file.byteCount, by: Self.blockByteCount))
        for offset in offsets.prefix(Self.blockCount) { blocks.submit(offset) }
        for index in offsets.indices {
            try Task.checkCancellation()
            guard let block = try fromSource({ try blocks.next() }) else { break }
            let next = index + Self.blockCount
            if offsets.indices.contains(next) { blocks.submit(offsets[next]) }
            try block.withUnsafeBytes(body)
        }
    }

    private func fromSource<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch  where !(error is CancellationError) {
            throw SourceError(failure: Failure(wrapping: error))
        }
    }
}

/// The digest of a sealed archive's payload, computed while it passes.
private struct PayloadDigest {
    private let object: Sidecar.SealedObject
    private var hash = SHA256()
    /// How many bytes of the archive have passed.
    private(set) var byteCount = 0

    init(_ object: Sidecar.SealedObject) { self.object = object }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let skippedCount = min(bytes.count, max(0, object.headerSize - byteCount))
        hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[skippedCount...]))
        byteCount += bytes.count
    }

    /// - Throws: ``Failure`` with the code `integrity` if it is not that of the sidecar.
    func check(_ name: String) throws(Failure) {
        let found = Array(hash.finalize()).hexadecimal
        guard found != object.payloadSHA256 else { return }
        throw Failure(
            .integrity,
            "\(quoted(name)): payload sha256 mismatch (its sidecar says \(object.payloadSHA256.prefix(16))…, found "
                + "\(found.prefix(16))…)",
            hint: "it is damaged or was replaced: use another copy or another backup")
    }
}
