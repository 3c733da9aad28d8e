/// The newest revision of each of many keys, which are remembered by a 64-bit hash.
///
/// The hash is SipHash with a key that is drawn for each process, so nobody can choose keys that collide; among a
/// million keys one pair does with a probability of 3·10⁻⁸. Memory: 16 bytes a slot, at most 43 bytes a key, and while
/// it grows half as much again.
struct FingerprintMap {
    private static let slotByteCount = 16
    private static let smallestSlotCount = 1024
    /// What a verified snapshot and a map are to take together, below the 64 MiB that a process may.
    private static let byteLimit = 44 << 20
    private static let leastByteLimit = 6 << 20
    /// A page record and its share of branches and sets; see ``SnapshotVerifier``.
    private static let byteCountPerPage = 30

    private var slots: [(fingerprint: UInt64, digest: UInt64)]
    private let slotLimit: Int
    private(set) var count = 0
    /// Whether keys were left out because the limit was reached.
    private(set) var isOverfull = false
    private var mask: Int { slots.count - 1 }

    /// - Parameter slotLimit: the most slots, a power of two; at 15 of 16 the map is full.
    init(slotLimit: Int) {
        self.slotLimit = max(slotLimit, Self.smallestSlotCount)
        slots = Array(repeating: (0, 0), count: Self.smallestSlotCount)
    }

    /// The most slots beside the ledger of a database of that many pages.
    static func slotLimit(pageCount: UInt64) -> Int {
        let budget = max(
            leastByteLimit, byteLimit - Int(clamping: min(pageCount, UInt64(byteLimit))) * byteCountPerPage)
        var slotCount = smallestSlotCount
        while slotCount * 2 * slotByteCount / 2 * 3 <= budget { slotCount *= 2 }
        return slotCount
    }

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

    /// The number of keys whose newest revision is one that `isCounted`.
    func count(where isCounted: (_ digest: UInt64) -> Bool) -> Int {
        slots.count { $0.fingerprint != 0 && isCounted($0.digest) }
    }

    mutating func raise(_ fingerprint: UInt64, to digest: UInt64) {
        if count * 4 >= slots.count * 3 { grow() }
        let index = slot(fingerprint)
        if slots[index].fingerprint == 0 {
            guard count < slots.count / 16 * 15 else {
                isOverfull = true
                return
            }
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
        guard slots.count < slotLimit else { return }
        let old = slots
        slots = Array(repeating: (0, 0), count: old.count * 2)
        for entry in old where entry.fingerprint != 0 { slots[slot(entry.fingerprint)] = entry }
    }
}
