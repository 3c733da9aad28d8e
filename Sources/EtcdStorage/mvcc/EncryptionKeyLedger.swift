/// Which keys the values of each leaf refer to.
///
/// A leaf's record has six bits for it: the number of one of the sets of keys that occur. Stale leaves are noted as
/// well, so the sets of those leaves that the tree reaches are put together at the end. Memory: at most 2 MiB, and with a
/// matcher 10 MiB more.
struct EncryptionKeyLedger {
    /// Names that are kept apart; the bit above them stands for all others.
    private static let nameLimit = 63
    static let otherNames = UInt64(1) << 63
    /// Set 0 is the empty one; this one says that the leaf's set is in ``wideSets``.
    private static let wideSet = 63
    private static let wideSetLimit = 1 << 16
    private static let troubleLimit = 1 << 16
    private static let newestSlotLimit = 1 << 18

    private struct Name: Equatable {
        var bytes: [UInt8]
        var isRefused: Bool
        /// Whether the matcher has no such name.
        var isUnknown: Bool

        var isTrouble: Bool { isRefused || isUnknown }
    }

    /// A row whose value no known secret opens.
    private struct Trouble {
        var fingerprint: UInt64
        var digest: UInt64
        var page: UInt64
        var name: Int
    }

    private let matcher: EncryptionKeyMatcher?
    private var names: [Name] = []
    private var latest = 0
    private var sets: [UInt64] = [0]
    private var wideSets: [UInt64: UInt64] = [:]
    private var troubles: [Trouble] = []
    private var isTroubleComplete = true
    /// The newest row of each key that may be encrypted, on whatever page: a key with a newer one does not need the older.
    private var newest = FingerprintMap(slotLimit: newestSlotLimit)

    /// - Parameter matcher: knows names and secrets; without it names are as values tell them.
    init(_ matcher: EncryptionKeyMatcher? = nil) { self.matcher = matcher }

    /// Notes a row, be it a tombstone's, and gives the bit of the key that its value is encrypted with: 0 for none.
    @inline(__always)
    mutating func note(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, digest: UInt64, page: UInt64
    ) -> UInt64 {
        if let matcher, matcher.selects(key) { newest.raise(FingerprintMap.fingerprint(key), to: digest) }
        guard EncryptedValue.isMarked(value), let name = name(of: value, key: key) else { return 0 }
        guard let index = self.index(of: name) else { return Self.otherNames }
        if matcher != nil, name.isTrouble { note(key, digest, page, name: index) }
        return 1 << UInt64(index)
    }

    private func name(of value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Name? {
        if let matcher {
            for (index, label) in matcher.labels.enumerated() {
                guard let sealed = EncryptedValue.sealed(value, under: label) else { continue }
                return Name(bytes: label, isRefused: matcher.trial(index, sealed, key) == .refused, isUnknown: false)
            }
        }
        // A name that was met before: what follows it may look like a part of it by chance.
        if latest < names.count, names[latest].isUnknown,
            EncryptedValue.sealed(value, under: names[latest].bytes) != nil
        {
            return names[latest]
        }
        if let known = names.first(where: { $0.isUnknown && EncryptedValue.sealed(value, under: $0.bytes) != nil }) {
            return known
        }
        return EncryptedValue.keyName(of: value).map { Name(bytes: [UInt8]($0), isRefused: false, isUnknown: true) }
    }

    private mutating func index(of name: Name) -> Int? {
        if latest < names.count, names[latest] == name { return latest }
        if let index = names.firstIndex(of: name) {
            latest = index
            return index
        }
        guard names.count < Self.nameLimit else { return nil }
        names.append(name)
        return names.count - 1
    }

    private mutating func note(_ key: UnsafeRawBufferPointer, _ digest: UInt64, _ page: UInt64, name: Int) {
        guard troubles.count < Self.troubleLimit else {
            isTroubleComplete = false
            return
        }
        troubles.append(
            Trouble(fingerprint: FingerprintMap.fingerprint(key), digest: digest, page: page, name: name))
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

    /// The keys of a set.
    ///
    /// - Parameter isReachable: whether a page is of the tree.
    func inUse(_ keys: UInt64, where isReachable: (UInt64) -> Bool) -> EncryptionKeysInUse {
        var current: Set<Int> = []
        for trouble in troubles where !current.contains(trouble.name) && isReachable(trouble.page) {
            // A newer row that was seen anywhere was written after this one, and so replaced it.
            if newest.digest(of: trouble.fingerprint).map({ $0 <= trouble.digest }) ?? true {
                current.insert(trouble.name)
            }
        }
        let used = names.indices.filter { keys >> UInt64($0) & 1 != 0 }.map { index in
            let name = names[index]
            return EncryptionKeyInUse(
                name: String(decoding: name.bytes, as: UTF8.self), isRefused: name.isRefused,
                isCurrent: !(matcher != nil && name.isTrouble && isTroubleComplete) || current.contains(index))
        }
        return EncryptionKeysInUse(
            used.sorted { ($0.name, $0.isRefused ? 1 : 0) < ($1.name, $1.isRefused ? 1 : 0) },
            isComplete: keys & Self.otherNames == 0)
    }
}
