import HostIO
import NodeRewrite

/// The names and addresses of lost nodes that no new node has.
struct GoneNames: Sendable {
    /// Names of nodes, in lower case.
    let nodes: Set<String>
    /// Names of nodes and members, and the endpoint if it is another one and a name.
    let names: Set<String>
    /// Their addresses, and the endpoint if it is another one and an address.
    let addresses: Set<IPAddress>
    /// Addresses of lost nodes alone.
    let nodeAddresses: Set<IPAddress>
    /// Names of nodes that stay.
    let staying: Set<String>

    var isEmpty: Bool { names.isEmpty && addresses.isEmpty }

    /// The lost node that holds a lease: programs of Kubernetes call themselves `HOST_UUID`
    /// (Kubernetes 1.36, `cmd/kube-scheduler/app/server.go`).
    func holder(_ identity: String?) -> String? {
        guard let identity, let end = identity.firstIndex(of: "_") else { return nil }
        let name = identity[..<end].lowercased()
        return nodes.contains(name) ? name : nil
    }
}

extension GoneNames {
    /// - Parameter lost: all lost nodes that anything tells of, also those whose place nothing takes.
    init(_ change: TopologyChange, lost: [LostNode]) {
        let newNames = Set(change.nodes.map { $0.new.name.lowercased() })
        let newMembers = Set(change.nodes.map { $0.memberName.lowercased() })
        let newAddresses = Set(change.nodes.flatMap(\.newAddresses))
        let nodes = Set(lost.map { $0.name.lowercased() })
        let members = Set(lost.compactMap { $0.memberName?.lowercased() }).subtracting(newMembers)
        self.nodes = nodes.subtracting(newNames)
        staying = nodes.intersection(newNames)
        nodeAddresses = Set(lost.flatMap(\.addresses).filter { !$0.isOfEveryHost }).subtracting(newAddresses)
        var names = self.nodes.union(members.subtracting(newNames))
        var addresses = nodeAddresses
        if let old = change.oldEndpoint, change.newEndpoint?.host.lowercased() != old.host.lowercased() {
            if let address = IPAddress(old.host) {
                if !newAddresses.contains(address) { addresses.insert(address) }
            } else {
                names.insert(old.host.lowercased())
            }
        }
        // A name that says nothing, as etcd has it where none is given.
        self.names = names.subtracting(["default", "localhost"])
        self.addresses = addresses
    }
}

extension IPAddress {
    /// What every host has for itself.
    fileprivate var isOfEveryHost: Bool { ["127.0.0.1", "::1", "0.0.0.0", "::"].contains(text) }
}
