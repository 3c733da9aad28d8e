import Age
import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// A class of files that a restore in place has left out.
public struct LeftOutClass: Codable, Sendable, Equatable {
    /// The class, as the manifest names it.
    public var captureClass: String
    /// How many files and links it has.
    public var fileCount: Int
    /// Why.
    public var reason: String
}

/// What restoring files in place came to.
public struct RestoreFilesReport: Codable, Sendable {
    /// Which archive.
    public var reference: String
    /// The root that they were placed below.
    public var root: String
    /// Files and links made where nothing was.
    public var createdCount: Int
    /// Files and links that took the place of others.
    public var replacedCount: Int
    /// Files and links that were there already.
    public var unchangedCount: Int
    /// Where what was replaced is kept; nil if nothing was.
    public var keptPath: String?
    /// Where restores before this one keep what they have replaced.
    public var keptBefore: [String]
    /// What was not placed, for nobody asked for it.
    public var leftOut: [LeftOutClass]
    /// How many owners or attributes the target did not take.
    public var refusedAttributeCount: Int
    /// Of which kind they are, and why.
    public var refused: PlacementRefusals
    /// Directories that were there already with another mode or owner, and were left as they are.
    public var differingDirectories: [DirectoryDifference]
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Where files are restored to in place.
public struct InPlaceTarget: Sendable {
    /// The root of the file system.
    public var root: String
    /// This node's name, by which it is told whose files an archive has; nil if nothing tells it, as on a new disk, where
    /// nothing of a node can be lost.
    public var node: String?
    /// Whether a person said so; otherwise files that tell the same name go before it.
    public var isNodeNamed: Bool
    /// Stores, in which nothing may be kept that is not sealed.
    public var stores: [String]
    /// Whether to go on though a control plane runs there.
    public var isForced: Bool

    /// A target from its parts.
    public init(
        root: String, node: String?, isNodeNamed: Bool = false, stores: [String], isForced: Bool = false
    ) {
        self.root = root
        self.node = node
        self.isNodeNamed = isNodeNamed
        self.stores = stores
        self.isForced = isForced
    }

    /// This node's name as an archive calls it: the archive's own where both have files that tell one name, for a backup
    /// may have been made under any.
    func node(for reader: ArchiveReader) throws -> String? {
        let manifest = try reader.readManifest()
        guard !isNodeNamed, node != manifest.archive.node else { return node }
        let here = Set(NodeIdentity.names(in: NodeRoot(prefix: root)))
        let there = NodeIdentity.names { path in
            guard
                let entry = manifest.entries.first(where: { $0.path == ArchiveFormat.filesPrefix + path }),
                entry.kind == .file, entry.size <= NodeIdentity.limitByteCount, let bytes = try? reader.bytes(of: entry)
            else { return nil }
            return try? bytes.bytes(at: 0, count: entry.size)
        }
        return here.isDisjoint(with: there) ? node : manifest.archive.node
    }

    /// Opens the root, where what is replaced can be kept.
    func open() throws -> OpenDirectory {
        let directory = try OpenDirectory(path: root)
        try KeptDirectory.check(in: directory, isOutside: stores)
        return directory
    }
}

/// Places captured files of an archive at their paths below a root, such as `/`.
public enum RestoreFilesOperation {
    /// What a restore in place would do, and what it would leave out; changes nothing.
    public static func plan(
        _ archive: OpenedArchive, identities: [any Identity], target: InPlaceTarget, selection: FileSelection
    ) throws -> [PlannedPlacement] {
        let root = try target.open()
        let reader = try archive.reader(identities)
        let manifest = try reader.readManifest()
        let selection = selection.inPlace(from: manifest.archive.node, on: try target.node(for: reader))
        let entries = try selection.entries(of: reader, reference: archive.reference)
        let placement = FilePlacement(root: root, strippedPrefix: ArchiveFormat.filesPrefix)
        let plan = try placement.plan(for: entries)
        // What can't be placed is shown with the whole plan.
        if !plan.contains(where: { $0.action == .blocked }) { try placement.checkRoom(for: entries) }
        return plan + selection.leftOut(of: manifest)
    }

    /// Refuses to place files where a control plane runs; where that is forced, it is a warning.
    ///
    /// - Throws: ``Failure`` with what runs.
    public static func checkNothingRuns(at target: InPlaceTarget, observer: Observer) throws {
        let live = LiveControlPlane()
        let users = try live.users(of: OpenDirectory(path: target.root))
        guard !users.isEmpty || !live.isVisible else { return }
        let others = users.count > 4 ? " and \(users.count - 4) more" : ""
        let message =
            live.isVisible
            ? "a control plane runs below \(quoted(target.root)): \(users.prefix(4).joined(separator: ", "))\(others)"
            : "whether a control plane runs below \(quoted(target.root)) can't be told: /proc is not mounted"
        let danger =
            "components would run with half of the old files and half of the new, and a kubelet starts an etcd on "
            + "whatever data is there"
        guard target.isForced else {
            throw Failure(
                .failed, message,
                hint: (live.isVisible
                    ? "stop the kubelet and the static pods first" : "mount it: mount -t proc proc /proc")
                    + "; it can be forced, but then \(danger)",
                settings: [.force])
        }
        observer.warn("\(message); it goes on, as was asked for: \(danger)")
    }

