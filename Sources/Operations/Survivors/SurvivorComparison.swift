import EtcdStorage
import HostIO

/// Survivors of one cluster, the best of them first.
public struct SurvivorComparison: Sendable {
    /// The survivors in that order.
    public let survivors: [Survivor]
    /// Whether the log of the best is taken too, not its database alone.
    let takesLogs: Bool

    /// Compares survivors.
    ///
    /// With their logs the best one is whom raft itself would elect: the newest last term, and of equals the longest log. It has
    /// every entry that was committed on any of them. Of databases alone it is the one that has applied most.
    ///
    /// - Throws: ``Failure`` with the code `usage` for survivors of several clusters, or none.
    public init(_ survivors: [Survivor], takesLogs: Bool = true) throws(Failure) {
        guard let first = survivors.first else {
            throw Failure(.usage, "no survivor is named", hint: "name the data directory of a member")
        }
        for other in survivors where other.member.log.clusterID != first.member.log.clusterID {
            throw Failure(
                .usage,
                "\(quoted(first.member.path)) is of the cluster \(first.description.clusterID), and "
                    + "\(quoted(other.member.path)) of \(other.description.clusterID)",
                hint: "name members of one cluster")
        }
        self.takesLogs = takesLogs
        self.survivors = survivors.enumerated().sorted { one, other in
            let (newer, older) = (Self.rank(one.element, takesLogs), Self.rank(other.element, takesLogs))
            return newer == older ? one.offset < other.offset : newer > older
        }.map(\.element)
    }

    /// The best one.
    public var best: Survivor { survivors[0] }

    /// What is shown of each, the best first.
    public var descriptions: [SurvivorDescription] { survivors.map(\.description) }

    private struct Rank: Comparable {
        var term: UInt64
        var index: UInt64
        var commit: UInt64

        static func < (one: Self, other: Self) -> Bool {
            (one.term, one.index, one.commit) < (other.term, other.index, other.commit)
        }
    }

    private static func rank(_ survivor: Survivor, _ takesLogs: Bool) -> Rank {
        let member = survivor.member
        guard takesLogs else { return Rank(term: 0, index: member.appliedIndex, commit: 0) }
        guard member.isLogUsable else {
            return Rank(term: member.contents.store.term ?? 0, index: member.appliedIndex, commit: 0)
        }
        return Rank(term: member.log.last.term, index: member.lastIndex, commit: member.log.commit)
    }

    /// Why the best one is the best.
    public var reason: String {
        let member = best.member
        guard survivors.count > 1 else { return "the only survivor" }
        guard takesLogs else {
            return "of \(survivors.count) survivors its database has applied most, to entry \(member.appliedIndex)"
        }
        let next = survivors[1].member
        let log = "entry \(member.lastIndex) of term \(member.log.last.term)"
        guard next.log.last.term == member.log.last.term else {
            return
                "of \(survivors.count) survivors it has the newest term: its log ends at \(log), that of the next in term "
                + "\(next.log.last.term)"
        }
        let lead = member.lastIndex - min(next.lastIndex, member.lastIndex)
        return lead == 0
            ? "of \(survivors.count) survivors no other has a longer log: it ends at \(log)"
            : "of \(survivors.count) survivors it has the longest log: it ends at \(log), \(grouped(lead)) entries behind that "
                + "of the next"
    }

    /// The best one in a sentence.
    public var sentence: String { "\(quoted(best.member.path)) is the best: \(reason)" }

    /// What the logs of all have beyond the database of the best one, where only databases are taken; nil for nothing.
    var lossSentence: String? {
        guard !takesLogs, let longest = survivors.map(\.member).max(by: { $0.log.last.index < $1.log.last.index }),
            longest.path != best.member.path, longest.log.last.index > best.member.appliedIndex
        else { return nil }
        return "the log of \(quoted(longest.path)) goes to entry \(longest.log.last.index), "
            + "\(grouped(longest.log.last.index - best.member.appliedIndex)) entries beyond the database that is taken: "
            + "only an etcd can take them up"
    }

    /// How the best one stands to the newest archive's snapshot.
    ///
    /// - Parameter revision: that of the archive's snapshot.
    func againstArchive(_ id: String, revision: Int64) -> String {
        let own = best.member.contents.currentRevision
        let name = "the newest archive (\(id), revision \(revision))"
        let beyond = best.member.missingCount
        let log =
            takesLogs && best.member.isLogUsable && beyond > 0
            ? ", and its log has \(grouped(beyond)) entries more than its database" : ""
        let who = "this survivor, \(quoted(best.member.path)) at revision \(own),"
        if own == revision { return "\(who) is where \(name) is\(log)" }
        return own > revision
            ? "\(who) is \(grouped(own - revision)) revisions ahead of \(name)\(log)"
            : "\(who) is \(grouped(revision - own)) revisions behind \(name)\(log)"
    }
}

/// A number with commas between thousands.
func grouped(_ number: some BinaryInteger) -> String {
    var text = ""
    for (offset, digit) in String(number).reversed().enumerated() {
        if offset > 0, offset.isMultiple(of: 3), digit != "-" { text.append(",") }
        text.append(digit)
    }
    return String(text.reversed())
}
