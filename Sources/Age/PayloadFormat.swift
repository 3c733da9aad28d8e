/// The encrypted payload of an age file (C2SP age.md, "Payload"), after the header.
///
/// ```
/// 16 bytes          nonce, from which and the file key the payload key is derived
/// 65,552 bytes      chunk 0: 65,536 bytes of plaintext, sealed
/// …
/// 17-65,552 bytes   the last chunk; 16 bytes if there is no plaintext at all
/// ```
/// A chunk is sealed with its index, big-endian in 11 bytes, and a byte that is 1 for the last chunk, as the nonce.
public enum PayloadFormat {
    /// The plaintext in each chunk but the last.
    public static let chunkByteCount = 65_536
    /// What sealing adds to a chunk.
    public static let tagByteCount = 16
    /// A sealed chunk, except the last.
    public static let sealedChunkByteCount = chunkByteCount + tagByteCount
    /// The nonce at the start of the payload.
    public static let nonceByteCount = 16

    /// The length of the payload, nonce included, for a plaintext.
    public static func payloadByteCount(plaintextByteCount: Int) -> Int {
        let chunkCount = max(1, (plaintextByteCount + chunkByteCount - 1) / chunkByteCount)
        return nonceByteCount + plaintextByteCount + chunkCount * tagByteCount
    }

    /// Fills the 12-byte nonce of a chunk.
    static func fillNonce(_ nonce: UnsafeMutableRawBufferPointer, chunkIndex: Int, isLast: Bool) {
        // No file reaches 2^64 chunks, so the first three of the eleven bytes stay zero.
        nonce.storeBytes(of: 0, as: UInt32.self)
        nonce.storeBytes(of: UInt64(chunkIndex).bigEndian, toByteOffset: 3, as: UInt64.self)
        nonce.storeBytes(of: isLast ? 1 : 0, toByteOffset: 11, as: UInt8.self)
    }
}

extension AEADContext {
    /// Seals one chunk; `sealed` may begin at the same address as `plaintext`.
    func sealChunk(
        _ index: Int, isLast: Bool, _ plaintext: UnsafeRawBufferPointer, into sealed: UnsafeMutableRawBufferPointer
    ) throws(AgeError) {
        var nonce: (UInt64, UInt32) = (0, 0)
        try withUnsafeMutableBytes(of: &nonce) { (bytes) throws(AgeError) in
            let nonce = UnsafeMutableRawBufferPointer(rebasing: bytes.prefix(Self.nonceByteCount))
            PayloadFormat.fillNonce(nonce, chunkIndex: index, isLast: isLast)
            try seal(plaintext, nonce: UnsafeRawBufferPointer(nonce), into: sealed)
        }
    }

    /// Opens one chunk, and tells whether it is authentic; `plaintext` may begin at the same address as `sealed`.
    func openChunk(
        _ index: Int, isLast: Bool, _ sealed: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer
    ) throws(AgeError) -> Bool {
        var nonce: (UInt64, UInt32) = (0, 0)
        return try withUnsafeMutableBytes(of: &nonce) { (bytes) throws(AgeError) in
            let nonce = UnsafeMutableRawBufferPointer(rebasing: bytes.prefix(Self.nonceByteCount))
            PayloadFormat.fillNonce(nonce, chunkIndex: index, isLast: isLast)
            return try open(sealed, nonce: UnsafeRawBufferPointer(nonce), into: plaintext)
        }
    }
}
