import Foundation
import TestSupport

/// A network of its own, with a loopback interface that has the addresses of a node.
///
/// So what its manifests name can be had, beside other tests and whatever this host runs. Making one takes root.
final class PrivateNetwork: Sendable {
    private let holder: RunningCommand
    private let addresses: [String]

    init(addresses: [String], in directory: TemporaryDirectory) throws {
        self.addresses = addresses
        let ready = directory.file("network-\(UUID().uuidString)")
        let script = """
            ip link set lo up
            for address; do ip address add "$address" dev lo; done
            : >"$0"; exec sleep 600
            """
        holder = try RunningCommand(
            "unshare", ["--net", "sh", "-ec", script, ready] + addresses.map(Self.withPrefixLength))
        while access(ready, F_OK) != 0 {
            guard holder.isRunning else { throw TestSupportError("no private network: \(holder.errorText)") }
            usleep(2_000)
        }
    }

    private static func withPrefixLength(_ address: String) -> String {
        address + (address.contains(":") ? "/128" : "/32")
    }

    /// Starts a program within the network.
    func start(_ executable: String, _ arguments: [String], input: Data = Data()) throws -> RunningCommand {
        try RunningCommand(
            "nsenter", entering + [executable] + arguments, environment: ["NO_COLOR": "1", "ETCDCTL_API": "3"],
            input: input)
    }

    /// Lays a cable to another network, so that each has the other's addresses.
    func connect(to other: PrivateNetwork) throws {
        let names = ("to-\(other.holder.processID)", "to-\(holder.processID)")
        try TestSupport.run(
            "nsenter",
            entering + ["ip", "link", "add", names.0, "type", "veth", "peer", "name", names.1]
                + ["netns", "\(other.holder.processID)"])
        try route(to: other, over: names.0)
        try other.route(to: self, over: names.1)
    }

    private func route(to other: PrivateNetwork, over name: String) throws {
        try TestSupport.run("nsenter", entering + ["ip", "link", "set", name, "up"])
        for (own, address) in zip(addresses, other.addresses) {
            try TestSupport.run(
                "nsenter",
                entering + ["ip", "route", "add", Self.withPrefixLength(address), "dev", name, "src", own])
        }
    }

    private var entering: [String] { ["--target", "\(holder.processID)", "--net"] }
}
