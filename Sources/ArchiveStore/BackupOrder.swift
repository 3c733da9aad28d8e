import FoundationEssentials
import SealedArchive

/// What the order of a node's backups goes by.
struct OrderedBackup: Sendable {
    var id: BackupID
    var sequence: Int
    var createdAt: Date
    /// SHA-256 of the sidecar in hexadecimal.
    var sidecarSHA256: String
    var previousSidecarSHA256: String?
    /// Whether the sidecar was made anew, so that nothing names its digest.
    var isRebuilt: Bool = false
}

/// The order in which backups of one node were made, and which of them is the latest.
///
/// Within a chain, in which each backup names the digest of the sidecar before it, the number decides, for the clock may have
/// been wrong. Chains that no digest links began at different times or in different stores, and count for themselves: between
/// them the time decides.
struct BackupOrder {
    /// All of them by their indices, the oldest first.
    let indices: [Int]
    /// The index of the latest; nil if there is none.
    let latest: Int?
    /// The newest of other chains which by number, or by time, would be the latest, or have its number.
    let rivals: [Int]

    /// How much later than here it may be elsewhere, in seconds.
    private static let clockTolerance: Double = 600

    /// Whether a time is later than now by more than clocks differ.
    static func isFuture(_ time: Date, at now: Date) -> Bool { time.timeIntervalSince(now) > clockTolerance }

    /// Orders backups in any order.
    ///
    /// - Parameters:
    ///   - record: what the node's directory remembers: it links over what was removed.
    ///   - now: the time here; what is later by more than clocks differ is passed over where chains disagree.
    init(_ backups: [OrderedBackup], record: ChainRecord, now: Date) {
        let ascending = backups.indices.sorted {
            (backups[$0].sequence, backups[$0].id) < (backups[$1].sequence, backups[$1].id)
        }
        let links = ChainLinks(backups, ascending, record)
        // One that was made before another of its chain was made no later, whatever its clock said.
        var times = backups.map(\.createdAt)
        var isEnd = backups.map { _ in true }
        for index in ascending.reversed() {
            guard let parent = links.parent(of: index) else { continue }
            isEnd[parent] = false
            times[parent] = min(times[parent], times[index])
        }
        indices = ascending.sorted {
            (times[$0], backups[$0].sequence, backups[$0].id) < (times[$1], backups[$1].sequence, backups[$1].id)
        }
        let ends = indices.filter { isEnd[$0] }
        latest = Self.latest(ends, backups, now)
        rivals = latest.map { Self.rivals(of: $0, ends, backups) } ?? []
    }

    /// - Parameter ends: the newest of each chain, in the order of their times.
    private static func latest(_ ends: [Int], _ backups: [OrderedBackup], _ now: Date) -> Int? {
        guard let newest = ends.last else { return nil }
        let isUndisputed = ends.allSatisfy {
            $0 == newest || backups[$0].id == backups[newest].id || backups[$0].sequence < backups[newest].sequence
        }
        if isUndisputed { return newest }
        return ends.last { !isFuture(backups[$0].createdAt, at: now) } ?? newest
    }

    private static func rivals(of latest: Int, _ ends: [Int], _ backups: [OrderedBackup]) -> [Int] {
        let taken = backups[latest]
        // The same may be there twice, flat and in its place.
        return ends.filter { backups[$0].id != taken.id }
            .filter { backups[$0].sequence >= taken.sequence || backups[$0].createdAt > taken.createdAt }
    }
}

/// Which backup each one was made after, as far as that is proved or nothing speaks against it.
private struct ChainLinks {
    private let backups: [OrderedBackup]
    private let record: ChainRecord
    private let byDigest: [String: Int]
    private let bySequence: [Int: [Int]]

    init(_ backups: [OrderedBackup], _ ascending: [Int], _ record: ChainRecord) {
        self.backups = backups
        self.record = record
        byDigest = Dictionary(ascending.map { (backups[$0].sidecarSHA256, $0) }) { first, _ in first }
        bySequence = Dictionary(grouping: ascending) { backups[$0].sequence }
    }

    /// The backup before one; nil if it is the first, or it is not known.
    func parent(of index: Int) -> Int? {
        let backup = backups[index]
        if let digest = backup.previousSidecarSHA256, let parent = byDigest[digest],
            backups[parent].sequence < backup.sequence
        {
            return parent
        }
        let removed = record.removed.first { run in
            run.lastSequence == backup.sequence - 1 && agree(run.sidecarSHA256, backup.previousSidecarSHA256)
        }
        if let removed, let parent = only(removed.firstSequence - 1, namedBy: removed.previousSidecarSHA256) {
            return parent
        }
        return only(backup.sequence - 1, namedBy: backup.previousSidecarSHA256)
    }

    /// The backup of a number, if it is one, that a digest may be of: that of a lost sidecar is not known.
    private func only(_ sequence: Int, namedBy digest: String?) -> Int? {
        let possible = (bySequence[sequence] ?? []).filter {
            backups[$0].isRebuilt || agree(digest, backups[$0].sidecarSHA256)
        }
        return Set(possible.map { backups[$0].id }).count == 1 ? possible[0] : nil
    }

    private func agree(_ one: String?, _ other: String?) -> Bool { one == nil || other == nil || one == other }
}
