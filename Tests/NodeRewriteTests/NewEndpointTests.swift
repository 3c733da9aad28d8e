import Testing

@testable import NodeRewrite

/// An endpoint that a cluster did not have gets into the names of the certificates that k3s, RKE2 and k0s make at start.
@Suite struct NewEndpointTests {
    private static let k3s = "/etc/rancher/k3s/config.yaml"
    private static let k0s = "/etc/k0s/k0s.yaml"
    private static let head = "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\n"

    private func change(to host: String = "api.new.example:8443") throws -> NodeChange {
        try NodeRewriteTests.change(name: "cp-21", address: "10.0.0.21", from: nil, to: host)
    }

    @Test(arguments: [
        (k3s, "node-ip: 10.0.0.11 # here\n", "node-ip: 10.0.0.21 # here\ntls-san: [api.new.example]\n"),
        (k3s, "node-ip: 10.0.0.11", "node-ip: 10.0.0.21\ntls-san: [api.new.example]"),
        (
            k3s, "tls-san:\n  - 10.0.0.11   # own\n  - other\n# end\nx: y\n",
            "tls-san:\n  - 10.0.0.21   # own\n  - other\n  - api.new.example\n# end\nx: y\n"
        ),
        (k3s, "tls-san: [other, '10.0.0.11']\n", "tls-san: [other, '10.0.0.21', api.new.example]\n"),
        (k3s, "tls-san: []\n", "tls-san: [api.new.example]\n"),
        (k3s, "tls-san: other,10.0.0.11\n", "tls-san: other,10.0.0.21,api.new.example\n"),
        (k3s, "{node-ip: 10.0.0.11}", "{node-ip: 10.0.0.21, tls-san: [api.new.example]}"),
        ("/etc/rancher/rke2/config.yaml.d/1.yaml", "tls-san+: [other]\n", "tls-san+: [other, api.new.example]\n"),
        ("/etc/rancher/rke2/config.yaml.d/1.yaml", "node-ip: 10.0.0.11\n", "node-ip: 10.0.0.21\n"),
        (
            "/etc/systemd/system/k3s.service", "ExecStart=/usr/local/bin/k3s server --tls-san=a --tls-san b\n",
            "ExecStart=/usr/local/bin/k3s server --tls-san=a,api.new.example --tls-san b\n"
        ),
        (
            k0s, head + "spec:\n  api:\n    address: 10.0.0.11\n    sans:\n    - 10.0.0.11\n  storage: {type: etcd}\n",
            head + "spec:\n  api:\n    address: 10.0.0.21\n    sans:\n    - 10.0.0.21\n    - api.new.example\n"
                + "    externalAddress: api.new.example\n  storage: {type: etcd}\n"
        ),
        (
            k0s, head + "spec:\n  api: {address: 10.0.0.11, sans: [x]}\n",
            head + "spec:\n  api: {address: 10.0.0.21, sans: [x, api.new.example], externalAddress: api.new.example}\n"
        ),
        (
            k0s, head + "spec:\n  storage:\n    type: etcd\n",
            head + "spec:\n  storage:\n    type: etcd\n  api: {externalAddress: api.new.example}\n"
        ),
    ])
    func `it is added where it is missing`(_ path: String, _ before: String, _ after: String) throws {
        #expect(try rewritten(before, at: path, try change()) == after)
    }

    @Test(arguments: [
        (k3s, "tls-san: [api.new.example]\n"), (k3s, "tls-san: 'x, API.new.example'\n"),
        ("/etc/systemd/system/k3s.service", "ExecStart=/usr/local/bin/k3s server --tls-san=api.new.example\n"),
        ("/etc/systemd/system/k3s.service", "ExecStart=/usr/local/bin/k3s server\n"),
        ("/etc/systemd/system/kubelet.service", "ExecStart=/usr/bin/kubelet\n"),
        (k0s, head + "spec: {api: {externalAddress: api.new.example, sans: [api.new.example]}}\n"),
    ])
    func `it is not added twice`(_ path: String, _ text: String) throws {
        #expect(try rewritten(text, at: path, try change()) == nil)
    }

    @Test func `addresses of the node itself and IPv6 endpoints`() throws {
        #expect(try rewritten("x: y\n", at: Self.k3s, try change(to: "10.0.0.21:6443")) == nil)
        #expect(
            try rewritten("x: y\n", at: Self.k3s, try change(to: "[fd00::9]:6443")) == "x: y\ntls-san: ['fd00::9']\n")
        #expect(
            try rewritten("tls-san:\n- a\n", at: Self.k3s, try change(to: "[fd00::9]:6443"))
                == "tls-san:\n- a\n- 'fd00::9'\n")
    }

    /// An alias would carry it elsewhere: that is for a person.
    @Test func `what can't be changed safely is said`() throws {
        for text in ["a: &names [x]\ntls-san: *names\n", "a: b\n--- \nx: y\n...\n%"] {
            let result = try? NodeRewriter.rewrite(path: Self.k3s, bytes: Array(text.utf8), change: try change())
            #expect(result.map { $0.newBytes == $0.oldBytes } ?? true)
        }
        let text = "a: &names [x]\ntls-san: *names\n"
        let result = try NodeRewriter.rewrite(path: Self.k3s, bytes: Array(text.utf8), change: try change())
        #expect(result?.remarks.first?.contains("api.new.example") == true)
    }

    @Test func `a line that is added is one in the difference`() throws {
        let text = "a: 1\ntls-san:\n- x\nb: 2\nnode-ip: 10.0.0.11\nc: 3\n"
        let result = try NodeRewriter.rewrite(path: Self.k3s, bytes: Array(text.utf8), change: try change())
        #expect(
            result?.unifiedDiff == "--- a\(Self.k3s)\n+++ b\(Self.k3s)\n@@ -1,6 +1,7 @@\n a: 1\n tls-san:\n - x\n"
                + "+- api.new.example\n b: 2\n-node-ip: 10.0.0.11\n+node-ip: 10.0.0.21\n c: 3\n")
    }
}
