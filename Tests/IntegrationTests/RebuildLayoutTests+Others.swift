import Foundation
import TestSupport
import Testing

extension Integration {
    /// Controllers of k0s and nodes of kubespray, of which only etcd is real, and nodes that are not rebuilt.
    @Suite(.serialized) struct RebuildOtherLayoutTests {
        // MARK: k0s

        private let pki = "/var/lib/k0s/pki"

        /// What k0s makes when it starts, by openssl.
        private func issueLeaves(in root: String, _ address: String) throws {
            try shell(
                """
                set -e; cd "$1$2"
                make() {
                    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout $1.key -out $1.csr
                    printf 'extendedKeyUsage=serverAuth,clientAuth\\nsubjectAltName=IP:127.0.0.1,DNS:localhost,IP:%s\\n' "$3" >$1.ext
                    openssl x509 -req -in $1.csr -days 30 -extfile $1.ext -CA etcd/ca.crt -CAkey etcd/ca.key -CAcreateserial -out $1.crt
                    rm $1.csr $1.ext etcd/ca.srl
                }
                make etcd/server etcd-server "$3"; make etcd/peer "$3" "$3"; make apiserver-etcd-client apiserver-etcd-client "$3"
                """, root, pki, address)
        }

        private func startK0s(
            _ cluster: LayoutCluster, _ index: Int, _ root: String, _ name: String, _ address: String, _ all: String?
        ) throws {
            let certificates = "\(root)\(pki)/etcd"
            try cluster.start(
                index,
                [
                    "--data-dir=\(root)/var/lib/k0s/etcd", "--listen-client-urls=https://\(address):2379",
                    "--advertise-client-urls=https://\(address):2379", "--client-cert-auth=true",
                    "--listen-peer-urls=https://\(address):2380",
                    "--initial-advertise-peer-urls=https://\(address):2380", "--name=\(name)",
                    "--trusted-ca-file=\(certificates)/ca.crt", "--cert-file=\(certificates)/server.crt",
                    "--key-file=\(certificates)/server.key", "--peer-trusted-ca-file=\(certificates)/ca.crt",
                    "--peer-key-file=\(certificates)/peer.key", "--peer-cert-file=\(certificates)/peer.crt",
                    "--peer-client-cert-auth=true",
                ] + (all.map { ["--initial-cluster=\($0)"] } ?? []))
        }

        @Test(.timeLimit(.minutes(45))) func controllersOfK0sAreOneClusterAgain() throws {
            let first = try K0sTree()
            let pki = pki
            let client = NodeTreeBuilder.Pair(
                certificate: "\(pki)/apiserver-etcd-client.crt", key: "\(pki)/apiserver-etcd-client.key")
            let cluster = try LayoutCluster(
                copying: first.tree, network: 3, client: { _ in .init(ca: "\(pki)/etcd/ca.crt", pair: client) })
            let all = cluster.nodes.map { "\($0.old)=https://\($0.oldAddress):2380" }.joined(separator: ",")
            for (index, node) in cluster.nodes.enumerated() {
                let tree = cluster.trees[index]
                try issueLeaves(in: tree.root, node.oldAddress)
                try tree.write(
                    """
                    apiVersion: k0s.k0sproject.io/v1beta1
                    kind: ClusterConfig
                    metadata: {name: k0s}
                    spec:
                      api:
                        address: \(node.oldAddress)   # this host
                        port: 6443
                        sans:
                        - \(node.oldAddress)
                        - api.example.com
                      network: {podCIDR: 10.244.0.0/16}
                      storage:
                        etcd:
                          peerAddress: \(node.oldAddress)
                        type: etcd

                    """, to: "/etc/k0s/k0s.yaml", mode: 0o600)
                try tree.write("H4sIAAAA", to: "/etc/k0s/k0stoken", mode: 0o600)
                try startK0s(cluster, index, tree.root, node.old, node.oldAddress, all)
            }
            try cluster.fill()
            let before = try cluster.keys(cluster.nodes[0].oldAddress, cluster.trees[0].root)
            let references = try (0..<3).map { index in
                let root = cluster.trees[index].root
                return try cluster.backUp(
                    index,
                    [
                        "--endpoints", "https://\(cluster.nodes[index].oldAddress):2379", "--cacert",
                        "\(root)\(pki)/etcd/ca.crt", "--cert", root + client.certificate, "--key", root + client.key,
                    ])
            }
            cluster.stop()
            let (plan, document) = try cluster.plan(references, ["--runbook", cluster.store.directory.file("book.md")])
            #expect(document.layout.string == "k0s" && document.situation.kind.string == "all-lost")
            let moved = try SnapTool.json(cluster.planning(references, ["--endpoint", "api.new.example:6443"]))
            let diff = moved.nodes[0].changes.array.map(\.diff.string).joined()
            for line in ["    - api.new.example", "    externalAddress: api.new.example"] {
                #expect(diff.contains("\n+\(line)\n"), "\(diff)")
            }
            let placed = Set(document.nodes[0].files.array.map(\.path.string))
            for path in ["ca.key", "front-proxy-ca.key", "sa.key", "sa.pub", "etcd/ca.key", "etcd/jwt.key"] {
                #expect(placed.contains("\(pki)/\(path)"), "\(path)")
            }
            for path in ["server.crt", "admin.conf", "etcd/peer.key", "apiserver-etcd-client.crt"] {
                #expect(!placed.contains("\(pki)/\(path)"), "\(path)")
            }
            #expect(placed.contains("/etc/k0s/k0stoken"))
            let book = try String(contentsOfFile: cluster.store.directory.file("book.md"), encoding: .utf8)
            #expect(book.contains("k0scontroller") && book.contains("k0s restore") && !book.contains("H4sIAAAA"))
            let roots = try cluster.apply(plan)
            for (index, node) in cluster.nodes.enumerated() {
                let settings = try String(contentsOfFile: "\(roots[index])/etc/k0s/k0s.yaml", encoding: .utf8)
                #expect(settings.contains("peerAddress: \(node.newAddress)\n"), "\(settings)")
                #expect(settings.contains("address: \(node.newAddress)   # this host"), "\(settings)")
                #expect(!settings.contains(node.oldAddress) && settings.contains("- api.example.com"), "\(settings)")
                try issueLeaves(in: roots[index], node.newAddress)
                try startK0s(cluster, index, roots[index], node.new, node.newAddress, nil)
            }
            try cluster.expectOneCluster(roots, names: cluster.nodes.map(\.new), keys: before)
            cluster.stop()
            for root in roots {
                try shell("cd \"$1$2\"; rm etcd/server.* etcd/peer.* apiserver-etcd-client.*", root, pki)
            }
            try cluster.undo(roots)
        }

