import Age
import HostIO
import SealedArchive

/// Something that does not hold in the chain of a node's backups.
public struct ChainProblem: Sendable, Equatable {
    /// What is wrong, by its code in `docs/findings.md`.
    public enum Code: String, Sendable {
        /// A number has no backup, and this program did not remove it.
        case missing = "backup-missing"
        /// Several backups have one number.
        case reused = "backup-number-reused"
        /// A backup names another sidecar before it than is there.
        case broken = "backup-chain-broken"
        /// Backups that no digest links disagree about which is the latest.
        case disputed = "backup-chains-disagree"
        /// What was removed is not known.
        case record = "backup-chain-unknown"
    }

    /// What is wrong.
    public var code: Code
    /// The place and the number: `cluster/node number 7`.
    public var subject: String
    /// One sentence.
    public var message: String
    /// What to do about it.
    public var advice: String
}

/// The backups of one node as a chain: each has the number after the one before it, and the digest of its sidecar.
struct BackupChain {
    let scope: StoreScope
    /// In the order of their numbers.
    private let backups: [StoredBackup]
    /// How many backups are there that can't be read: their numbers are not known, and what they are is told elsewhere.
    private let unreadableCount: Int
    private let record: ChainRecord

    init(scope: StoreScope, backups: [StoredBackup], unreadableCount: Int, record: ChainRecord) {
        self.scope = scope
        self.backups = backups.inOrderOfNumbers
        self.unreadableCount = unreadableCount
        self.record = record
    }

    /// What does not hold, in the order of the numbers.
    func problems() -> [ChainProblem] {
        var problems: [ChainProblem] = []
        var before: [StoredBackup] = []
        for group in groups {
            let number = group[0].sidecar.sequence
            if group.count > 1 { problems.append(reused(number, group.map(\.reference))) }
            problems += gap(after: before, before: group)
            before = group
        }
        return problems + end(before)
    }

    /// The backups of each number.
    private var groups: [[StoredBackup]] {
        backups.reduce(into: []) { groups, backup in
            if groups.last?[0].sidecar.sequence == backup.sidecar.sequence {
                groups[groups.count - 1].append(backup)
            } else {
                groups.append([backup])
            }
        }
    }

    /// What is wrong between two numbers that follow each other here; before the first there is none.
    private func gap(after before: [StoredBackup], before next: [StoredBackup]) -> [ChainProblem] {
        let (low, high) = (before.first?.sidecar.sequence ?? 0, next[0].sidecar.sequence)
        guard high > low + 1 else { return next.compactMap { broken($0, after: before) } }
        let missing = missing(low + 1...high - 1)
        guard missing.isEmpty else { return missing }
        let first = record.removed.first { $0.firstSequence == low + 1 }
        let last = record.removed.last { $0.lastSequence == high - 1 }
        var problems: [ChainProblem] = []
        if let stated = first?.previousSidecarSHA256, !before.contains(where: { $0.isNamed(by: stated) }) {
            problems.append(replaced(low, before.map(\.reference)))
        }
        if let digest = last?.sidecarSHA256 {
            problems += next.filter { $0.sidecar.previousSidecarSHA256 != digest }.map { broken($0) }
        }
        return problems
    }

    /// What is wrong behind the newest.
    private func end(_ newest: [StoredBackup]) -> [ChainProblem] {
        guard let last = record.last else { return [] }
        let number = newest.first?.sidecar.sequence ?? 0
        if last.sequence > number { return missing(number + 1...last.sequence) }
        guard last.sequence == number else { return [] }
        guard let same = newest.first(where: { $0.id == last.id }) else {
            return newest.count > 1 ? [] : [reused(number, newest.map(\.reference) + ["\(scope)/\(last.id)"])]
        }
        return same.isNamed(by: last.sidecarSHA256) ? [] : [replaced(number, [same.reference])]
    }

    private func missing(_ range: ClosedRange<Int>) -> [ChainProblem] {
        let missing = record.kept(of: range)
        guard missing.reduce(0, { $0 + $1.count }) > unreadableCount else { return [] }
        return missing.map { range in
            let numbers =
                range.count == 1 ? "number \(range.lowerBound)" : "numbers \(range.lowerBound) to \(range.upperBound)"
            return ChainProblem(
                code: .missing, subject: "\(scope) \(numbers)",
                message: "of the backups of \(scope) \(numbers) "
                    + "\(range.count == 1 ? "is" : "are") missing, and etcd-snap has not removed \(range.count == 1 ? "it" : "them")",
                advice: "find out who has, and copy back what another copy of the store has; "
                    + "what `etcd-snap delete` removes is not missing, and what is gone for good can be accepted in the "
                    + "configuration by this code and subject")
        }
    }

