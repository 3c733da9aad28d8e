/// The start of a value that the apiserver has encrypted: `k8s:enc:<provider>:<version>:<key>:`.
///
/// `k8s.io/apiserver` 1.36 `pkg/server/options/encryptionconfig` (`aesCBCTransformerPrefixV1` and its siblings).
public enum EncryptedValue {
    /// `k8s:enc:` as a little-endian word.
    @usableFromInline static let magicWord: UInt64 = 0x3A63_6E65_3A73_386B
    private static let searchByteCount = 512
    private static let colon: UInt8 = 0x3A

    /// Whether a value begins as an encrypted one; the answer for nearly all values after one comparison.
    @inlinable @inline(__always)
    public static func isMarked(_ value: UnsafeRawBufferPointer) -> Bool {
        value.count > 8 && UInt64(littleEndian: value.loadUnaligned(as: UInt64.self)) == magicWord
    }

    /// What is behind `k8s:enc:`, a name and a colon; nil if the marked value begins with another name.
    public static func sealed(_ value: UnsafeRawBufferPointer, under name: [UInt8]) -> UnsafeRawBufferPointer? {
        let start = 8 + name.count
        guard value.count > start, value[start] == colon, value[8..<start].elementsEqual(name) else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[(start + 1)...])
    }

    /// `<provider>:<version>:<key>` as far as the value alone tells, or nil for a value that is not encrypted.
    ///
    /// A key's name may have colons, and what is behind it may be anything: the name is taken to go on as long as what
    /// follows a colon up to the next looks like a part of a name. Chance makes a part of one in 700 ciphertexts; a KMS's
    /// name has no colon.
    public static func keyName(of value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard isMarked(value) else { return nil }
        let rest = UnsafeRawBufferPointer(rebasing: value[8..<min(value.count, 8 + searchByteCount)])
        let colons = rest.indices.filter { rest[$0] == colon }
        guard colons.count > 2 else { return nil }
        var end = colons[2]
        if !rest.starts(with: Array("kms:".utf8)) {
            for next in colons.dropFirst(3) {
                guard next > end + 1, rest[(end + 1)..<next].allSatisfy(isOfName) else { break }
                end = next
            }
        }
        return UnsafeRawBufferPointer(rebasing: rest[..<end])
    }

    /// Letters, digits and what times and numbers are written with.
    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}
