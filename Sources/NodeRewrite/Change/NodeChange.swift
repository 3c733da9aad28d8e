public import HostIO

/// What a control-plane node is to be called and where it is to be reached, against what it was.
///
/// All old values are replaced at once: cp-1 may become cp-2 while cp-2 becomes cp-1.
public struct NodeChange: Sendable {
    /// The names and addresses of a member of etcd, which need not be its node's.
    public struct Member: Sendable, Equatable {
        /// What etcd called it.
        public var oldName: String
        /// What etcd is to call it.
        public var newName: String
        /// Its addresses, each with the one that takes its place.
        public var addresses: [Address]

        /// A member.
        public init(oldName: String, newName: String, addresses: [Address]) {
            self.oldName = oldName
            self.newName = newName
            self.addresses = addresses
        }
    }

    /// An address and the one that takes its place.
    public struct Address: Sendable, Equatable {
        /// Where it was reached.
        public var old: IPAddress
        /// Where it is to be reached.
        public var new: IPAddress

        /// A pair of addresses.
        public init(old: IPAddress, new: IPAddress) {
            self.old = old
            self.new = new
        }
    }

    /// The load balancer, virtual address or name in front of all API servers.
    public struct Endpoint: Sendable, Equatable {
        /// A name or an address, without brackets.
        public var host: String
        /// The port.
        public var port: Int

        /// An endpoint.
        public init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        /// `HOST:PORT` or `HOST`, whose port is 6443 as kubeadm has it; nil for anything else.
        public init?(_ text: String) {
            guard let (host, port) = splitHostPort(text), !host.isEmpty, port != 0 else { return nil }
            self.init(host: host, port: port ?? 6443)
        }

        /// `HOST:PORT`, an IPv6 address in brackets.
        public var text: String { "\(bracketed(host)):\(port)" }

        func hasHost(_ other: some StringProtocol) -> Bool { isSameHost(host, other) }
    }

    /// The node's name as Kubernetes had it.
    public var oldName: String
    /// The node's new name.
    public var newName: String
    /// The node's addresses, several on a dual-stack node.
    public var addresses: [Address]
    /// The port of the node's API server.
    public var oldPort: Int
    /// The new port of it.
    public var newPort: Int
    /// The old endpoint, nil if clients went to the API servers' own addresses.
    public var oldEndpoint: Endpoint?
    /// The new endpoint.
    public var newEndpoint: Endpoint?
    /// All members of etcd, this node's too if its name in etcd is another one.
    public var members: [Member]
    /// Whether `initial-cluster` is to list all members and no others: also those that an old file did not know, and none
    /// that is no more.
    public var listsAllMembers: Bool

    /// A change.
    ///
    /// - Throws: ``Failure`` with the code `usage` for names and addresses that no node can have, and where one old value
    ///   would become two new ones, or two old ones the same.
    public init(
        oldName: String, newName: String, addresses: [Address], oldPort: Int = 6443, newPort: Int = 6443,
        oldEndpoint: Endpoint? = nil, newEndpoint: Endpoint? = nil, members: [Member] = [],
        listsAllMembers: Bool = false
    ) throws(Failure) {
        self.oldName = oldName
        self.newName = newName
        self.addresses = addresses
        self.oldPort = oldPort
        self.newPort = newPort
        self.oldEndpoint = oldEndpoint
        self.newEndpoint = newEndpoint
        self.members = members
        self.listsAllMembers = listsAllMembers
        try check()
    }

    /// The way back: new values become old ones.
    public func inverted() throws(Failure) -> NodeChange {
        func inverted(_ addresses: [Address]) -> [Address] { addresses.map { Address(old: $0.new, new: $0.old) } }
        return try NodeChange(
            oldName: newName, newName: oldName, addresses: inverted(addresses), oldPort: newPort, newPort: oldPort,
            oldEndpoint: newEndpoint, newEndpoint: oldEndpoint,
            members: members.map {
                Member(oldName: $0.newName, newName: $0.oldName, addresses: inverted($0.addresses))
            }, listsAllMembers: listsAllMembers)
    }

    /// The addresses of the node and of all members.
    var allAddresses: [Address] { addresses + members.flatMap(\.addresses) }

    // MARK: Checking

    private func check() throws(Failure) {
        for name in [newName] + members.map(\.newName) where !isHostName(name) {
            throw Failure(
                .usage, "\(quoted(name)) is no name of a node",
                hint: "names have lower-case letters, digits, - and . and begin and end with a letter or digit")
        }
        for endpoint in [newEndpoint].compactMap(\.self) {
            guard isHostName(endpoint.host.lowercased()) || IPAddress(endpoint.host) != nil,
                (1...65535).contains(endpoint.port)
            else { throw Failure(.usage, "\(quoted(endpoint.text)) is no endpoint", hint: "it is HOST:PORT") }
        }
        guard (1...65535).contains(newPort) else { throw Failure(.usage, "\(newPort) is no port of an API server") }
        for address in allAddresses {
            // Every node has these: files name them for what they are.
            guard let special = [address.old, address.new].first(where: \.isOfEveryNode) else { continue }
            throw Failure(.usage, "\(special.text) is no address that a node is reached at by others")
        }
        try checkPairs([(oldName, newName)] + members.map { ($0.oldName, $0.newName) }, "the name")
        try checkPairs(allAddresses.map { ($0.old.text, $0.new.text) }, "the address")
    }

    private func checkPairs(_ pairs: [(old: String, new: String)], _ what: String) throws(Failure) {
        var news: [String: String] = [:]
        var olds: [String: String] = [:]
        for (old, new) in pairs {
            guard !old.isEmpty else { throw Failure(.usage, "\(what) to be replaced is empty") }
            if let other = news.updateValue(new, forKey: old), other != new {
                throw Failure(.usage, "\(what) \(quoted(old)) is to become \(quoted(other)) and \(quoted(new))")
            }
            if let other = olds.updateValue(old, forKey: new), other != old {
                throw Failure(.usage, "\(quoted(other)) and \(quoted(old)) are both to become \(what) \(quoted(new))")
            }
        }
    }
}

extension IPAddress {
    /// What every node reaches itself by, or no address in particular.
    fileprivate var isOfEveryNode: Bool {
        if bytes.count == 4 { return bytes == [127, 0, 0, 1] || bytes.allSatisfy { $0 == 0 } }
        return bytes.dropLast().allSatisfy { $0 == 0 } && (bytes.last ?? 0) <= 1
    }
}

/// Whether it is a name as RFC 1123 has them, in lower case.
private func isHostName(_ name: String) -> Bool {
    guard (1...253).contains(name.utf8.count) else { return false }
    return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
        (1...63).contains(label.utf8.count) && label.utf8.first != 0x2D && label.utf8.last != 0x2D
            && label.utf8.allSatisfy { $0 == 0x2D || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) }
    }
}
