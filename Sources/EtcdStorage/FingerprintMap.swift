/// The newest revision of each of many keys, which are remembered by a 64-bit hash.
///
/// The hash is SipHash with a key that is drawn for each process, so nobody can choose keys that collide; among a
/// million keys one pair does with a probability of 3·10⁻⁸. Memory: 16 bytes a slot, at most 43 bytes a key.
struct FingerprintMap {
    private var slots: [(fingerprint: UInt64, digest: UInt64)]
    private(set) var count = 0
    private var mask: Int { slots.count - 1 }

    init() { slots = Array(repeating: (0, 0), count: 1024) }

    /// The hash of a key; never 0, which marks a free slot.
    @inline(__always)
    static func fingerprint(_ key: UnsafeRawBufferPointer) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(bytes: key)
        return max(1, UInt64(bitPattern: Int64(hasher.finalize())))
    }

    @inline(__always)
    func digest(of fingerprint: UInt64) -> UInt64? {
        let slot = slots[self.slot(fingerprint)]
        return slot.fingerprint == 0 ? nil : slot.digest
    }

    mutating func raise(_ fingerprint: UInt64, to digest: UInt64) {
        if count * 4 >= slots.count * 3 { grow() }
        let index = slot(fingerprint)
        if slots[index].fingerprint == 0 {
            slots[index] = (fingerprint, digest)
            count += 1
        } else if slots[index].digest < digest {
            slots[index].digest = digest
        }
    }

    @inline(__always)
    private func slot(_ fingerprint: UInt64) -> Int {
        var index = Int(truncatingIfNeeded: fingerprint) & mask
        while slots[index].fingerprint != 0, slots[index].fingerprint != fingerprint { index = (index + 1) & mask }
        return index
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: (0, 0), count: old.count * 2)
        for entry in old where entry.fingerprint != 0 { slots[slot(entry.fingerprint)] = entry }
    }
}
