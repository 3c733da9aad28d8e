import Age
import ArchiveStore
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// Which members are restored.
public enum RestoreSelection: String, Sendable, CaseIterable {
    /// Captured files.
    case files
    /// Snapshots of etcd.
    case etcd

    var prefix: String {
        switch self {
        case .files: ArchiveFormat.filesPrefix + "/"
        case .etcd: ArchiveFormat.etcdPrefix + "/"
        }
    }
}

/// What a restore placed.
public struct RestoreReport: Codable, Sendable {
    /// Which archive.
    public var reference: String
    /// Where.
    public var target: String
    /// The number of members placed.
    public var memberCount: Int
    /// The size of the files in bytes.
    public var byteCount: Int
    /// How many owners or attributes the target did not take.
    public var refusedAttributeCount: Int
    /// Of which kind they are, and why.
    public var refused: PlacementRefusals
    /// The snapshots of etcd, as paths.
    public var snapshots: [String]
    /// The backups of other nodes that snapshots were taken from, and why from these; nil for none.
    public var joined: [String]?
    /// What speaks against taking these snapshots with these files.
    public var warnings: [String] = []
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Restores the members of an archive into a new directory, in the layout of the archive.
public enum RestoreOperation {
    /// Restores into `target`, which must not exist or be empty.
    ///
    /// Everything is written into a temporary sibling, checked against the manifest, synced and then renamed: a restore
    /// that fails leaves nothing.
    ///
    /// - Parameter selection: what to restore; nil for everything.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity], to target: String, selection: RestoreSelection?,
        observer: Observer = Observer()
    ) async throws -> RestoreReport {
        try await run(
            archive, identities: identities, to: target, strippedPrefix: "", joins: selection != .files,
            observer: observer
        ) { _ in
            { path in selection.map { path.starts(with: $0.prefix.utf8) } ?? true }
        }
    }

