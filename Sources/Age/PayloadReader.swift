public import HostIO
internal import Synchronization

/// The plaintext of an age payload, readable at any offset and by several threads at once.
///
/// Nothing is kept of what was read. Bytes are given out only after their chunk was authenticated, and the last chunk
/// is authenticated at the start, so that a payload cut short is refused before anything of it is used.
public final class PayloadReader: RandomAccessBytes {
    private static let chunk = PayloadFormat.chunkByteCount
    private static let sealedChunk = PayloadFormat.sealedChunkByteCount
    /// Bounds the memory of one read, and the number of reads for a long range.
    private static let runChunkCount = 16

    /// The name of the source, for messages.
    public let name: String
    /// The length of the plaintext.
    public let plaintextByteCount: Int
    /// The number of chunks, at least 1.
    public let chunkCount: Int
    /// The length of the plaintext, as for any other random-access bytes.
    public var byteCount: Int { plaintextByteCount }

    private let source: any RandomAccessBytes
    /// The offset of chunk 0 in the source.
    private let firstChunkOffset: Int
    private let key: SecretBytes
    private let idleOpeners = Mutex<[Opener]>([])

    /// Opens a payload.
    ///
    /// - Parameter payloadOffset: where the payload's nonce begins: the length of the header, or 0 if the header is
    ///   kept elsewhere. The payload goes on to the end of the source.
    /// - Throws: ``AgeError``: `header` if the nonce is not complete, `payload` if the length is not a legal one or the
    ///   last chunk is not the authentic end of the payload; or the source's error.
    public init(source: any RandomAccessBytes, payloadOffset: Int, fileKey: FileKey) throws {
        let nonce = try source.bytes(at: payloadOffset, count: PayloadFormat.nonceByteCount)
        guard nonce.count == PayloadFormat.nonceByteCount else { throw PayloadFailure.noNonce(source.name) }
        self.source = source
        name = source.name
        firstChunkOffset = payloadOffset + nonce.count
        key = fileKey.payloadKey(nonce: nonce)
        let sealedByteCount = source.byteCount - firstChunkOffset
        (chunkCount, plaintextByteCount) = try Self.layout(sealedByteCount: sealedByteCount, name: source.name)
        try authenticateLastChunk()
    }

    /// Reads into the whole of `buffer` from `offset` on, or up to the end of the plaintext.
    ///
    /// - Returns: the number of bytes read: less than `buffer.count` only at the end.
    /// - Throws: ``AgeError`` of kind `payload` if a chunk is not authentic; or the source's error. What `buffer` holds
    ///   then is of no use.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        precondition(offset >= 0, "a read begins before the plaintext")
        guard offset < plaintextByteCount else { return 0 }
        let end = offset + min(buffer.count, plaintextByteCount - offset)
        return try withOpener { opener in
            var position = offset
            while position < end {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[(position - offset)..<(end - offset)])
                position += try readRun(at: position, into: room, with: opener)
            }
            return position - offset
        }
    }

    /// Reads the start of `buffer` out of one run of chunks, and returns how many bytes that were.
    private func readRun(
        at offset: Int, into buffer: UnsafeMutableRawBufferPointer, with opener: Opener
    ) throws -> Int {
        let first = offset / Self.chunk
        let last = min(first + Self.runChunkCount - 1, (offset + buffer.count - 1) / Self.chunk)
        let sealed = try readSealed(first...last, into: opener.scratch)
        var done = 0
        for index in first...last {
            let sealedBytes = slice(sealed, chunk: index - first)
            let plaintextCount = sealedBytes.count - PayloadFormat.tagByteCount
            let skipped = index == first ? offset - first * Self.chunk : 0
            let wanted = min(plaintextCount - skipped, buffer.count - done)
            if wanted == plaintextCount {
                try open(index, sealedBytes, into: .init(rebasing: buffer[done..<done + wanted]), with: opener.context)
            } else {
                try open(index, sealedBytes, into: sealedBytes, with: opener.context)
                buffer[done..<done + wanted].copyBytes(from: sealedBytes[skipped..<skipped + wanted])
            }
            done += wanted
        }
        return done
    }

    /// Reads and opens a run of chunks in place, and returns the plaintext, which is at the start of `room`.
    func openRun(
        _ chunks: ClosedRange<Int>, in room: UnsafeMutableRawBufferPointer, with context: AEADContext
    ) throws -> UnsafeRawBufferPointer {
        let sealed = try readSealed(chunks, into: room)
        var done = 0
        for index in chunks {
            let sealedBytes = slice(sealed, chunk: index - chunks.lowerBound)
            let count = sealedBytes.count - PayloadFormat.tagByteCount
            try open(index, sealedBytes, into: sealedBytes, with: context)
            // Closes the gap that the tag before leaves.
            if done != (index - chunks.lowerBound) * Self.sealedChunk, let target = room.baseAddress {
                (target + done).copyMemory(from: sealedBytes.baseAddress ?? target, byteCount: count)
            }
            done += count
        }
        return UnsafeRawBufferPointer(rebasing: room[..<done])
    }

    func makeContext() throws(AgeError) -> AEADContext { try AEADContext(key: key) }

    private func open(
        _ index: Int, _ sealed: UnsafeMutableRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer,
        with context: AEADContext
    ) throws(AgeError) {
        let isLast = index == chunkCount - 1
        let sealed = UnsafeRawBufferPointer(sealed)
        guard try context.openChunk(index, isLast: isLast, sealed, into: plaintext) else {
            throw PayloadFailure.notAuthentic(name, chunk: index, of: chunkCount)
        }
    }

    private func readSealed(
        _ chunks: ClosedRange<Int>, into room: UnsafeMutableRawBufferPointer
    ) throws -> UnsafeMutableRawBufferPointer {
        let end = chunks.upperBound == chunkCount - 1 ? sealedEnd : (chunks.upperBound + 1) * Self.sealedChunk
        let start = chunks.lowerBound * Self.sealedChunk
        let target = UnsafeMutableRawBufferPointer(rebasing: room[..<(end - start)])
        guard try source.read(at: firstChunkOffset + start, into: target) == target.count else {
            throw AgeError(
                .payload, "\(quoted(name)) has become shorter while it was read", at: .chunk(chunks.lowerBound),
                hint: "something else writes to the file: try again when it is complete")
        }
        return target
    }

    private var sealedEnd: Int { plaintextByteCount + chunkCount * PayloadFormat.tagByteCount }

    private func slice(_ sealed: UnsafeMutableRawBufferPointer, chunk: Int) -> UnsafeMutableRawBufferPointer {
        let start = chunk * Self.sealedChunk
        return UnsafeMutableRawBufferPointer(rebasing: sealed[start..<min(start + Self.sealedChunk, sealed.count)])
    }
}

