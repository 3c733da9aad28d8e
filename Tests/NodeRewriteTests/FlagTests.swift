import HostIO
import NodeRewrite
import Testing

@Suite struct FlagTests {
    private let path = "\(manifests)/etcd.yaml"

    @Test(arguments: [
        (["--name=cp-1"], ["--name=cp-21"]), (["--name", "cp-1"], ["--name", "cp-21"]),
        (["-name=cp-1", "-name", "cp-1"], ["-name=cp-21", "-name", "cp-21"]),
        (["'--name=cp-1'", "\"--name\"", "\"cp-1\""], ["'--name=cp-21'", "\"--name\"", "\"cp-21\""]),
        // Given twice: both, and the second too where it has another form.
        (["--name=cp-1", "--name=cp-1"], ["--name=cp-21", "--name=cp-21"]),
        (["--name=cp-1", "--name", "cp-1"], ["--name=cp-21", "--name", "cp-21"]),
        (["--name=cp-11", "--name=cp-1"], ["--name=cp-11", "--name=cp-21"]),
        // Others' values stay.
        (
            ["--name=CP-2", "--data-dir=/var/cp-1", "--name=cp-1"],
            ["--name=CP-2", "--data-dir=/var/cp-1", "--name=cp-21"]
        ),
        (
            ["--listen-peer-urls=https://10.0.0.11:2380,https://10.0.0.111:2380"],
            ["--listen-peer-urls=https://10.0.0.21:2380,https://10.0.0.111:2380"]
        ),
        (
            ["--listen-peer-urls", "https://10.0.0.11:2380, http://10.0.0.11"],
            ["--listen-peer-urls", "https://10.0.0.21:2380, http://10.0.0.21"]
        ),
        (
            ["--initial-cluster=cp-0=https://10.0.0.10:2380,cp-1=https://10.0.0.11:2380"],
            ["--initial-cluster=cp-0=https://10.0.0.10:2380,cp-21=https://10.0.0.21:2380"]
        ),
        (
            ["--initial-cluster=cp-1=https://cp-1:2380/x?y#z", "--client-cert-auth", "--name=cp-1"],
            ["--initial-cluster=cp-21=https://cp-21:2380/x?y#z", "--client-cert-auth", "--name=cp-21"]
        ),
        (
            ["--advertise-client-urls=https://[::ffff:10.0.0.11]:2379", "--name=cp-1"],
            ["--advertise-client-urls=https://[::ffff:10.0.0.11]:2379", "--name=cp-21"]
        ),
    ])
    func `flags are replaced where they stand, in each form`(_ before: [String], _ after: [String]) throws {
        #expect(try rewritten(pod("etcd", before), at: path, try moved()) == pod("etcd", after))
    }

    @Test func `flags in a shell's command are replaced too`() throws {
        for (before, after) in [
            (
                "exec etcd --name=cp-1 --listen-peer-urls 'https://10.0.0.11:2380' # cp-1",
                "exec etcd --name=cp-21 --listen-peer-urls 'https://10.0.0.21:2380' # cp-1"
            ),
            (
                "ETCD_NAME=cp-1 exec /usr/local/bin/etcd --name cp-1",
                "ETCD_NAME=cp-21 exec /usr/local/bin/etcd --name cp-21"
            ),
        ] {
            func text(_ command: String) -> String {
                "kind: Pod\nspec:\n  containers:\n  - command: [sh, -c]\n    args:\n    - \"\(command)\"\n"
            }
            #expect(try rewritten(text(before), at: path, try moved()) == text(after))
        }
        let inLines =
            "kind: Pod\nspec:\n  containers:\n  - command:\n    - sh\n    - -c\n    - |\n      etcd --name=cp-1\n"
        #expect(refusal(inLines, at: path, try moved())?.contains("spec.containers[0].command[2] on line 7") == true)
        #expect(try rewritten(inLines, at: path, try change()) == nil)
        let inPieces = pod("etcd", ["\"x --name=cp-'1'\""])
        #expect(refusal(inPieces, at: path, try moved())?.contains("--name on line 7") == true)
    }

