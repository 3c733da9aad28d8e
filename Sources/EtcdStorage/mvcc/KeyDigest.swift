import HostIO

/// The shape of a key, which tells how it is kept in eight bytes.
enum KeyShape: UInt8 {
    /// A revision of bucket `key`: u64be main, `_`, u64be sub, and `t` for a tombstone.
    case revision = 0
    /// Exactly eight bytes, such as a lease ID.
    case word = 1
    /// Anything else: kept whole.
    case other = 2
}

/// A key in eight bytes that order as the keys do, and that tell the key to the byte: ``key(_:_:)`` is the way back.
///
/// The digest of a revision is, from the highest bit: 43 bits of main, 20 bits of sub, and one that is set for a
/// tombstone, whose key is the longer one and so comes behind. Keys that don't fit are of shape `other` and have no digest.
enum KeyDigest {
    private static let mainBits: UInt64 = 43
    private static let subBits: UInt64 = 20
    private static let separator: UInt8 = 0x5F
    private static let tombstoneMark: UInt8 = 0x74

    @inline(__always)
    static func revision(_ key: UnsafeRawBufferPointer) -> UInt64? {
        guard let (main, sub, isTombstone) = parts(key), main < 1 << mainBits, sub < 1 << subBits else { return nil }
        return main << (subBits + 1) | sub << 1 | (isTombstone ? 1 : 0)
    }

    /// Main, sub and mark of a revision of any size; nil if the key is none.
    @inline(__always)
    static func parts(_ key: UnsafeRawBufferPointer) -> (main: UInt64, sub: UInt64, isTombstone: Bool)? {
        let isTombstone = key.count == 18 && key[17] == tombstoneMark
        guard key.count == 17 || isTombstone, key[8] == separator else { return nil }
        let main = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        let sub = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
        return main < 1 << 63 && sub < 1 << 63 ? (main, sub, isTombstone) : nil
    }

    /// The digest of a revision that tells it from the others of its user's key: what does not fit is taken for the
    /// largest that does.
    ///
    /// A transaction changes a key once, so two revisions of a key never differ in sub alone; and main does not reach its
    /// limit of 2^43, a thousand writes a second for 278 years, in a store that lives.
    @inline(__always)
    static func ordinal(_ key: UnsafeRawBufferPointer) -> UInt64? {
        guard let (main, sub, isTombstone) = parts(key) else { return nil }
        let fitting = (min(main, 1 << mainBits - 1), min(sub, 1 << subBits - 1))
        return fitting.0 << (subBits + 1) | fitting.1 << 1 | (isTombstone ? 1 : 0)
    }

    /// The key that has this digest; shape `other` has none.
    static func key(_ digest: UInt64, _ shape: KeyShape) -> [UInt8] {
        switch shape {
        case .revision:
            return revisionKey(main: main(digest), sub: sub(digest)) + (digest & 1 == 0 ? [] : [tombstoneMark])
        case .word:
            var key: [UInt8] = []
            appendBigEndian(digest, to: &key)
            return key
        case .other: return []
        }
    }

    @inline(__always)
    static func word(_ key: UnsafeRawBufferPointer) -> UInt64? {
        key.count == 8 ? UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 0, as: UInt64.self)) : nil
    }

    static func digest(_ key: UnsafeRawBufferPointer, _ shape: KeyShape) -> UInt64? {
        switch shape {
        case .revision: revision(key)
        case .word: word(key)
        case .other: nil
        }
    }

    static func shape(of key: UnsafeRawBufferPointer) -> KeyShape {
        if revision(key) != nil { return .revision }
        return key.count == 8 ? .word : .other
    }

    static func main(_ digest: UInt64) -> Int64 { Int64(digest >> (subBits + 1)) }

    static func sub(_ digest: UInt64) -> Int64 { Int64(digest >> 1 & (1 << subBits - 1)) }

    static func isTombstone(_ digest: UInt64) -> Bool { digest & 1 != 0 }

    /// 32 bits of a digest, well mixed: enough to tell that a leaf's first key is the one its parent names.
    static func hash32(_ digest: UInt64) -> UInt32 {
        let mixed = (digest ^ digest >> 29) &* 0x9E37_79B9_7F4A_7C15
        return UInt32(truncatingIfNeeded: mixed >> 32)
    }
}
