import Foundation
import TestSupport
import Testing

extension Integration {
    /// What in a rebuilt cluster names lost hosts: changed, deleted or left alone through an API server.
    @Suite struct RebuildFinishTests {
        /// A cluster as it is after the first boot: everything is as in the snapshot.
        private struct Cluster {
            let nodes: RebuildNodes
            let plan: String
            let pki: TestPKI
            let server: APIServer
            let kubeconfig: String

            init(
                _ topology: [String] = ["--node", "cp-21=10.0.0.21", "--endpoint", "api.new.example:8443"],
                renewed: Date = Date(timeIntervalSinceNow: -3600), isLabelled: Bool = true, faults: [String] = []
            ) throws {
                nodes = try RebuildNodes(["base"])
                plan = try nodes.plan([nodes.backUp("base", as: "cp-1")], topology)
                pki = try TestPKI()
                let pair = try pki.issue(
                    "apiserver", commonName: "kube-apiserver", usage: "serverAuth", alternativeNames: "IP:127.0.0.1")
                let admin = try pki.issue(
                    "admin", commonName: "kubernetes-admin", organization: "kubeadm:cluster-admins")
                server = try APIServer(
                    objects: try Self.objects(renewed, isLabelled), pki: pki, pair: pair, faults: faults)
                kubeconfig = try nodes.store.directory.write(
                    server.kubeconfig(pki, client: admin), to: "admin.conf")
                chmod(kubeconfig, 0o600)
            }

            private static func objects(_ renewed: Date, _ isLabelled: Bool) throws -> String {
                func map(_ namespace: String, _ name: String, _ data: [String: String]) -> [String: Any] {
                    ["kind": "ConfigMap", "metadata": ["name": name, "namespace": namespace], "data": data]
                }
                func pod(_ name: String, _ node: String, isMirror: Bool) -> [String: Any] {
                    let annotations = isMirror ? ["kubernetes.io/config.mirror": "0123"] : ["a": "b"]
                    return [
                        "kind": "Pod", "spec": ["nodeName": node],
                        "metadata": ["name": name, "namespace": "kube-system", "annotations": annotations],
                    ]
                }
                func node(_ name: String, _ labels: [String: String]) -> [String: Any] {
                    [
                        "kind": "Node", "metadata": ["name": name, "labels": labels],
                        "status": ["conditions": [["type": "Ready", "status": "True"]]],
                    ]
                }
                func lease(_ name: String, _ time: Date) -> [String: Any] {
                    let text = time.formatted(.iso8601).dropLast() + ".123456Z"
                    return [
                        "kind": "Lease", "metadata": ["name": name, "namespace": "kube-node-lease"],
                        "spec": ["renewTime": text, "leaseDurationSeconds": 40],
                    ]
                }
                let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: "
                let objects: [[String: Any]] = [
                    map("kube-system", "kubeadm-config", ["ClusterConfiguration": configuration]),
                    map(
                        "kube-public", "cluster-info",
                        [
                            "kubeconfig": kubeconfig + "https://lb.example.internal:6443\n  name: \"\"\n",
                            "jws-kubeconfig-a": "x",
                        ]),
                    map(
                        "kube-system", "kube-proxy",
                        ["kubeconfig.conf": kubeconfig + "https://lb.example.internal:6443 # all\n  name: default\n"]),
                    map("kube-system", "other", ["address": "10.0.0.11"]),
                    node("cp-1", isLabelled ? ["node-role.kubernetes.io/control-plane": ""] : [:]),
                    node("cp-21", ["node-role.kubernetes.io/control-plane": ""]), node("worker", [:]),
                    lease("cp-1", renewed), lease("cp-21", Date()), lease("worker", renewed),
                    pod("etcd-cp-1", "cp-1", isMirror: true), pod("kube-apiserver-cp-1", "cp-1", isMirror: true),
                    pod("kube-proxy-a", "cp-1", isMirror: false), pod("etcd-cp-21", "cp-21", isMirror: true),
                    pod("static-worker", "worker", isMirror: true),
                ]
                return String(decoding: try JSONSerialization.data(withJSONObject: objects), as: UTF8.self)
            }

