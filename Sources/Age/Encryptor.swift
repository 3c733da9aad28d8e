internal import Dispatch
internal import Synchronization
import HostIO

/// Writes one age file: encrypts a plaintext that arrives piece by piece, in constant memory.
///
/// The file is ``headerBytes`` followed by everything that the sinks were given, which is the payload with its nonce.
///
/// `@unchecked Sendable`: it can't be copied, so its memory and contexts have one owner, and its threads end before
/// the call that started them does.
public struct Encryptor: ~Copyable, @unchecked Sendable {
    /// Takes the next bytes of the payload, which are valid only during the call.
    public typealias Sink = (UnsafeRawBufferPointer) throws -> Void

    /// The header, which comes before the payload.
    public let header: Header
    /// The bytes of the header.
    public var headerBytes: [UInt8] { header.bytes }
    /// The key of this file, to read back what was written without an identity.
    public let fileKey: FileKey
    /// The number of plaintext bytes so far.
    public private(set) var plaintextByteCount = 0

    private enum State { case open, finished, failed }

    /// A megabyte: few calls of the sink, and still in a core's cache.
    private static let batchChunkCount = 16
    private static let chunk = PayloadFormat.chunkByteCount
    private static let sealedChunk = PayloadFormat.sealedChunkByteCount

    private let contexts: [AEADContext]
    /// Room for a batch of sealed chunks.
    private let batch: UnsafeMutableRawBufferPointer
    private var state = State.open
    /// The payload's nonce until it was written.
    private var unwrittenNonce: [UInt8]
    /// The index in the payload of the batch's first chunk.
    private var firstChunkIndex = 0
    /// Chunks at the start of the batch that are sealed.
    private var sealedCount = 0
    /// Chunks after those that are full of plaintext, and known not to be the last of the payload.
    private var fullCount = 0
    /// Plaintext bytes in the chunk after those.
    private var pendingByteCount = 0

    /// Begins a file with a fresh file key.
    ///
    /// - Parameter workerCount: how many cores seal a batch; 1 does all work on the calling thread.
    /// - Throws: ``AgeError`` of kind `recipients` or `library`.
    public init(recipients: [any Recipient], workerCount: Int = 1) throws {
        try self.init(
            recipients: recipients, fileKey: .generate(),
            payloadNonce: randomBytes(count: PayloadFormat.nonceByteCount), workerCount: workerCount)
    }

    package init(
        recipients: [any Recipient], fileKey: FileKey, payloadNonce: [UInt8], workerCount: Int = 1
    ) throws {
        try self.init(
            header: Header(recipients: recipients, fileKey: fileKey), fileKey: fileKey, payloadNonce: payloadNonce,
            workerCount: workerCount)
    }

    package init(header: Header, fileKey: FileKey, payloadNonce: [UInt8], workerCount: Int = 1) throws {
        precondition(payloadNonce.count == PayloadFormat.nonceByteCount && workerCount >= 1)
        self.header = header
        self.fileKey = fileKey
        unwrittenNonce = payloadNonce
        let key = fileKey.payloadKey(nonce: payloadNonce)
        contexts = try (0..<min(workerCount, Self.batchChunkCount)).map { _ in try AEADContext(key: key) }
        batch = .allocate(byteCount: Self.batchChunkCount * Self.sealedChunk, alignment: 64)
    }

    deinit {
        wipe(batch)
        batch.deallocate()
    }

    /// Encrypts more plaintext, and gives whole batches of the payload to `sink`.
    ///
    /// - Throws: the error of `sink`, or ``AgeError`` of kind `library`; the file can't be continued then.
    /// - Precondition: the file is not finished, and no call has thrown.
    public mutating func write(_ plaintext: UnsafeRawBufferPointer, to sink: Sink) throws {
        precondition(state == .open, "an age file is written to after its end or after a failure")
        state = .failed
        plaintextByteCount += plaintext.count
        var rest = plaintext[...]
        while !rest.isEmpty {
            // A full chunk waits for the byte that shows it is not the last.
            if pendingByteCount == Self.chunk { try completePendingChunk(sink) }
            let count = try sealDirectly(from: UnsafeRawBufferPointer(rebasing: rest))
            if count > 0 {
                rest = rest.dropFirst(count)
                if sealedCount == Self.batchChunkCount { try flush(sink) }
            } else {
                rest = rest.dropFirst(addToPendingChunk(UnsafeRawBufferPointer(rebasing: rest)))
            }
        }
        state = .open
    }