extension PayloadReader {
    /// What one thread needs to open chunks.
    ///
    /// `@unchecked Sendable`: an opener is either in the pool or lent to one thread, by ``withOpener(_:)`` alone.
    private final class Opener: @unchecked Sendable {
        let context: AEADContext
        let scratch: UnsafeMutableRawBufferPointer

        init(context: AEADContext) {
            self.context = context
            scratch = .allocate(
                byteCount: PayloadReader.runChunkCount * PayloadReader.sealedChunk, alignment: 64)
        }

        deinit {
            wipe(scratch)
            scratch.deallocate()
        }
    }

    /// Lends an opener to the calling thread alone.
    private func withOpener<Result>(_ body: (Opener) throws -> Result) throws -> Result {
        let opener = try idleOpeners.withLock { $0.popLast() } ?? Opener(context: makeContext())
        defer { idleOpeners.withLock { $0.append(opener) } }
        return try body(opener)
    }

    /// The number of chunks and of plaintext bytes that a number of sealed bytes means.
    private static func layout(sealedByteCount: Int, name: String) throws(AgeError) -> (Int, Int) {
        let chunkCount = (sealedByteCount + sealedChunk - 1) / sealedChunk
        let lastByteCount = sealedByteCount - (chunkCount - 1) * sealedChunk
        guard chunkCount > 0 else { throw PayloadFailure.noChunk(name) }
        // Only the very first chunk may be empty.
        let least = PayloadFormat.tagByteCount + (chunkCount == 1 ? 0 : 1)
        guard lastByteCount >= least else {
            throw PayloadFailure.shortLastChunk(name, chunk: chunkCount - 1, byteCount: lastByteCount)
        }
        return (chunkCount, sealedByteCount - chunkCount * PayloadFormat.tagByteCount)
    }

    private func authenticateLastChunk() throws {
        let index = chunkCount - 1
        try withOpener { opener in
            let sealed = try readSealed(index...index, into: opener.scratch)
            let plaintext = UnsafeMutableRawBufferPointer(rebasing: opener.scratch.suffix(Self.chunk))
            if try opener.context.openChunk(index, isLast: true, UnsafeRawBufferPointer(sealed), into: plaintext) {
                return
            }
            let isInner = try opener.context.openChunk(
                index, isLast: false, UnsafeRawBufferPointer(sealed), into: plaintext)
            throw isInner
                ? PayloadFailure.cutBetweenChunks(name, chunkCount: chunkCount)
                : PayloadFailure.notAuthentic(name, chunk: index, of: chunkCount)
        }
    }
}