    /// Restores captured files into `target` as the root of their paths; else like the other.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there are none of the selection.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity], to target: String, files selection: FileSelection,
        observer: Observer = Observer()
    ) async throws -> RestoreReport {
        try await run(
            archive, identities: identities, to: target, strippedPrefix: ArchiveFormat.filesPrefix, observer: observer
        ) { reader in
            let paths = Set(try selection.entries(of: reader, reference: archive.reference).map(\.pathInArchive))
            return { paths.contains($0) }
        }
    }

    /// - Parameters:
    ///   - joins: whether snapshots that other nodes' backups have are restored with it.
    ///   - choose: gives what says of a path in the archive whether it is restored.
    private static func run(
        _ archive: OpenedArchive, identities: [any Identity], to target: String, strippedPrefix: String,
        joins: Bool = false, observer: Observer, choose: @escaping @Sendable (ArchiveReader) throws -> ([UInt8]) -> Bool
    ) async throws -> RestoreReport {
        try await withBlockingThread("etcd-snap.restore") {
            let start = ContinuousClock.now
            LeftoverRemoval.removeRegistered(observer: observer)
            let reader = try archive.reader(identities)
            let isChosen = try choose(reader)
            let joined = joins ? try JoinedSnapshot.all(for: archive, reader, identities: identities) : []
            let entries = try reader.readManifest().entries.filter { isChosen($0.pathInArchive) }
            try checkRoom(in: target, for: entries + joined.map(\.entry))
            let staging = try StagingDirectory(target: target)
            do {
                let placement = FilePlacement(
                    root: staging.directory, strippedPrefix: strippedPrefix, shownRoot: target)
                var report = try extract(reader, by: placement, observer: observer, where: isChosen)
                try join(joined, by: placement, observer: observer, &report)
                try placement.finish()
                report.refused = placement.refusals
                report.refusedAttributeCount = placement.refusals.count
                try Task.checkCancellation()
                try staging.publish()
                report.reference = archive.reference
                report.target = target
                report.durationSeconds = (ContinuousClock.now - start).seconds
                return report
            } catch {
                staging.discard()
                throw error
            }
        }
    }

    /// What a restore of all would place.
    ///
    /// - Throws: what the restore itself would throw of the archive's manifest and the target.
    public static func plan(
        _ archive: OpenedArchive, identities: [any Identity], to target: String, selection: RestoreSelection?
    ) throws -> [ManifestEntry] {
        let all = try archive.reader(identities).readManifest().entries
        try StagingPlace.check(target)
        let entries = all.filter { entry in selection.map { entry.path.hasPrefix($0.prefix) } ?? true }
        try checkRoom(in: target, for: entries)
        return entries
    }

    /// What a restore would take from other nodes' backups, beside ``plan(_:identities:to:selection:)``.
    ///
    /// - Returns: the entries, with what is to be said of the choice.
    /// - Throws: what the restore itself would throw of them.
    public static func planOfJoined(
        _ archive: OpenedArchive, identities: [any Identity], selection: RestoreSelection?
    ) throws -> (entries: [ManifestEntry], notes: [String], warnings: [String]) {
        guard selection != .files else { return ([], [], []) }
        let joined = try JoinedSnapshot.all(for: archive, archive.reader(identities), identities: identities)
        return (joined.map(\.entry), joined.map(\.note), joined.flatMap(\.warnings))
    }

    /// Places snapshots of other nodes' backups, each with its whole archive checked.
    private static func join(
        _ joined: [JoinedSnapshot], by placement: FilePlacement, observer: Observer, _ report: inout RestoreReport
    ) throws {
        for snapshot in joined {
            let path = snapshot.entry.pathInArchive
            let part = try extract(snapshot.reader, by: placement, observer: observer) { $0 == path }
            report.memberCount += part.memberCount
            report.byteCount += part.byteCount
            report.snapshots += part.snapshots
            report.warnings += snapshot.warnings
        }
        if !joined.isEmpty { report.joined = joined.map(\.note) }
    }

    private static func checkRoom(in target: String, for entries: [ManifestEntry]) throws {
        try StagingPlace.checkRoom(for: [(target, entries.filter { $0.kind == .file }.map(\.size))])
    }

    /// What a restore of captured files would place.
    ///
    /// - Throws: what the restore itself would throw of the archive's manifest and the target.
    public static func plan(
        _ archive: OpenedArchive, identities: [any Identity], to target: String, files selection: FileSelection
    ) throws -> [ManifestEntry] {
        let entries = try selection.entries(of: archive.reader(identities), reference: archive.reference)
        try StagingPlace.check(target)
        try checkRoom(in: target, for: entries)
        return entries
    }

    private static func extract(
        _ reader: ArchiveReader, by placement: FilePlacement, observer: Observer, where isChosen: ([UInt8]) -> Bool
    ) throws -> RestoreReport {
        var checker = try MemberChecker(reader)
        var report = RestoreReport(
            reference: "", target: "", memberCount: 0, byteCount: 0, refusedAttributeCount: 0,
            refused: PlacementRefusals(), snapshots: [],
            durationSeconds: 0)
        try reader.forEachMember { member in
            try checker.begin(member)
            let path = member.metadata.displayPath
            if isChosen(member.metadata.path) {
                try placement.place(member) { try inspect($0) }
                report.memberCount += 1
                report.byteCount += member.metadata.byteCount
                if path.hasPrefix(RestoreSelection.etcd.prefix) { report.snapshots.append(path) }
            } else {
                try member.forEachPiece { try inspect($0) }
            }
            try checker.end()
        }
        func inspect(_ piece: UnsafeRawBufferPointer) throws {
            try Task.checkCancellation()
            checker.update(piece)
            observer.progress(
                Progress(
                    phase: "restore", doneByteCount: checker.checkedByteCount, totalByteCount: reader.tarByteCount))
        }
        try checker.finish()
        return report
    }
}
