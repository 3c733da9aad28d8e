import Foundation
import TestSupport
import Testing

extension Integration {
    /// Servers of k3s and RKE2, of which only the etcd within them is real.
    @Suite(.serialized) struct RebuildRancherTests {
        /// Three servers with certificates of their own addresses, the names of their members, and their configuration.
        private func servers(_ distribution: String, network: Int) throws -> (LayoutCluster, RancherTree) {
            let first = try RancherTree(distribution)
            let etcd = "\(first.tls)/etcd"
            let cluster = try LayoutCluster(
                copying: first.tree, network: network,
                client: { _ in
                    .init(
                        ca: first.etcdCA, pair: .init(certificate: "\(etcd)/client.crt", key: "\(etcd)/client.key"))
                })
            let members = cluster.nodes.enumerated().map { "\($1.old)-1a2b3c4\($0)" }
            let all = zip(members, cluster.nodes).map { "\($0)=https://\($1.oldAddress):2380" }.joined(separator: ",")
            if distribution == "rke2" { try first.addStaticPods(etcdServers: "https://127.0.\(network).21:2379") }
            for (index, node) in cluster.nodes.enumerated() {
                let tree = cluster.trees[index]
                try issueLeaves(tree, first, node.oldAddress)
                let clients = NodeTreeBuilder.Pair(
                    certificate: "\(first.tls)/client-ca.crt", key: "\(first.tls)/client-ca.key")
                try tree.issue(
                    "\(first.data)/agent/client-kubelet", "/O=system:nodes/CN=system:node:\(node.old)", by: clients)
                try tree.write(members[index], to: "\(first.data)/server/db/etcd/name", mode: 0o600)
                try tree.write(
                    configuration(first, members[index], node.oldAddress, all),
                    to: "\(first.data)/server/db/etcd/config", mode: 0o600)
                let joins = index == 0 ? "cluster-init: true" : "server: https://\(cluster.nodes[0].oldAddress):6443"
                try tree.write(
                    "# of \(node.old)\n\(joins)\nnode-ip: \(node.oldAddress)\ntls-san:\n- \(node.oldAddress)\n- api.example.com\n",
                    to: "/etc/rancher/\(distribution)/config.yaml", mode: 0o600)
                try tree.write(
                    "{\"ServerAddresses\":[\"127.0.0.1:6443\"]}",
                    to: "\(first.data)/agent/etc/\(distribution)-agent-load-balancer.json")
                try tree.write(
                    "kind: EncryptionConfiguration\n", to: "\(first.data)/server/cred/encryption-config.json")
                if distribution == "rke2" {
                    try tree.change("mkdir -p .\(first.data)/agent")
                    try run(
                        "cp",
                        [
                            "-a", "\(first.tree.root)\(first.data)/agent/pod-manifests",
                            "\(tree.root)\(first.data)/agent",
                        ])
                }
            }
            return (cluster, first)
        }

        private func issueLeaves(_ tree: NodeTreeBuilder, _ first: RancherTree, _ address: String) throws {
            try Self.issueLeaves(in: tree.root, first.tls, address)
        }

        /// What the program makes when it starts, by openssl: certificates for the address that it has then.
        private static func issueLeaves(in root: String, _ tls: String, _ address: String) throws {
            try shell(
                """
                set -e; cd "$1$2/etcd"
                make() {
                    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout $1.key -out $1.csr
                    printf 'extendedKeyUsage=serverAuth,clientAuth\\nsubjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,IP:%s\\n' "$3" >$1.ext
                    openssl x509 -req -in $1.csr -days 30 -extfile $1.ext -CA $2-ca.crt -CAkey $2-ca.key -CAcreateserial -out $1.crt
                    rm $1.csr $1.ext $2-ca.srl
                }
                make server-client server "$3"; make peer-server-client peer "$3"; make client server "$3"
                """, root, tls, address)
        }

