import HostIO
import NodeRewrite
import TestSupport
import Testing

/// What is rewritten is what kubeadm itself would have written.
@Suite struct KubeadmTreeTests {
    static let trees: [(tree: String, change: @Sendable () throws -> NodeChange)] = [
        ("addr", { try change(address: "10.0.0.21") }),
        ("nodename", { try change(name: "cp-9") }),
        ("endpoint", { try change(to: "api.new.example:8443") }),
        ("noendpoint", { try change(to: nil) }),
        ("N1", { try change(name: "cp-21", address: "10.0.0.21", to: "10.0.0.100:6443") }),
        ("N2", { try change(name: "cp-22", address: "10.0.0.22", to: "10.0.0.100:6443") }),
        ("N3", { try change(name: "cp-23", address: "10.0.0.23", to: "10.0.0.100:6443") }),
    ]

    @Test(arguments: trees.indices)
    func `a rewritten tree has the bytes of the one that kubeadm makes`(_ index: Int) throws {
        let (tree, makeChange) = Self.trees[index]
        let change = try makeChange()
        let expected = try Trees.files(tree)
        var changedCount = 0
        for (path, bytes) in try Trees.files("base") {
            let result = try NodeRewriter.rewrite(path: path, bytes: bytes, change: change)
            if result != nil { changedCount += 1 }
            var wanted = blanked(try #require(expected[path]))
            if path == "/kubeadm.yaml" {
                // Written by hand: quotes of its own, and a line less.
                wanted.replace("\"10.0.0.100:6443\"", with: "10.0.0.100:6443")
                if tree == "noendpoint" {
                    wanted.replace("kubernetes\nnetworking", with: "kubernetes\ncontrolPlaneEndpoint: ''\nnetworking")
                }
            }
            #expect(blanked(result?.newBytes ?? bytes) == wanted, "\(tree)\(path)")
        }
        #expect(changedCount >= 3)
    }

    /// kubeadm's own writer decides where quotes are needed.
    @Test func `a move to IPv6 has kubeadm's brackets and quotes`() throws {
        let change = try change(address: "fd00::11")
        let expected = try Trees.files("v6")
        for (path, bytes) in try Trees.files("base") where path != "/kubeadm.yaml" {
            let result = try NodeRewriter.rewrite(path: path, bytes: bytes, change: change)?.newBytes ?? bytes
            // What no move changes: loopback, and ranges of services and pods.
            var rest = blanked(result)
            if path.hasSuffix("etcd.yaml") || path.hasSuffix("apiserver.yaml") {
                rest = rest.replacing("//127.0.0.1", with: "//[::1]").replacing("127.0.0.1", with: "::1")
            }
            rest =
                rest
                .replacing("10.96.0.0/12", with: "fd00:50::/112").replacing("10.244.0.0/16", with: "fd00:244::/56")
            #expect(rest == blanked(try #require(expected[path])), "\(path)")
        }
    }

    @Test func `what changed is told with its place and why`() throws {
        let path = "\(manifests)/etcd.yaml"
        let result = try #require(
            try NodeRewriter.rewrite(path: path, bytes: try Trees.file("base", path), change: try moved()))
        #expect(
            result.edits.map { "\($0.line) \($0.path) \($0.oldValue) \($0.newValue)" } == [
                "5 metadata.annotations.kubeadm.kubernetes.io/etcd.advertise-client-urls https://10.0.0.11:2379 "
                    + "https://10.0.0.21:2379",
                "15 spec.containers[0].command[1] --advertise-client-urls https://10.0.0.11:2379 https://10.0.0.21:2379",
                "20 spec.containers[0].command[6] --initial-advertise-peer-urls https://10.0.0.11:2380 "
                    + "https://10.0.0.21:2380",
                "21 spec.containers[0].command[7] --initial-cluster cp-1=https://10.0.0.11:2380 "
                    + "cp-21=https://10.0.0.21:2380",
                "23 spec.containers[0].command[9] --listen-client-urls https://127.0.0.1:2379,https://10.0.0.11:2379 "
                    + "https://127.0.0.1:2379,https://10.0.0.21:2379",
                "25 spec.containers[0].command[11] --listen-peer-urls https://10.0.0.11:2380 https://10.0.0.21:2380",
                "26 spec.containers[0].command[12] --name cp-1 cp-21",
            ])
        #expect(result.edits.last?.reason == "the member's name in etcd")
        let left = OldNameSearch(try moved()).occurrences(in: result)
        #expect(left.isEmpty, "\(left)")
    }

    @Test(arguments: ["base", "v6", "sans", "svc", "exte", "ecdsa"])
    func `a change to what is there changes nothing`(_ tree: String) throws {
        for address in ["10.0.0.11", "fd00::11"] {
            let same = try NodeChange(
                oldName: "cp-1", newName: "cp-1", addresses: [try NodeRewriteTests.address(address, address)],
                oldEndpoint: endpoint("lb.example.internal:6443"), newEndpoint: endpoint("lb.example.internal:6443"))
            for (path, bytes) in try Trees.files(tree) {
                #expect(try NodeRewriter.rewrite(path: path, bytes: bytes, change: same) == nil)
            }
        }
    }

    @Test func `a change and its inverse give the file back`() throws {
        for (path, bytes) in try Trees.files("base") {
            let there = try change(name: "cp-21", address: "10.0.0.21", port: 7443, to: "api.new.example:8443")
            guard let moved = try NodeRewriter.rewrite(path: path, bytes: bytes, change: there) else { continue }
            let back = try NodeRewriter.rewrite(path: path, bytes: moved.newBytes, change: try there.inverted())
            #expect(moved.newBytes != bytes && back?.newBytes == bytes, "\(path)")
        }
    }

    @Test func `ports of the API server move with it`() throws {
        let change = try change(port: 7443)
        let path = "\(manifests)/kube-apiserver.yaml"
        let text = try #require(
            try NodeRewriter.rewrite(path: path, bytes: try Trees.file("base", path), change: change)?.newBytes)
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").filter { $0.contains("7443") }
        #expect(
            lines.map { $0.trimming(" ") } == [
                "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 10.0.0.11:7443",
                "- --secure-port=7443", "- containerPort: 7443",
            ])
        #expect(
            try rewritten(
                "kind: Config\nclusters:\n- cluster: {server: 'https://10.0.0.11:6443'}\n",
                at: "/etc/kubernetes/scheduler.conf", change)?.contains("{server: 'https://10.0.0.11:7443'}") == true)
    }

    /// Cut anywhere, a file is refused, left alone, or changed so far as it reads.
    @Test(arguments: ["\(manifests)/etcd.yaml", "/etc/kubernetes/kubelet.conf", "/kubeadm.yaml"])
    func `a file cut anywhere is never half edited`(_ path: String) throws {
        let bytes = try Trees.file("base", path)
        let change = try moved()
        let whole = try #require(try NodeRewriter.rewrite(path: path, bytes: bytes, change: change))
        for count in 0...bytes.count {
            let cut = Array(bytes[..<count])
            guard let result = try? NodeRewriter.rewrite(path: path, bytes: cut, change: change) else { continue }
            let last = try #require(result.edits.last)
            // All but the value at the cut are as in the whole file.
            let before = result.newBytes.prefix(result.newBytes.count - last.newValue.utf8.count - 80)
            #expect(whole.newBytes.starts(with: before))
            #expect(
                result.edits.dropLast().map(\.newValue) == whole.edits.prefix(result.edits.count - 1).map(\.newValue))
        }
    }
}

extension Substring {
    func trimming(_ character: Character) -> String { String(drop { $0 == character }) }
}
