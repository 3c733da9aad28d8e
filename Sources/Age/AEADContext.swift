internal import CCrypto
import HostIO

/// ChaCha20-Poly1305 (RFC 8439) without associated data, under one key that is set up once.
///
/// Not safe for use by two threads at once. `@unchecked Sendable` so that a context can be handed from one thread to
/// another: its users (``Encryptor`` and the pool of ``PayloadReader``) lend each context to one thread at a time.
final class AEADContext: @unchecked Sendable {
    static let tagByteCount = Int(CCRYPTO_AEAD_TAG_BYTES)
    static let nonceByteCount = Int(CCRYPTO_AEAD_NONCE_BYTES)
    static let zeroNonce = [UInt8](repeating: 0, count: nonceByteCount)

    private let context: OpaquePointer

    /// Sets up a key of 32 bytes.
    init(key: SecretBytes) throws(AgeError) {
        let context = key.withUnsafeBytes { bytes -> OpaquePointer? in
            precondition(bytes.count == Int(CCRYPTO_AEAD_KEY_BYTES), "a key has a wrong length")
            return bytes.assumingMemoryBound(to: UInt8.self).baseAddress.flatMap { ccrypto_aead_create($0) }
        }
        guard let context else { throw .library("set up a key") }
        self.context = context
    }

    deinit { ccrypto_aead_destroy(context) }

    /// Writes the sealed form of `plaintext`, 16 bytes longer, to the start of `sealed`.
    ///
    /// Both may begin at the same address.
    func seal(
        _ plaintext: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer, into sealed: UnsafeMutableRawBufferPointer
    ) throws(AgeError) {
        precondition(nonce.count == Self.nonceByteCount && sealed.count >= plaintext.count + Self.tagByteCount)
        guard let nonce = nonce.bytes, let sealed = sealed.bytes else { return }
        let result = ccrypto_aead_seal(context, nonce, plaintext.bytes, plaintext.count, sealed)
        guard result == CInt(CCRYPTO_OK) else { throw .library("encrypt \(plaintext.count) bytes") }
    }

    /// Writes the plaintext, 16 bytes shorter, to the start of `plaintext`, which may begin at the same address.
    ///
    /// - Returns: whether the bytes are authentic; if not, the room holds zeros.
    func open(
        _ sealed: UnsafeRawBufferPointer, nonce: UnsafeRawBufferPointer, into plaintext: UnsafeMutableRawBufferPointer
    ) throws(AgeError) -> Bool {
        precondition(nonce.count == Self.nonceByteCount && plaintext.count + Self.tagByteCount >= sealed.count)
        guard let nonce = nonce.bytes, let bytes = sealed.bytes else { return false }
        switch ccrypto_aead_open(context, nonce, bytes, sealed.count, plaintext.bytes) {
        case CInt(CCRYPTO_OK): return true
        case CInt(CCRYPTO_NOT_AUTHENTIC): return false
        default: throw .library("decrypt \(sealed.count) bytes")
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var bytes: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawBufferPointer {
    fileprivate var bytes: UnsafeMutablePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}
