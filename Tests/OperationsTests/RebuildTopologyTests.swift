import HostIO
import Testing

@testable import Operations

@Suite struct RebuildTopologyTests {
    private func parsed(_ text: String) throws -> RebuildTopology {
        try RebuildTopology(parsing: Array(text.utf8), path: "topology.yaml")
    }

    @Test func filesAreRead() throws {
        let topology = try parsed(
            """
            endpoint: api.example.com:6443
            nodes:
            - {name: cp-1, address: 192.0.2.1, from: old}
            - name: cp-2
              addresses: [192.0.2.2, "2001:db8::2"]
            """)
        #expect(topology.endpoint == "api.example.com:6443")
        #expect(topology.nodes.map(\.name) == ["cp-1", "cp-2"] && topology.nodes[0].from == "old")
        #expect(topology.nodes[1].addresses == ["192.0.2.2", "2001:db8::2"])
        let flags = try RebuildTopology(endpoint: nil, nodes: ["a=192.0.2.1,2001:db8::1", "b=192.0.2.2"])
        #expect(flags.nodes.map(\.addresses) == [["192.0.2.1", "2001:db8::1"], ["192.0.2.2"]])
    }

    @Test func theExampleIsOne() throws {
        let example = RebuildTopology.example(of: [("cp-1", "192.0.2.1"), ("cp-2", "fd00::2")], endpoint: "lb:6443")
        let topology = try parsed(example)
        #expect(topology.nodes.map(\.from) == ["cp-1", "cp-2"] && topology.endpoint == "lb:6443")
        #expect(topology.nodes.map(\.addresses) == [["192.0.2.1"], ["fd00::2"]])
        #expect(try parsed(RebuildTopology.example(of: [], endpoint: nil)).nodes.count == 3)
    }

    @Test(arguments: [
        ("nodes: []", "has no nodes"), ("[]", "has no fields"), ("a: [", "is no topology"),
        ("node: []", "\"node\" is not known"), ("nodes: [{address: 1.2.3.4}]", "nodes[0] has no name"),
        ("nodes: [{name: a}]", "has no address"), ("nodes: [{name: a, adress: x}]", "\"adress\", which is not known"),
        ("nodes: [{name: A, address: 1.2.3.4}]", "\"A\" is no name"),
        ("nodes: [{name: a-, address: 1.2.3.4}]", "no name"),
        ("nodes: [{name: a, address: host}]", "no IP address"),
        ("nodes: [{name: a, address: 224.0.0.1}]", "no address of one host"),
        ("nodes: [{name: a, address: 0.0.0.0}]", "no address of one host"),
        ("nodes: [{name: a, address: 'fe80::1'}]", "no address of one host"),
        ("nodes: [{name: a, address: 'ff02::1'}]", "no address of one host"),
        ("nodes: [{name: a, address: 1.2.3.4}, {name: b, address: 1.2.3.4}]", "given twice"),
        ("nodes: [{name: a, address: 'fd00::1'}, {name: b, address: 'fd00:0::1'}]", "given twice"),
        ("nodes: [{name: a, address: 1.2.3.4}, {name: a, address: 1.2.3.5}]", "two nodes are called"),
        ("nodes: [{name: a, address: 1.2.3.4, from: x}, {name: b, address: 1.2.3.5, from: x}]", "place of \"x\""),
        ("endpoint: 'a:b:c'\nnodes: [{name: a, address: 1.2.3.4}]", "is no endpoint"),
    ])
    func whatCantBeIsRefused(text: String, words: String) {
        let error = #expect(throws: Failure.self) { try parsed(text) }
        #expect(error?.code == .usage && error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
}