        // MARK: kubespray

        private let ssl = "/etc/ssl/etcd/ssl"

        private func variables(_ name: String, _ file: String, _ address: String, _ all: String) -> String {
            """
            # Environment file for etcd 3.5
            ETCD_DATA_DIR=/var/lib/etcd
            ETCD_ADVERTISE_CLIENT_URLS=https://\(address):2379
            ETCD_INITIAL_ADVERTISE_PEER_URLS=https://\(address):2380
            ETCD_INITIAL_CLUSTER_STATE=existing
            ETCD_LISTEN_CLIENT_URLS=https://\(address):2379
            ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd
            ETCD_LISTEN_PEER_URLS=https://\(address):2380
            ETCD_NAME=\(name)
            ETCD_INITIAL_CLUSTER=\(all)
            ETCD_TRUSTED_CA_FILE=\(ssl)/ca.pem
            ETCD_CERT_FILE=\(ssl)/member-\(file).pem
            ETCD_KEY_FILE=\(ssl)/member-\(file)-key.pem
            ETCD_CLIENT_CERT_AUTH=true
            ETCD_PEER_TRUSTED_CA_FILE=\(ssl)/ca.pem
            ETCD_PEER_CERT_FILE=\(ssl)/member-\(file).pem
            ETCD_PEER_KEY_FILE=\(ssl)/member-\(file)-key.pem
            ETCD_PEER_CLIENT_CERT_AUTH=True
            ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
            ETCDCTL_CERT=\(ssl)/admin-\(file).pem

            """
        }

        /// Starts etcd as its unit does, with the variables of the file below a root.
        private func startService(_ cluster: LayoutCluster, _ index: Int, _ root: String, isNew: Bool = false) throws {
            let text = try String(contentsOfFile: "\(root)/etc/etcd.env", encoding: .utf8)
            var environment: [String: String] = [:]
            for line in text.split(separator: "\n") where line.hasPrefix("ETCD_") {
                let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
                environment[parts[0]] = parts[1].hasPrefix("/") ? root + parts[1] : parts[1]
            }
            if isNew { environment["ETCD_INITIAL_CLUSTER_STATE"] = "new" }
            try cluster.start(index, [], environment: environment)
        }

