import HostIO
import SealedArchive
import SystemPackage

/// What the directory of a node remembers of the backups that were in it: `chain.json`.
///
/// The number of a backup is never given twice, and one that this program removed is told from one that is missing. A
/// store of an earlier version has no such file, and is read without.
struct ChainRecord: Codable, Sendable, Equatable {
    /// The newest backup that was published.
    struct Last: Codable, Sendable, Equatable {
        var id: BackupID
        var sequence: Int
        var sidecarSHA256: String
    }

    /// Backups that were removed, whose numbers follow each other.
    struct RemovedRun: Codable, Sendable, Equatable {
        var firstSequence: Int
        var lastSequence: Int
        /// What the first of them named as the sidecar before it; nil if that is not known, or it was the first of all.
        var previousSidecarSHA256: String?
        /// The digest of the sidecar of the last; nil if that is not known.
        var sidecarSHA256: String?

        /// Those of a range of its numbers.
        func part(_ range: ClosedRange<Int>) -> RemovedRun {
            RemovedRun(
                firstSequence: range.lowerBound, lastSequence: range.upperBound,
                previousSidecarSHA256: range.lowerBound == firstSequence ? previousSidecarSHA256 : nil,
                sidecarSHA256: range.upperBound == lastSequence ? sidecarSHA256 : nil)
        }
    }

    /// The version of this file's format.
    var formatVersion = Self.version
    var last: Last?
    /// In the order of their numbers, with others between them.
    var removed: [RemovedRun] = []

    static let fileName = "chain.json"
    private static let version = 1
    private static let maximumByteCount = 16 << 20
    /// As of ``Sidecar/sequence``.
    static let sequences = 1...(1 << 53)

    init() {}

    /// Reads the record of a directory; an empty one if there is none.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if it can't be what this program wrote, `failed` for one of a later
    ///   version; ``SystemCallError``.
    static func read(in directory: OpenDirectory) throws -> ChainRecord {
        let path = directory.path(of: fileName)
        let file: RandomAccessFile
        do {
            file = try RandomAccessFile(path: path)
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return ChainRecord()
        } catch let error as SystemCallError where error.errno == .tooManySymbolicLinkLevels {
            throw damaged(path, "it is a symbolic link that leads to itself")
        } catch let failure as Failure where failure.code == .failed {
            throw damaged(path, "it is no regular file")
        }
        guard file.byteCount <= maximumByteCount else { throw damaged(path, "it has \(file.byteCount) bytes") }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        guard let record = try? DocumentCoding.decode(ChainRecord.self, from: bytes, name: path) else {
            throw damaged(path, "it is not a document of this program")
        }
        guard record.formatVersion <= version else {
            throw Failure(
                .failed, "\(quoted(path)) has format version \(record.formatVersion), this program reads \(version)",
                hint: "use a newer etcd-snap")
        }
        let areNumbers =
            record.last.map { sequences.contains($0.sequence) } != false
            && record.removed.allSatisfy(\.isPossible)
        guard areNumbers else { throw damaged(path, "its numbers can't be") }
        return record
    }

    /// Whether a directory has a record of this program, though it be one of a later version.
    static func isThere(in directory: OpenDirectory) -> Bool {
        do {
            return try read(in: directory) != ChainRecord()
        } catch {
            return Failure(wrapping: error).code == .failed
        }
    }

    private static func damaged(_ path: String, _ why: String) -> Failure {
        Failure(
            .integrity, "\(quoted(path)) is damaged: \(why)",
            hint: "copy it back from another copy of the store, or remove it: then removed backups count as missing")
    }

    /// Replaces the record of a directory; returns when that is durable.
    func write(in directory: OpenDirectory) throws {
        let file = try PendingFile(in: directory, name: Self.fileName)
        try file.write(DocumentCoding.encode(self))
        try file.publish(replacing: true)
    }

    /// Notes that a backup was published: the newest, or one between others.
    mutating func publish(_ sidecar: Sidecar, sidecarSHA256: String) {
        guard sidecar.sequence >= last?.sequence ?? 0 else { return }
        last = Last(id: sidecar.archive.id, sequence: sidecar.sequence, sidecarSHA256: sidecarSHA256)
    }

    /// Forgets that a backup was removed, for it comes back.
    mutating func takeBack(_ backup: StoredBackup) {
        let sidecar = backup.sidecar
        let number = sidecar.sequence
        removed = removed.flatMap { run -> [RemovedRun] in
            guard (run.firstSequence...run.lastSequence).contains(number) else { return [run] }
            var (before, behind) = (run, run)
            (before.lastSequence, before.sidecarSHA256) = (number - 1, sidecar.previousSidecarSHA256)
            behind.firstSequence = number + 1
            behind.previousSidecarSHA256 = sidecar.rebuilt == true ? nil : backup.sidecarSHA256
            return [before, behind].filter { $0.firstSequence <= $0.lastSequence }
        }
    }

    /// Notes those of a run as removed that are not noted yet.
    mutating func add(_ run: RemovedRun) {
        for range in kept(of: run.firstSequence...run.lastSequence) {
            remove(run.part(range))
        }
    }

