import HostIO
import NodeRewrite

/// A lost node and the one that takes its place.
struct ReplacedNode {
    /// What it is to be.
    let new: RebuildTopology.Node
    /// The lost node; nil if nothing tells of it.
    let old: LostNode?
    /// The backup that files come from, which may be another node's.
    let backup: NodeBackup
    /// Whether that is a backup of the lost node itself.
    let isOwn: Bool

    var newAddresses: [IPAddress] { new.addresses.compactMap { IPAddress($0) } }

    /// The new name of the member.
    var memberName: String { backup.layout.memberName(of: self) }
}

/// The change of the whole control plane, from which each node's follows.
struct TopologyChange {
    let nodes: [ReplacedNode]
    let oldEndpoint: NodeChange.Endpoint?
    let newEndpoint: NodeChange.Endpoint?

    init(_ nodes: [ReplacedNode], endpoint: String?) {
        self.nodes = nodes
        oldEndpoint = nodes.lazy.compactMap(\.backup.node.endpoint).first
        newEndpoint =
            switch endpoint {
            case nil: oldEndpoint
            case RebuildTopology.noEndpoint?: nil
            case let text?: NodeChange.Endpoint(text)
            }
    }

    /// The change of the files that a node gets, which may be another lost node's.
    func fileChange(of index: Int) throws(Failure) -> NodeChange {
        let node = nodes[index]
        let source = node.backup.node
        var members: [NodeChange.Member] = []
        if let memberName = source.memberName {
            members.append(
                NodeChange.Member(
                    oldName: memberName, newName: node.memberName,
                    addresses: pairs(source.addresses, node.newAddresses)))
            for (number, other) in nodes.enumerated() where number != index {
                members.append(member(number, other, filesOf: source, placeOf: node.isOwn ? nil : node.old))
            }
        }
        return try NodeChange(
            oldName: source.name, newName: node.new.name, addresses: pairs(source.addresses, node.newAddresses),
            oldPort: source.port, newPort: source.port, oldEndpoint: oldEndpoint, newEndpoint: newEndpoint,
            members: members, listsAllMembers: true)
    }

    /// Another member: its old name and addresses are what the files call it.
    ///
    /// Where a node gets the files of another, the two change places: each old value still becomes one new one. Of a member
    /// that nothing tells of, the old ones are such as no file has.
    private func member(
        _ number: Int, _ other: ReplacedNode, filesOf source: LostNode, placeOf lost: LostNode?
    ) -> NodeChange.Member {
        let isSource = other.old?.memberName == source.memberName
        let old = isSource ? lost : other.old
        var oldName = "unknown-\(number + 1).invalid"
        if let name = old?.memberName, name != source.memberName { oldName = name }
        if let old, oldName == old.memberName, !old.addresses.isEmpty {
            return NodeChange.Member(
                oldName: oldName, newName: other.memberName,
                addresses: peerFirst(pairs(old.addresses, other.newAddresses), of: source))
        }
        let addresses = other.newAddresses.enumerated().compactMap { index, address -> NodeChange.Address? in
            // Addresses that no host has: of the reserved class E, and of the prefix that is discarded (RFC 6666).
            let unused =
                address.bytes.count == 4
                ? IPAddress("240.0.\(index).\(number + 1)") : IPAddress("100::\(index):\(number + 1)")
            return unused.map { NodeChange.Address(old: $0, new: address) }
        }
        return NodeChange.Member(
            oldName: oldName, newName: other.memberName, addresses: peerFirst(addresses, of: source))
    }

    /// The address that members reach each other by comes first, for it is listed where an old file did not know the member.
    private func peerFirst(_ pairs: [NodeChange.Address], of source: LostNode) -> [NodeChange.Address] {
        let peer = source.peerURLs.first.flatMap(LostNode.hostAndPort).flatMap { IPAddress($0.host) }
        guard let index = peer.flatMap({ source.addresses.firstIndex(of: $0) }), index < pairs.count else {
            return pairs
        }
        var pairs = pairs
        pairs.insert(pairs.remove(at: index), at: 0)
        return pairs
    }

    /// Addresses take each other's place by their number, but only a first one that of another family.
    private func pairs(_ olds: [IPAddress], _ news: [IPAddress]) -> [NodeChange.Address] {
        var free = news
        var result: [NodeChange.Address] = []
        for (index, old) in olds.enumerated() {
            let match = free.firstIndex { index == 0 || $0.bytes.count == old.bytes.count }
            if let match { result.append(NodeChange.Address(old: old, new: free.remove(at: match))) }
        }
        return result
    }
}