        /// The files of one node, whose name in etcd is another one than its own, are enough for three.
        @Test(.timeLimit(.minutes(45))) func nodesOfKubesprayAreOneClusterAgain() throws {
            let first = try NodeTreeBuilder()
            try first.addKubeadm()
            let authority = try first.authority("\(ssl)/ca", "etcd-ca", ending: "pem")
            try first.change("rm -r etc/kubernetes/manifests/etcd.yaml etc/kubernetes/pki/etcd")
            let ssl = ssl
            let cluster = try LayoutCluster(
                copying: first, network: 4,
                client: { root in
                    let name = try shell("cd \"$1$2\"; ls admin-*-key.pem", root, ssl).text.dropLast("-key.pem\n".count)
                    return .init(
                        ca: "\(ssl)/ca.pem",
                        pair: .init(certificate: "\(ssl)/\(name).pem", key: "\(ssl)/\(name)-key.pem"))
                })
            let all = zip(cluster.nodes, 1...).map { "etcd\($1)=https://\($0.oldAddress):2380" }.joined(separator: ",")
            for (index, node) in cluster.nodes.enumerated() {
                let (tree, file) = (cluster.trees[index], "cp\(index)")
                for kind in ["member", "admin", "node"] {
                    try tree.issue(
                        "\(ssl)/\(kind)-\(file)", "/CN=etcd-\(kind)-\(file)", by: authority,
                        names: NodeTreeBuilder.loopback + ["DNS:\(file)", "IP:\(node.oldAddress)"], ending: "pem")
                }
                try tree.write(
                    variables("etcd\(index + 1)", file, node.oldAddress, all), to: "/etc/etcd.env", mode: 0o640)
                try tree.change(
                    """
                    sed -i -e 's/192\\.0\\.2\\.10/\(node.oldAddress)/' etc/kubernetes/manifests/* etc/kubernetes/*.conf
                    sed -i -e 's#/etc/kubernetes/pki/etcd/ca.crt#\(ssl)/ca.pem#' \
                        -e 's#/etc/kubernetes/pki/apiserver-etcd-client.crt#\(ssl)/node-\(file).pem#' \
                        -e 's#/etc/kubernetes/pki/apiserver-etcd-client.key#\(ssl)/node-\(file)-key.pem#' \
                        -e 's#--etcd-servers=.*#--etcd-servers=\(cluster.nodes.map { "https://\($0.oldAddress):2379" }.joined(separator: ","))#' \
                        etc/kubernetes/manifests/kube-apiserver.yaml
                    rm etc/kubernetes/pki/apiserver-etcd-client.*
                    """)
                try startService(cluster, index, tree.root, isNew: true)
            }
            try cluster.fill()
            let before = try cluster.keys(cluster.nodes[0].oldAddress, cluster.trees[0].root)
            let reference = try cluster.backUp(0)
            cluster.stop()
            let (plan, document) = try cluster.plan(
                [reference], ["--runbook", cluster.store.directory.file("book.md")])
            #expect(document.layout.string == "kubespray" && document.situation.kind.string == "all-lost")
            let issued = document.nodes[1].certificates.array.filter { $0.action.string == "issue" }.map(\.path.string)
            for kind in ["member", "admin", "node"] {
                #expect(issued.contains("\(ssl)/\(kind)-m-2.pem"), "\(issued)")
            }
            let roots = try cluster.apply(plan)
            for (index, node) in cluster.nodes.enumerated() {
                let root = roots[index]
                let names = try shell("cd \"$1$2\"; ls; openssl verify -CAfile ca.pem member-*[0-9].pem", root, ssl)
                    .text
                for kind in ["member", "admin", "node"] {
                    #expect(names.contains("\(kind)-\(node.new)-key.pem\n"), "\(names)")
                }
                #expect(!names.contains("cp0") && names.contains(": OK"), "\(names)")
                let manifest = try String(
                    contentsOfFile: "\(root)/etc/kubernetes/manifests/kube-apiserver.yaml", encoding: .utf8)
                #expect(manifest.contains("--etcd-keyfile=\(ssl)/node-\(node.new)-key.pem\n"), "\(manifest)")
                for other in cluster.nodes {
                    #expect(
                        manifest.contains("https://\(other.newAddress):2379") && !manifest.contains(other.oldAddress))
                }
                try startService(cluster, index, root)
            }
            try cluster.expectOneCluster(roots, names: ["etcd1", "etcd2", "etcd3"], keys: before)
            cluster.stop()
            try cluster.undo(roots)
        }

        // MARK: Others

        @Test func othersAreRefusedWithTheirOwnWay() throws {
            let shop = try MicroShiftTree()
            let bare = try NodeTreeBuilder()
            try bare.write("{}", to: "/etc/cni/net.d/10-a.conf")
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            for (tree, word, way) in [
                (shop.tree, "MicroShift", "restore its files and its etcd into place"),
                (bare, "how the node of", "etcd-snap restore files"),
            ] {
                let result = try SnapTool.attempt(
                    [
                        "backup", "--root", tree.root, "-r", store.key.recipient, "--store", store.root, "--cluster",
                        "test",
                        "--node", "n", "-o", "json",
                    ] + store.server.flags())
                let reference = "test/n/\(TestStore.id(of: try JSON(result.output).path.string))"
                let refused = try SnapTool.attempt(
                    [
                        "rebuild", "plan", reference, "--store", store.root, "-i", store.key.path, "--node",
                        "a=10.0.0.1",
                    ])
                expectFailure(refused, 1, naming: word)
                #expect(refused.errorText.contains(way), "\(refused.errorText)")
            }
        }
    }
}