    private func reused(_ number: Int, _ references: [String]) -> ChainProblem {
        ChainProblem(
            code: .reused, subject: "\(scope) number \(number)",
            message: "\(references.count) backups have the number \(number): \(references.joined(separator: ", "))",
            advice: "two hosts back up under one name, a copy of the store was written to, or one is not what it says: "
                + "give each node its own name, keep one writer for each store, and move one of them elsewhere or delete it"
        )
    }

    private func broken(_ backup: StoredBackup, after before: [StoredBackup]) -> ChainProblem? {
        let stated = backup.sidecar.previousSidecarSHA256
        guard let first = before.first else { return stated == nil ? nil : broken(backup) }
        guard stated.map({ stated in before.contains { $0.isNamed(by: stated) } }) != true else { return nil }
        // It is not known what comes before one whose sidecar was made anew.
        if first.sidecar.rebuilt == true { return nil }
        return broken(backup)
    }

    private func broken(_ backup: StoredBackup) -> ChainProblem {
        let number = backup.sidecar.sequence
        return ChainProblem(
            code: .broken, subject: "\(scope) number \(number)",
            message: "\(backup.reference) was made after another backup than the one before it, number \(number - 1)",
            advice: "one of them was changed or replaced: compare both with another copy of the store, check both with "
                + "`etcd-snap verify` and your key, and copy back the right one, or delete the wrong one")
    }

    private func replaced(_ number: Int, _ references: [String]) -> ChainProblem {
        ChainProblem(
            code: .broken, subject: "\(scope) number \(number)",
            message:
                "the sidecar of \(references.joined(separator: ", ")), number \(number), is not the one that was published",
            advice: "it was changed or replaced: compare it with another copy of the store, check it with "
                + "`etcd-snap verify` and your key, and copy back the right one, or delete it")
    }
}

extension ChainProblem {
    /// That the record is not there, so that what was newest and what was removed is not known.
    static func unrecorded(_ scope: StoreScope) -> ChainProblem {
        ChainProblem(
            code: .record, subject: "\(scope)",
            message: "\(scope) has backups and no \(ChainRecord.fileName): which was the newest, and what was removed, "
                + "is not known",
            advice: "copy it back from another copy of the store, and compare what that has; otherwise the next backup "
                + "begins it anew, and this ends")
    }

    /// That backups of other chains would be the latest by their numbers or times.
    static func disputed(_ latest: StoredBackup, by rivals: [StoredBackup]) -> ChainProblem {
        let others = rivals.count > 3 ? ", and \(rivals.count - 3) more" : ""
        let names = rivals.suffix(3).reversed().map(\.dated).joined(separator: ", ") + others
        let isFuturePassedOver = rivals.contains {
            $0.isFromTheFuture && $0.sidecar.archive.createdAt > latest.sidecar.archive.createdAt
        }
        return ChainProblem(
            code: .disputed, subject: "\(latest.scope)",
            message: "which backup of \(latest.scope) is the latest is not certain, for no digest links "
                + "\(latest.dated) with \(names): the first counts as the latest, for between chains the time decides"
                + (isFuturePassedOver ? ", unless it is in the future" : ""),
            advice: "a store was begun anew and older backups were copied into it, two hosts back up under one "
                + "name, or a clock was wrong: name the backup that you mean by its ID, and move those of the other "
                + "chain elsewhere")
    }
}

extension [StoredBackup] {
    /// IDs of one second sort by chance.
    var inOrderOfNumbers: [StoredBackup] {
        sorted { ($0.sidecar.sequence, $0.id) < ($1.sidecar.sequence, $1.id) }
    }
}

extension StoredBackup {
    /// The identifier, which tells the time, and the number.
    fileprivate var dated: String { "\(id) (number \(sidecar.sequence))" }

    /// SHA-256 of the sidecar in hexadecimal.
    var sidecarSHA256: String { SHA256Hasher.digest(of: sidecarBytes).hexadecimal }

    /// Whether a digest is that of this sidecar, as far as it can be told: one that was made anew had another.
    fileprivate func isNamed(by digest: String) -> Bool { sidecar.rebuilt == true || sidecarSHA256 == digest }
}
