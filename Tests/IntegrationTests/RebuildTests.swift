import Foundation
import TestSupport
import Testing

extension Integration {
    /// A lost node on a new host, under other names and addresses: what kubeadm itself would have made there.
    @Suite struct RebuildTests {
        /// Trees by the topology that makes them of `base`.
        private static let trees: [(tree: String, topology: [String])] = [
            ("base", ["--node", "cp-1=10.0.0.11"]),
            ("addr", ["--node", "cp-1=10.0.0.21"]),
            ("nodename", ["--node", "cp-9=10.0.0.11"]),
            ("endpoint", ["--node", "cp-1=10.0.0.11", "--endpoint", "api.new.example:8443"]),
            ("noendpoint", ["--node", "cp-1=10.0.0.11", "--endpoint", "none"]),
            ("N1", ["--node", "cp-21=10.0.0.21", "--endpoint", "10.0.0.100:6443"]),
            ("N2", ["--node", "cp-22=10.0.0.22", "--endpoint", "10.0.0.100:6443"]),
            ("N3", ["--node", "cp-23=10.0.0.23", "--endpoint", "10.0.0.100:6443"]),
        ]

        @Test func filesAreWhatKubeadmMakes() throws {
            let nodes = try RebuildNodes(Self.trees.map(\.tree))
            let reference = try nodes.backUp("base", as: "cp-1")
            for (tree, topology) in Self.trees {
                let plan = try nodes.plan([reference], topology)
                let node = String(topology[1].prefix { $0 != "=" })
                let root = try nodes.newRoot("new-\(tree)")
                let report = try SnapTool.json(nodes.applying(plan, node, root))
                #expect(report.fileCount.int > 25 && report.node.string == node)
                let differences = try KubeadmComparison.differences(root, nodes.tree(tree))
                #expect(differences.isEmpty, "\(tree): \(differences.joined(separator: "\n"))")
                if tree == "addr" { #expect(try KubeadmComparison.differences(root, nodes.tree("N1")).count >= 7) }
                #expect(FileManager.default.fileExists(atPath: "\(root)/var/lib/etcd/member/snap/db"))
                let left = try run("find", [root, "-name", ".*placing*"]).text
                #expect(left == "")
                for authority in ["", "etcd/"] {
                    try shell(
                        """
                        cd "$1/etc/kubernetes/pki"
                        case "$2" in etcd/) leaves="etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client";;
                            *) leaves="apiserver apiserver-kubelet-client";; esac
                        for leaf in $leaves; do
                            openssl verify -x509_strict -CAfile "$2ca.crt" $leaf.crt
                            test "$(openssl x509 -pubkey -noout -in $leaf.crt)" = "$(openssl pkey -pubout -in $leaf.key)"
                        done
                        """, root, authority)
                }
            }
        }

        @Test func thePlanSaysWhatHappens() throws {
            let nodes = try RebuildNodes(["base"])
            try shell(
                "sed -i 's#^    - --name=cp-1#    - --image-pull-pw=hunter2\\n&#' \"$1/etc/kubernetes/manifests/etcd.yaml\"",
                nodes.tree("base"))
            let reference = try nodes.backUp("base", as: "cp-1")
            let runbook = nodes.store.directory.file("runbook.md")
            let arguments =
                ["rebuild", "plan", reference] + nodes.access
                + ["--node", "cp-21=10.0.0.21", "--endpoint", "api.new.example:8443", "--runbook", runbook]
            let plan = try SnapTool.json(arguments)
            #expect(
                plan.newEndpoint.string == "api.new.example:8443"
                    && plan.oldEndpoint.string == "lb.example.internal:6443")
            #expect(plan.etcd.initialCluster.string == "cp-21=https://10.0.0.21:2380")
            #expect(plan.snapshot.level.string != "" && plan.snapshot.reason.string.contains("the only one"))
            let node = plan.nodes[0]
            let diffs = node.changes.array.map(\.diff.string).joined()
            #expect(diffs.contains("\n-    - --name=cp-1\n") && diffs.contains("\n+    - --name=cp-21\n"))
            #expect(!diffs.contains("client-key-data: L") && !diffs.contains("hunter2"))
            #expect(diffs.contains("--image-pull-pw=«secret»"), "\(diffs)")
            let issued = node.certificates.array.filter { $0.action.string == "issue" }.map(\.path.string)
            #expect(
                issued.contains("/etc/kubernetes/pki/apiserver.crt") && !issued.contains { $0.contains("front-proxy") })
            let text = try SnapTool.run(arguments).text
            for word in ["cp-21=https://10.0.0.21:2380", "forecast", "initial cluster", "static-pods"] {
                #expect(text.contains(word), "\(word)")
            }
            let book = try String(contentsOfFile: runbook, encoding: .utf8)
            for word in [
                "rebuild apply --plan plan.json --node cp-21", "rebuild finish --yes", "the Nodes cp-1", "sed -i",
                "rebuild undo",
                "kubectl label nodes cp-21", "kubelet-start", "| kube-apiserver | `v1.36.3` |", "kubelet=1.36.3-*",
                "crictl pull registry.k8s.io/kube-apiserver:v1.36.3", "systemctl enable --now kubelet",
                "e endpoint hashkv", "successfully committed proposal", "`401`", "core:/stable:/v1.36/",
            ] {
                #expect(book.contains(word), "\(word)")
            }
            for secret in ["PRIVATE KEY", "LS0tLS1CRUdJTiBSU0", "hunter2"] {
                #expect(!text.contains(secret) && !book.contains(secret))
            }
            let example = try SnapTool.run(["rebuild", "plan", reference, "--example"] + nodes.access).text
            let file = try nodes.store.directory.write(example, to: "topology.yaml")
            let same = try SnapTool.json(["rebuild", "plan", reference, "--topology", file] + nodes.access)
            #expect(same.nodes[0].changes.array.isEmpty && same.warnings.array.isEmpty)
        }

