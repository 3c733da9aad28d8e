import HostIO
import NodeRewrite
import TestSupport
import Testing

@Suite struct SearchTests {
    private func found(_ text: String, _ change: NodeChange? = nil) throws -> [String] {
        OldNameSearch(try change ?? moved()).occurrences(path: "/x", bytes: Array(text.utf8)).map {
            "\($0.line):\($0.column) \($0.word)"
        }
    }

    @Test(arguments: [
        "10.0.0.11", "https://10.0.0.11:6443/", "x=10.0.0.11,", "10.0.0.11/24", "10.0.0.11.", "[::ffff:10.0.0.11]",
        "10.0.0.1-10.0.0.11", "cp-1", "CP-1.example.com", "\"cp-1\"", "system:node:cp-1", "member-cp-1.pem",
        "node-cp-1-key.pem", "etcd-cp-1", "kube-apiserver-cp-1", "cp-1-1a2b3c4d", "lb.example.internal:6443", "/cp-1/",
        "10.0.0.11.nip.io",
    ])
    func `whole words are found`(_ text: String) throws { #expect(try found(text).count == 1, "\(text)") }

    @Test(arguments: [
        "10.0.0.1", "10.0.0.111", "110.0.0.11", "10.0.0.11.5", "1.10.0.0.11", "v10.0.0.11", "10.0.0.11a", "10-0-0-11",
        "cp-11", "xcp-1", "my-cp-1", "cp-1-x", "cp_1", "cp-1é", "écp-1", "xlb.example.internal", "10.0.0.11_",
        "cp-1-1a2b3c4d5", "xetcd-cp-1",
    ])
    func `parts of words are not`(_ text: String) throws { #expect(try found(text) == [], "\(text)") }

    @Test func `IPv6 is found however it is written`() throws {
        let change = try NodeChange(oldName: "a", newName: "a", addresses: [address("fd00::11", "fd00::21")])
        for text in [
            "fd00::11", "FD00:0:0::11", "[fd00::11]:2379", "fd00:0:0:0:0:0:0:11", "fd00::11/64", "fd00::11%eth0",
            "x fd00::11.",
        ] {
            #expect(try found(text, change).count == 1, "\(text)")
        }
        for text in ["fd00::111", "fd00::11:1", "fd00:11", "1fd00::11", "fd00::11g"] {
            #expect(try found(text, change) == [])
        }
    }

    @Test func `what is left after a change is told with its line, and nothing secret`() throws {
        let text =
            "# was cp-1 on 10.0.0.11\nkind: Config\nusers:\n- name: system:node:cp-1\n  user: {token: cp-1-of-10.0.0.11}\n"
        let result = try #require(
            try NodeRewriter.rewrite(path: "/etc/kubernetes/kubelet.conf", bytes: Array(text.utf8), change: try moved())
        )
        let left = OldNameSearch(try moved()).occurrences(in: result)
        #expect(left.map { "\($0.line):\($0.column) \($0.word)" } == ["1:7 cp-1", "1:15 10.0.0.11", "5:25 10.0.0.11"])
        #expect(left.first?.excerpt == "# was cp-1 on 10.0.0.11" && left.last?.excerpt == "user: {token: «secret»")
        // What was written anew is not taken for old: names may change places.
        let circle = try change(
            name: "cp-2", members: [NodeChange.Member(oldName: "cp-2", newName: "cp-1", addresses: [])])
        let swapped = try #require(
            try NodeRewriter.rewrite(
                path: "\(manifests)/e.yaml", bytes: Array(pod("etcd", ["--name=cp-2"]).utf8), change: circle))
        #expect(swapped.edits.count == 1 && OldNameSearch(circle).occurrences(in: swapped).isEmpty)
        #expect(try found("cp-1 10.0.0.11 lb.example.internal", try change()) == [])
        #expect(OldNameSearch(try moved()).occurrences(path: "/x", bytes: Array("cp-1\u{0}".utf8)).isEmpty)
    }

    @Test func `who holds a lease is found by the name before the UUID`() throws {
        #expect(try found("cp-1_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9").count == 1)
        for text in ["cp-1_0a1b2c3d", "cp-1_xyz", "cp-1_0a1b2c3g-4e5f", "cp-1_"] {
            #expect(try found(text) == [], "\(text)")
        }
    }

