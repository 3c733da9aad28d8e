internal import Crypto

/// What tells the keys of a store at one revision from any others, whatever the order in which they come.
///
/// Each key's row, with its value, revisions, version and lease, is hashed by SHA-256; the digest is the sum of the first
/// 128 bits of these, so that parts which were summed apart can be put together. A store's files and a server that reads
/// them give the same digest only for the same rows. The key without bytes, which a raised revision has and no client can
/// ask for, is left out.
public struct KeySpaceDigest: Sendable, Hashable, CustomStringConvertible {
    /// The number of keys.
    public private(set) var keyCount = 0
    /// The bytes of keys and values.
    public private(set) var byteCount = 0
    private var high: UInt64 = 0
    private var low: UInt64 = 0

    /// The digest of no keys.
    public init() {}

    /// Adds a key with all that a server returns of it.
    public mutating func add(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, createRevision: Int64, modRevision: Int64,
        version: Int64, lease: Int64
    ) {
        guard !key.isEmpty else { return }
        var hash = SHA256()
        withUnsafeBytes(
            of: (Int64(key.count), createRevision, modRevision, version, lease)
        ) { hash.update(bufferPointer: $0) }
        hash.update(bufferPointer: key)
        hash.update(bufferPointer: value)
        let sum = hash.finalize().withUnsafeBytes { digest in
            (digest.loadUnaligned(as: UInt64.self), digest.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        add(sum.0.bigEndian, sum.1.bigEndian)
        keyCount += 1
        byteCount += key.count + value.count
    }

    /// Adds what another digest has.
    public mutating func merge(_ other: KeySpaceDigest) {
        add(other.high, other.low)
        keyCount += other.keyCount
        byteCount += other.byteCount
    }

    private mutating func add(_ high: UInt64, _ low: UInt64) {
        let (sum, overflow) = self.low.addingReportingOverflow(low)
        self.low = sum
        self.high = self.high &+ high &+ (overflow ? 1 : 0)
    }

    /// The sum in 32 hexadecimal digits.
    public var description: String {
        [high, low].map { part in
            let digits = String(part, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
