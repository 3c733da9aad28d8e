import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// What taking a rebuild back came to.
public struct RebuildUndoReport: Codable, Sendable {
    /// The node that the host was to be.
    public var node: String
    /// The root.
    public var root: String
    /// Files and links that were removed.
    public var removedCount: Int
    /// Files and links that were put back.
    public var restoredCount: Int
    /// Directories that the rebuild made and that stay, for something else is in them.
    public var remaining: [String]
}

/// Makes a host what it was before a rebuild.
public enum RebuildUndo {
    /// Takes everything back that the journal records; killed anywhere, the same again goes on.
    ///
    /// - Parameter didPutBack: called behind each path; what it throws ends the work there, as a crash would.
    /// - Throws: ``Failure`` with the code `notFound` if there is no journal, `failed` where a control plane runs.
    public static func run(
        root path: String, didPutBack: (String) throws -> Void = { _ in }
    ) throws -> RebuildUndoReport {
        let root = try OpenDirectory(path: path)
        guard let journal = try RebuildJournal(root: root, makes: false) else {
            guard try RebuildJournal.removeRemains(root: root) else { throw none(path) }
            return RebuildUndoReport(node: "", root: path, removedCount: 0, restoredCount: 0, remaining: [])
        }
        try RebuildApply.checkNothingRuns(path)
        guard let begin = journal.begin else {
            // Nothing was announced, so nothing was done.
            let parents = journal.madeParents
            try journal.remove()
            _ = try RebuildJournal.removeRemains(root: root)
            for parent in parents.reversed() {
                _ = try ReversiblePlacement(root: root, keptIn: root).removeDirectory(parent)
            }
            return RebuildUndoReport(node: "", root: path, removedCount: 0, restoredCount: 0, remaining: [])
        }
        let plan = try RebuildStatus.plan(in: journal)
        let dataDirectory = try plan?.node(begin.node ?? "").member?.dataDirectory
        if let dataDirectory { try DataPlace(dataDirectory, root: path).checkUnused() }
        if !journal.isUndoing { try journal.write(.undoes) }
        let kept = journal.directory
        let placement = ReversiblePlacement(
            root: root,
            keptIn: kept.isDirectory(RebuildJournal.keptName) ? try kept.openDirectory(RebuildJournal.keptName) : kept)
        for directory in Set(journal.places.map { parentPath($0.path) }) { try placement.removeStaged(in: directory) }
        for place in journal.places.reversed() {
            try placement.putBack(place.path, place.before)
            try didPutBack(place.path)
        }
        if let data = journal.data, let directory = dataDirectory {
            try DataPlace(directory, root: path).putBack(data)
            try didPutBack(directory)
        }
        let own = RebuildDirectory.path
        var remaining: [String] = []
        for directory in journal.madeDirectories.reversed() where !isPath(own, atOrBelow: directory) {
            if try !placement.removeDirectory(directory) { remaining.append(directory) }
        }
        let above = journal.madeDirectories.reversed().filter { isPath(own, atOrBelow: $0) }
        let places = journal.places
        try journal.remove()
        _ = try RebuildJournal.removeRemains(root: root)
        for directory in above where try !placement.removeDirectory(directory) { remaining.append(directory) }
        return RebuildUndoReport(
            node: begin.node ?? "", root: path, removedCount: places.count { $0.before == .absent },
            restoredCount: places.count { $0.before == .kept }, remaining: remaining)
    }

    static func none(_ root: String) -> Failure {
        Failure(
            .notFound, "there is no rebuild below \(quoted(root))",
            hint: "name the root that it was made below", settings: [.root])
    }
}

/// Where a rebuild stands on a host.
public struct RebuildStatus: Codable, Sendable {
    /// A step.
    public struct Step: Codable, Sendable {
        /// Its name.
        public var name: String
        /// `done`, `begun` or `to do`.
        public var state: String
        /// When it ended, or began.
        public var at: Date?
    }

    /// The node.
    public var node: String
    /// The root.
    public var root: String
    /// `done`, `begun`, or `undoing`.
    public var state: String
    /// When it began.
    public var startedAt: Date
    /// SHA-256 of the plan.
    public var planSHA256: String
    /// The steps.
    public var steps: [Step]
    /// The number of files and links that were placed or are about to be.
    public var fileCount: Int
    /// Where data that was there is kept; nil if there was none.
    public var keptData: String?
    /// Where requests for certificates are; nil if there are none.
    public var requests: String?

    /// Reads the journal of a root.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `locked` while a rebuild runs.
    public static func read(root path: String) throws -> RebuildStatus {
        let root = try OpenDirectory(path: path)
        guard let journal = try RebuildJournal(root: root, makes: false), let begin = journal.begin else {
            throw RebuildUndo.none(path)
        }
        let planned = try plan(in: journal)?.node(begin.node ?? "").steps.compactMap { RebuildStep(rawValue: $0.name) }
        let finished = journal.finishedSteps
        let steps = (planned ?? RebuildStep.allCases).map { step in
            let ended = journal.records.last { $0.kind == .stepEnds && $0.step == step }
            let begun = journal.records.last { $0.kind == .stepBegins && $0.step == step }
            return Step(
                name: step.rawValue, state: finished.contains(step) ? "done" : begun == nil ? "to do" : "begun",
                at: ended?.at ?? begun?.at)
        }
        let requests = journal.directory.contains(RebuildJournal.requestsName)
        return RebuildStatus(
            node: begin.node ?? "", root: path,
            state: journal.isUndoing ? "undoing" : journal.isDone ? "done" : "begun", startedAt: begin.at,
            planSHA256: begin.planSHA256 ?? "", steps: steps, fileCount: journal.places.count,
            keptData: journal.data?.movedTo,
            requests: requests ? journal.directory.path(of: RebuildJournal.requestsName) : nil)
    }

    static func plan(in journal: RebuildJournal) throws -> RebuildPlan? {
        guard journal.directory.contains(RebuildJournal.planName) else { return nil }
        let file = try RandomAccessFile(path: journal.directory.path(of: RebuildJournal.planName))
        return try RebuildPlan.decode(file.bytes(at: 0, count: file.byteCount), name: file.name)
    }
}