            private static let configuration = """
                apiServer:
                  certSANs:
                  - 203.0.113.7 # public
                  - 10.0.0.11
                  - cp-1
                apiVersion: kubeadm.k8s.io/v1beta4
                controlPlaneEndpoint: lb.example.internal:6443
                etcd:
                  local:
                    dataDir: /var/lib/etcd
                    serverCertSANs: ["etcd.example", 10.0.0.11]
                kind: ClusterConfiguration

                """

            func finishing(_ more: [String]) -> [String] {
                ["rebuild", "finish", "--plan", plan, "--kubeconfig", kubeconfig] + more
            }

            func finish(_ more: [String], status: Int32 = 0) throws -> JSON {
                let result = try SnapTool.attempt(finishing(more) + ["-o", "json"])
                #expect(result.status == status, "\(result.errorText)")
                return try JSON(result.output)
            }

            /// What was asked to be changed, without whom.
            func changes() -> [String] {
                server.requests().filter { !$0.hasPrefix("GET ") }.map {
                    $0.split(separator: " ")[..<2].joined(separator: " ")
                }
            }
        }

        @Test func lostHostsAreNamedNoMore() throws {
            let cluster = try Cluster()
            let preview = try cluster.finish(["--dry-run"])
            #expect(preview.configMaps.array.map(\.outcome.string) == ["wouldChange", "wouldChange", "wouldChange"])
            #expect(preview.nodes.array.map(\.outcome.string) == ["wouldDelete"])
            #expect(cluster.changes() == [])
            let unsure = try SnapTool.attempt(cluster.finishing([]))
            expectFailure(unsure, 2, naming: "3 ConfigMaps", "1 Nodes and 2 mirror pods")
            #expect(cluster.changes() == [])

            let report = try cluster.finish(["--yes"])
            let diffs = report.configMaps.array.map(\.diff.string).joined()
            for line in [
                "+controlPlaneEndpoint: api.new.example:8443", "+  - 10.0.0.21", "+  - cp-21",
                "   - 203.0.113.7 # public",
                "+    serverCertSANs: [\"etcd.example\", 10.0.0.21]", "+    server: https://api.new.example:8443 # all",
            ] { #expect(diffs.contains("\n\(line)\n"), "\(line)\n\(diffs)") }
            #expect(
                report.nodes[0].mirrorPods.array.map(\.string)
                    == ["kube-system/etcd-cp-1", "kube-system/kube-apiserver-cp-1"])
            #expect(report.commands[0].string.contains("rollout restart daemonset kube-proxy"))
            #expect(
                cluster.changes() == [
                    "PATCH /api/v1/namespaces/kube-system/configmaps/kubeadm-config?fieldManager=etcd-snap",
                    "PATCH /api/v1/namespaces/kube-public/configmaps/cluster-info?fieldManager=etcd-snap",
                    "PATCH /api/v1/namespaces/kube-system/configmaps/kube-proxy?fieldManager=etcd-snap",
                    "DELETE /api/v1/nodes/cp-1", "DELETE /api/v1/namespaces/kube-system/pods/etcd-cp-1",
                    "DELETE /api/v1/namespaces/kube-system/pods/kube-apiserver-cp-1",
                ])

            let again = try cluster.finish(["--yes"])
            #expect(again.configMaps.array.map(\.outcome.string) == ["unchanged", "unchanged", "unchanged"])
            #expect(again.nodes[0].outcome.string == "absent" && again.nodes[0].mirrorPods.array.isEmpty)
            #expect(cluster.changes().count == 6)
            #expect(try SnapTool.run(cluster.finishing(["--dry-run"])).text.contains("nothing is left to do"))
        }

