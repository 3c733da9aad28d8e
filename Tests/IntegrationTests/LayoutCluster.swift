import Foundation
import TestSupport
import Testing

/// Three members of a distribution over mTLS on loopback addresses: lost as nodes, and running again on others.
final class LayoutCluster {
    /// A node and what takes its place.
    struct Node {
        let old: String
        let oldAddress: String
        let new: String
        let newAddress: String
    }

    /// The certificates that a client of etcd shows, as paths of the node.
    struct Client {
        let ca: String
        let pair: NodeTreeBuilder.Pair
    }

    let nodes: [Node]
    let trees: [NodeTreeBuilder]
    /// By the root that the paths are below.
    let client: (String) throws -> Client
    let store: TestStore
    private(set) var running: [Int: BackgroundProcess] = [:]
    private static let version = EtcdVersion.v3_5

    /// - Parameter network: the third number of the addresses, one for each test that runs beside others.
    init(copying first: NodeTreeBuilder, network: Int, client: @escaping (String) throws -> Client) throws {
        nodes = (1...3).map { index in
            Node(
                old: "cp-\(index)", oldAddress: "127.0.\(network).2\(index)", new: "m-\(index)",
                newAddress: "127.0.\(network).3\(index)")
        }
        trees = try (1...3).map { _ in
            let tree = try NodeTreeBuilder()
            try TestSupport.run("cp", ["-a", first.root + "/.", tree.root])
            return tree
        }
        self.client = client
        store = try TestStore(Laboratory.shared().server(Self.version))
    }

    deinit { for process in running.values { process.stop() } }

    // MARK: etcd

    func start(_ index: Int, _ flags: [String], environment: [String: String] = [:]) throws {
        running[index] = try BackgroundProcess(
            Self.version.path(of: "etcd"), flags, environment: environment)
    }

    func stop(_ indices: [Int]? = nil) {
        for index in indices ?? Array(running.keys) { running.removeValue(forKey: index)?.stop() }
    }

    func ctl(_ addresses: [String], _ root: String, _ arguments: [String], input: Data? = nil) throws -> String {
        let client = try client(root)
        let flags =
            ["--endpoints=" + addresses.map { "https://\($0):2379" }.joined(separator: ",")]
            + ["--dial-timeout=10s", "--command-timeout=30s", "--cacert=\(root)\(client.ca)"]
            + ["--cert=\(root)\(client.pair.certificate)", "--key=\(root)\(client.pair.key)"]
        return try TestSupport.run(
            Self.version.path(of: "etcdctl"), flags + arguments, environment: ["ETCDCTL_API": "3"], input: input
        ).text
    }

    func waitUntilHealthy(_ addresses: [String], _ root: String) throws {
        for _ in 0..<120 {
            if (try? ctl(addresses, root, ["endpoint", "health"])) != nil { return }
            usleep(500_000)
        }
        _ = try ctl(addresses, root, ["endpoint", "health"])
    }

    /// Fills the cluster, and waits until it is one.
    func fill() throws {
        let root = trees[0].root
        try waitUntilHealthy(nodes.map(\.oldAddress), root)
        for index in 0..<24 {
            let key = "/registry/\(["pods/kube-system/p", "secrets/default/s", "minions/n"][index % 3])-\(index)"
            _ = try ctl(
                [nodes[0].oldAddress], root, ["put", key],
                input: Data("k8s\0".utf8) + Data((0..<(index * 7)).map { UInt8($0 % 251) }))
            if index % 4 == 3 { _ = try ctl([nodes[0].oldAddress], root, ["del", key]) }
        }
    }

    func keys(_ address: String, _ root: String) throws -> [[String]] {
        let text = try ctl([address], root, ["get", "", "--from-key", "--write-out=json"])
        return try JSON(Data(text.utf8)).kvs.array.map {
            [$0.key.string, $0["value"].string, "\($0.mod_revision.int)"]
        }
    }

    // MARK: Backups and plans

    func backUp(_ index: Int, _ more: [String] = []) throws -> String {
        let result = try SnapTool.attempt(
            [
                "backup", "--root", trees[index].root, "-r", store.key.recipient, "--store", store.root, "--cluster",
                "test", "--node", nodes[index].old, "-o", "json",
            ] + more)
        guard [0, 3].contains(result.status) else { throw TestSupportError("backup: \(result.errorText)") }
        let report = try JSON(result.output)
        return "test/\(nodes[index].old)/\(TestStore.id(of: report.path.string))"
    }

    var access: [String] { ["--store", store.root, "-i", store.key.path] }
    var topology: [String] { nodes.flatMap { ["--node", "\($0.new)=\($0.newAddress)"] } }

    func planning(_ references: [String], _ more: [String] = []) -> [String] {
        ["rebuild", "plan"] + references + access + topology + more
    }

    /// Plans into a file, and reads it.
    func plan(_ references: [String], _ more: [String] = []) throws -> (file: String, document: JSON) {
        let file = store.directory.file("plan.json")
        try SnapTool.run(planning(references, ["--out", file] + more))
        return (file, try JSON(Data(contentsOf: URL(fileURLWithPath: file))))
    }

    /// Carries a plan out on roots of new hosts.
    func apply(_ plan: String) throws -> [String] {
        try nodes.map { node in
            let root = store.directory.file(node.new)
            try TestSupport.run("mkdir", [root])
            try SnapTool.run(["rebuild", "apply", "--plan", plan, "--node", node.new, "--root", root] + access)
            return root
        }
    }

    // MARK: What is to be

    /// Expects one cluster of exactly the new members, with the names that files say and all that was there before.
    func expectOneCluster(
        _ roots: [String], names: [String], keys before: [[String]], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let addresses = nodes.map(\.newAddress)
        try waitUntilHealthy(addresses, roots[0])
        let listed = try ctl([addresses[0]], roots[0], ["member", "list"])
        for (name, address) in zip(names, addresses) {
            #expect(
                listed.contains("started, \(name), https://\(address):2380,"), "\(listed)",
                sourceLocation: sourceLocation)
        }
        #expect(listed.split(separator: "\n").count == 3, "\(listed)", sourceLocation: sourceLocation)
        for (address, root) in zip(addresses, roots) {
            #expect(try keys(address, root) == before, sourceLocation: sourceLocation)
        }
        _ = try ctl([addresses[2]], roots[2], ["put", "/registry/new", "value"])
        #expect(
            try ctl([addresses[0]], roots[1], ["get", "/registry/new", "--print-value-only"]) == "value\n",
            sourceLocation: sourceLocation)
        let hashes = try JSON(Data(ctl(addresses, roots[0], ["endpoint", "hashkv", "--write-out=json"]).utf8))
        #expect(Set(hashes.array.map(\.HashKV.hash.int)).count == 1, sourceLocation: sourceLocation)
    }

    /// Takes all of it back, and expects nothing to be left.
    func undo(_ roots: [String]) throws {
        for root in roots {
            try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
            #expect(try TestSupport.run("ls", ["-A", root]).text == "")
        }
    }
}
