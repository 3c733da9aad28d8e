import Certificates
import HostIO
import NodeRewrite

/// How old names and addresses in a node's files become new ones, as a plan has it.
public struct RebuildMapping: Codable, Sendable {
    /// An address and the one that takes its place.
    public struct Address: Codable, Sendable {
        /// What it was.
        public var old: String
        /// What it is to be.
        public var new: String
    }

    /// A member of etcd.
    public struct Member: Codable, Sendable {
        /// What it was called.
        public var oldName: String
        /// What it is to be called.
        public var newName: String
        /// Its addresses.
        public var addresses: [Address]
    }

    /// The name in the files.
    public var oldName: String
    /// The new name.
    public var newName: String
    /// The addresses of the node in the files, with the new ones.
    public var addresses: [Address]
    /// The port of the API server.
    public var port: Int
    /// The endpoint before, nil for none.
    public var oldEndpoint: String?
    /// The endpoint after, nil for none.
    public var newEndpoint: String?
    /// All members of etcd, this node's first.
    public var members: [Member]
    /// For how many seconds the cluster's configuration has certificates be valid; nil for as long as the old ones.
    public var certificateSeconds: Int?

    init(_ change: NodeChange) {
        func addresses(_ pairs: [NodeChange.Address]) -> [Address] {
            pairs.map { Address(old: $0.old.text, new: $0.new.text) }
        }
        (oldName, newName, port) = (change.oldName, change.newName, change.newPort)
        self.addresses = addresses(change.addresses)
        (oldEndpoint, newEndpoint) = (change.oldEndpoint?.text, change.newEndpoint?.text)
        members = change.members.map {
            Member(oldName: $0.oldName, newName: $0.newName, addresses: addresses($0.addresses))
        }
    }

    /// The change of files.
    func nodeChange() throws(Failure) -> NodeChange {
        try NodeChange(
            oldName: oldName, newName: newName, addresses: Self.pairs(addresses), oldPort: port, newPort: port,
            oldEndpoint: oldEndpoint.flatMap { NodeChange.Endpoint($0) },
            newEndpoint: newEndpoint.flatMap { NodeChange.Endpoint($0) },
            members: members.map {
                NodeChange.Member(oldName: $0.oldName, newName: $0.newName, addresses: Self.pairs($0.addresses))
            }, listsAllMembers: true)
    }

    /// The change of certificates.
    ///
    /// - Parameter newAddresses: all addresses of the new node.
    func identityChange(from source: LostNode, to newAddresses: [String]) throws(Failure) -> IdentityChange {
        var source = source
        source.endpoint = oldEndpoint.flatMap { NodeChange.Endpoint($0) }
        let endpoint = newEndpoint.flatMap { NodeChange.Endpoint($0) }
        return IdentityChange(
            from: try source.identity(),
            to: try Certificates.NodeIdentity(
                nodeName: newName, addresses: newAddresses.compactMap { IPAddress($0) }, endpointHost: endpoint?.host))
    }

    private static func pairs(_ addresses: [Address]) -> [NodeChange.Address] {
        addresses.compactMap { pair in
            guard let old = IPAddress(pair.old), let new = IPAddress(pair.new) else { return nil }
            return NodeChange.Address(old: old, new: new)
        }
    }
}
