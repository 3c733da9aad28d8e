import Crypto
import HostIO

/// Reads a snapshot block by block and verifies it on the way.
///
/// `@unchecked Sendable`: used only by the work that its connection runs, one piece after the other; ``cancel()`` may be
/// called from any thread.
final class SnapshotReader: @unchecked Sendable {
    let endpoint: Endpoint
    private let call: SnapshotCall
    private let stallTimeout: Duration
    private let start = ContinuousClock.now
    private var pool = ByteBlockPool(capacity: SnapshotStream.blockByteCount)
    private var header = SnapshotHeader(databaseByteCount: 0)
    private var receivedByteCount: UInt64 = 0
    private var hash = SHA256()
    private var sentDigest: [UInt8] = []
    private var isAtEnd = false
    private(set) var summary: SnapshotSummary?

    init(_ call: SnapshotCall, connection: Connection, configuration: ClientConfiguration) {
        self.call = call
        endpoint = connection.channel.endpoint
        stallTimeout = configuration.stallTimeout
    }

    func cancel() { call.cancel() }

    /// Waits for the first message; blocks.
    ///
    /// - Throws: ``ShimError`` for what the server or the connection says, otherwise ``SnapshotError``.
    func open() throws -> SnapshotHeader {
        do {
            header = try call.open(stallTimeout: stallTimeout)
        } catch {
            // Before the first message, a status tells about the request: the user, the connection, the server.
            if error.kind == .status { throw error }
            throw self.error(for: error)
        }
        guard header.databaseByteCount <= SnapshotHeader.maximumDatabaseByteCount else {
            throw SnapshotError.malformed(
                endpoint, message: "a size of \(header.databaseByteCount) bytes is impossible")
        }
        return header
    }

    /// The next block, nil after the last; blocks.
    ///
    /// - Throws: ``SnapshotError`` or `CancellationError`.
    func nextBlock() throws -> ByteBlock? {
        if isAtEnd { return nil }
        let block = pool.take()
        var outcome = SnapshotCall.ReadResult.full
        block.fill { buffer in
            let (byteCount, result) = call.read(into: buffer, stallTimeout: stallTimeout)
            outcome = result
            return byteCount
        }
        let precedingByteCount = receivedByteCount
        receivedByteCount += UInt64(block.count)
        switch outcome {
        case .full: break
        case .end: isAtEnd = true
        case .emptyMessage: throw SnapshotError.emptyMessage(endpoint, receivedByteCount: receivedByteCount)
        case .failed(let error): throw self.error(for: error)
        }
        try verify(block, at: precedingByteCount)
        if isAtEnd { try finish() }
        return block.count > 0 ? block : nil
    }

    /// Hashes what belongs to the database and keeps what belongs to the digest.
    private func verify(_ block: ByteBlock, at offset: UInt64) throws(SnapshotError) {
        guard receivedByteCount <= header.totalByteCount else {
            throw .long(endpoint, expectedByteCount: header.totalByteCount)
        }
        block.withUnsafeBytes { bytes in
            let databaseRest = header.databaseByteCount - min(offset, header.databaseByteCount)
            let boundary = Int(min(databaseRest, UInt64(bytes.count)))
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[..<boundary]))
            sentDigest += bytes[boundary...]
        }
    }

    private func finish() throws(SnapshotError) {
        guard receivedByteCount == header.totalByteCount else {
            throw .short(
                endpoint, receivedByteCount: receivedByteCount, expectedByteCount: header.totalByteCount)
        }
        let digest = Array(hash.finalize())
        guard digest == sentDigest else {
            throw .digestMismatch(endpoint, expected: sentDigest, found: digest)
        }
        var fileHash = hash
        fileHash.update(data: sentDigest)
        summary = SnapshotSummary(
            databaseByteCount: header.databaseByteCount, sha256: digest, fileSHA256: Array(fileHash.finalize()),
            storageVersion: header.storageVersion,
            endpoint: endpoint, duration: ContinuousClock.now - start)
    }

    private func error(for error: ShimError) -> any Error {
        switch error.kind {
        case .cancelled: CancellationError()
        case .stalled: SnapshotError.stalled(endpoint, receivedByteCount: receivedByteCount, timeout: stallTimeout)
        case .deadline: SnapshotError.deadlineExceeded(endpoint, receivedByteCount: receivedByteCount)
        case .malformed: SnapshotError.malformed(endpoint, message: error.message)
        case .status, .argument:
            SnapshotError.serverGone(
                endpoint, receivedByteCount: receivedByteCount, message: printable(error.message))
        }
    }
}
