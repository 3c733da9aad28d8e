internal import HostIO

/// Reads one age file from a source that can't be sought, such as standard input, armored or not, in constant memory.
///
/// A chunk is opened only when the byte after it, or the end of the input, has shown whether it is the last one. So
/// nothing but authentic plaintext is given out, and of a damaged file only the chunks before the damage: what was
/// received is complete only when ``finish(to:)`` has returned.
public struct StreamDecryptor: ~Copyable {
    /// Takes the next bytes of the plaintext, which are valid only during the call.
    public typealias Sink = (UnsafeRawBufferPointer) throws -> Void

    private enum Phase { case header, nonce, payload }

    private static let sealedChunk = PayloadFormat.sealedChunkByteCount

    /// The header, once it was read.
    public private(set) var header: Header?

    private let identities: [any Identity]
    private let name: String
    private var phase = Phase.header
    /// Cleared by the end of the file, and by a failure.
    private var isUsable = true
    private var envelope: Envelope
    private var parser: HeaderParser
    private var nonce: [UInt8] = []
    private var context: AEADContext?
    private var chunkIndex = 0
    /// A sealed chunk as far as it has arrived.
    private let pending: UnsafeMutableRawBufferPointer
    private var pendingByteCount = 0
    private let plaintext: UnsafeMutableRawBufferPointer

    /// A decryptor whose errors call the file by `name`.
    public init(identities: [any Identity], name: String) {
        self.identities = identities
        self.name = name
        envelope = Envelope(name: name)
        parser = HeaderParser(name: name)
        pending = .allocate(byteCount: Self.sealedChunk, alignment: 64)
        plaintext = .allocate(byteCount: PayloadFormat.chunkByteCount, alignment: 64)
    }

    deinit {
        wipe(plaintext)
        pending.deallocate()
        plaintext.deallocate()
    }

    /// Takes the next bytes of the file, and gives the plaintext of the chunks that they complete to `sink`.
    ///
    /// - Throws: ``AgeError``, or the error of `sink`; the file can't be continued then.
    /// - Precondition: the file is not finished, and no call has thrown.
    public mutating func write(_ input: UnsafeRawBufferPointer, to sink: Sink) throws {
        precondition(isUsable, "an age file is read after its end or after a failure")
        isUsable = false
        if let decoded = try envelope.remove(from: input) {
            try decoded.withUnsafeBytes { try take($0, sink) }
        } else {
            try take(input, sink)
        }
        isUsable = true
    }

    /// Ends the input, and gives the plaintext of the last chunk to `sink`.
    ///
    /// - Throws: ``AgeError``, or the error of `sink`.
    /// - Precondition: the file is not finished, and no call has thrown.
    public mutating func finish(to sink: Sink) throws {
        precondition(isUsable, "an age file is finished after its end or after a failure")
        isUsable = false
        try envelope.finish().withUnsafeBytes { try take($0, sink) }
        switch phase {
        case .header: _ = try parser.finish()
        case .nonce: throw PayloadFailure.noNonce(name)
        case .payload: try openLastChunk(sink)
        }
    }

    private mutating func take(_ input: UnsafeRawBufferPointer, _ sink: Sink) throws {
        var rest = input[...]
        while !rest.isEmpty {
            let bytes = UnsafeRawBufferPointer(rebasing: rest)
            let count =
                switch phase {
                case .header: try takeHeader(bytes)
                case .nonce: try takeNonce(bytes)
                case .payload: try takePayload(bytes, sink)
                }
            rest = rest.dropFirst(count)
        }
    }

    private mutating func takeHeader(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        let count = try parser.parse(bytes)
        guard let header = parser.header else { return count }
        self.header = header
        phase = .nonce
        return count
    }

    private mutating func takeNonce(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        let count = min(bytes.count, PayloadFormat.nonceByteCount - nonce.count)
        nonce += bytes.prefix(count)
        // The stanzas are tried only now, for a file without a nonce is malformed whatever its stanzas are.
        guard nonce.count == PayloadFormat.nonceByteCount, let header else { return count }
        let fileKey = try header.unlock(with: identities, name: name)
        context = try AEADContext(key: fileKey.payloadKey(nonce: nonce))
        phase = .payload
        return count
    }

    /// Takes up to one chunk; a complete one is opened when the next byte is there.
    private mutating func takePayload(_ bytes: UnsafeRawBufferPointer, _ sink: Sink) throws -> Int {
        if pendingByteCount == Self.sealedChunk {
            pendingByteCount = 0
            try openInnerChunk(UnsafeRawBufferPointer(pending), sink)
        }
        if pendingByteCount == 0, bytes.count > Self.sealedChunk {
            try openInnerChunk(UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.sealedChunk)), sink)
            return Self.sealedChunk
        }
        let count = min(bytes.count, Self.sealedChunk - pendingByteCount)
        pending[pendingByteCount..<pendingByteCount + count].copyBytes(from: bytes.prefix(count))
        pendingByteCount += count
        return count
    }

    private mutating func openInnerChunk(_ sealed: UnsafeRawBufferPointer, _ sink: Sink) throws {
        guard try open(sealed, isLast: false) else {
            throw try open(sealed, isLast: true)
                ? PayloadFailure.trailingBytes(name, chunk: chunkIndex)
                : PayloadFailure.notAuthentic(name, chunk: chunkIndex)
        }
        try sink(UnsafeRawBufferPointer(plaintext))
        chunkIndex += 1
    }

    private mutating func openLastChunk(_ sink: Sink) throws {
        let sealed = UnsafeRawBufferPointer(rebasing: pending.prefix(pendingByteCount))
        if sealed.isEmpty { throw PayloadFailure.noChunk(name) }
        guard
            sealed.count > PayloadFormat.tagByteCount || (chunkIndex == 0 && sealed.count == PayloadFormat.tagByteCount)
        else { throw PayloadFailure.shortLastChunk(name, chunk: chunkIndex, byteCount: sealed.count) }
        guard try open(sealed, isLast: true) else {
            throw try open(sealed, isLast: false)
                ? PayloadFailure.cutBetweenChunks(name, chunkCount: chunkIndex + 1)
                : PayloadFailure.notAuthentic(name, chunk: chunkIndex)
        }
        try sink(UnsafeRawBufferPointer(rebasing: plaintext.prefix(sealed.count - PayloadFormat.tagByteCount)))
    }

    private func open(_ sealed: UnsafeRawBufferPointer, isLast: Bool) throws(AgeError) -> Bool {
        guard let context else { preconditionFailure("a chunk is opened before the header") }
        return try context.openChunk(chunkIndex, isLast: isLast, sealed, into: plaintext)
    }
}
