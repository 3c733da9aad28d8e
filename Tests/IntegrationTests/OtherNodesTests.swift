import Foundation
import TestSupport
import Testing

extension Integration {
    /// Files of one node on another: of the same cluster, or a new host of it.
    @Suite struct OtherNodesTests {
        private let store: TestStore
        private let nodes: ClusterNodes
        private let host: String

        /// The newest archive of the store is that of cp-22.
        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            nodes = try ClusterNodes(in: store.directory)
            host = store.directory.file("host")
            try run("mkdir", [host])
            try nodes.backUp("cp-21", to: store)
            // An ID tells the time in seconds.
            sleep(1)
            try nodes.backUp("cp-22", to: store)
        }

        /// A restore below the host's root; a configuration's `node` is that of the host that runs it, and says nothing there.
        private func inPlace(
            _ reference: String = "latest", node: String? = nil, more: [String] = []
        ) throws -> [String] {
            let configuration = try store.directory.write("node: cp-22\n", to: "this-host.yaml")
            return [
                "restore", "files", reference, "-i", store.key.path, "--store", store.root, "--in-place", "--root",
                host, "--config", configuration,
            ] + (node.map { ["--this-node", $0] } ?? []) + more
        }

        private func reference(of node: String) throws -> String {
            let listed = try SnapTool.json(["list", "--store", store.root, "--node", node]).array
            try #require(listed.count == 1)
            return "test/\(node)/\(listed[0].archive.id.string)"
        }

        /// But for the times of directories, in which files were staged to be compared.
        private func expectHost(is node: String) throws {
            let original = try #require(nodes.roots[node])
            let differences = try differencesBelow("\(original)/etc/", "\(host)/etc/")
            #expect(differences.filter { !$0.hasPrefix(".d..t......") } == [])
        }

        @Test func latestIsThisNodes() throws {
            let report = try SnapTool.json(inPlace(node: "cp-21", more: ["--yes"]))
            #expect(report.reference.string.hasPrefix("test/cp-21/"))
            try expectHost(is: "cp-21")
        }

        @Test func aRootTellsItsName() throws {
            try shell("mkdir \"$1/etc\"; echo cp-21 >\"$1/etc/hostname\"", host)
            #expect(try SnapTool.run(inPlace(more: ["--dry-run"])).errorText.contains("test/cp-21/"))
        }

        /// Without a host name the kubelet's user and etcd's member tell it, and --node says only which archive is meant.
        @Test(arguments: ["kubelet.conf", "manifests/etcd.yaml"])
        func itsFilesTellItsName(_ file: String) throws {
            let root = try #require(nodes.roots["cp-21"])
            try shell(
                "mkdir -p \"$(dirname \"$2/etc/kubernetes/$3\")\"; cp \"$1/etc/kubernetes/$3\" \"$2/etc/kubernetes/$3\"",
                root, host, file)
            #expect(try SnapTool.run(inPlace(more: ["--dry-run"])).errorText.contains("test/cp-21/"))
            let other = try SnapTool.run(inPlace(more: ["--dry-run", "--node", "cp-22"])).text
            #expect(other.contains("it belongs to the node cp-22, and this is cp-21"), "\(other)")
        }

        /// On a new disk nothing tells it: the archive has to be named, and is then taken for this node's.
        @Test func aNewDiskHasNoName() throws {
            expectFailure(try SnapTool.attempt(inPlace(more: ["--yes"])), 2, naming: "latest")
            try SnapTool.run(inPlace(more: ["--yes", "--node", "cp-21"]))
            try expectHost(is: "cp-21")
        }

        @Test func anotherNodesIsRefusedUnlessNamed() throws {
            let other = try reference(of: "cp-22")
            let id = try #require(other.split(separator: "/").last.map(String.init))
            let before = try listing(host)
            expectFailure(
                try SnapTool.attempt(inPlace(id, node: "cp-21", more: ["--yes"])), 2, naming: "cp-22", "cp-21")
            let none = try SnapTool.attempt(inPlace(node: "cp-29", more: ["--yes"]))
            expectFailure(none, 4, naming: "cp-29")
            #expect(none.errorText.contains("cp-21, cp-22") && none.errorText.contains("--node"))
            #expect(try listing(host) == before)
        }