    /// Notes that a backup was removed.
    mutating func remove(_ run: RemovedRun) {
        guard !removes(run.firstSequence) else { return }
        removed.append(run)
        removed.sort { $0.firstSequence < $1.firstSequence }
        removed = removed.reduce(into: []) { runs, next in
            guard let before = runs.last, before.lastSequence + 1 == next.firstSequence else {
                return runs.append(next)
            }
            runs[runs.count - 1] = RemovedRun(
                firstSequence: before.firstSequence, lastSequence: next.lastSequence,
                previousSidecarSHA256: before.previousSidecarSHA256, sidecarSHA256: next.sidecarSHA256)
        }
    }

    /// The number of a backup whose sidecar does not tell, by what is around it; nil where nothing is missing.
    ///
    /// - Parameter backups: those that are there, in the order of their numbers.
    func run(of id: BackupID, among backups: [StoredBackup]) -> RemovedRun? {
        if let last, last.id == id {
            return RemovedRun(
                firstSequence: last.sequence, lastSequence: last.sequence, sidecarSHA256: last.sidecarSHA256)
        }
        let before = backups.last { $0.id < id }
        let low = before?.sidecar.sequence ?? 0
        let next = backups.first { $0.sidecar.sequence > low }
        let high = next?.sidecar.sequence ?? max(low + 1, last?.sequence ?? 0) + 1
        guard high > low + 1, let number = kept(of: low + 1...high - 1).first?.lowerBound else { return nil }
        let isLast = number == high - 1
        return RemovedRun(
            firstSequence: number, lastSequence: number,
            sidecarSHA256: isLast ? next?.sidecar.previousSidecarSHA256 : nil)
    }

    /// Whether a backup is the newest that was published, and its sidecar no longer the one that was.
    func contradicts(_ backup: StoredBackup) -> Bool {
        guard let last, last.id == backup.id, backup.sidecar.rebuilt != true else { return false }
        return last.sidecarSHA256 != backup.sidecarSHA256
    }

    /// Notes that a backup is removed.
    ///
    /// - Parameter others: those that stay.
    mutating func remove(_ backup: StoredBackup, among others: [StoredBackup]) {
        var sequence = backup.sidecar.sequence
        var named = others.filter { $0.sidecar.sequence == sequence + 1 }.compactMap(\.sidecar.previousSidecarSHA256)
        if let last, last.id == backup.id { named.append(last.sidecarSHA256) }
        // One that is not what it was when it was published goes with all that it said: it was the finding.
        let isChanged = !named.isEmpty && !named.contains(backup.sidecarSHA256)
        if isChanged, let last, last.id == backup.id { sequence = last.sequence }
        let isKnown = backup.sidecar.rebuilt != true && !isChanged
        remove(
            .init(
                firstSequence: sequence, lastSequence: sequence,
                previousSidecarSHA256: isChanged ? nil : backup.sidecar.previousSidecarSHA256,
                sidecarSHA256: isKnown ? backup.sidecarSHA256 : nil))
        // Of two with one number the other one stays, and is the newest then.
        if last?.id == backup.id, let twin = others.last(where: { $0.sidecar.sequence == sequence }) {
            last = Last(id: twin.id, sequence: sequence, sidecarSHA256: twin.sidecarSHA256)
        }
    }

    /// Whether the backup of a number was removed.
    func removes(_ sequence: Int) -> Bool {
        removed.contains { ($0.firstSequence...$0.lastSequence).contains(sequence) }
    }

    /// The parts of a range of numbers that were not removed.
    func kept(of range: ClosedRange<Int>) -> [ClosedRange<Int>] {
        var rest: [ClosedRange<Int>] = []
        var next = range.lowerBound
        for run in removed where run.lastSequence >= next && run.firstSequence <= range.upperBound {
            if run.firstSequence > next { rest.append(next...run.firstSequence - 1) }
            next = run.lastSequence + 1
        }
        if next <= range.upperBound { rest.append(next...range.upperBound) }
        return rest
    }
}

/// What the next backup of a node says of the one before it.
public struct ChainLink: Sendable, Equatable {
    /// Its number among those of its cluster and node, from 1.
    public var sequence: Int
    /// SHA-256 of the sidecar before it in hexadecimal; nil for the first, or if that is not known.
    public var previousSidecarSHA256: String?

    /// The link behind the backup of the highest number that is there, or was.
    ///
    /// A changed sidecar must not stop the backups after it: its number counts only as far as there can be one behind it,
    /// and that of the newest is what was noted when it was published.
    ///
    /// - Parameter orphans: archives without sidecars, whose numbers are in them: those of later ones are left free.
    init(after backups: [StoredBackup], orphans: [BackupID] = [], _ record: ChainRecord) {
        var before: [(sequence: Int, digest: String?)] = backups.filter { !record.contradicts($0) }
            .map { ($0.sidecar.sequence, $0.sidecarSHA256) }
        if let last = record.last { before.append((last.sequence, last.sidecarSHA256)) }
        before += record.removed.map { ($0.lastSequence, $0.sidecarSHA256) }
        let taken = Set(before.map(\.sequence))
        let number = taken.sorted(by: >).first { number in
            ChainRecord.sequences.contains(number + 1) && !taken.contains(number + 1) && !record.removes(number + 1)
        }
        let newest = [backups.first { $0.sidecar.sequence == number }?.id, record.last?.id].compactMap(\.self).max()
        let laterCount = orphans.count { orphan in newest.map { $0 < orphan } ?? true }
        sequence = (number ?? 0) + laterCount + 1
        previousSidecarSHA256 = laterCount > 0 ? nil : before.first { $0.sequence == number }?.digest
    }
}
