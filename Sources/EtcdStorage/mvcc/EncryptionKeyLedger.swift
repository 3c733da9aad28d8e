import EncryptionAtRest

/// Which keys the values of each leaf refer to, and who can't read them.
///
/// A leaf's record has six bits for it: the number of one of the sets of keys that occur. Stale leaves are noted as
/// well, so the sets of those leaves that the tree reaches are put together at the end. Memory: at most 2 MiB, and with
/// readers 10 MiB more.
struct EncryptionKeyLedger {
    /// Names that are kept apart; the bit above them stands for all others.
    private static let nameLimit = 63
    static let otherNames = UInt64(1) << 63
    /// Set 0 is the empty one; this one says that the leaf's set is in ``wideSets``.
    private static let wideSet = 63
    private static let wideSetLimit = 1 << 16
    private static let troubleLimit = 1 << 16
    private static let newestSlotLimit = 1 << 18
    private static let resourceLimit = 64

    private struct Name: Equatable {
        var bytes: [UInt8]
        var problem: EncryptionKeyInUse.Problem?
        /// The index of who has the problem.
        var reader: Int?
    }

    /// A row whose value can't be read.
    private struct Trouble {
        var fingerprint: UInt64
        var digest: UInt64
        var page: UInt64
        var name: Int
        var resource: Int
    }

    private let readers: EncryptionReaders?
    private var names: [Name] = []
    /// The resources of values that can't be read, the first of them.
    private var resources: [[UInt8]] = []
    private var latest = 0
    private var sets: [UInt64] = [0]
    private var wideSets: [UInt64: UInt64] = [:]
    private var troubles: [Trouble] = []
    private var isTroubleComplete = true
    /// The newest row of each key that may be encrypted, on whatever page: a key with a newer one does not need the older.
    private var newest = FingerprintMap(slotLimit: newestSlotLimit)

    /// - Parameter readers: who must be able to read the values; without any, names are as values tell them.
    init(_ readers: EncryptionReaders? = nil) { self.readers = readers }

    /// Notes a row, be it a tombstone's, and gives the bits of the keys that its value is encrypted with: 0 for none.
    @inline(__always)
    mutating func note(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, digest: UInt64, page: UInt64
    ) -> UInt64 {
        guard let readers else { return EncryptedValue.isMarked(value) ? note(value) : 0 }
        if readers.encrypts(key) { newest.raise(FingerprintMap.fingerprint(key), to: digest) }
        guard readers.judges(value) else { return 0 }
        return note(value, of: key, digest, page, readers)
    }

    private mutating func note(
        _ value: UnsafeRawBufferPointer, of key: UnsafeRawBufferPointer, _ digest: UInt64, _ page: UInt64,
        _ readers: EncryptionReaders
    ) -> UInt64 {
        var bits: UInt64 = 0
        let isKnown = readers.judge(value, of: key) { judgement in
            let known = judgement.name.map { [UInt8]($0) }
            let bytes = judgement.problem == .unencrypted ? [] : known ?? name(of: value, of: judgement)
            guard let bytes else { return }
            let reader = judgement.problem == nil ? nil : judgement.reader
            guard let index = self.index(of: Name(bytes: bytes, problem: judgement.problem, reader: reader)) else {
                bits |= Self.otherNames
                return
            }
            bits |= 1 << UInt64(index)
            guard judgement.problem != nil else { return }
            note(key, digest, page, name: index, resource: resourceIndex(of: judgement.resource))
        }
        return isKnown || !EncryptedValue.isMarked(value) ? bits : note(value)
    }

    /// Notes a value that nobody is known to read.
    private mutating func note(_ value: UnsafeRawBufferPointer) -> UInt64 {
        guard let bytes = EncryptedValue.keyName(of: value) else { return 0 }
        return index(of: Name(bytes: [UInt8](bytes))).map { 1 << UInt64($0) } ?? Self.otherNames
    }

    /// The name of a key that its reader does not know.
    private func name(of value: UnsafeRawBufferPointer, of judgement: EncryptionReaders.Judgement) -> [UInt8]? {
        // A name that was met before: what follows it may look like a part of it by chance.
        let known = names.first {
            $0.problem == .missing && $0.reader == judgement.reader
                && EncryptedValue.sealed(value, under: $0.bytes) != nil
        }
        return known?.bytes ?? EncryptedValue.keyName(of: value).map { [UInt8]($0) }
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

    /// Where the name of a resource is kept; the last place is for all that found none.
    private mutating func resourceIndex(of path: UnsafeRawBufferPointer) -> Int {
        if let index = resources.firstIndex(where: path.elementsEqual) { return index }
        guard resources.count < Self.resourceLimit else { return Self.resourceLimit }
        resources.append([UInt8](path))
        return resources.count - 1
    }

    private mutating func note(
        _ key: UnsafeRawBufferPointer, _ digest: UInt64, _ page: UInt64, name: Int, resource: Int
    ) {
        guard troubles.count < Self.troubleLimit else {
            isTroubleComplete = false
            return
        }
        troubles.append(
            Trouble(
                fingerprint: FingerprintMap.fingerprint(key), digest: digest, page: page, name: name, resource: resource
            ))
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
        var current: [Int: Set<Int>] = [:]
        for trouble in troubles
        where current[trouble.name]?.contains(trouble.resource) != true && isReachable(trouble.page) {
            // A newer row that was seen anywhere was written after this one, and so replaced it.
            if newest.digest(of: trouble.fingerprint).map({ $0 <= trouble.digest }) ?? true {
                current[trouble.name, default: []].insert(trouble.resource)
            }
        }
        let used = names.indices.filter { keys >> UInt64($0) & 1 != 0 }.map { index in
            let name = names[index]
            let resources = (current[index] ?? []).filter { $0 < self.resources.count }.map { self.resources[$0] }
            return EncryptionKeyInUse(
                name: String(decoding: name.bytes, as: UTF8.self), problem: name.problem,
                reader: name.reader.flatMap { readers?.readers[$0].subject },
                resources: resources.map { String(decoding: $0, as: UTF8.self) }.sorted(),
                isCurrent: !(name.problem != nil && isTroubleComplete) || current[index] != nil)
        }
        return EncryptionKeysInUse(used, isComplete: keys & Self.otherNames == 0)
    }
}