        private func configuration(_ node: RancherTree, _ name: String, _ address: String, _ all: String) -> String {
            """
            advertise-client-urls: https://\(address):2379
            client-transport-security:
              cert-file: \(node.tls)/etcd/server-client.crt
              client-cert-auth: true
              key-file: \(node.tls)/etcd/server-client.key
              trusted-ca-file: \(node.etcdCA)
            data-dir: \(node.data)/server/db/etcd
            election-timeout: 5000
            heartbeat-interval: 500
            initial-advertise-peer-urls: https://\(address):2380
            initial-cluster: \(all)
            initial-cluster-state: new
            listen-client-urls: https://\(address):2379
            listen-peer-urls: https://\(address):2380
            name: \(name)
            peer-transport-security:
              cert-file: \(node.tls)/etcd/peer-server-client.crt
              client-cert-auth: true
              key-file: \(node.tls)/etcd/peer-server-client.key
              trusted-ca-file: \(node.tls)/etcd/peer-ca.crt

            """
        }

        /// Starts a member as the server does, by the configuration below a root.
        private func start(_ cluster: LayoutCluster, _ index: Int, _ node: RancherTree, _ root: String) throws {
            let text = try String(contentsOfFile: "\(root)\(node.data)/server/db/etcd/config", encoding: .utf8)
            let file = try cluster.store.directory.write(
                text.replacing(": /var/", with: ": \(root)/var/"), to: "etcd-\(UUID().uuidString).yaml")
            try cluster.start(index, ["--config-file=\(file)"])
        }

        @Test(.timeLimit(.minutes(45)), arguments: [("k3s", 1, 3), ("rke2", 2, 1)])
        func threeServersAreOneClusterAgain(distribution: String, network: Int, backupCount: Int) throws {
            let (cluster, node) = try servers(distribution, network: network)
            for index in 0..<3 { try start(cluster, index, node, cluster.trees[index].root) }
            try cluster.fill()
            let before = try cluster.keys(cluster.nodes[1].oldAddress, cluster.trees[1].root)
            #expect(before.count == 18)
            let references = try (0..<backupCount).map { try cluster.backUp($0) }
            try expectSituations(cluster, references)

            let (plan, document) = try cluster.plan(references, ["--runbook", cluster.store.directory.file("book.md")])
            #expect(document.layout.string == distribution && document.situation.kind.string == "all-lost")
            let moved = try SnapTool.json(cluster.planning(references, ["--endpoint", "api.new.example:6443"]))
            let diff = moved.nodes[0].changes.array.map(\.diff.string).joined()
            #expect(diff.contains("\n+- api.new.example\n"), "\(diff)")
            let names = zip(cluster.nodes, 0...).map { "\($0.new)-1a2b3c4\($1)" }
            #expect(document.nodes.array.map(\.member.name.string) == names)
            try expectFiles(document.nodes[1], node, backupCount)
            try expectRunbook(cluster, node)
            let roots = try cluster.apply(plan)
            for (index, root) in roots.enumerated() {
                let file = "\(root)\(node.data)/server/db/etcd/name"
                #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data(names[index].utf8))
                let settings = try String(
                    contentsOfFile: "\(root)/etc/rancher/\(distribution)/config.yaml", encoding: .utf8)
                #expect(settings.contains("node-ip: \(cluster.nodes[index].newAddress)\n"), "\(settings)")
                #expect(!settings.contains(".2\(index + 1)\n") && settings.contains("- api.example.com"), "\(settings)")
                try Self.issueLeaves(in: root, node.tls, cluster.nodes[index].newAddress)
                try start(cluster, index, node, root)
            }
            try cluster.expectOneCluster(roots, names: names, keys: before)
            cluster.stop()
            try shell("for root; do rm $root\(node.tls)/etcd/*client.*; done", roots[0], roots[1], roots[2])
            try cluster.undo(roots)
        }

