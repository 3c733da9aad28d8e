internal import CCrypto

/// A SHA-256 digest (FIPS 180-4) of bytes that arrive piece by piece, by libcrypto.
///
/// `@unchecked Sendable`: the context has this value as its only owner, which can't be copied, and every use of the
/// context is through the owner: mutating ones need exclusive access, and ``clone()`` only reads.
public struct SHA256Hasher: ~Copyable, @unchecked Sendable {
    /// The length of a digest.
    public static let digestByteCount = Int(CCRYPTO_SHA256_BYTES)

    private let context: OpaquePointer

    /// The digest of no bytes yet.
    public init() {
        guard let context = ccrypto_sha256_create() else { preconditionFailure("libcrypto has no SHA-256") }
        self.context = context
    }

    private init(owning context: OpaquePointer) { self.context = context }

    deinit { ccrypto_sha256_destroy(context) }

    /// Adds bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        succeed(ccrypto_sha256_update(context, bytes.baseAddress, bytes.count))
    }

    /// Adds bytes.
    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest of the bytes so far; the hasher then starts anew.
    public mutating func finalize() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.digestByteCount) { buffer, count in
            guard let address = buffer.baseAddress else { return }
            succeed(ccrypto_sha256_finish(context, address))
            count = Self.digestByteCount
        }
    }

    /// Forgets the bytes so far.
    public mutating func reset() { succeed(ccrypto_sha256_reset(context)) }

    /// A second hasher that has seen the same bytes.
    public func clone() -> SHA256Hasher {
        guard let copy = ccrypto_sha256_copy(context) else { preconditionFailure("libcrypto can't copy a digest") }
        return SHA256Hasher(owning: copy)
    }

    /// The digest of bytes that are all there.
    public static func digest(of bytes: [UInt8]) -> [UInt8] {
        var hasher = SHA256Hasher()
        hasher.update(bytes)
        return hasher.finalize()
    }

    /// Hashing allocates nothing and depends on no input, so a failure is a bug.
    private func succeed(_ result: CInt) {
        precondition(result == CInt(CCRYPTO_OK), "libcrypto failed to hash")
    }
}