    @Test func `IPv6 is compared as addresses and written in brackets where URLs need them`() throws {
        let change = try NodeChange(
            oldName: "cp-1", newName: "cp-1",
            addresses: [address("fd00::11", "fd00::21"), address("10.0.0.11", "10.0.0.21")])
        let before = pod(
            "etcd",
            [
                "--initial-cluster=cp-1=https://[fd00:0:0::11]:2380",
                "--listen-client-urls=https://[::1]:2379,https://[fd00::11]:2379",
                "--advertise-client-urls=https://[FD00::11]:2379",
            ])
        let after = pod(
            "etcd",
            [
                "--initial-cluster=cp-1=https://[fd00::21]:2380",
                "--listen-client-urls=https://[::1]:2379,https://[fd00::21]:2379",
                "--advertise-client-urls=https://[fd00::21]:2379",
            ])
        #expect(try rewritten(before, at: path, change) == after)
        let kubelet = "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.11,fd00::11 --x\"\n"
        #expect(
            try rewritten(kubelet, at: "/var/lib/kubelet/kubeadm-flags.env", change)
                == "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.21,fd00::21 --x\"\n")
        let toVersion6 = try NodeChange(oldName: "a", newName: "a", addresses: [address("10.0.0.11", "fd00::11")])
        #expect(
            try rewritten(pod("kube-apiserver", ["--advertise-address=10.0.0.11"]), at: path, toVersion6)
                == pod("kube-apiserver", ["--advertise-address=fd00::11"]))
    }

    @Test func `all members change at once, also in a circle`() throws {
        func member(_ old: Int, _ new: Int) throws -> NodeChange.Member {
            NodeChange.Member(
                oldName: "cp-\(old)", newName: "cp-\(new)",
                addresses: [
                    try address("10.0.0.1\(old)", "10.0.0.1\(new)")
                ])
        }
        let members = [try member(1, 2), try member(2, 3), try member(3, 1)]
        func cluster(_ numbers: [Int]) -> String {
            numbers.map { "cp-\($0)=https://10.0.0.1\($0):2380" }.joined(separator: ",")
        }
        let change = try change(name: "cp-2", address: "10.0.0.12", members: members)
        let before = pod("etcd", ["--initial-cluster=\(cluster([1, 2, 3]))", "--name=cp-1"])
        #expect(
            try rewritten(before, at: path, change)
                == pod("etcd", ["--initial-cluster=\(cluster([2, 3, 1]))", "--name=cp-2"]))
        let servers = pod("kube-apiserver", ["--etcd-servers=https://10.0.0.11:2379,https://10.0.0.13:2379"])
        #expect(
            try rewritten(servers, at: path, change)
                == pod("kube-apiserver", ["--etcd-servers=https://10.0.0.12:2379,https://10.0.0.11:2379"]))
        var listing = change
        listing.listsAllMembers = true
        #expect(
            try rewritten(pod("etcd", ["--initial-cluster=\(cluster([1]))"]), at: path, listing)
                == pod("etcd", ["--initial-cluster=\(cluster([2, 3, 1]))"]))
    }

    @Test func `an external etcd's addresses change in the API server`() throws {
        let members = [
            NodeChange.Member(oldName: "e1", newName: "e1", addresses: [try address("10.0.0.31", "10.0.0.41")]),
            NodeChange.Member(oldName: "e2", newName: "e2", addresses: [try address("10.0.0.32", "10.0.0.42")]),
        ]
        for path in ["\(manifests)/kube-apiserver.yaml", "/kubeadm.yaml"] {
            let before = String(decoding: try Trees.file("exte", path), as: UTF8.self)
            let after = before.replacing("10.0.0.31", with: "10.0.0.41").replacing("10.0.0.32", with: "10.0.0.42")
            #expect(before != after)
            #expect(try rewritten(before, at: path, try change(members: members)) == after)
        }
    }

    @Test func `containers of others stay`() throws {
        #expect(try rewritten(pod("proxy", ["--name=cp-1", "--node-ip=10.0.0.11"]), at: path, try moved()) == nil)
    }

    @Test(arguments: [
        ("cp-1", "Cp-2", "\"Cp-2\" is no name of a node"), ("cp-1", "-x", "no name"), ("cp-1", "a\nb", "no name"),
        ("", "cp-2", "the name to be replaced is empty"),
    ])
    func `a change to no name is refused`(_ old: String, _ new: String, _ message: String) {
        let error = #expect(throws: Failure.self) {
            try NodeChange(oldName: old, newName: new, addresses: [])
        }
        #expect(error?.message.contains(message) == true && error?.code == .usage)
    }

    @Test func `changes that contradict themselves are refused`() throws {
        func message(_ addresses: [(String, String)], _ members: [NodeChange.Member] = []) throws -> String? {
            let addresses = try addresses.map { try address($0, $1) }
            do {
                _ = try NodeChange(oldName: "a", newName: "b", addresses: addresses, members: members)
                return nil
            } catch { return error.message }
        }
        #expect(try message([("127.0.0.1", "10.0.0.1")])?.contains("127.0.0.1 is no address") == true)
        #expect(try message([("10.0.0.1", "::1")])?.contains("::1 is no address") == true)
        #expect(try message([("10.0.0.1", "10.0.0.2"), ("10.0.0.1", "10.0.0.3")])?.contains("is to become") == true)
        #expect(
            try message([("10.0.0.1", "10.0.0.3"), ("10.0.0.2", "10.0.0.3")])?.contains("are both to become") == true)
        #expect(
            try message([], [NodeChange.Member(oldName: "a", newName: "c", addresses: [])])?.contains("is to become")
                == true)
        #expect(NodeChange.Endpoint("[fd00::1]:6443")?.text == "[fd00::1]:6443")
        #expect(NodeChange.Endpoint("x")?.port == 6443 && NodeChange.Endpoint("x:y") == nil)
    }
}