    @Test func `words are told once, and what can't have one is passed over`() throws {
        let search = OldNameSearch(
            names: ["cp-1", "Lb.Example"],
            addresses: [try #require(IPAddress("10.0.0.1")), try #require(IPAddress("fd00::11"))])
        let text = "cp-1 CP-1 10.0.0.1 10.0.0.11 cp-1 FD00:0:0::11 lb.example:6443"
        let words = search.words(in: Array(text.utf8))
        #expect(words == ["cp-1", "CP-1", "10.0.0.1", "FD00:0:0::11", "lb.example"])
        func mayBe(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { search.mayBe(in: $0) } }
        for text in ["cp-1", "xxCP-11", "10.0.0.1", "FD00:", "\u{4}lb.exampleZ", "c cp-1"] {
            #expect(mayBe(text), "\(text)")
        }
        for text in ["", "c", "cp", "cp-", "p-1", "10.0.0.", "fd00", "cp\u{0}-1"] { #expect(!mayBe(text), "\(text)") }
        #expect(OldNameSearch(names: [], addresses: []).isEmpty && !search.isEmpty)
        #expect(OldNameSearch(names: [], addresses: []).words(in: Array(text.utf8)).isEmpty)
    }
}

@Suite struct DiffTests {
    @Test func `a diff is what diff itself writes, and patch takes it`() throws {
        let directory = try TemporaryDirectory()
        for name in ["etcd.yaml", "kube-apiserver.yaml"] {
            let path = "\(manifests)/\(name)"
            let bytes = try Trees.file("base", path)
            let result = try #require(try NodeRewriter.rewrite(path: path, bytes: bytes, change: try moved()))
            let old = try directory.write(String(decoding: bytes, as: UTF8.self), to: "old")
            let new = try directory.write(String(decoding: result.newBytes, as: UTF8.self), to: "new")
            let theirs = try run(
                "diff", ["-u", "--label", "a\(path)", "--label", "b\(path)", old, new], allowsFailure: true)
            #expect(theirs.status == 1 && result.unifiedDiff == theirs.text)
        }
        let unended = "kind: Config\nusers:\n- name: system:node:cp-1"
        let result = try #require(
            try NodeRewriter.rewrite(path: "/x.conf", bytes: Array(unended.utf8), change: try moved()))
        #expect(
            result.unifiedDiff == "--- a/x.conf\n+++ b/x.conf\n@@ -1,3 +1,3 @@\n kind: Config\n users:\n"
                + "-- name: system:node:cp-1\n\\ No newline at end of file\n+- name: system:node:cp-21\n"
                + "\\ No newline at end of file\n")
    }

    @Test func `no secret is in a diff`() throws {
        let files: [(path: String, text: String, secrets: [String])] = [
            (
                "/etc/kubernetes/kubelet.conf",
                "kind: Config\nusers:\n- name: system:node:cp-1\n  user:\n    client-key-data: c2VjcmV0\n    token: |\n      hush1\n      hush2\n",
                ["c2VjcmV0", "hush1", "hush2"]
            ),
            (
                "/etc/kubernetes/kubelet.conf",
                "{kind: Config, users: [{name: \"system:node:cp-1\", user: {\"password\":\"hush\"}}]}", ["hush"]
            ),
            (
                "/k.yaml",
                "kind: InitConfiguration\nnodeRegistration: {name: cp-1}\nbootstrapTokens: [{token: abcdef.0123}]\n"
                    + "certificateKey: f00d\n", ["abcdef", "f00d"]
            ),
            (
                "/etc/rancher/rke2/config.yaml", "token: K10x::server:y\nnode-name: cp-1\nagent-token: 'z9'\n",
                ["K10x", "z9"]
            ),
            ("/etc/default/kubelet", "K3S_TOKEN=hush\nA=\"--node-ip=10.0.0.11 --token hush2 --x=y\"\n", ["hush"]),
            (
                "\(manifests)/etcd.yaml",
                pod("etcd", ["--token", "hush1", "--name=cp-1", "--auth-token-secret=hush2"])
                    + "    env:\n    - name: MY_PASSWORD\n      value: hush3\n    - name: X\n      value: http://u:hush4@h/\n",
                ["hush"]
            ),
            (
                "/etc/systemd/system/x.service",
                "ExecStart=k3s --node-ip 10.0.0.11 \\\n --token hush\nEnvironment='K3S_TOKEN=hush'\n", ["hush"]
            ),
        ]
        for (path, text, secrets) in files {
            let result = try #require(
                try NodeRewriter.rewrite(path: path, bytes: Array(text.utf8), change: try moved()), "\(path)")
            let diff = result.unifiedDiff
            #expect(diff.contains("«secret»") && !result.edits.isEmpty)
            for secret in secrets {
                #expect(!diff.contains(secret), "\(diff)")
                #expect(!"\(result.edits)".contains(secret))
            }
        }
        let apiserver = try Trees.file("base", "\(manifests)/kube-apiserver.yaml")
        let result = try NodeRewriter.rewrite(path: "\(manifests)/a.yaml", bytes: apiserver, change: try moved())
        #expect(result?.unifiedDiff.contains("«secret»") == false)
    }
}