        @Test func partsCanBeLeftOut() throws {
            let cluster = try Cluster()
            let report = try cluster.finish(["--yes", "--skip", "configmaps"])
            #expect(report.configMaps.array.isEmpty && report.nodes.array.count == 1)
            let rest = try cluster.finish(["--dry-run", "--skip", "nodes"])
            #expect(rest.configMaps.array.count == 3 && rest.nodes.array.isEmpty)
        }

        /// Somebody changes a ConfigMap between reading and writing: it is read again.
        @Test func aConflictIsTriedAgain() throws {
            let cluster = try Cluster(faults: ["conflict"])
            let report = try cluster.finish(["--yes"])
            #expect(report.configMaps.array.map(\.outcome.string) == ["changed", "changed", "changed"])
            #expect(cluster.server.requests().count { $0.hasSuffix(" 409") } == 1)
        }

        @Test func nodesThatMayLiveAreKept() throws {
            let alive = try Cluster(renewed: Date(timeIntervalSinceNow: -5))
            let report = try alive.finish(["--yes"], status: 3)
            #expect(
                report.nodes[0].outcome.string == "kept" && report.nodes[0].reason.string.contains("renewed its lease"))
            let unlabelled = try Cluster(renewed: Date(timeIntervalSinceNow: -5), isLabelled: false)
            let other = try unlabelled.finish(["--yes"], status: 3)
            #expect(
                other.nodes[0].outcome.string == "kept" && other.nodes[0].reason.string.contains("renewed its lease"))
            for cluster in [alive, unlabelled] { #expect(!cluster.changes().contains { $0.hasPrefix("DELETE") }) }
        }

        /// The plan says what it was; a label may have been taken from it.
        @Test func aLostNodeWithoutALabelGoes() throws {
            let cluster = try Cluster(isLabelled: false)
            let report = try cluster.finish(["--yes"])
            #expect(report.nodes.array.map(\.name.string) == ["cp-1"] && report.nodes[0].outcome.string == "deleted")
            let deleted = cluster.changes().filter { $0.hasPrefix("DELETE") }
            #expect(deleted.first == "DELETE /api/v1/nodes/cp-1" && !deleted.contains { $0.hasSuffix("/worker") })
        }

        /// A node of the same name is not lost, and what has not changed is not touched.
        @Test func theSameNamesStay() throws {
            let cluster = try Cluster(["--node", "cp-1=10.0.0.11"])
            let report = try cluster.finish(["--yes"])
            #expect(report.nodes.array.isEmpty)
            #expect(report.configMaps.array.map(\.outcome.string) == ["unchanged", "unchanged", "unchanged"])
            #expect(cluster.changes() == [])
        }

        @Test func refusalsHelp() throws {
            let cluster = try Cluster(faults: ["never"])
            expectFailure(
                try SnapTool.attempt(cluster.finishing(["--yes"])), 1, naming: "is not ready", "bootstrap-roles")
            let directory = cluster.nodes.store.directory
            let root = try cluster.nodes.newRoot("empty")
            expectFailure(
                try SnapTool.attempt(["rebuild", "finish", "--root", root, "--kubeconfig", cluster.kubeconfig]), 4,
                naming: "no rebuild is recorded")
            expectFailure(
                try SnapTool.attempt(["rebuild", "finish", "--root", root, "--plan", cluster.plan]), 4,
                naming: "super-admin.conf")
            let other = try Cluster()
            let kubeconfig = try directory.write(
                other.server.kubeconfig(
                    other.pki,
                    client: try other.pki.issue(
                        "node", commonName: "system:node:cp-21", organization: "system:nodes")), to: "node.conf")
            let refused = try SnapTool.attempt(
                ["rebuild", "finish", "--plan", other.plan, "--kubeconfig", kubeconfig, "--yes"])
            expectFailure(refused, 8, naming: "system:node:cp-21", "Forbidden")
            for text in [refused.errorText, refused.text] { #expect(!text.contains("PRIVATE KEY")) }
        }
    }
}
