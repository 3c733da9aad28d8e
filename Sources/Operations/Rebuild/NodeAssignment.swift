import HostIO
import SealedArchive

/// Which new node takes the place of which lost one.
enum NodeAssignment {
    private struct Lost {
        var node: LostNode
        var backup: NodeBackup?
    }

    /// What takes the place of what: as the topology says, else by name, else in order.
    ///
    /// - Throws: ``Failure`` with the code `usage` for a lost node that nothing tells of.
    static func replaced(_ topology: RebuildTopology, _ sources: RebuildSources) throws(Failure) -> [ReplacedNode] {
        let backups = sources.backups
        let members = (sources.snapshot?.record.members ?? []).compactMap { LostNode(member: $0) }
        // By name: etcd lists its members by their IDs, in which there is no order.
        let unknown = members.filter { member in !backups.contains { $0.node.memberName == member.memberName } }.map {
            var node = $0
            node.name = backups[0].layout.nodeName(ofMember: node.name)
            return node
        }.sorted { $0.name < $1.name }
        var lost = backups.map { Lost(node: $0.node, backup: $0) } + unknown.map { Lost(node: $0, backup: nil) }
        var chosen: [Int: Lost] = [:]
        for (index, node) in topology.nodes.enumerated() {
            guard let from = node.from else { continue }
            guard
                let found = lost.firstIndex(where: { $0.node.name == from || $0.backup?.manifest.archive.node == from })
            else {
                throw Failure(
                    .usage, "\(quoted(node.name)) is to take the place of \(quoted(from)), which nothing tells of",
                    hint: "known are \(lost.map(\.node.name).joined(separator: ", "))")
            }
            chosen[index] = lost.remove(at: found)
        }
        for (index, node) in topology.nodes.enumerated() where chosen[index] == nil {
            if let found = lost.firstIndex(where: { $0.node.name == node.name }) {
                chosen[index] = lost.remove(at: found)
            }
        }
        for index in topology.nodes.indices where chosen[index] == nil && !lost.isEmpty {
            chosen[index] = lost.removeFirst()
        }
        return topology.nodes.enumerated().map { index, node in
            let own = chosen[index]
            return ReplacedNode(
                new: node, old: own?.node, backup: own?.backup ?? backups[0], isOwn: own?.backup != nil)
        }
    }

    /// What was decided, in sentences.
    static func notes(_ nodes: [ReplacedNode], _ sources: RebuildSources) -> [String] {
        var notes = nodes.map { node in
            let place = node.old.map { "takes the place of \($0.name)" } ?? "is one more than there were"
            return "\(node.new.name) \(place), with files from \(node.backup.reference)"
        }
        let members = sources.snapshot?.record.members.map(\.name) ?? []
        let placed = Set(nodes.compactMap { $0.old?.memberName })
        let gone = members.filter { !$0.isEmpty && !placed.contains($0) }
        if !gone.isEmpty {
            notes.append("nothing takes the place of \(gone.joined(separator: ", "))")
        }
        return notes
    }
}
