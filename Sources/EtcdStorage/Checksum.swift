internal import CCRC32C

/// A CRC-32C (Castagnoli) checksum together with the number of bytes that it covers.
///
/// Parts that were checksummed apart can be put together in sequence; the result equals one pass over all the bytes.
public struct CRC32C: Sendable, Hashable {
    /// The checksum: initial value and final xor 0xFFFFFFFF, so the one of no bytes is 0.
    public private(set) var value: UInt32
    /// The number of bytes covered.
    public private(set) var byteCount: UInt64

    /// The checksum of no bytes.
    public init() {
        value = 0
        byteCount = 0
    }

    /// A checksum that was computed before.
    init(value: UInt32, byteCount: Int) {
        self.value = value
        self.byteCount = UInt64(byteCount)
    }

    /// The checksum of some bytes.
    public init(_ bytes: UnsafeRawBufferPointer) {
        self.init()
        update(bytes)
    }

    /// The checksum of an array of bytes.
    public init(_ bytes: [UInt8]) {
        self.init()
        bytes.withUnsafeBytes { update($0) }
    }

    /// Continues over more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = crc32c_extend(value, bytes.baseAddress, bytes.count)
        byteCount += UInt64(bytes.count)
    }

    /// Continues as if the bytes that `next` covers came now.
    public mutating func append(_ next: CRC32C) {
        value = crc32c_combine(value, next.value, next.byteCount)
        byteCount += next.byteCount
    }
}

/// FNV-1a with 64 bits, the checksum of a bbolt meta page.
func fnv1a64(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
}
