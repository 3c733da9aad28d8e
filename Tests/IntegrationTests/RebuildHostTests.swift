import Foundation
import TestSupport
import Testing

extension Integration {
    /// A node's part of a plan is for the host that has its address.
    @Suite(.enabled(if: geteuid() == 0, "namespaces need root")) struct RebuildHostTests {
        private let nodes: RebuildNodes
        private let plan: String
        private let topology = ["--node", "cp-21=10.0.0.21,fd00::21", "--node", "cp-22=10.0.0.22"]

        init() throws {
            nodes = try RebuildNodes(["ecdsa"])
            plan = try nodes.plan([nodes.backUp("ecdsa", as: "cp-1")], topology)
        }

        /// Applies on a host of its own, without another process, that has a name and addresses; checks only.
        private func apply(
            _ node: String, _ plan: String, name: String, addresses: [String], _ more: [String] = [], root: String = "/"
        ) throws -> CommandResult {
            let script = """
                ip link set lo up; ip link add host0 type veth peer name wire0; hostname "$1"; shift
                while [ "$1" != -- ]; do ip address add "$1" dev host0; shift; done; shift
                exec "$@"
                """
            let command = [try SnapTool.executable()] + nodes.applying(plan, node, root, ["--dry-run"] + more)
            return try RunningCommand(
                "unshare",
                ["-n", "-u", "-m", "-p", "-f", "--mount-proc", "sh", "-c", script, "sh", name] + addresses + ["--"]
                    + command, environment: ["NO_COLOR": "1", "XDG_STATE_HOME": "/dev/null"]
            ).wait()
        }

        @Test func anotherHostIsRefused() throws {
            let none = try apply("cp-21", plan, name: "cp-21", addresses: [])
            expectFailure(none, 1, naming: "\"cp-21\"", "10.0.0.21, fd00::21", "it has none")
            #expect(none.errorText.contains("--even-if-elsewhere"))
            let twin = try apply("cp-21", plan, name: "cp-22", addresses: ["10.0.0.22/24", "192.0.2.7/24"])
            expectFailure(twin, 1, naming: "no address of \"cp-21\"", "10.0.0.22, 192.0.2.7")
            #expect(twin.errorText.contains("this host has the address of \"cp-22\""))
            // An address of the same network is not the node's.
            expectFailure(try apply("cp-21", plan, name: "cp-21", addresses: ["10.0.0.20/24"]), 1, naming: "10.0.0.20")
        }

        @Test func theHostOfTheNodeIsTaken() throws {
            for address in ["10.0.0.21/24", "fd00::21/64"] {
                let result = try apply("cp-21", plan, name: "CP-21", addresses: [address])
                #expect(result.status == 0 && !result.errorText.contains("hostnamectl"), "\(result.errorText)")
            }
            let elsewhere = try apply("cp-21", plan, name: "cp-21", addresses: [], ["--even-if-elsewhere"])
            #expect(elsewhere.status == 0, "\(elsewhere.errorText)")
            // Below another root it is another host's.
            let root = try nodes.newRoot("new")
            let below = try apply("cp-21", plan, name: "rescue", addresses: [], root: root)
            #expect(below.status == 0 && !below.errorText.contains("hostnamectl"), "\(below.errorText)")
            // All of 127.0.0.0/8 is every host's.
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: plan)))
            let reference = document.archives[0].reference.string
            let own = try nodes.plan([reference], ["--node", "cp-21=127.9.8.7"], as: "own.json")
            let loopback = try apply("cp-21", own, name: "cp-21", addresses: [])
            #expect(loopback.status == 0, "\(loopback.errorText)")
        }

        /// A kubelet registers under the name of its host, unless its files name another.
        @Test func aHostOfAnotherNameIsWarnedOf() throws {
            let result = try apply("cp-21", plan, name: "debian", addresses: ["10.0.0.21/24"])
            #expect(result.status == 0)
            for word in ["warning", "\"debian\"", "hostnamectl set-hostname cp-21"] {
                #expect(result.errorText.contains(word), "\(result.errorText)")
            }
            try shell(
                "mkdir -p \"$1\"; echo 'KUBELET_KUBEADM_ARGS=\"--hostname-override=cp-1\"' >\"$1/kubeadm-flags.env\"",
                nodes.tree("ecdsa") + "/var/lib/kubelet")
            let named = try nodes.plan([nodes.backUp("ecdsa", as: "cp-1")], topology, as: "named.json")
            let silent = try apply("cp-21", named, name: "debian", addresses: ["10.0.0.21/24"])
            #expect(silent.status == 0 && !silent.errorText.contains("hostnamectl"), "\(silent.errorText)")
        }
    }
}
