import FoundationEssentials
import HostIO

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
    /// The plan, by the beginning of its digest.
    public var planID: String
    /// The digest of the plan.
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
    /// - Parameter readsPlan: whether the plan beside it is read, for the steps that the node has; else it may be lost.
    /// - Throws: ``Failure`` with the code `notFound` if there is none, `locked` while a rebuild runs, `integrity` if the journal
    ///   or the plan is damaged.
    public static func read(root path: String, readsPlan: Bool = true) throws -> RebuildStatus {
        let root = try OpenDirectory(path: path)
        guard let journal = try RebuildJournal(root: root, makes: false), let begin = journal.begin else {
            guard let remains = try RebuildUndo.remains(root: path) else { throw RebuildUndo.none(path) }
            throw Failure(
                .notFound, remains.notes.joined(separator: "; "),
                hint: "`etcd-snap rebuild undo` removes it", settings: RebuildUndo.settings(path))
        }
        let planned =
            readsPlan
            ? try RebuildPlan.read(of: journal).plan.node(begin.node ?? "").steps.compactMap {
                RebuildStep(rawValue: $0.name)
            } : nil
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
            planID: RebuildPlan.id(ofDigest: begin.planSHA256 ?? ""), planSHA256: begin.planSHA256 ?? "", steps: steps,
            fileCount: journal.places.count,
            keptData: journal.data?.movedTo,
            requests: requests ? journal.directory.path(of: RebuildJournal.requestsName) : nil)
    }
}
