/// A key of the apiserver's encryption at rest that values refer to.
public struct EncryptionKeyInUse: Sendable, Hashable, Codable {
    /// Provider, version and name, such as `aescbc:v1:key1` or `kms:v2:plugin`.
    public var name: String
    /// Whether these are values that no known secret of that name opens.
    public var isRefused: Bool
    /// Whether one of the values is the newest of its key in etcd; the others are gone after the next compaction.
    public var isCurrent: Bool

    /// A key from its parts.
    public init(name: String, isRefused: Bool = false, isCurrent: Bool = true) {
        self.name = name
        self.isRefused = isRefused
        self.isCurrent = isCurrent
    }
}

/// The keys of the apiserver's encryption at rest that values refer to.
public struct EncryptionKeysInUse: Sendable, Hashable, Codable {
    /// The keys in order of their names; one whose values open and do not is there twice.
    ///
    /// Revisions that were replaced and are not compacted yet count too: a watch may still ask for them.
    public var keys: [EncryptionKeyInUse]
    /// False if there are more than 63 keys, or so many mixtures of them that not all could be kept apart.
    public var isComplete: Bool

    /// The names of the keys, each once, in order.
    public var names: [String] { Set(keys.map(\.name)).sorted() }

    /// Creates a value from keys.
    public init(_ keys: [EncryptionKeyInUse] = [], isComplete: Bool = true) {
        self.keys = keys
        self.isComplete = isComplete
    }
}

/// The start of a value that the apiserver has encrypted: `k8s:enc:<provider>:<version>:<key>:`.
///
/// `k8s.io/apiserver` 1.36 `pkg/server/options/encryptionconfig` (`aesCBCTransformerPrefixV1` and its siblings).
enum EncryptedValue {
    private static let magic = Array("k8s:enc:".utf8)
    private static let magicWord = magic.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    private static let searchByteCount = 512
    private static let colon: UInt8 = 0x3A

    /// Whether a value begins as an encrypted one; the answer for nearly all values after one comparison.
    @inline(__always)
    static func isMarked(_ value: UnsafeRawBufferPointer) -> Bool {
        value.count > 8 && UInt64(littleEndian: value.loadUnaligned(as: UInt64.self)) == magicWord
    }

    /// What is behind `k8s:enc:`, a name and a colon; nil if the value begins with another name.
    @inline(__always)
    static func sealed(_ value: UnsafeRawBufferPointer, under name: [UInt8]) -> UnsafeRawBufferPointer? {
        let start = 8 + name.count
        guard value.count > start, value[start] == colon, value[8..<start].elementsEqual(name) else { return nil }
        return UnsafeRawBufferPointer(rebasing: value[(start + 1)...])
    }

    /// `<provider>:<version>:<key>` as far as the value alone tells, or nil for a value that is not encrypted.
    ///
    /// A key's name may have colons, and what is behind it may be anything: the name is taken to go on as long as what
    /// follows a colon up to the next looks like a part of a name. Chance makes a part of one in 700 ciphertexts; a KMS's
    /// name has no colon.
    static func keyName(of value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
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

/// Tells by which key of an encryption configuration a value was encrypted, and whether that key opens it.
public struct EncryptionKeyMatcher: Sendable {
    /// What came of a trial.
    public enum Trial: Sendable {
        /// A secret of that name opens the value.
        case opens
        /// None does.
        case refused
        /// It can't be told.
        case unknown
    }

    /// What stands behind `k8s:enc:` of values, such as `aescbc:v1:key1`, a name before each that it begins with.
    let labels: [[UInt8]]
    /// The resources that may be encrypted, such as `secrets`; nil for all.
    let resources: [[UInt8]]?
    let trial: @Sendable (_ label: Int, _ sealed: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer) -> Trial

    /// A matcher.
    ///
    /// - Parameters:
    ///   - labels: the longest first.
    ///   - resources: those whose values may be encrypted; nil for all.
    ///   - trial: tries whether the label of that index opens what is behind it; `key` is the value's key in etcd.
    public init(
        labels: [String], resources: Set<String>?,
        trial:
            @escaping @Sendable (_ label: Int, _ sealed: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer) ->
            Trial
    ) {
        self.labels = labels.map { Array($0.utf8) }
        self.resources = resources.map { $0.map { Array($0.utf8) } }
        self.trial = trial
    }

    /// Whether values of a key, `/<prefix>/<resource>/…` or `/<prefix>/<group>/<resource>/…`, may be encrypted.
    func selects(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let resources else { return true }
        return key.split(separator: 0x2F, maxSplits: 4).dropFirst().prefix(2).contains { part in
            resources.contains { $0.elementsEqual(part) }
        }
    }
}
