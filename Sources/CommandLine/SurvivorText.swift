import HostIO
import Operations
import SealedArchive

/// A stopped or dead member's data directory for people.
struct SurvivorText {
    private let survivor: SurvivorDescription

    init(_ survivor: SurvivorDescription) { self.survivor = survivor }

    /// All of it.
    var text: String {
        let log = survivor.log
        let members = survivor.members.map { member in
            "  \(member.id)  \(member.name)  \(member.peerURLs.joined(separator: ","))"
                + (member.isLearner ? "  learner" : "")
        }
        let entries = log.firstIndex.map { "entries \($0) to \(log.lastIndex)" } ?? "no entries"
        let sections = [
            fields([
                ("data directory", survivor.directory),
                ("cluster ID", survivor.clusterID),
                ("member", survivor.memberID + (survivor.memberName.map { " \($0)" } ?? "")),
                ("revision", "\(survivor.revision), in the database"),
                ("compacted", survivor.compactRevision < 0 ? "never" : "\(survivor.compactRevision)"),
                ("raft index", "\(survivor.appliedIndex), in the database"),
                ("log", "\(entries) in \(log.fileCount) files, the last one of term \(log.lastTerm)"),
                ("committed", "\(log.commit), as far as the member knew; term \(log.term)"),
                ("beyond", Self.beyond(survivor)),
                ("raft snapshot", log.raftSnapshotIndex.map { "up to entry \($0)" } ?? "none"),
                ("size", size(survivor.databaseByteCount)),
                ("version", survivor.clusterVersion.map { "\($0), of the cluster" } ?? "not known"),
                ("auth", survivor.authEnabled ? "on" : "off"),
            ]), "members:\n" + members.joined(separator: "\n"),
        ]
        return sections.joined(separator: "\n\n")
    }

    /// What the log has beyond the database.
    static func beyond(_ survivor: SurvivorDescription) -> String {
        guard survivor.entriesBeyond > 0 else { return "nothing: the database has all of the log" }
        let open =
            survivor.uncommittedBeyond == 0
            ? "all committed" : "\(survivor.committedBeyond) known to be committed"
        return "\(survivor.entriesBeyond) entries are in the log alone, \(open)"
    }

    /// Several of them, the best first.
    static func comparison(of survivors: [SurvivorDescription]) -> String {
        table(
            ["DATA DIRECTORY", "MEMBER", "REVISION", "RAFT INDEX", "LOG TO", "TERM", "COMMITTED", "IN THE LOG ALONE"],
            survivors.map {
                [
                    $0.directory, $0.memberName ?? $0.memberID, "\($0.revision)", "\($0.appliedIndex)",
                    "\($0.log.lastIndex)", "\($0.log.lastTerm)", "\($0.log.commit)", "\($0.entriesBeyond)",
                ]
            })
    }
}