        @Test func whatCantBeIsRefused() throws {
            let nodes = try RebuildNodes(["base", "addr", "N1", "N2"])
            let base = try nodes.backUp("base", as: "cp-1")
            let other = try nodes.backUp("addr", as: "cp-2")
            func plan(_ references: [String], _ more: [String]) throws -> CommandResult {
                try SnapTool.attempt(["rebuild", "plan"] + references + nodes.access + more)
            }
            for (topology, word) in [
                (["--node", "a=10.0.0.1", "--node", "b=10.0.0.1"], "10.0.0.1 is given twice"),
                (["--node", "Cp=10.0.0.1"], "\"Cp\" is no name"), (["--node", "a_b=10.0.0.1"], "a_b"),
                (["--node", "a=10.0.0"], "is no IP address"),
                (["--node", "a=10.0.0.1", "--node", "a=10.0.0.2"], "\"a\""),
                (["--node", "a=10.0.0.1", "--endpoint", "x:y"], "is no endpoint"),
                (["--node", "a"], "no node of a topology"),
            ] {
                expectFailure(try plan([base], topology), 2, naming: word)
            }
            expectFailure(try plan([base, other], ["--node", "a=10.0.0.1"]), 2, naming: "another authority")
            let level = try plan([base], ["--node", "a=10.0.0.1", "--min-level", "stored"])
            expectFailure(level, 1, naming: "no snapshot has the level stored")
            let key = try Laboratory.shared().key("another")
            let wrong = try SnapTool.attempt(
                ["rebuild", "plan", base, "--store", nodes.store.root, "-i", key.path, "--node", "a=10.0.0.1"])
            #expect(wrong.status == 8)
        }

        /// IPv6 and dual stack: addresses in brackets where URLs have them.
        @Test func addressesOfBothFamilies() throws {
            let nodes = try RebuildNodes(["base"])
            let base = try nodes.backUp("base", as: "cp-1")
            let plan = try nodes.plan([base], ["--node", "cp-1=fd00::11,10.0.0.12"])
            #expect(try String(contentsOfFile: plan, encoding: .utf8).contains("is not of IPv4, as 10.0.0.11 was"))
            let root = try nodes.newRoot("new")
            try SnapTool.run(nodes.applying(plan, "cp-1", root))
            let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
            #expect(manifest.contains("--initial-cluster=cp-1=https://[fd00::11]:2380"))
            let names = try run(
                "openssl",
                ["x509", "-noout", "-ext", "subjectAltName", "-in", "\(root)/etc/kubernetes/pki/etcd/peer.crt"]
            ).text
            #expect(names.contains("FD00:0:0:0:0:0:0:11") && names.contains("cp-1") && !names.contains("10.0.0.11"))
        }

