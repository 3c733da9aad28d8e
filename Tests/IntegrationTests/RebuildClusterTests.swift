import Foundation
import TestSupport
import Testing

extension Integration {
    /// Three members over mTLS are lost with their nodes, and run again under other names and addresses.
    @Suite(.serialized) struct RebuildClusterTests {
        /// A member of etcd that runs by the files of a node.
        private final class Member {
            let process: BackgroundProcess
            let url: String

            /// - Parameter flags: its flags without the program.
            init(_ version: EtcdVersion, _ flags: [String], url: String) throws {
                process = try BackgroundProcess(version.path(of: "etcd"), flags)
                self.url = url
            }
        }

        private static let lost = [
            ("N1", "cp-21", "10.0.0.21"), ("N2", "cp-22", "10.0.0.22"), ("N3", "cp-23", "10.0.0.23"),
        ]
        private static let new = [("m-1", "127.0.0.31"), ("m-2", "127.0.0.32"), ("m-3", "127.0.0.33")]

        private func ctl(
            _ version: EtcdVersion, _ urls: [String], _ root: String, client: String = "apiserver-etcd-client",
            authorityOf other: String? = nil, _ arguments: [String], input: Data? = nil
        ) throws -> String {
            let pki = "\(root)/etc/kubernetes/pki"
            let flags =
                ["--endpoints=\(urls.joined(separator: ","))", "--dial-timeout=10s", "--command-timeout=30s"]
                + ["--cacert=\(other ?? root)/etc/kubernetes/pki/etcd/ca.crt", "--cert=\(pki)/\(client).crt"]
                + ["--key=\(pki)/\(client).key"]
            return try run(
                version.path(of: "etcdctl"), flags + arguments, environment: ["ETCDCTL_API": "3"], input: input
            ).text
        }

        private func wait(_ body: () throws -> String) throws -> String {
            for _ in 0..<120 {
                if let text = try? body() { return text }
                usleep(500_000)
            }
            return try body()
        }

        /// The cluster that is lost: every member on this host's usual address, with the certificates of its node.
        private func startLost(_ version: EtcdVersion, _ nodes: RebuildNodes) throws -> [Member] {
            let ports = try EtcdServer.freePorts(6)
            let cluster = Self.lost.indices.map { "\(Self.lost[$0].1)=https://127.0.0.1:\(ports[2 * $0 + 1])" }
                .joined(separator: ",")
            return try Self.lost.indices.map { index in
                let pki = "\(nodes.tree(Self.lost[index].0))/etc/kubernetes/pki/etcd"
                let (client, peer) = (ports[2 * index], ports[2 * index + 1])
                return try Member(
                    version,
                    [
                        "--name=\(Self.lost[index].1)", "--data-dir=\(nodes.store.directory.file("lost-\(index)"))",
                        "--listen-client-urls=https://127.0.0.1:\(client)",
                        "--advertise-client-urls=https://127.0.0.1:\(client)",
                        "--listen-peer-urls=https://127.0.0.1:\(peer)",
                        "--initial-advertise-peer-urls=https://127.0.0.1:\(peer)", "--initial-cluster=\(cluster)",
                        "--cert-file=\(pki)/server.crt", "--key-file=\(pki)/server.key",
                        "--trusted-ca-file=\(pki)/ca.crt",
                        "--client-cert-auth=true", "--peer-cert-file=\(pki)/peer.crt",
                        "--peer-key-file=\(pki)/peer.key",
                        "--peer-trusted-ca-file=\(pki)/ca.crt", "--peer-client-cert-auth=true",
                    ], url: "https://127.0.0.1:\(client)")
            }
        }

        /// Starts a member by the flags of its manifest, but for what every host has for itself.
        private func startNew(_ version: EtcdVersion, _ root: String, _ address: String) throws -> Member {
            let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
            let known = [
                "name", "initial-cluster", "initial-advertise-peer-urls", "advertise-client-urls", "listen-peer-urls",
                "client-cert-auth", "peer-client-cert-auth", "snapshot-count", "cert-file", "key-file",
                "trusted-ca-file",
                "peer-cert-file", "peer-key-file", "peer-trusted-ca-file", "data-dir",
            ]
            var flags = manifest.matches(of: #/- --([a-z-]+)=(.*)/#).filter { known.contains(String($0.1)) }.map {
                match in
                let value = match.2.hasPrefix("/") ? root + match.2 : String(match.2)
                return "--\(match.1)=\(value)"
            }
            #expect(flags.count == known.count)
            flags += ["--listen-client-urls=https://\(address):2379", "--experimental-initial-corrupt-check=true"]
            return try Member(version, flags, url: "https://\(address):2379")
        }

