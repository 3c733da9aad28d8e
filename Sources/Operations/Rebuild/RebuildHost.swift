import HostIO
import PKIBackup
import SealedArchive

/// The host that a node's part of a plan is done on, and whether it is the one that the plan means.
struct RebuildHost {
    private let identity: HostIdentity
    private let plan: RebuildPlan
    private let mayBeElsewhere: Bool

    /// - Returns: nil below a root that is another host's.
    /// - Throws: ``SystemCallError`` if the host's name or addresses can't be told.
    init?(of root: OpenDirectory, _ request: RebuildApplyRequest) throws {
        let (own, given) = (try OpenDirectory(path: "/").attributes(), try root.attributes())
        guard own.identity == given.identity else { return nil }
        identity = try HostIdentity()
        plan = request.plan
        mayBeElsewhere = request.mayBeElsewhere
    }

    /// Refuses a host that none of the node's addresses leads to: its members would wait for one that never comes.
    func checkAddresses(of node: RebuildNodePlan) throws(Failure) {
        guard !mayBeElsewhere, !has(node) else { return }
        let own = identity.addresses.map(\.text)
        let shown = own.prefix(6).joined(separator: ", ") + (own.count > 6 ? " and \(own.count - 6) more" : "")
        let meant = plan.nodes.filter(has).map(\.name)
        let other =
            meant.isEmpty
            ? "run it on the host that is to be \(quoted(node.name)), or bring its address up here first"
            : "this host has the address of \(meant.map(quoted).joined(separator: ", ")): name that node"
        throw Failure(
            .failed,
            "this host, \(quoted(identity.name)), has no address of \(quoted(node.name)), which is to be reached at "
                + "\(node.addresses.joined(separator: ", ")); it has \(own.isEmpty ? "none" : shown)",
            hint: "\(other); if the address is to lead here without being on an interface, say so",
            settings: [.evenIfElsewhere])
    }

    /// Warns of a host of another name, under which its kubelet would register.
    func checkName(of node: RebuildNodePlan, _ backup: NodeBackup, _ observer: Observer) {
        // A kubelet takes the name in lower case (k8s.io/component-helpers, `GetHostname`).
        guard identity.name.lowercased() != node.name, !backup.setsNodeName else { return }
        observer.warn(
            "this host is called \(quoted(identity.name)), and the plan has \(quoted(node.name)): its kubelet would register "
                + "under another name than its certificates have; before it starts: hostnamectl set-hostname \(node.name)"
        )
    }

    private func has(_ node: RebuildNodePlan) -> Bool {
        node.addresses.compactMap { IPAddress($0) }.contains(where: identity.has)
    }
}

extension NodeBackup {
    /// Whether the node's own files say how it is called, whatever its host's name is.
    fileprivate var setsNodeName: Bool {
        let settings = ["hostname-override", "node-name:", "node-name=", "--node-name"]
        let roles = [CaptureClass.kubeletConfiguration, .systemd, .distribution, .component].map(\.rawValue)
        return files.values.contains { file in
            guard roles.contains(file.entry.role), let content = file.content else { return false }
            let text = content.withBytes { String(decoding: $0, as: UTF8.self) }
            return settings.contains { text.contains($0) }
        }
    }
}