        /// One backup of three: the others get its files, changed to their names, also where two of these change places.
        @Test(arguments: [["cp-21", "cp-22", "cp-23"], ["cp-22", "cp-21", "cp-23"], ["a", "b", "c"]])
        func oneBackupServesAll(names: [String]) throws {
            let nodes = try RebuildNodes(["N2"])
            let reference = try nodes.backUp("N2", as: "cp-22")
            let addresses = ["10.0.0.21", "10.0.0.22", "10.0.0.23"]
            let topology = zip(names, addresses).flatMap { ["--node", "\($0)=\($1)"] }
            let plan = try nodes.plan([reference], topology)
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: plan)))
            #expect(document.nodes.array.count { $0.isOwnBackup.int == 1 } == 1)
            let all = Set(zip(names, addresses).map { "\($0)=https://\($1):2380" })
            for (name, address) in zip(names, addresses) {
                let root = try nodes.newRoot("new-\(name)")
                try SnapTool.run(nodes.applying(plan, name, root))
                let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
                let listed = try #require(manifest.firstMatch(of: #/--initial-cluster=(.*)/#)).1
                #expect(Set(listed.split(separator: ",").map(String.init)) == all)
                #expect(manifest.contains("--name=\(name)\n") && manifest.contains("=https://\(address):2380\n"))
                let text = try shell(
                    "cd \"$1/etc/kubernetes/pki\"; openssl x509 -noout -subject -ext subjectAltName -in etcd/peer.crt",
                    root
                ).text
                #expect(text.contains("CN = \(name)") && text.contains("IP Address:\(address)"), "\(text)")
            }
        }

        /// A kubelet that renews its certificate itself, under a user of any name, with flags of its own.
        @Test func kubeletsOwnFiles() throws {
            let nodes = try RebuildNodes(["base"])
            try shell(
                """
                cd "$1"; mkdir -p var/lib/kubelet/pki; cd var/lib/kubelet
                for field in certificate key; do
                    sed -n "s/.*client-$field-data: //p" ../../../etc/kubernetes/kubelet.conf | base64 -d
                done >pki/kubelet-client-2026-11-26-06-07-44.pem
                cp pki/kubelet-client-2026-11-26-06-07-44.pem pki/kubelet-client-2026-01-01-00-00-00.pem
                chmod 0600 pki/*; ln -s /var/lib/kubelet/pki/kubelet-client-2026-11-26-06-07-44.pem pki/kubelet-client-current.pem
                echo serving >pki/kubelet.crt; echo 'KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.11 --hostname-override=cp-1"' >kubeadm-flags.env
                sed -i -e 's#client-\\(.*\\)-data: .*#client-\\1: /var/lib/kubelet/pki/kubelet-client-current.pem#' \
                    -e 's#system:node:cp-1@kubernetes#default-context#; s#system:node:cp-1#default-auth#' \
                    ../../../etc/kubernetes/kubelet.conf
                """, nodes.tree("base"))
            let plan = try nodes.plan([nodes.backUp("base", as: "cp-1")], ["--node", "cp-9=10.0.0.9"])
            let root = try nodes.newRoot("new")
            try SnapTool.run(nodes.applying(plan, "cp-9", root))
            let kubelet = "\(root)/var/lib/kubelet"
            let names = try run("ls", ["\(kubelet)/pki"]).text.split(separator: "\n")
            #expect(names.count == 2 && names.last == "kubelet-client-current.pem", "\(names)")
            let target = try run("readlink", ["\(kubelet)/pki/kubelet-client-current.pem"]).text
            let subject = try run("openssl", ["x509", "-noout", "-subject", "-in", root + target.dropLast()]).text
            #expect(subject.contains("CN = system:node:cp-9"))
            #expect(try run("stat", ["-c", "%a", root + target.dropLast()]).text == "600\n")
            let flags = try String(contentsOfFile: "\(kubelet)/kubeadm-flags.env", encoding: .utf8)
            #expect(flags == "KUBELET_KUBEADM_ARGS=\"--node-ip=10.0.0.9 --hostname-override=cp-9\"\n")
        }

        /// The loop of the runbook finds each certificate of a host good, and one of another authority not.
        @Test func theRunbookVerifiesEveryCertificate() throws {
            let nodes = try RebuildNodes(["base"])
            let book = nodes.store.directory.file("book.md")
            let topology = ["--node", "cp-9=10.0.0.9", "--runbook", book]
            let plan = try nodes.plan([nodes.backUp("base", as: "cp-1")], topology)
            let root = try nodes.newRoot("new")
            try SnapTool.run(nodes.applying(plan, "cp-9", root))
            let kept = try run("stat", ["-c", "%a", "\(root)/var/lib/etcd-snap-rebuild/plan.json", plan]).text
            #expect(kept == "600\n600\n")
            let text = try String(contentsOfFile: book, encoding: .utf8)
            let loop = try #require(text.firstMatch(of: #/(?s)while read -r ca pattern.*?\nEND\n/#)).0
            func verified() throws -> [Substring] {
                let script = loop.replacing("/etc/kubernetes/", with: "\(root)/etc/kubernetes/")
                return try shell("set +eo pipefail\n" + script).text.split(separator: "\n")
            }
            let good = try verified()
            #expect(good.count == 12 && good.allSatisfy { $0.contains(" stdin: OK") }, "\(good)")
            let pki = "\(root)/etc/kubernetes/pki"
            try run("cp", ["\(pki)/etcd/peer.crt", "\(pki)/apiserver-kubelet-client.crt"])
            try run("rm", ["\(pki)/front-proxy-client.crt"])
            let bad = try verified().filter { !$0.contains(" stdin: OK") }
            #expect(
                bad.count == 2 && bad[0].contains("apiserver-kubelet-client") && bad[0].contains("issuer"), "\(bad)")
        }

        /// Workers have to be told where they go, but for an endpoint that stays.
        @Test func whatWorkersNeed() throws {
            let nodes = try RebuildNodes(["base", "noendpoint"])
            let (base, none) = (try nodes.backUp("base", as: "cp-1"), try nodes.backUp("noendpoint", as: "cp-2"))
            let file = nodes.store.directory.file("runbook.md")
            func runbook(_ reference: String, _ topology: [String]) throws -> String {
                try SnapTool.run(["rebuild", "plan", reference, "--runbook", file] + topology + nodes.access)
                return try String(contentsOfFile: file, encoding: .utf8)
            }
            let moved = ["--node", "cp-1=10.0.0.21"]
            #expect(try runbook(base, moved).contains("Nothing to do: the endpoint and the authorities are the same"))
            let alone = try runbook(none, moved)
            #expect(
                alone.contains("-e 's#https://10.0.0.11:6443#https://10.0.0.21:6443#' /etc/kubernetes/kubelet.conf"))
            let behind = try runbook(none, moved + ["--endpoint", "lb:8443"])
            #expect(behind.contains("-e 's#https://10.0.0.11:6443#https://lb:8443#'"))
            let back = try runbook(base, moved + ["--endpoint", "none"])
            #expect(back.contains("-e 's#https://lb.example.internal:6443#https://10.0.0.21:6443#'"))
            #expect(try runbook(none, ["--node", "cp-1=10.0.0.11"]).contains("Nothing to do"))
        }

        /// Nodes whose etcd runs elsewhere are rebuilt without one.
        @Test func anEtcdElsewhere() throws {
            let nodes = try RebuildNodes(["exte"])
            let reference = try nodes.backUp("exte", as: "cp-1")
            let plan = try nodes.plan([reference], ["--node", "cp-9=10.0.0.9"])
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: plan)))
            #expect(document.warnings[0].string.contains("ran no etcd") && document.etcd["value"].string == "")
            let root = try nodes.newRoot("new")
            try SnapTool.run(nodes.applying(plan, "cp-9", root))
            #expect(!FileManager.default.fileExists(atPath: "\(root)/var/lib/etcd"))
            let manifest = "\(root)/etc/kubernetes/manifests/kube-apiserver.yaml"
            let text = try String(contentsOfFile: manifest, encoding: .utf8)
            #expect(text.contains("--etcd-servers=https://10.0.0.31:2379,https://10.0.0.32:2379"))
            #expect(text.contains("--advertise-address=10.0.0.9"))
        }

        /// Members that talk to each other in a network of their own.
        @Test func aNetworkOfEtcdsOwn() throws {
            let nodes = try RebuildNodes(["base"])
            try shell(
                """
                sed -i -e 's#https://10.0.0.11:2380#https://172.16.0.11:2380#' \
                    -e 's#initial-cluster=#&cp-2=https://172.16.0.12:2380,#' "$1/etc/kubernetes/manifests/etcd.yaml"
                """,
                nodes.tree("base"))
            let base = try nodes.backUp("base", as: "cp-1")
            let one = try SnapTool.attempt(["rebuild", "plan", base, "--node", "cp-9=10.0.0.9"] + nodes.access)
            expectFailure(one, 2, naming: "https://172.16.0.11:2380", "cp-9")
            let plan = try nodes.plan([base], ["--node", "cp-9=10.0.0.9,172.16.0.9"])
            let root = try nodes.newRoot("new")
            try SnapTool.run(nodes.applying(plan, "cp-9", root))
            let manifest = try String(contentsOfFile: "\(root)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
            for flag in [
                "--initial-cluster=cp-9=https://172.16.0.9:2380\n", "--listen-peer-urls=https://172.16.0.9:2380",
                "--advertise-client-urls=https://10.0.0.9:2379",
            ] { #expect(manifest.contains(flag), "\(flag)") }
            let both = try SnapTool.json(
                ["rebuild", "plan", base, "--node", "cp-9=10.0.0.9,172.16.0.9", "--node", "cp-8=10.0.0.8,172.16.0.8"]
                    + nodes.access)
            let listed = "cp-9=https://172.16.0.9:2380,cp-8=https://172.16.0.8:2380"
            #expect(both.etcd.initialCluster.string == listed)
            let diff = both.nodes[0].changes.array.map(\.diff.string).joined()
            #expect(diff.contains("+    - --initial-cluster=\(listed)\n"), "\(diff)")
        }

        /// A backup of files alone leads to the snapshot that another node made.
        @Test func theSnapshotOfAnotherNode() throws {
            let masters = try Masters(EtcdServer.startCluster(.v3_5, memberCount: 2))
            try masters.makeBackup(0)
            let reference = try masters.makeSharingBackup(1)
            let access = ["--store", masters.store, "-i", masters.key.path]
            let plan = masters.directory.file("plan.json")
            let document = try SnapTool.json(
                ["rebuild", "plan", reference, "--node", "new=10.0.0.9", "--out", plan] + access)
            #expect(document.snapshot.reason.string.contains("taken on cp-1"))
            let root = masters.directory.file("new")
            try run("mkdir", [root])
            try SnapTool.run(["rebuild", "apply", "--plan", plan, "--node", "new", "--root", root] + access)
            #expect(FileManager.default.fileExists(atPath: "\(root)/var/lib/etcd/member/snap/db"))
        }

        /// Certificates are requested where an authority's key is kept elsewhere, and what comes back is checked.
        @Test func keysOfAuthoritiesElsewhere() throws {
            let nodes = try RebuildNodes(["base"])
            let tree = nodes.tree("base")
            let safe = nodes.store.directory.file("safe")
            try shell(
                """
                mkdir -p "$2/pki/etcd"; cd "$1/etc/kubernetes/pki"; cp ca.crt "$2/pki"; cp etcd/ca.crt "$2/pki/etcd"
                mv ca.key "$2/pki"; mv etcd/ca.key "$2/pki/etcd"
                """, tree, safe)
            let plan = try nodes.plan([nodes.backUp("base", as: "cp-1")], ["--node", "cp-9=10.0.0.9"])
            let root = try nodes.newRoot("new")
            let apply = nodes.applying(plan, "cp-9", root)
            expectFailure(try SnapTool.attempt(apply), 3, naming: "4 certificates", "requests")
            let requests = "\(root)/var/lib/etcd-snap-rebuild/requests"
            #expect(try run("ls", ["-A", root]).text == "var\n")
            let status = try SnapTool.json(["rebuild", "status", "--root", root])
            #expect(status.requests.string.hasSuffix("/requests") && status.state.string == "begun")
            let keys = try shell("cd \"$1\"; find . -name '*.key' | sort | xargs sha256sum", requests).text
            expectFailure(try SnapTool.attempt(apply), 4, naming: "missing")
            #expect(try shell("cd \"$1\"; find . -name '*.key' | sort | xargs sha256sum", requests).text == keys)
            let sign = """
                cd "$1"; tail -n +2 requests.tsv | while IFS='\t' read -r file authority usage extended days; do
                    printf 'keyUsage=critical,%s\nextendedKeyUsage=%s\nbasicConstraints=critical,CA:FALSE\n' "$usage" "$3" >"$2/ext"
                    openssl x509 -req -in "$file" -CA "$2/$authority.crt" -CAkey "$2/$authority.key" -days "$days" \
                        -copy_extensions copyall -extfile "$2/ext" -out "${file%.csr}.crt"
                done
                """
            // Signed for another use, it is not taken.
            try shell(sign, requests, safe, "emailProtection")
            expectFailure(try SnapTool.attempt(apply), 8, naming: "is not for")
            try shell(sign, requests, safe, "serverAuth,clientAuth")
            expectFailure(
                try SnapTool.attempt(["rebuild", "continue", "--root", safe] + nodes.access), 4, naming: "no rebuild")
            try SnapTool.run(["rebuild", "continue", "--root", root] + nodes.access)
            let text = try shell(
                """
                cd "$1/etc/kubernetes/pki"; openssl verify -CAfile ca.crt apiserver.crt
                openssl verify -CAfile etcd/ca.crt etcd/server.crt etcd/peer.crt; cmp etcd/peer.key "$2/pki/etcd/peer.key"
                """, root, requests
            ).text
            #expect(text.split(separator: "\n").count { $0.hasSuffix(": OK") } == 3, "\(text)")
            try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
            #expect(try run("ls", ["-A", root]).text == "")
        }

        @Test(.enabled(if: geteuid() == 0, "mounting needs root")) func whereTheHostIsNotReady() throws {
            let nodes = try RebuildNodes(["base"])
            let plan = try nodes.plan([nodes.backUp("base", as: "cp-1")], ["--node", "cp-9=10.0.0.9"])
            let root = try nodes.newRoot("new")
            try run("mount", ["-t", "tmpfs", "-o", "size=20m", "none", root])
            defer { _ = try? run("umount", ["--lazy", root], allowsFailure: true) }
            expectFailure(try SnapTool.attempt(nodes.applying(plan, "cp-9", root)), 6, naming: "bytes are needed")
            #expect(try run("ls", ["-A", root]).text == "")
            try run("mount", ["-o", "remount,size=400m", root])
            let text = try String(contentsOfFile: plan, encoding: .utf8)
            let digest = try #require(text.firstMatch(of: #/"manifestSHA256" : "([0-9a-f]{64})"/#)).1
            let other = try nodes.store.directory.write(text, to: "other.json")
            try nodes.reseal(other, replacing: [String(digest): String(repeating: "0", count: 64)])
            expectFailure(try SnapTool.attempt(nodes.applying(other, "cp-9", root)), 7, naming: "is not the archive")
            let later = try nodes.store.directory.write(
                text.replacing("\"formatVersion\" : 1", with: "\"formatVersion\" : 2"), to: "later.json")
            expectFailure(try SnapTool.attempt(nodes.applying(later, "cp-9", root)), 7, naming: "version 2")
            #expect(try run("ls", ["-A", root]).text == "")
        }
    }
}