    /// Restores in place: everything is read, checked and staged before the first file is replaced, each file appears
    /// complete, static pods last, and what is replaced is kept aside.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for a damaged archive; then nothing was changed.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity], target: InPlaceTarget, selection: FileSelection,
        observer: Observer = Observer()
    ) async throws -> RestoreFilesReport {
        try await withBlockingThread("etcd-snap.restore") {
            let start = ContinuousClock.now
            // Who forces it was warned when the plan was shown.
            if !target.isForced { try checkNothingRuns(at: target, observer: observer) }
            let reader = try archive.reader(identities)
            let manifest = try reader.readManifest()
            let selection = selection.inPlace(from: manifest.archive.node, on: try target.node(for: reader))
            let entries = try selection.entries(of: reader, reference: archive.reference)
            let roles = Dictionary(entries.map { ($0.pathInArchive, $0.role) }) { first, _ in first }
            try VerifyOperation.checkMembers(reader, observer: observer)
            let placement = try FilePlacement(
                replacingIn: target.open(), strippedPrefix: ArchiveFormat.filesPrefix)
            placement.leftovers.tell(observer)
            do {
                try placement.checkRoom(for: entries)
                try reader.forEachMember { member in
                    try Task.checkCancellation()
                    guard let role = roles[member.metadata.path] else { return }
                    try placement.place(member, order: PlacementOrder(role: role)) { _ in try Task.checkCancellation() }
                }
                try placement.finish()
            } catch {
                throw stopped(error, placement, target)
            }
            return report(placement, target, LeftOutClass.of(selection.leftOut(of: manifest)), archive, start)
        }
    }

    private static func report(
        _ placement: FilePlacement, _ target: InPlaceTarget, _ leftOut: [LeftOutClass], _ archive: OpenedArchive,
        _ start: ContinuousClock.Instant
    ) -> RestoreFilesReport {
        let counts = placement.counts
        return RestoreFilesReport(
            reference: archive.reference, root: target.root, createdCount: counts.createdCount,
            replacedCount: counts.replacedCount, unchangedCount: counts.unchangedCount,
            keptPath: placement.keptPath.map { joined(target.root, $0) },
            keptBefore: keptBefore(placement, target), leftOut: leftOut,
            refusedAttributeCount: placement.refusals.count, refused: placement.refusals,
            differingDirectories: placement.differingDirectories, durationSeconds: (ContinuousClock.now - start).seconds
        )
    }

    /// Where earlier runs keep what they have replaced; what can't be read is not named.
    private static func keptBefore(_ placement: FilePlacement, _ target: InPlaceTarget) -> [String] {
        let places = (try? KeptDirectory.places(in: OpenDirectory(path: target.root))) ?? []
        return places.filter { $0 != placement.keptPath }.map { joined(target.root, $0) }
    }

    private static func joined(_ root: String, _ path: String) -> String {
        (root.hasSuffix("/") ? root : root + "/") + path
    }

    /// An error in the middle, with what was done by then and is kept.
    private static func stopped(
        _ error: any Error, _ placement: FilePlacement, _ target: InPlaceTarget
    ) -> any Error {
        placement.abandon()
        let counts = placement.counts
        let keptPath = placement.keptPath.map { joined(target.root, $0) }
        guard counts.createdCount + counts.replacedCount > 0 || keptPath != nil else { return error }
        var failure = error is CancellationError ? Failure(.failed, "it was stopped") : Failure(wrapping: error)
        failure.message += "; \(counts.createdCount) files were created and \(counts.replacedCount) replaced before"
        let goOn = "the same command again goes on"
        guard let keptPath else {
            failure.hint = failure.hint.map { "\($0); \(goOn)" } ?? goOn
            return failure
        }
        let kept = "what was replaced is kept in the clear, until you remove it with: rm -r \(keptPath)"
        failure.hint = [failure.hint, goOn, kept].compactMap(\.self).joined(separator: "; ")
        return failure
    }
}

extension LeftOutClass {
    /// The classes of what a plan leaves out.
    public static func of(_ plan: [PlannedPlacement]) -> [LeftOutClass] {
        Dictionary(grouping: plan.filter { $0.action == .leftOut }, by: \.role).map { role, entries in
            LeftOutClass(captureClass: role, fileCount: entries.count, reason: entries[0].reason ?? "")
        }.sorted { $0.captureClass < $1.captureClass }
    }
}