        @Test(arguments: ["reference", "flag", "path"])
        func whatBelongsToANodeIsNotSpread(_ way: String) throws {
            try run("cp", ["-a", "\(nodes.roots["cp-21"] ?? "")/etc", host])
            try shell("printf other >\"$1/etc/kubernetes/pki/sa.key\"", host)
            let other = try reference(of: "cp-22")
            let arguments =
                switch way {
                case "reference": try inPlace(other, node: "cp-21")
                case "flag": try inPlace(node: "cp-21", more: ["--node", "cp-22"])
                default: try inPlace("\(store.root)/\(other).tar.zst.age", node: "cp-21")
                }
            let plan = try SnapTool.run(arguments + ["--dry-run"]).text
            #expect(plan.contains("left out") && plan.contains("it belongs to the node cp-22"), "\(plan)")
            #expect(!plan.contains("apiserver.crt") && plan.contains("private-key ("))
            let report = try SnapTool.json(arguments + ["--yes"])
            #expect(report.replacedCount.int == 1 && report.createdCount.int == 0)
            let left = Set(report.leftOut.array.map(\.captureClass.string))
            #expect(left == ["certificate", "private-key", "kubeconfig", "static-pod"])
            #expect(report.leftOut.array.allSatisfy { $0.reason.string.contains("cp-22") && $0.fileCount.int > 0 })
            try expectHost(is: "cp-21")
            // It is placed when it is asked for.
            try SnapTool.run(arguments + ["--yes", "--only", "static-pod"])
            let manifest = try String(contentsOfFile: "\(host)/etc/kubernetes/manifests/etcd.yaml", encoding: .utf8)
            #expect(manifest.contains("--name=cp-22"))
        }

        @Test func aNewHostGetsWhatTheClusterHasAndNothingOfANode() throws {
            let text = try SnapTool.run(inPlace(node: "cp-29", more: ["--yes", "--for", "new-host"])).text
            #expect(text.contains("left out:") && text.contains("static-pod (4)"), "\(text)")
            #expect(try files(below: host) == ClusterNodes.shared)
            // What another node of the cluster has is the same already.
            let second = nodes.roots["cp-21"] ?? ""
            let before = try listing("\(second)/etc").split(separator: "\n").filter { !$0.hasPrefix("d ") }
            let arguments = try inPlace(node: "cp-21", more: ["--yes", "--for", "new-host"]).map {
                $0 == host ? second : $0
            }
            let report = try SnapTool.json(arguments)
            #expect(report.reference.string.hasPrefix("test/cp-22/"))
            #expect(report.unchangedCount.int == ClusterNodes.shared.count && report.replacedCount.int == 0)
            #expect(try listing("\(second)/etc").split(separator: "\n").filter { !$0.hasPrefix("d ") } == before)
            #expect(
                try SnapTool.attempt(inPlace(node: "x", more: ["--for", "new-host", "--only", "ca-key"])).status == 2)
            #expect(try SnapTool.attempt(inPlace(node: "x", more: ["--for", "old-host"])).status == 2)
        }

        /// The same into a directory.
        @Test func aNewHostsFilesAreStaged() throws {
            let target = store.directory.file("staged")
            try SnapTool.run([
                "restore", "files", "latest", "-i", store.key.path, "--store", store.root, "--target", target, "--for",
                "new-host",
            ])
            #expect(try files(below: target) == ClusterNodes.shared)
        }

        private func files(below root: String) throws -> Set<String> {
            let text = try run("find", [root, "!", "-type", "d", "-printf", "/%P\\n"]).text
            return Set(text.split(separator: "\n").map(String.init))
        }
    }
}
