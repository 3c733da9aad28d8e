import HostIO
import SealedArchive

/// What is left of the etcd cluster whose backups a plan is made from, as far as it can be seen from here.
public struct RebuildSituation: Codable, Sendable, Equatable {
    /// How much is left.
    public enum Kind: String, Codable, Sendable {
        /// No old member answers: the control plane is rebuilt from its backups.
        case allLost = "all-lost"
        /// Some answer, and no majority: nothing is written any more, and what they have may be newer than any backup.
        case quorumLost = "quorum-lost"
        /// A majority answers, and some don't: lost members are replaced while the cluster runs, and nothing is restored.
        case minorityLost = "minority-lost"
        /// All answer.
        case noneLost = "none-lost"
        /// It was not asked, or no member has an address that can be asked.
        case unknown
    }

    /// A member as the cluster listed it when the snapshot was taken.
    public struct Member: Codable, Sendable, Equatable {
        /// Its ID in hexadecimal.
        public var id: String
        /// Its name.
        public var name: String
        /// The name of its node, as far as it is known.
        public var node: String
        /// Its URLs for other members.
        public var peerURLs: [String]
        /// Its URLs for clients.
        public var clientURLs: [String]
        /// The first of its places that accepted a connection; nil if none did.
        public var answersAt: String?
    }

    /// How much is left.
    public var kind: Kind
    /// The voting members.
    public var members: [Member]

    /// Those that answer.
    public var answering: [Member] { members.filter { $0.answersAt != nil } }
    /// Those that don't.
    public var lost: [Member] { members.filter { $0.answersAt == nil } }

    /// One sentence for people.
    public var text: String {
        let names = answering.map { "\($0.name) at \($0.answersAt ?? "")" }.joined(separator: ", ")
        return switch kind {
        case .allLost: "all lost: none of the \(members.count) old members answers"
        case .quorumLost:
            "quorum lost: \(answering.count) of \(members.count) old members answer, which is no majority (\(names))"
        case .minorityLost: "minority lost: \(answering.count) of \(members.count) old members answer (\(names))"
        case .noneLost: "none lost: all \(members.count) old members answer (\(names))"
        case .unknown: "unknown: not every old member was asked whether it runs"
        }
    }

    /// Why no restore is planned; nil if nothing speaks against one.
    ///
    /// Where all run a plan is made ahead of time.
    public var refusal: Failure? {
        guard kind == .minorityLost else { return nil }
        let names = answering.map { "\($0.name) at \($0.answersAt ?? "")" }.joined(separator: ", ")
        return Failure(
            .failed,
            "\(answering.count) of the \(members.count) old members of etcd answer, which is a majority: \(names)",
            hint:
                "replace the lost ones while it runs: \(lost.map(\.name).joined(separator: ", ")); the runbook for that is "
                + "printed; if they are other hosts by now, say so", settings: [.evenIfRunning])
    }

    /// What a person has to do before anything else; nil if nothing.
    var warning: String? {
        switch kind {
        case .quorumLost:
            "\(text): what they have may be newer than the backup, so look at a copy of their data first, and stop these members "
                + "before the new ones start"
        case .noneLost:
            "\(text): nothing is to be rebuilt now, and what is written from now on is not in the backup; keep the plan for "
                + "the day, or stop the old members for good before the new ones start"
        case .allLost, .minorityLost, .unknown: nil
        }
    }

    /// Asks the places of all members at once.
    ///
    /// - Parameters:
    ///   - probes: whether anything is asked at all.
    ///   - node: gives the name of a member's node.
    init(of records: [EtcdMemberRecord], probes: Bool, node: (String) -> String) {
        let voters = records.filter { !$0.isLearner }.map { record in
            (record, Self.places(record.clientURLs + record.peerURLs))
        }
        let places = probes ? voters.flatMap(\.1) : []
        let answers = ConnectionProbe.answering(places)
        members = voters.map { record, own in
            Member(
                id: record.id, name: record.name, node: node(record.name), peerURLs: record.peerURLs,
                clientURLs: record.clientURLs, answersAt: own.first { answers.contains($0) }?.description)
        }
        // Of members that could not be asked nothing is known, unless the others are a majority.
        kind = Self.kind(
            answering: members.count { $0.answersAt != nil }, of: members.count,
            areAllAsked: probes && !voters.isEmpty && voters.allSatisfy { !$0.1.isEmpty })
    }

    private static func kind(answering: Int, of count: Int, areAllAsked: Bool) -> Kind {
        if answering > count / 2 { return answering == count ? .noneLost : .minorityLost }
        guard areAllAsked else { return .unknown }
        return answering == 0 ? .allLost : .quorumLost
    }

    /// Addresses that only one host has; names are not resolved, and may lead to other hosts by now.
    private static func places(_ urls: [String]) -> [ConnectionProbe.Place] {
        var places: [ConnectionProbe.Place] = []
        for url in urls {
            guard let (host, port) = LostNode.hostAndPort(url), let address = IPAddress(host),
                !["127.0.0.1", "::1", "0.0.0.0", "::"].contains(address.text),
                let port = UInt16(exactly: port ?? (url.hasPrefix("http:") ? 80 : 443))
            else { continue }
            let place = ConnectionProbe.Place(address: address, port: port)
            if !places.contains(place) { places.append(place) }
        }
        return places
    }
}
