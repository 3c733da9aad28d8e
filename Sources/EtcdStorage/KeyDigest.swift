/// The shape of a key, which tells how it is kept in eight bytes.
enum KeyShape: UInt8 {
    /// A revision of bucket `key`: u64be main, `_`, u64be sub, and `t` for a tombstone.
    case revision = 0
    /// Exactly eight bytes, such as a lease ID.
    case word = 1
    /// Anything else: kept whole.
    case other = 2
}

/// A key in eight bytes that order as the keys do.
///
/// Distinct keys of one shape have distinct digests, except that a tombstone has the digest of a put of the same
/// revision, which etcd never writes beside it. Keys of shape `other` have none.
enum KeyDigest {
    /// Bits of the digest that hold the main revision; the rest hold the sub revision.
    static let mainBits: UInt64 = 44
    static let subBits: UInt64 = 20

    @inline(__always)
    static func revision(_ key: UnsafeRawBufferPointer) -> UInt64? {
        guard key.count == 17 || (key.count == 18 && key[17] == 0x74), key[8] == 0x5F else { return nil }
        let main = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        let sub = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
        guard main < 1 << mainBits, sub < 1 << subBits else { return nil }
        return main << subBits | sub
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

    static func main(_ digest: UInt64) -> Int64 { Int64(digest >> subBits) }

    /// 32 bits of a digest, well mixed: enough to tell that a leaf's first key is the one its parent names.
    static func hash32(_ digest: UInt64) -> UInt32 {
        let mixed = (digest ^ digest >> 29) &* 0x9E37_79B9_7F4A_7C15
        return UInt32(truncatingIfNeeded: mixed >> 32)
    }
}
