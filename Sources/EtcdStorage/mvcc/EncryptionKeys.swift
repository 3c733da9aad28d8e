/// The keys of the apiserver's encryption at rest that values refer to.
public struct EncryptionKeysInUse: Sendable, Hashable, Codable {
    /// Provider, version and name of each key, such as `aescbc:v1:key1` or `kms:v2:plugin`, in order.
    ///
    /// Revisions that were replaced and are not compacted yet count too: a watch may still ask for them.
    public var names: [String]
    /// False if there are more than 63 keys, or so many mixtures of them that not all could be kept apart.
    public var isComplete: Bool

    /// Creates a value, such as one that was recorded.
    public init(names: [String] = [], isComplete: Bool = true) {
        self.names = names
        self.isComplete = isComplete
    }
}

/// The start of a value that the apiserver has encrypted: `k8s:enc:<provider>:<version>:<key>:`.
///
/// `k8s.io/apiserver` 1.36 `pkg/server/options/encryptionconfig` (`aesCBCTransformerPrefixV1` and its siblings).
enum EncryptedValue {
    private static let magic = Array("k8s:enc:".utf8)
    private static let magicWord = magic.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    private static let searchByteCount = 256
    private static let colon: UInt8 = 0x3A

    /// Whether a value begins as an encrypted one; the answer for nearly all values after one comparison.
    @inline(__always)
    static func isMarked(_ value: UnsafeRawBufferPointer) -> Bool {
        value.count > 8 && UInt64(littleEndian: value.loadUnaligned(as: UInt64.self)) == magicWord
    }

    /// `<provider>:<version>:<key>`, or nil for a value that is not encrypted.
    static func keyName(of value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard isMarked(value) else { return nil }
        let rest = UnsafeRawBufferPointer(rebasing: value[8..<min(value.count, 8 + searchByteCount)])
        var colonCount = 0
        for index in rest.indices where rest[index] == colon {
            colonCount += 1
            if colonCount == 3 { return UnsafeRawBufferPointer(rebasing: rest[..<index]) }
        }
        return nil
    }
}

/// Which keys the values of each leaf refer to.
///
/// A leaf's record has six bits for it: the number of one of the sets of keys that occur. Stale leaves are noted as
/// well, so the sets of those leaves that the tree reaches are put together at the end. Memory: at most 2 MiB.
struct EncryptionKeyLedger {
    /// Names that are kept apart; the bit above them stands for all others.
    private static let nameLimit = 63
    static let otherNames = UInt64(1) << 63
    /// Set 0 is the empty one; this one says that the leaf's set is in ``wideSets``.
    private static let wideSet = 63
    private static let wideSetLimit = 1 << 16

    private var names: [[UInt8]] = []
    private var latest = 0
    private var sets: [UInt64] = [0]
    private var wideSets: [UInt64: UInt64] = [:]

    /// The bit of the key that a value is encrypted with, 0 for a value that is not encrypted.
    mutating func bit(of value: UnsafeRawBufferPointer) -> UInt64 {
        guard let name = EncryptedValue.keyName(of: value) else { return 0 }
        if latest < names.count, name.elementsEqual(names[latest]) { return 1 << UInt64(latest) }
        if let index = names.firstIndex(where: { name.elementsEqual($0) }) {
            latest = index
            return 1 << UInt64(index)
        }
        guard names.count < Self.nameLimit else { return Self.otherNames }
        names.append([UInt8](name))
        return 1 << UInt64(names.count - 1)
    }

    /// Notes the keys of a leaf; the result is for its record.
    mutating func note(_ keys: UInt64, of page: UInt64) -> Int {
        if let index = sets.firstIndex(of: keys) { return index }
        if sets.count < Self.wideSet {
            sets.append(keys)
            return sets.count - 1
        }
        if wideSets.count < Self.wideSetLimit { wideSets[page] = keys }
        return Self.wideSet
    }

    /// The keys of a leaf; ``otherNames`` where they could not be kept.
    func keys(of page: UInt64, set: Int) -> UInt64 {
        set == Self.wideSet ? wideSets[page] ?? Self.otherNames : sets[set]
    }

    func inUse(_ keys: UInt64) -> EncryptionKeysInUse {
        let used = names.indices.filter { keys >> UInt64($0) & 1 != 0 }
        return EncryptionKeysInUse(
            names: used.map { String(decoding: names[$0], as: UTF8.self) }.sorted(),
            isComplete: keys & Self.otherNames == 0)
    }
}
