import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of nodes that kubeadm made, each with the etcd of its own manifest, and told nothing.
    @Suite(.timeLimit(.minutes(45))) struct KubeadmTreeTests {
        private static let pki = KubeadmNode.pki

        @Test(arguments: [
            "base", "addr", "nodename", "endpoint", "noendpoint", "ecdsa", "rsa4096", "svc", "v6", "sans", "N1", "N2",
            "N3",
        ])
        func aHealthyNodeHasNoFindings(_ tree: String) throws {
            let node = try KubeadmNode.running(tree)
            let outcome = try node.expect([], tree)
            #expect(outcome.report.sidecar.etcd.array.map(\.name.string) == ["etcd"])
            #expect(outcome.report.sidecar.etcd[0].revision.int > 1)
            // Neither is on the fixtures, nor would it be taken.
            #expect(Set(outcome.report.skipped.array.map(\.path.string)) == ["/var/lib/etcd", "/etc/ssl/certs"])
        }

        /// Who leaves keys out on purpose is told what a rebuild lacks, and nothing else, before and after.
        @Test func keysThatAreLeftOut() throws {
            let node = try KubeadmNode.running("base")
            let flags = ["--exclude", "\(Self.pki)/*.key"]
            let outcome = try node.backup(flags)
            #expect(outcome.status == 0, "\(outcome.errorText)")
            #expect(outcome.findings == ["note needed-excluded \(Self.pki)/apiserver-etcd-client.key"])
            let message = outcome.report.findings[0].message.string
            #expect(message.contains("\(Self.pki)/ca.key"), "\(message)")
        }

        /// Nothing that resolves here is in the certificate, and the API server's name resolves on its host only.
        @Test func aListenerOnAllAddressesWhoseCertificateHasOneName() throws {
            let name = "cp-1.cluster.invalid"
            let node = try KubeadmNode(
                "base",
                changes: """
                    cd etc/kubernetes
                    sed -i -e 's#--listen-client-urls=.*#--listen-client-urls=https://0.0.0.0:2379#' \
                        -e 's#--advertise-client-urls=.*#--advertise-client-urls=https://\(name):2379#' manifests/etcd.yaml
                    sed -i 's#--etcd-servers=.*#--etcd-servers=https://\(name):2379#' manifests/kube-apiserver.yaml
                    cd pki/etcd
                    printf 'subjectAltName=DNS:\(name)\nextendedKeyUsage=serverAuth,clientAuth\n' >names
                    openssl req -new -key server.key -subj /CN=\(name) -out request
                    openssl x509 -req -in request -CA ca.crt -CAkey ca.key -days 365 -set_serial 4711 -extfile names \
                        -out server.crt 2>/dev/null
                    rm names request
                    """)
            try node.startEtcd(waits: false)
            let put = ["--insecure-skip-tls-verify", "put", "/registry/namespaces/default", "value"]
            for attempt in 1... {
                let result = try node.etcdctl(put + ["--command-timeout=2s"])
                if result.status == 0 { break }
                try #require(attempt < 100, "\(result.errorText)")
                usleep(100_000)
            }
            let outcome = try node.expect([], name)
            #expect(outcome.report.sidecar.etcd.array.map(\.name.string) == ["etcd"])
            #expect(outcome.report.sidecar.etcd[0].revision.int > 1)
            // A certificate for another name than the member advertises is that of another host.
            let root = try node.copy("sed -i 's#\(name)#cp-2.cluster.invalid#' etc/kubernetes/manifests/*.yaml")
            let result = try node.run([
                "backup", "--root", root, "-r", Laboratory.shared().key().recipient, "--store",
                node.directory.file("other"), "--cluster", "test", "--node", "node",
            ])
            expectFailure(result, 8, naming: name)
        }

        /// As kubeadm leaves three joined nodes: each member's arguments name those that were there when it came.
        @Test func threeNodesOfOneCluster() throws {
            let names = [21, 22, 23]
            let nodes = try names.indices.map { index in
                let members = names[...index].map { "cp-\($0)=https://10.0.0.\($0):2380" }.joined(separator: ",")
                return try KubeadmNode(
                    "N\(index + 1)",
                    changes: """
                        sed -i -e 's#--initial-cluster=.*#--initial-cluster=\(members)#' \
                            \(index == 0 ? "" : "-e 's#--key-file#--initial-cluster-state=existing\\n    - --key-file#'") \
                            etc/kubernetes/manifests/etcd.yaml
                        """)
            }
            for (index, node) in nodes.enumerated() {
                for earlier in nodes[..<index] { try node.network.connect(to: earlier.network) }
            }
            try nodes[0].startEtcd()
            for (index, node) in nodes.enumerated().dropFirst() {
                // Until the members see each other a further one is refused.
                var result = try nodes[0].add(names[index])
                for _ in 0..<100 where result.status != 0 {
                    usleep(200_000)
                    result = try nodes[0].add(names[index])
                }
                try #require(result.status == 0, "\(result.errorText)")
                try node.startEtcd()
            }
            try nodes[0].put("/registry/namespaces/default", Data("k8s\0\n".utf8))
            for node in nodes {
                let outcome = try node.expect([], node.root, ["--verify", "consistent"])
                #expect(outcome.report.sidecar.verification.string == "consistent")
                #expect(!outcome.errorText.contains("not compared"), "\(outcome.errorText)")
            }
        }

        /// The certificates of an external etcd's client are not on the node: each missing file, and nothing else.
        @Test func anExternalEtcdWithoutItsClientCertificates() throws {
            let node = try KubeadmNode("exte")
            let pki = try Laboratory.shared().pki()
            let server = try node.network.start(
                EtcdVersion.v3_5.path(of: "etcd"),
                [
                    "--data-dir=\(node.directory.file("external"))", "--listen-client-urls=https://127.0.0.1:2379",
                    "--advertise-client-urls=https://127.0.0.1:2379", "--cert-file=\(pki.server.certificatePath)",
                    "--key-file=\(pki.server.keyPath)", "--trusted-ca-file=\(pki.caPath)", "--client-cert-auth",
                ])
            defer { server.signal(SIGKILL) }
            var flags = ["--endpoints", "https://127.0.0.1:2379", "--cacert", pki.caPath]
            flags += ["--cert", pki.client.certificatePath, "--key", pki.client.keyPath, "--dial-timeout", "30s"]
            try node.expect(
                [
                    "\(Self.pki)/etcd/ca.crt", "\(Self.pki)/apiserver-etcd-client.crt",
                    "\(Self.pki)/apiserver-etcd-client.key",
                ]
                .map { "error reference-missing \($0)" }, "exte", flags)
        }

        /// The keys of all authorities are elsewhere: a state, which is noted.
        ///
        /// kubeadm leaves the controller manager's signing flags empty then (`phases/controlplane/manifests.go`,
        /// `UsingExternalCA`).
        @Test func anExternalCA() throws {
            let node = try KubeadmNode.running(
                "extca",
                changes: """
                    sed -i 's#\\(--cluster-signing-[a-z]*-file=\\).*#\\1""#' \
                        etc/kubernetes/manifests/kube-controller-manager.yaml
                    """)
            try node.expect(
                ["ca.crt", "front-proxy-ca.crt", "etcd/ca.crt"].map { "note external-ca \(Self.pki)/\($0)" }, "extca")
        }

        /// A flag that still names the key is another matter: the controller manager does not start again.
        @Test func aCAKeyThatAFlagNamesAndThatIsGone() throws {
            let node = try KubeadmNode.running("extca")
            try node.expect(
                ["error ca-key-missing \(Self.pki)/ca.key"]
                    + ["front-proxy-ca.crt", "etcd/ca.crt"].map { "note external-ca \(Self.pki)/\($0)" }, "extca")
        }
    }
}

extension KubeadmNode {
    /// Adds `cp-NUMBER` of the fixtures' three nodes to the cluster.
    fileprivate func add(_ number: Int) throws -> CommandResult {
        try etcdctl(["member", "add", "cp-\(number)", "--peer-urls=https://10.0.0.\(number):2380"])
    }
}
