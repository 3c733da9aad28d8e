import HostIO
import NodeRewrite
import YAML

/// The control plane that a cluster is to have after a rebuild: nodes with their names and addresses, and the endpoint.
public struct RebuildTopology: Codable, Sendable, Equatable {
    /// A control-plane node as it is to be.
    public struct Node: Codable, Sendable, Equatable {
        /// Its name, a DNS name in lower case.
        public var name: String
        /// Its addresses, beginning with the one that API server and etcd advertise.
        public var addresses: [String]
        /// The lost node whose place it takes; nil for the one of the same name, or else the next one.
        public var from: String?

        /// A node.
        public init(name: String, addresses: [String], from: String? = nil) {
            self.name = name
            self.addresses = addresses
            self.from = from
        }
    }

    /// What ``endpoint`` says where clients are to go to the API servers' own addresses.
    public static let noEndpoint = "none"

    /// `HOST:PORT` of what stands before all API servers; nil if it stays what it was, ``noEndpoint`` for none.
    public var endpoint: String?
    /// The nodes.
    public var nodes: [Node]

    /// A topology.
    ///
    /// - Throws: ``Failure`` with the code `usage` that names what can't be.
    public init(endpoint: String?, nodes: [Node]) throws(Failure) {
        self.endpoint = endpoint
        self.nodes = nodes
        try check()
    }

    /// A topology from `NAME=ADDRESS`, several addresses of a node with commas between.
    public init(endpoint: String?, nodes texts: [String]) throws(Failure) {
        var nodes: [Node] = []
        for text in texts {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
                throw Failure(
                    .usage, "\(quoted(text)) is no node of a topology", hint: "write NAME=ADDRESS, as cp-1=192.0.2.11")
            }
            nodes.append(Node(name: parts[0], addresses: parts[1].split(separator: ",").map(String.init)))
        }
        try self.init(endpoint: endpoint, nodes: nodes)
    }

    /// Reads a topology's file; ``example(of:endpoint:)`` is one.
    ///
    /// - Throws: ``Failure`` with the code `usage` that names the file and the field.
    public init(parsing bytes: [UInt8], path: String) throws(Failure) {
        func refusal(_ what: String) -> Failure {
            Failure(
                .usage, "\(quoted(path)) is no topology: \(what)",
                hint: "it has `endpoint: HOST:PORT` and `nodes:`, a list of `name`, `address` and maybe `from`")
        }
        let root: YAML.Node?
        do {
            root = try YAML.Node.first(in: bytes)
        } catch {
            throw refusal("\(error)")
        }
        guard let pairs = root?.mapping else { throw refusal("it has no fields") }
        if let unknown = pairs.compactMap(\.key.text).first(where: { !["endpoint", "nodes"].contains($0) }) {
            throw refusal("the field \(quoted(unknown)) is not known")
        }
        var nodes: [Node] = []
        for (index, item) in (root?.items("nodes") ?? []).enumerated() {
            let known = ["name", "address", "addresses", "from"]
            if let unknown = item.mapping?.compactMap(\.key.text).first(where: { !known.contains($0) }) {
                throw refusal("nodes[\(index)] has the field \(quoted(unknown)), which is not known")
            }
            guard let name = item.text("name") else { throw refusal("nodes[\(index)] has no name") }
            let more = item.items("addresses").compactMap(\.text)
            let addresses = (item.text("address").map { [$0] } ?? []) + more
            nodes.append(Node(name: name, addresses: addresses, from: item.text("from")))
        }
        try self.init(endpoint: root?.text("endpoint"), nodes: nodes)
    }

    /// The text of a file that describes a topology, for a person to change.
    ///
    /// - Parameter nodes: names and addresses that were.
    public static func example(of nodes: [(name: String, address: String)], endpoint: String?) -> String {
        let listed = nodes.isEmpty ? [("cp-1", "192.0.2.11"), ("cp-2", "192.0.2.12"), ("cp-3", "192.0.2.13")] : nodes
        let items = listed.map { name, address in
            "  - name: \(name)          # the new node's name\n    address: \(address)    # where it is reached; "
                + "`addresses: [v4, v6]` for two\n    from: \(name)          # the lost node whose place it takes\n"
        }
        return """
            # What stands before all API servers. Leave it out if it stays the same; `none` if there is to be none.
            endpoint: \(endpoint ?? "api.example.com:6443")
            nodes:
            \(items.joined())
            """
    }

    // MARK: Checking

    private func check() throws(Failure) {
        guard !nodes.isEmpty else {
            throw Failure(
                .usage, "the topology has no nodes", hint: "name each new control-plane node with its address")
        }
        if let endpoint, endpoint != Self.noEndpoint, NodeChange.Endpoint(endpoint) == nil {
            throw Failure(.usage, "\(quoted(endpoint)) is no endpoint", hint: "it is HOST:PORT, or `none`")
        }
        var names: Set<String> = []
        var owners: [IPAddress: String] = [:]
        var origins: [String: String] = [:]
        for node in nodes {
            try Self.checkName(node.name)
            guard names.insert(node.name).inserted else {
                throw Failure(.usage, "two nodes are called \(quoted(node.name))", hint: "give each a name of its own")
            }
            guard !node.addresses.isEmpty else {
                throw Failure(.usage, "the node \(quoted(node.name)) has no address", hint: "add its address")
            }
            for text in node.addresses {
                guard let address = IPAddress(text) else {
                    throw Failure(
                        .usage, "\(quoted(text)), of the node \(quoted(node.name)), is no IP address",
                        hint: "names are not resolved: write the address that other nodes reach it by")
                }
                guard address.isOfOneHost else {
                    throw Failure(
                        .usage, "\(address.text), of the node \(quoted(node.name)), is no address of one host",
                        hint: "write the address that other nodes reach it by")
                }
                if let other = owners.updateValue(node.name, forKey: address) {
                    throw Failure(
                        .usage,
                        "the address \(address.text) is given twice, to \(quoted(other)) and \(quoted(node.name))",
                        hint: "every node has an address of its own")
                }
            }
            if let from = node.from, let other = origins.updateValue(node.name, forKey: from) {
                throw Failure(
                    .usage, "\(quoted(other)) and \(quoted(node.name)) are both to take the place of \(quoted(from))",
                    hint: "leave `from` out of one of them: it then takes what is shared from another's backup")
            }
        }
    }

    private static func checkName(_ name: String) throws(Failure) {
        let isName =
            (1...253).contains(name.utf8.count)
            && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy {
                        $0 == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    }
            }
        guard isName else {
            throw Failure(
                .usage, "\(quoted(name)) is no name of a node",
                hint:
                    "names have lower-case letters, digits, hyphens and dots, each label begins and ends with a letter "
                    + "or digit and has at most 63")
        }
    }
}

extension IPAddress {
    /// False for all hosts' (unspecified), groups of hosts (multicast, RFC 5771 and RFC 4291) and link-local IPv6, which needs
    /// an interface besides.
    fileprivate var isOfOneHost: Bool {
        if bytes.allSatisfy({ $0 == 0 }) { return false }
        if bytes.count == 4 { return bytes[0] < 224 }
        return bytes[0] != 0xFF && !(bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80)
    }
}
