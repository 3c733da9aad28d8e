import Age
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// Which captured files are restored.
public struct FileSelection: Sendable {
    /// Classes as the manifest names them; empty for all.
    public var classes: Set<String>
    /// Classes that are not restored.
    public var leftOut: Set<String>

    /// What belongs to the host that the backup was made on, and would harm another.
    public static let classesOfTheHost: Set<String> = [CaptureClass.network.rawValue, CaptureClass.host.rawValue]

    /// A selection of classes, or of all.
    public init(classes: Set<String> = [], leftOut: Set<String> = []) {
        self.classes = classes
        self.leftOut = leftOut
    }

    /// The selected entries of an archive.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there are none.
    func entries(of reader: ArchiveReader, reference: String) throws -> [ManifestEntry] {
        let manifest = try reader.readManifest()
        let selected = entries(of: manifest)
        guard selected.isEmpty else { return selected }
        let known = Set(FileSelection().entries(of: manifest).filter { $0.kind != .directory }.map(\.role)).sorted()
        let classes = classes.isEmpty ? "" : " of the class \(classes.sorted().joined(separator: ", "))"
        throw Failure(
            .notFound, "\(quoted(reference)) has no files\(classes)",
            hint: known.isEmpty ? nil : "it has: \(known.joined(separator: ", "))")
    }

    /// The directories above a selected file are needed for it, whatever they are.
    private func entries(of manifest: Manifest) -> [ManifestEntry] {
        let files = manifest.entries.filter { $0.path.hasPrefix(ArchiveFormat.filesPrefix + "/") }
        guard !classes.isEmpty || !leftOut.isEmpty else { return files }
        let selected = files.filter { entry in
            entry.kind != .directory && !leftOut.contains(entry.role)
                && (classes.isEmpty || classes.contains(entry.role))
        }
        // A further name of a file needs the first.
        let firstNames = Set(selected.filter { $0.kind == .hardLink }.compactMap(\.linkTargetInArchive))
        var needed = Set(selected.map(\.pathInArchive)).union(firstNames)
        for path in Array(needed) {
            var rest = path[...]
            while let slash = rest.lastIndex(of: UInt8(ascii: "/")) {
                rest = rest[..<slash]
                needed.insert(Array(rest))
            }
        }
        return files.filter { entry in
            // An empty directory is there for itself.
            needed.contains(entry.pathInArchive)
                || entry.kind == .directory && classes.isEmpty && !leftOut.contains(entry.role)
        }
    }
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
    /// How many owners or attributes could not be set, because this user may not.
    public var refusedAttributeCount: Int
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Places captured files of an archive at their paths below a root, such as `/`.
public enum RestoreFilesOperation {
    /// The entries that a restore into a new directory would place.
    public static func entries(
        _ archive: OpenedArchive, identities: [any Identity], selection: FileSelection
    ) throws -> [ManifestEntry] {
        try selection.entries(of: archive.reader(identities), reference: archive.reference)
    }

    /// What a restore in place would do; changes nothing.
    public static func plan(
        _ archive: OpenedArchive, identities: [any Identity], root: String, selection: FileSelection
    ) throws -> [PlannedPlacement] {
        let entries = try selection.entries(of: archive.reader(identities), reference: archive.reference)
        let placement = FilePlacement(
            root: try OpenDirectory(path: root), strippedPrefix: ArchiveFormat.filesPrefix,
            replacement: FilePlacement.Replacement(at: Date()))
        return try placement.plan(for: entries)
    }

    /// Restores in place: each file appears complete, and what it replaces is kept aside.
    ///
    /// The whole archive is read and checked before the first file is touched.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for a damaged archive; then nothing was changed.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity], root: String, selection: FileSelection,
        observer: Observer = Observer()
    ) async throws -> RestoreFilesReport {
        try await withBlockingThread("etcd-snap.restore") {
            let start = ContinuousClock.now
            let reader = try archive.reader(identities)
            let paths = Set(try selection.entries(of: reader, reference: archive.reference).map(\.pathInArchive))
            try VerifyOperation.checkMembers(reader, observer: observer)
            let replacement = FilePlacement.Replacement(at: Date())
            let placement = FilePlacement(
                root: try OpenDirectory(path: root), strippedPrefix: ArchiveFormat.filesPrefix,
                replacement: replacement)
            let keptPath = (root.hasSuffix("/") ? root : root + "/") + replacement.keptPath
            do {
                try reader.forEachMember { member in
                    try Task.checkCancellation()
                    if paths.contains(member.metadata.path) {
                        try placement.place(member) { _ in try Task.checkCancellation() }
                    }
                }
                try placement.finish()
            } catch {
                throw stopped(error, placement, keptPath)
            }
            let counts = placement.counts
            return RestoreFilesReport(
                reference: archive.reference, root: root, createdCount: counts.createdCount,
                replacedCount: counts.replacedCount, unchangedCount: counts.unchangedCount,
                keptPath: counts.replacedCount > 0 ? keptPath : nil,
                refusedAttributeCount: placement.refusedAttributeCount,
                durationSeconds: (ContinuousClock.now - start).seconds)
        }
    }

    /// An error in the middle, with what was done by then; directories get their attributes all the same.
    private static func stopped(_ error: any Error, _ placement: FilePlacement, _ keptPath: String) -> any Error {
        try? placement.finish()
        let counts = placement.counts
        guard counts.createdCount + counts.replacedCount > 0 else { return error }
        let isStopped = error is CancellationError
        let failure = isStopped ? Failure(.failed, "it was stopped") : Failure(wrapping: error)
        return Failure(
            failure.code,
            "\(failure.message); \(counts.createdCount) files were created and \(counts.replacedCount) replaced before",
            hint: counts.replacedCount > 0
                ? "what was replaced is kept in \(quoted(keptPath)); the same command again goes on"
                : failure.hint ?? "the same command again goes on",
            cause: isStopped ? nil : error)
    }
}