        /// What `plan` says while members go one after another.
        private func expectSituations(_ cluster: LayoutCluster, _ references: [String]) throws {
            let early = try cluster.plan(references).document
            #expect(early.situation.kind.string == "none-lost")
            #expect(early.warnings.array.first?.string.contains("nothing is to be rebuilt now") == true)
            cluster.stop([2])
            let minority = try SnapTool.attempt(cluster.planning(references))
            #expect(
                minority.status == 1 && minority.errorText.contains("2 of the 3 old members"), "\(minority.errorText)")
            for word in ["member remove", "cp-3-1a2b3c42", "delete node cp-3", "token-file", "nothing is restored"] {
                #expect(minority.text.contains(word), "\(word): \(minority.text)")
            }
            let document = try JSON(SnapTool.attempt(cluster.planning(references, ["-o", "json"])).output)
            #expect(document.kind.string == "minority-lost")
            #expect(document.members.array.filter { $0.answersAt.value == nil }.map(\.node.string) == ["cp-3"])
            let unasked = try cluster.plan(references, ["--no-probe"]).document
            #expect(unasked.situation.kind.string == "unknown")
            let forced = try cluster.plan(references, ["--even-if-running"]).document
            #expect(forced.situation.kind.string == "minority-lost")
            cluster.stop([1])
            let quorum = try cluster.plan(references).document
            #expect(quorum.situation.kind.string == "quorum-lost")
            #expect(quorum.warnings.array.first?.string.contains("look at a copy of their data") == true)
            cluster.stop()
        }

        private func expectFiles(_ plan: JSON, _ node: RancherTree, _ backupCount: Int) throws {
            let (data, tls) = (node.data, node.tls)
            let placed = Set(plan.files.array.map(\.path.string))
            for path in [
                "\(data)/server/token", "\(data)/server/node-token", "\(data)/server/agent-token",
                "\(data)/server/cred/passwd",
                "\(data)/server/cred/ipsec.psk", "\(data)/server/cred/encryption-config.json", "\(tls)/server-ca.key",
                "\(tls)/client-ca.nochain.crt", "\(tls)/request-header-ca.key", "\(tls)/etcd/peer-ca.key",
                "\(tls)/etcd/server-ca.crt", "\(tls)/service.key", "\(data)/server/db/etcd/name",
                "/etc/rancher/node/password", "\(data)/server/manifests/coredns.yaml",
            ] {
                #expect(placed.contains(path), "\(path)")
            }
            let left = Set(plan.leftOut.array.map(\.path.string))
            var made = [
                "\(tls)/serving-kube-apiserver.crt", "\(tls)/etcd/server-client.key", "\(tls)/client-admin.crt",
                "\(data)/server/cred/admin.kubeconfig", "\(data)/agent/client-kubelet.crt",
                "/etc/rancher/\(node.distribution)/\(node.distribution).yaml",
                "\(data)/agent/etc/\(node.distribution)-agent-load-balancer.json",
            ]
            if node.distribution == "rke2" { made.append("\(data)/agent/pod-manifests/etcd.yaml") }
            for path in made { #expect(left.contains(path) && !placed.contains(path), "\(path)") }
            #expect(plan.isOwnBackup.value as? Bool == (backupCount == 3))
        }

        private func expectRunbook(_ cluster: LayoutCluster, _ node: RancherTree) throws {
            let book = try String(contentsOfFile: cluster.store.directory.file("book.md"), encoding: .utf8)
            let (name, data) = (node.distribution, node.data)
            for word in [
                "systemctl enable --now \(name == "k3s" ? "k3s" : "rke2-server")", "e member list",
                "client-auth-proxy.crt",
                "Layout: \(name).", "all lost",
                "\(name) server --cluster-reset --cluster-reset-restore-path=/root/etcd/etcd.db --token-file=\(data)/server/token",
                "reset-flag", "node-password.\(name)",
                "rebuild finish --yes --kubeconfig /etc/rancher/\(name)/\(name).yaml", "cp-1, cp-2, cp-3",
            ] {
                #expect(book.contains(word), "\(word)")
            }
            for word in ["K10aabb", "ccdd", "systemctl stop kubelet", "kubectl label nodes"] {
                #expect(!book.contains(word), "\(word)")
            }
        }
    }
}