    /// Seals the last chunk and gives the rest of the payload to `sink`.
    ///
    /// - Throws: the error of `sink`, or ``AgeError`` of kind `library`.
    /// - Precondition: the file is not finished, and no call has thrown.
    public mutating func finish(to sink: Sink) throws {
        precondition(state == .open, "an age file is finished after its end or after a failure")
        state = .failed
        try sealFullChunks()
        let room = slot(sealedCount)
        try contexts[0].sealChunk(
            firstChunkIndex + sealedCount, isLast: true,
            UnsafeRawBufferPointer(rebasing: room.prefix(pendingByteCount)), into: room)
        try flush(sink, lastChunkByteCount: pendingByteCount + PayloadFormat.tagByteCount)
        state = .finished
    }

    /// The batch from the place of one of its chunks on.
    private func slot(_ index: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: batch[(index * Self.sealedChunk)...])
    }

    private mutating func addToPendingChunk(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(Self.chunk - pendingByteCount, bytes.count)
        let room = slot(sealedCount + fullCount)[pendingByteCount..<pendingByteCount + count]
        room.copyBytes(from: bytes.prefix(count))
        pendingByteCount += count
        return count
    }

    private mutating func completePendingChunk(_ sink: Sink) throws {
        fullCount += 1
        pendingByteCount = 0
        guard sealedCount + fullCount == Self.batchChunkCount else { return }
        try sealFullChunks()
        try flush(sink)
    }

    private mutating func sealFullChunks() throws(AgeError) {
        try sealChunks(count: fullCount, from: UnsafeRawBufferPointer(slot(sealedCount)), stride: Self.sealedChunk)
        sealedCount += fullCount
        fullCount = 0
    }

    /// Seals whole chunks out of the caller's memory, sparing a copy, if there are enough of them to be worth it and
    /// at least one byte is left over; returns how many bytes were taken.
    private mutating func sealDirectly(from bytes: UnsafeRawBufferPointer) throws(AgeError) -> Int {
        let roomCount = Self.batchChunkCount - sealedCount
        guard pendingByteCount == 0, fullCount == 0, bytes.count > Self.chunk else { return 0 }
        let count = min(roomCount, (bytes.count - 1) / Self.chunk)
        guard contexts.count == 1 || count >= contexts.count else { return 0 }
        try sealChunks(count: count, from: bytes, stride: Self.chunk)
        sealedCount += count
        return count * Self.chunk
    }

    /// Seals `count` chunks, none of them the last, into the batch after those that are sealed already.
    private func sealChunks(
        count: Int, from plaintext: UnsafeRawBufferPointer, stride: Int
    ) throws(AgeError) {
        guard let base = plaintext.baseAddress, count > 0 else { return }
        let job = SealingJob(
            plaintext: base, stride: stride, sealed: slot(sealedCount), firstChunkIndex: firstChunkIndex + sealedCount)
        let workerCount = min(contexts.count, count)
        if workerCount == 1 { return try job.seal(0..<count, with: contexts[0]) }
        let failure = Mutex<AgeError?>(nil)
        DispatchQueue.concurrentPerform(iterations: workerCount) { [contexts] worker in
            let share = count * worker / workerCount..<count * (worker + 1) / workerCount
            do throws(AgeError) {
                try job.seal(share, with: contexts[worker])
            } catch {
                failure.withLock { $0 = error }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Gives what is sealed to `sink`, with the last chunk of the payload if that was sealed too.
    private mutating func flush(_ sink: Sink, lastChunkByteCount: Int = 0) throws {
        if !unwrittenNonce.isEmpty {
            try unwrittenNonce.withUnsafeBytes(sink)
            unwrittenNonce = []
        }
        try sink(UnsafeRawBufferPointer(rebasing: batch[..<(sealedCount * Self.sealedChunk + lastChunkByteCount)]))
        firstChunkIndex += sealedCount
        sealedCount = 0
        pendingByteCount = 0
    }
}

/// Neighbouring chunks to seal, none of them the last of the payload.
///
/// `@unchecked Sendable`: the memory outlives the job, and threads are given chunks of their own.
private struct SealingJob: @unchecked Sendable {
    let plaintext: UnsafeRawPointer
    /// The distance from one chunk of plaintext to the next.
    let stride: Int
    let sealed: UnsafeMutableRawBufferPointer
    /// The index in the payload of the first chunk.
    let firstChunkIndex: Int

    func seal(_ chunks: Range<Int>, with context: AEADContext) throws(AgeError) {
        for index in chunks {
            let start = index * PayloadFormat.sealedChunkByteCount
            try context.sealChunk(
                firstChunkIndex + index, isLast: false,
                UnsafeRawBufferPointer(start: plaintext + index * stride, count: PayloadFormat.chunkByteCount),
                into: UnsafeMutableRawBufferPointer(
                    rebasing: sealed[start..<start + PayloadFormat.sealedChunkByteCount]))
        }
    }
}