        private func put(_ version: EtcdVersion, _ url: String, _ root: String) throws {
            for index in 0..<60 {
                let key = "/registry/\(["pods/kube-system/p", "secrets/default/s", "minions/n"][index % 3])-\(index)"
                let value = Data("k8s\0".utf8) + Data((0..<(index * 7)).map { UInt8($0 % 251) })
                _ = try ctl(version, [url], root, ["put", key], input: value)
                if index % 4 == 3 { _ = try ctl(version, [url], root, ["del", key]) }
            }
            for (_, name, address) in Self.lost {
                _ = try ctl(version, [url], root, ["put", "/registry/masterleases/\(address)", "x"])
                let lease = StoredValue.lease("kube-scheduler", heldBy: "\(name)_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
                _ = try ctl(version, [url], root, ["put", "/registry/leases/kube-system/of-\(name)"], input: lease)
            }
        }

        @Test(.timeLimit(.minutes(45)), arguments: EtcdVersion.installed)
        func threeMembersAreOneClusterAgain(version: EtcdVersion) throws { try rebuild(version, backupCount: 3) }

        /// The backup of one node is enough for three.
        @Test(.timeLimit(.minutes(45))) func ofOneBackup() throws { try rebuild(.v3_5, backupCount: 1) }

        private func rebuild(_ version: EtcdVersion, backupCount: Int) throws {
            let nodes = try RebuildNodes(Self.lost.map(\.0), version)
            var lost = try startLost(version, nodes)
            let oldRoot = nodes.tree("N1")
            _ = try wait { try ctl(version, lost.map(\.url), oldRoot, ["endpoint", "health"]) }
            try put(version, lost[0].url, oldRoot)
            let everything = ["get", "", "--from-key", "--write-out=json"]
            func keys(_ text: String) throws -> [[String]] {
                try JSON(Data(text.utf8)).kvs.array.map {
                    [$0.key.string, $0["value"].string, "\($0.mod_revision.int)"]
                }
            }
            let before = try keys(ctl(version, [lost[1].url], oldRoot, everything))
            #expect(before.count == 51)
            // Of a node without a backup only its member's address is known, which here is every host's.
            let deleted = Set(
                Self.lost.map { "/registry/leases/kube-system/of-\($0.1)" }
                    + Self.lost.prefix(backupCount).map { "/registry/masterleases/\($0.2)" }
            ).map { Data($0.utf8).base64EncodedString() }
            let kept = before.filter { !deleted.contains($0[0]) }
            #expect(kept.count == 48 - backupCount)
            var references: [String] = []
            for (index, node) in Self.lost.enumerated() {
                let pki = "\(nodes.tree(node.0))/etc/kubernetes/pki"
                references.append(
                    try nodes.backUp(
                        node.0, as: node.1,
                        [
                            "--endpoints", lost[index].url, "--cacert", "\(pki)/etcd/ca.crt", "--cert",
                            "\(pki)/etcd/healthcheck-client.crt", "--key", "\(pki)/etcd/healthcheck-client.key",
                        ]))
            }
            for member in lost { member.process.stop() }
            lost = []
            let plan = try nodes.plan(
                Array(references.prefix(backupCount)), Self.new.flatMap { ["--node", "\($0.0)=\($0.1)"] })
            var members: [Member] = []
            var roots: [String] = []
            for (name, _) in Self.new {
                let root = try nodes.newRoot(name)
                try SnapTool.run(nodes.applying(plan, name, root))
                roots.append(root)
            }
            for (root, node) in zip(roots, Self.new) { members.append(try startNew(version, root, node.1)) }
            defer { for member in members { member.process.stop() } }
            let urls = members.map(\.url)
            // The old client's certificate, which nobody has made anew.
            _ = try wait { try ctl(version, urls, oldRoot, authorityOf: roots[0], ["endpoint", "health"]) }
            let listed = try ctl(version, [urls[0]], roots[0], ["member", "list"])
            for (name, address) in Self.new {
                #expect(listed.contains("\(name), https://\(address):2380") && listed.contains("started"), "\(listed)")
            }
            #expect(listed.split(separator: "\n").count == 3 && !listed.contains("cp-2"))
            for (url, root) in zip(urls, roots) { #expect(try keys(ctl(version, [url], root, everything)) == kept) }
            _ = try ctl(version, [urls[2]], roots[2], ["put", "/registry/new", "value"])
            #expect(try ctl(version, [urls[0]], roots[1], ["get", "/registry/new", "--print-value-only"]) == "value\n")
            let hashes = try ctl(version, urls, roots[0], ["endpoint", "hashkv", "--write-out=json"])
            let values = try JSON(Data(hashes.utf8)).array.map(\.HashKV.hash.int)
            #expect(values.count == 3 && Set(values).count == 1, "\(hashes)")
            try verifyCertificates(roots)
            let undo = try SnapTool.attempt(["rebuild", "undo", "--root", roots[0], "--yes"])
            expectFailure(undo, 1, naming: "an etcd runs on the data", roots[0])
            let again = try SnapTool.attempt(nodes.applying(plan, "m-1", nodes.newRoot("again")))
            expectFailure(again, 1, naming: "something listens at 127.0.0.31")
            for member in members { member.process.stop() }
            for root in roots {
                try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
                #expect(try run("ls", ["-A", root]).text == "")
            }
        }

        private func verifyCertificates(_ roots: [String]) throws {
            for (root, (name, address)) in zip(roots, Self.new) {
                let text = try shell(
                    """
                    cd "$1/etc/kubernetes/pki"
                    for leaf in etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client; do
                        openssl verify -x509_strict -CAfile etcd/ca.crt $leaf.crt
                    done
                    openssl verify -x509_strict -CAfile ca.crt apiserver.crt apiserver-kubelet-client.crt
                    openssl verify -x509_strict -CAfile front-proxy-ca.crt front-proxy-client.crt
                    cmp etcd/ca.crt "$2/etc/kubernetes/pki/etcd/ca.crt"
                    openssl x509 -noout -subject -ext subjectAltName -in etcd/peer.crt
                    """, root, roots[0]
                ).text
                #expect(text.split(separator: "\n").count { $0.hasSuffix(": OK") } == 7, "\(text)")
                #expect(text.contains("CN = \(name)") && text.contains("IP Address:\(address)"), "\(text)")
            }
        }
    }
}
