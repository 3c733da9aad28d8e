import Crypto
import Foundation
import TestSupport
import Testing

extension Integration {
    /// What the database of a lost control plane has of its nodes: leases are deleted, all else is told.
    @Suite struct RebuildInsideTests {
        private static let uuid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
        private static let secret = SymmetricKey(data: Data(repeating: 7, count: 32))

        /// Keys that are deleted where cp-1 at 10.0.0.11 is lost.
        private static let deleted = [
            "/registry/leases/kube-system/cloud", "/registry/leases/kube-system/kube-controller-manager",
            "/registry/leases/kube-system/kube-scheduler", "/registry/masterleases/10.0.0.11",
        ]

        private static func values() throws -> [(key: String, value: Data)] {
            let lost = "cp-1_\(uuid)"
            func pod(
                _ name: String, on node: String, _ annotations: [String: String] = [:], _ text: String = ""
            ) -> Data {
                StoredValue.object("Pod", name, annotations: annotations) {
                    $0.message(2) {
                        $0.message(2) { $0.text(3, text) }
                        $0.text(10, node)
                    }
                }
            }
            func endpoints(_ kind: String, _ name: String, _ labels: [String: String] = [:]) -> Data {
                StoredValue.object(kind, name, labels: labels) {
                    $0.message(2) { $0.message(1) { $0.text(1, "10.0.0.11") } }
                }
            }
            let kubeconfig = StoredValue.object("Secret", "kubeconfig") {
                $0.entry(2, "config", "server: https://10.0.0.11:6443")
            }
            return [
                ("masterleases/10.0.0.11", endpoints("Endpoints", "")), ("masterleases/10.0.0.111", Data("x".utf8)),
                ("leases/kube-system/kube-scheduler", StoredValue.lease("kube-scheduler", heldBy: lost)),
                (
                    "leases/kube-system/kube-controller-manager",
                    Data(
                        #"{"kind":"Lease","spec":{"holderIdentity":"\#(lost)","leaseDurationSeconds":15},"metadata":{}}"#
                            .utf8)
                ), ("leases/kube-system/cloud", StoredValue.lease("cloud", heldBy: "CP-1_by-itself")),
                ("leases/kube-system/other", StoredValue.lease("other", heldBy: "cp-11_\(uuid)")),
                (
                    "leases/kube-system/apiserver-abc",
                    StoredValue.object("Lease", "apiserver-abc", labels: ["kubernetes.io/hostname": "cp-1"])
                ), ("leases/kube-node-lease/cp-1", StoredValue.lease("cp-1", heldBy: "cp-1")),
                ("leases/operators/op", StoredValue.lease("op", heldBy: lost)),
                ("minions/cp-1", StoredValue.object("Node", "cp-1")),
                ("minions/worker", StoredValue.object("Node", "worker")),
                ("pods/kube-system/etcd-cp-1", pod("etcd-cp-1", on: "cp-1", ["kubernetes.io/config.mirror": "1"])),
                ("pods/kube-system/proxy", pod("proxy", on: "cp-1")),
                ("pods/default/app", pod("app", on: "worker", [:], "--server=10.0.0.11")),
                ("pods/default/near", pod("near", on: "worker", [:], "--server=10.0.0.110 my-cp-1")),
                (
                    "configmaps/kube-system/kubeadm-config",
                    StoredValue.object("ConfigMap", "kubeadm-config") {
                        $0.entry(
                            2, "ClusterConfiguration",
                            "certificateValidityPeriod: 2160h0m0s\ncontrolPlaneEndpoint: lb.example.internal:6443\n")
                    }
                ),
                (
                    "configmaps/cni/settings",
                    StoredValue.object("ConfigMap", "settings") { $0.entry(2, "conf", "api: 10.0.0.11") }
                ), ("endpointslices/default/kubernetes", endpoints("EndpointSlice", "kubernetes")),
                ("services/endpoints/default/kubernetes", endpoints("Endpoints", "kubernetes")),
                (
                    "endpointslices/kube-system/dns-x",
                    endpoints(
                        "EndpointSlice", "dns-x",
                        ["endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"])
                ), ("services/endpoints/monitoring/kube-etcd", endpoints("Endpoints", "kube-etcd")),
                ("events/default/e", StoredValue.object("Event", "e") { $0.text(5, "Node cp-1 status is now: Ready") }),
                (
                    "example.org/widgets/default/w",
                    Data(#"{"kind":"Widget","metadata":{"name":"w"},"spec":{"node":"cp-1"}}"#.utf8)
                ), ("secrets/default/kubeconfig", try SealedValue.aescbc(kubeconfig, key: secret, name: "key1")),
                ("secrets/default/plugins", try SealedValue.kmsV1(kubeconfig, plugin: "vault")),
                (
                    "secrets/default/none",
                    try SealedValue.aescbc(StoredValue.object("Secret", "none"), key: secret, name: "key1")
                ),
            ].map { ("/registry/\($0.0)", $0.1) } + [("/calico/node", Data(#"{"host":"cp-1"}"#.utf8))]
        }

        private struct Lost {
            let server: EtcdServer
            let nodes: RebuildNodes
            let reference: String
            let revision: Int
        }

        /// A lost node with such a database, whose API server encrypts secrets.
        private func lost(_ version: EtcdVersion) throws -> Lost {
            let server = try EtcdServer.start(version, flags: ["--unsafe-no-fsync"])
            // Only what is there in the end counts.
            try server.etcdctl("put", "/registry/configmaps/cni/was", "10.0.0.11")
            try server.etcdctl("put", "/registry/configmaps/cni/was", "another")
            try server.etcdctl("put", "/registry/configmaps/cni/gone", "10.0.0.11")
            try server.etcdctl("del", "/registry/configmaps/cni/gone")
            let lease = try server.etcdctl("lease", "grant", "3600").split(separator: " ")[1]
            for (key, value) in try Self.values() {
                let isLeased = key.hasPrefix("/registry/masterleases/")
                if isLeased {
                    try server.etcdctl("put", "--lease=\(lease)", key, input: value)
                } else {
                    try server.etcdctl("put", key, input: value)
                }
            }
            let nodes = try RebuildNodes(["base"], version)
            let entry =
                "aescbc: {keys: [{name: key1, secret: \(Self.secret.withUnsafeBytes { Data($0).base64EncodedString() })}]}"
            try shell(
                "cd \"$1\"; \(KubeadmEncryptionTests.script([("secrets", [entry, "identity: {}"])]))",
                nodes.tree("base"))
            let reference = try nodes.backUp("base", as: "cp-1", server.flags())
            let revision = try JSON(Data(server.etcdctl("get", "x", "-w", "json").utf8)).header.revision.int
            return Lost(server: server, nodes: nodes, reference: reference, revision: revision)
        }

        private static let topology = ["--node", "cp-21=10.0.0.21", "--endpoint", "api.new.example:6443"]

        @Test func allThatHasOldNamesIsTold() throws {
            let lost = try lost(.v3_5)
            defer { lost.server.kill() }
            let arguments = ["rebuild", "plan", lost.reference] + lost.nodes.access
            let runbook = lost.nodes.store.directory.file("runbook.md")
            let plan = try SnapTool.json(arguments + Self.topology + ["--runbook", runbook])
            #expect(plan.etcd.deletions.array.map(\.key.string) == Self.deleted)
            #expect(plan.etcd.deletions.array.map(\.gainSeconds.int) == [16, 16, 16, 20])
            func names(_ group: JSON) -> [String] {
                group.objects.array.map { "\($0.resource.string)/\($0.name.string)" }
            }
            let heals = plan.inside.heals.array
            #expect(heals.map(\.count.int) == [2, 1, 1, 1], "\(heals)")
            #expect(heals.map(\.seconds.int) == [20, 16, 3600, 3600])
            #expect(names(heals[0]) == ["endpointslices/default/kubernetes", "services/endpoints/default/kubernetes"])
            #expect(names(heals[1]) == ["leases/operators/op"] && names(heals[3]) == [])
            let finished = plan.inside.finished.array.map(names)
            #expect(
                finished == [
                    ["configmaps/kube-system/kubeadm-config"], ["minions/cp-1"], ["pods/kube-system/etcd-cp-1"],
                    ["leases/kube-node-lease/cp-1", "pods/kube-system/proxy"], ["endpointslices/kube-system/dns-x"],
                ])
            let others = plan.inside.others.array.map {
                "\($0.resource.string) \($0.name.string) \($0.words.array.map(\.string).joined(separator: ",")) "
                    + $0.fields.array.map(\.string).joined(separator: ",")
            }
            #expect(
                others == [
                    " /calico/node cp-1 host", "configmaps cni/settings 10.0.0.11 data[conf]",
                    "example.org/widgets default/w cp-1 spec.node", "pods default/app 10.0.0.11 spec",
                    "secrets default/kubeconfig 10.0.0.11 data[config]",
                    "services/endpoints monitoring/kube-etcd 10.0.0.11 subsets",
                ], "\(others)")
            #expect(plan.inside.unread.array.map { "\($0.resource.string) \($0.count.int)" } == ["secrets 1"])
            #expect(plan.inside.isComplete.value as? Bool == true)
            #expect(plan.notes.array.contains { $0.string.contains("valid for 2160 hours") })
            let text = try SnapTool.run(arguments + Self.topology).text
            for word in ["configmaps/cni/settings: 10.0.0.11 in data[conf]", "4 keys", "3600 s", "1 secrets"]
                + Self.deleted
            {
                #expect(text.contains(word), "\(word)")
            }
            let book = try String(contentsOfFile: runbook, encoding: .utf8)
            for word in ["4 leases of lost nodes are deleted", "after 20 s", "configmaps/cni/settings", "1 secrets"] {
                #expect(book.contains(word), "\(word)")
            }
        }

        /// Only what is lost counts: a name or an address that stays, or all of it.
        @Test func whatStaysIsLeft() throws {
            let lost = try lost(.v3_5)
            defer { lost.server.kill() }
            let arguments = ["rebuild", "plan", lost.reference] + lost.nodes.access
            func deletions(_ plan: JSON) -> [String] { plan.etcd.deletions.array.map(\.key.string) }
            let same = try SnapTool.json(arguments + ["--node", "cp-1=10.0.0.11", "--node", "m0=10.0.0.12"])
            #expect(same.inside.value == nil || same.inside.value is NSNull)
            #expect(deletions(same) == [])
            let moved = try SnapTool.json(arguments + ["--node", "cp-1=10.0.0.21"])
            #expect(deletions(moved) == ["/registry/masterleases/10.0.0.11"])
            #expect(!moved.inside.others.array.contains { $0.words[0].string == "cp-1" })
            let named = try SnapTool.json(arguments + ["--node", "cp-9=10.0.0.11"])
            #expect(deletions(named) == Array(Self.deleted.dropLast()))
            let kept = try SnapTool.json(arguments + Self.topology + ["--keep-leases"])
            #expect(deletions(kept) == [] && kept.inside.heals[0].what.string == "masterleases")
        }

        /// Applied, a real etcd has all keys but those, from the next revision on, whether the revision is raised or not.
        @Test(arguments: EtcdVersion.installed, [["--no-bump"], []])
        func theyAreGoneFromTheFirstStart(version: EtcdVersion, bump: [String]) throws {
            let lost = try lost(version)
            defer { lost.server.kill() }
            let before = try lost.server.etcdctl("get", "/", "--prefix", "--keys-only").split(separator: "\n").map(
                String.init)
            let plan = try lost.nodes.plan([lost.reference], Self.topology + bump)
            let root = try lost.nodes.newRoot("new")
            let report = try SnapTool.json(lost.nodes.applying(plan, "cp-21", root))
            #expect(report.revision.int == lost.revision + 1 + (bump.isEmpty ? 1_000_000_000 : 0))
            #expect(report.notes.array.contains { $0.string.contains("deleted 4 keys") })
            // For as long as the cluster's configuration says: certificates of kubeadm last a year otherwise.
            let certificate = "\(root)/etc/kubernetes/pki/apiserver.crt"
            for (seconds, status) in [(2159 * 3600, 0), (2161 * 3600, 1)] as [(Int, Int32)] {
                let check = try run(
                    "openssl", ["x509", "-noout", "-checkend", "\(seconds)", "-in", certificate], allowsFailure: true)
                #expect(check.status == status)
            }
            let ports = try EtcdServer.freePorts(2)
            let url = "http://127.0.0.1:\(ports[0])"
            let etcd = try BackgroundProcess(
                version.path(of: "etcd"),
                [
                    "--name=cp-21", "--data-dir=\(root)/var/lib/etcd", "--listen-client-urls=\(url)",
                    "--advertise-client-urls=\(url)", "--listen-peer-urls=http://127.0.0.1:\(ports[1])",
                    "--unsafe-no-fsync",
                ])
            defer { etcd.stop() }
            func ctl(_ arguments: [String]) throws -> String {
                try run(
                    version.path(of: "etcdctl"), ["--endpoints=\(url)"] + arguments, environment: ["ETCDCTL_API": "3"]
                ).text
            }
            for _ in 0..<100 where (try? ctl(["get", "x"])) == nil { usleep(100_000) }
            let after = try ctl(["get", "/", "--prefix", "--keys-only"]).split(separator: "\n").map(String.init)
            #expect(after == before.filter { !Self.deleted.contains($0) })
            if !bump.isEmpty {
                let old = try ctl(["get", Self.deleted[2], "--rev=\(lost.revision)", "--keys-only"])
                #expect(old.contains(Self.deleted[2]))
            }
            _ = try ctl(["put", Self.deleted[3], "new"])
            #expect(try ctl(["get", Self.deleted[3], "--print-value-only"]) == "new\n")
        }

        /// A key that does not exist in the snapshot is never deleted, whatever the plan says.
        @Test func otherKeysAreRefused() throws {
            let lost = try lost(.v3_5)
            defer { lost.server.kill() }
            let plan = try lost.nodes.plan([lost.reference], Self.topology)
            try lost.nodes.reseal(plan, replacing: ["masterleases/10.0.0.11\"": "masterleases/10.0.0.99\""])
            let root = try lost.nodes.newRoot("new")
            let result = try SnapTool.attempt(lost.nodes.applying(plan, "cp-21", root))
            expectFailure(result, 2, naming: "/registry/masterleases/10.0.0.99", "1 of 4 keys")
            #expect(!FileManager.default.fileExists(atPath: "\(root)/var/lib/etcd/member"))
            try SnapTool.run(["rebuild", "undo", "--root", root, "--yes"])
        }
    }
}
