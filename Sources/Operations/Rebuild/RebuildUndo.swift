import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SystemPackage

/// What taking a rebuild back came to.
public struct RebuildUndoReport: Codable, Sendable {
    /// The node that the host was to be; empty where there was nothing to take back any more.
    public var node: String
    /// The root.
    public var root: String
    /// Files and links that were removed.
    public var removedCount: Int
    /// Files and links that were put back.
    public var restoredCount: Int
    /// Directories that the rebuild made and that stay, for something else is in them.
    public var remaining: [String]
    /// What a person should know.
    public var notes: [String]
}

/// Makes a host what it was before a rebuild.
///
/// The journal alone says what is taken back: the plan may be lost by then.
public enum RebuildUndo {
    /// Takes everything back that the journal records; killed anywhere, the same again goes on.
    ///
    /// - Parameters:
    ///   - didPutBack: called behind each path; what it throws ends the work there, as a crash would.
    ///   - didTakeBack: called when all is taken back, before the last trace of the rebuild goes: whoever is killed until then
    ///     is told so by the next run.
    /// - Throws: ``Failure`` with the code `notFound` if there is no journal, `failed` where a control plane runs.
    public static func run(
        root path: String, didPutBack: (String) throws -> Void = { _ in },
        didTakeBack: (RebuildUndoReport) throws -> Void = { _ in }
    ) throws {
        let root = try OpenDirectory(path: path)
        if let remains = try remains(root: path) {
            try didTakeBack(remains)
            return try removeRemains(root)
        }
        guard let journal = try RebuildJournal(root: root, makes: false), let begin = journal.begin else {
            throw none(path)
        }
        try RebuildApply.checkNothingRuns(path)
        if let directory = journal.dataDirectory { try DataPlace(directory, root: path).checkUnused() }
        let kept = journal.directory
        let keepsAny = kept.isDirectory(RebuildJournal.keptName)
        let placement = ReversiblePlacement(
            root: root, keptIn: keepsAny ? try kept.openDirectory(RebuildJournal.keptName) : kept)
        try checkKept(journal, placement, keepsAny ? try placement.keptPaths() : [])
        if !journal.isUndoing { try journal.write(.undoes) }
        for directory in Set(journal.places.map { parentPath($0.path) }) { try placement.removeStaged(in: directory) }
        for place in journal.places.reversed() {
            try placement.putBack(place.path, place.before)
            try didPutBack(place.path)
        }
        if let data = journal.data, let directory = journal.dataDirectory {
            try DataPlace(directory, root: path).putBack(data)
            try didPutBack(directory)
        }
        let own = RebuildDirectory.path
        var remaining: [String] = []
        for directory in journal.madeDirectories.reversed() where !isPath(own, atOrBelow: directory) {
            if try !placement.removeDirectory(directory) { remaining.append(directory) }
        }
        let above = journal.madeDirectories.reversed().filter { isPath(own, atOrBelow: $0) }
        remaining += try sharedDirectories(of: above, root)
        let places = journal.places
        try journal.close()
        try didTakeBack(
            RebuildUndoReport(
                node: begin.node ?? "", root: path, removedCount: places.count { $0.before == .absent },
                restoredCount: places.count { $0.before == .kept }, remaining: remaining, notes: []))
        _ = try RebuildJournal.removeRemains(root: root)
        for directory in above where !remaining.contains(directory) { _ = try placement.removeDirectory(directory) }
    }

    /// Refuses, before anything changes, where what was replaced is not kept any more, or the journal does not tell of
    /// something that is.
    private static func checkKept(
        _ journal: RebuildJournal, _ placement: ReversiblePlacement, _ paths: [String]
    ) throws {
        let recorded = journal.places.filter { $0.before == .kept }.map(\.path)
        // What is put back already is kept no more.
        if !journal.isUndoing, let missing = recorded.first(where: { !paths.contains($0) }) {
            throw Failure(
                .integrity,
                "what was at \(quoted(missing)) before the rebuild is not kept in "
                    + "\(quoted(journal.directory.path(of: RebuildJournal.keptName))) any more: nothing was taken back",
                hint:
                    "put it there again from a copy, with all else that is missing; or set the host up anew, and remove "
                    + quoted(journal.directory.path))
        }
        let known = Set(recorded)
        for path in paths where !known.contains(path) {
            // A run that was killed has kept it and not come to replace it.
            guard try !placement.isStillThere(path) else { continue }
            throw journal.damaged(
                "the journal in \(quoted(journal.directory.path)) does not tell of \(quoted(path)), which is kept")
        }
    }

    /// Of directories above the journal, the deepest first, those that something else is in.
    private static func sharedDirectories(of directories: [String], _ root: OpenDirectory) throws -> [String] {
        let isOwn = try directories.map { path in
            let parts = path.split(separator: "/").map(String.init)
            return try parts.reduce(root) { try $0.openDirectory($1) }.names().count <= 1
        }
        return Array(directories[(isOwn.firstIndex(of: false) ?? directories.count)...])
    }

    // MARK: Remains

    /// What is left of a rebuild that has nothing to take back, for it was taken back or had not begun; nil for one that has, or
    /// for none at all.
    public static func remains(root path: String) throws -> RebuildUndoReport? {
        let root = try OpenDirectory(path: path)
        var report = RebuildUndoReport(
            node: "", root: path, removedCount: 0, restoredCount: 0, remaining: [], notes: [])
        if let journal = try RebuildJournal(root: root, makes: false) {
            guard journal.begin == nil else { return nil }
            report.notes = ["a rebuild below \(quoted(path)) was stopped before it changed anything"]
            return report
        }
        guard let isUndone = try RebuildJournal.remainsAreUndone(root: root) else { return nil }
        report.notes = [
            isUndone
                ? "the rebuild below \(quoted(path)) is taken back already: only its journal was left"
                : "what is left of a rebuild below \(quoted(path)) has nothing to take back"
        ]
        return report
    }

    private static func removeRemains(_ root: OpenDirectory) throws {
        guard let journal = try RebuildJournal(root: root, makes: false) else {
            _ = try RebuildJournal.removeRemains(root: root)
            return
        }
        let parents = journal.madeParents
        try journal.close()
        _ = try RebuildJournal.removeRemains(root: root)
        for parent in parents.reversed() {
            _ = try ReversiblePlacement(root: root, keptIn: root).removeDirectory(parent)
        }
    }

    static func none(_ root: String) -> Failure {
        Failure(
            .notFound, "there is no rebuild below \(quoted(root)): none was begun, or it is taken back",
            hint: "name the root that it was made below", settings: [.root])
    }

    /// What has to be said to take back what is below a root.
    static func settings(_ root: String) -> [Failure.Setting] {
        absolutePath(root).string == "/" ? [.confirmation] : [.confirmation, .root]
    }
}
