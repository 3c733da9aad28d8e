import EtcdStorage
import HostIO
import SealedArchive
import SystemPackage

/// The survivors that a plan may take its snapshot from.
public struct RebuildSurvivors: Sendable {
    /// The survivors.
    public var comparison: SurvivorComparison
    /// The file that a snapshot of the best one is written to; nil to write none, for a look.
    public var snapshotPath: String?
    /// How it is taken.
    public var options: SurvivorOptions

    /// Survivors of one cluster.
    public init(_ comparison: SurvivorComparison, snapshotPath: String?, options: SurvivorOptions) {
        self.comparison = comparison
        self.snapshotPath = snapshotPath
        self.options = options
    }
}

/// A survivor whose state every new member starts from, for it is newer than every archive's.
struct ChosenSurvivor: Sendable {
    let snapshot: RebuildPlan.Snapshot

    /// What was decided, with what a person should know of it.
    struct Decision: Sendable {
        /// Nil where an archive is as new.
        var chosen: ChosenSurvivor?
        var notes: [String]
        var warnings: [String] = []
    }

    /// Decides between the best survivor and the newest archive.
    ///
    /// - Throws: ``Failure`` with the code `usage` for survivors of another cluster than the archives.
    static func decide(
        _ survivors: RebuildSurvivors, _ sources: RebuildSources, _ options: RebuildOptions, observer: Observer
    ) async throws -> Decision {
        let (comparison, best) = (survivors.comparison, survivors.comparison.best)
        try checkCluster(best, sources)
        let archive = sources.snapshot.map { ($0.archiveID, $0.record.revision ?? $0.record.revisionAtStart) }
        var decision = Decision(notes: [comparison.sentence])
        decision.warnings = best.description.remarks.map { "\(quoted(best.member.path)): \($0)" }
        if let loss = comparison.lossSentence { decision.warnings.append(loss) }
        if let (id, revision) = archive { decision.notes.append(comparison.againstArchive(id, revision: revision)) }
        // An entry raises the revision by one at most.
        let beyond = best.member.isLogUsable && comparison.takesLogs ? best.member.missingCount : 0
        let known = best.member.contents.currentRevision
        let floor = archive?.1 ?? 0
        guard known + Int64(clamping: beyond) > floor else { return decision }
        guard options.minimumLevel <= .structural else {
            throw Failure(
                .failed,
                "\(quoted(best.member.path)) is newer than every archive, and a survivor reaches the level structural, not "
                    + options.minimumLevel.rawValue, hint: "ask for less, or leave the survivors out",
                settings: [.minimumLevel])
        }
        guard let path = survivors.snapshotPath else {
            decision.chosen = ChosenSurvivor(snapshot: planned(comparison, nil, nil))
            return decision
        }
        let (directory, name) = try OpenDirectory.parent(of: path)
        let file = try PendingFile(in: directory, name: name, isSecret: true)
        let taken = try await SurvivorSnapshot.take(
            best, to: file, in: { try DrillScratch(in: survivors.options.scratch ?? directory.path) },
            options: survivors.options, observer: observer)
        guard taken.revision > floor else {
            decision.notes.append("with its log it is at revision \(taken.revision), which is not beyond the archive")
            return decision
        }
        try file.publish(replacing: true)
        decision.notes += taken.notes
        decision.notes.append(
            "wrote \(quoted(path)), the snapshot that every new host needs beside the plan; it holds all secrets of the "
                + "cluster in the clear")
        decision.warnings += taken.warnings
        decision.chosen = ChosenSurvivor(snapshot: planned(comparison, taken, absolutePath(path).string))
        return decision
    }

    private static func planned(
        _ comparison: SurvivorComparison, _ taken: SurvivorSnapshot?, _ path: String?
    ) -> RebuildPlan.Snapshot {
        let member = comparison.best.member
        let revision = taken?.revision ?? member.contents.currentRevision
        var snapshot = RebuildPlan.Snapshot(
            archiveID: "", name: comparison.best.description.memberName ?? comparison.best.description.memberID,
            clusterID: comparison.best.description.clusterID, revision: revision,
            level: VerificationLevel.structural.rawValue,
            databaseByteCount: taken.map { $0.byteCount - 32 }
                ?? member.databaseByteCount, databaseSHA256: taken?.databaseSHA256 ?? "",
            reason: "newer than every archive: revision \(revision); \(comparison.reason)")
        snapshot.survivor = RebuildPlan.Survivor(
            directory: absolutePath(member.path).string, snapshotPath: path, etcdVersion: taken?.etcdVersion,
            missingEntries: taken?.missingCount ?? member.missingCount)
        return snapshot
    }

    private static func checkCluster(_ survivor: Survivor, _ sources: RebuildSources) throws(Failure) {
        let ids = sources.backups.reduce(into: Set<String>()) { $0.formUnion($1.clusterIDs) }
        guard !ids.isEmpty, !ids.contains(survivor.description.clusterID) else { return }
        throw Failure(
            .usage,
            "\(quoted(survivor.member.path)) is of the etcd cluster \(survivor.description.clusterID), and the archives are "
                + "of \(ids.sorted().joined(separator: ", "))", hint: "name survivors and archives of one cluster")
    }
}

extension RebuildPlan.Snapshot {
    /// Finds the snapshot of a survivor that the plan was made with, among files of this host.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `integrity` if it is another one.
    func source(of survivor: RebuildPlan.Survivor, among files: [String]) throws -> SnapshotSource {
        guard let written = survivor.snapshotPath else {
            throw Failure(
                .usage, "the plan was made for a look: no snapshot of \(quoted(survivor.directory)) was written for it",
                hint: "plan again, and have both written to files", settings: [.snapshotOutput])
        }
        var other: String?
        for path in files + [written] {
            guard let file = try? RandomAccessFile(path: path) else { continue }
            let digest = try file.bytes(at: max(0, file.byteCount - 32), count: min(32, file.byteCount))
            // What the digest is of is verified when it is restored.
            if file.byteCount == databaseByteCount + 32, digest.hexadecimal == databaseSHA256 {
                return SnapshotSource(file: file)
            }
            other = other ?? path
        }
        if let other {
            throw Failure(
                .integrity,
                "\(quoted(other)) is not the snapshot of the plan, which has the sha256 "
                    + "\(databaseSHA256.prefix(16))…",
                hint: "members from other bytes are no cluster: copy the one that "
                    + "`rebuild plan` wrote", settings: [.snapshotFile])
        }
        throw Failure(
            .notFound, "the snapshot of the plan, \(quoted(lastName(written))), is not on this host",
            hint: "copy it beside the plan, or say where it is", settings: [.snapshotFile])
    }
}
