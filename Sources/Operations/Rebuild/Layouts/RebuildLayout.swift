import Certificates
import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive
import YAML

/// Who laid out the control plane that is rebuilt.
public enum RebuildLayoutKind: String, Codable, Sendable, CaseIterable {
    /// kubeadm, with etcd as a static pod or elsewhere.
    case kubeadm
    /// kubespray: kubeadm, with etcd as a service of the same host.
    case kubespray
    /// k3s with its own etcd.
    case k3s
    /// RKE2 with its own etcd.
    case rke2
    /// k0s with its own etcd.
    case k0s
}

/// What a rebuild has to know of how a control plane lies on its nodes.
protocol RebuildLayout: Sendable {
    var kind: RebuildLayoutKind { get }

    /// How the node was named and reached.
    ///
    /// - Throws: ``Failure`` if nothing in its files tells an address.
    func lostNode(_ backup: BackedUpFiles) throws -> LostNode

    /// The node of a member that only etcd's list tells of.
    func nodeName(ofMember name: String) -> String

    /// What the member of a new node is called.
    func memberName(of node: ReplacedNode) -> String

    /// Why a file is not placed, for the distribution makes it anew; nil if it is placed.
    func reasonToLeaveOut(_ file: BackedUpFile) -> String?

    /// The member that the node's files start after their change; nil if they start none.
    ///
    /// - Parameter content: gives the bytes of a path as they are to be placed.
    func member(of node: ReplacedNode, _ content: (String) -> [UInt8]?) -> RebuildNodePlan.Member?

    /// What a person has to know of the node, besides what all layouts have in common.
    func remarks(of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?) -> [String]

    /// A command by which a step is seen to have worked.
    func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String
}

extension RebuildLayout {
    func nodeName(ofMember name: String) -> String { name }

    /// Members that are called like their nodes go on to be; others keep their names.
    func memberName(of node: ReplacedNode) -> String {
        func differs(_ lost: LostNode) -> Bool {
            lost.memberName.map { $0.lowercased() != lost.name.lowercased() } ?? false
        }
        let source = node.backup.node
        guard differs(source) else { return node.new.name }
        guard node.isOwn else { return node.old?.memberName ?? "etcd-\(node.new.name)" }
        return source.memberName ?? node.new.name
    }

    func reasonToLeaveOut(_ file: BackedUpFile) -> String? { nil }

    func remarks(of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?) -> [String] { [] }
}

/// The files of a node's backup, for what tells a layout in them.
struct BackedUpFiles {
    let files: [String: BackedUpFile]
    let manifest: Manifest
    let reference: String

    /// The members of etcd as the cluster listed them at the time of the backup.
    var members: [EtcdMemberRecord] {
        manifest.etcd.first { $0.name == "etcd" }?.members ?? manifest.etcd.first?.members ?? []
    }

    func bytes(_ path: String) -> [UInt8]? {
        guard let content = files[path]?.content else { return nil }
        return content.withBytes { copy $0 }
    }

    func text(_ path: String) -> String? { bytes(path).map { String(decoding: $0, as: UTF8.self) } }

    func document(_ path: String) -> YAML.Node? { bytes(path).flatMap { try? YAML.Node.first(in: $0) } }

    /// Paths of what belongs to a control plane that was in use, which leftovers of another do not.
    func paths(_ matches: (String) -> Bool) -> [String] {
        files.values.filter { $0.entry.role != CaptureClass.include.rawValue && matches($0.path) }.map(\.path).sorted()
    }

    /// - Throws: the refusal of a node of which no file names an address.
    func noAddress(_ layout: RebuildLayoutKind, looked places: String) -> Failure {
        Failure(
            .failed,
            "nothing in \(quoted(reference)) tells the address of its node, which \(layout.rawValue) laid out: neither "
                + places,
            hint: "restore its files and etcd by hand: `etcd-snap restore files`, `etcd-snap restore etcd`")
    }
}

/// Tells by the files of a backup who laid out its node.
enum RebuildLayouts {
    /// - Throws: ``Failure`` for a layout that is not rebuilt, or for none, with what was found.
    static func layout(of backup: BackedUpFiles) throws(Failure) -> any RebuildLayout {
        if let other = others.first(where: { other in !backup.paths { $0.hasPrefix(other.directory + "/") }.isEmpty }) {
            throw Failure(
                .failed,
                "\(quoted(backup.reference)) is of a node that \(other.name) laid out: it has files in "
                    + quoted(other.directory),
                hint: "\(other.way); the files are there for it: `etcd-snap restore files`")
        }
        if let layout = RancherLayout(backup) { return layout }
        if let layout = K0sLayout(backup) { return layout }
        if let layout = KubesprayLayout(backup) { return layout }
        if !backup.paths({ backup.files[$0]?.entry.role == CaptureClass.staticPod.rawValue }).isEmpty {
            return KubeadmRebuildLayout()
        }
        throw unknown(backup)
    }

    /// Control planes that repair themselves in their own way.
    private static let others: [(name: String, directory: String, way: String)] = [
        (
            "OpenShift", "/etc/kubernetes/static-pod-resources",
            "use its own cluster-restore.sh or quorum-restore.sh with the database and the static pods' resources"
        ),
        ("MicroShift", "/var/lib/microshift", "restore its files and its etcd into place, and start it"),
        ("MicroK8s", "/var/snap/microk8s", "its database is no etcd: use its own restore"),
        ("Canonical Kubernetes", "/var/snap/k8s", "use its own restore"),
    ]

    private static func unknown(_ backup: BackedUpFiles) -> Failure {
        let directories = Set(
            backup.paths { backup.files[$0]?.metadata.kind != .directory }.map { path in
                path.split(separator: "/").prefix(3).dropLast().map { "/\($0)" }.joined()
            }
        ).sorted()
        let found =
            directories.isEmpty
            ? "it has no files of a node"
            : "there are files in \(directories.prefix(6).joined(separator: ", "))\(directories.count > 6 ? " and others" : "")"
        return Failure(
            .failed,
            "how the node of \(quoted(backup.reference)) was laid out is not known: \(found), and neither static pods, nor "
                + "/etc/etcd.env, nor a server of k3s, RKE2 or k0s",
            hint: "restore its files and etcd by hand: `etcd-snap restore files`, `etcd-snap restore etcd`")
    }
}

extension RebuildNodePlan.Member {
    /// Refuses a member that would be reached at an address that the new node does not have.
    func checkAddresses(of node: ReplacedNode) throws(Failure) {
        for url in peerURLs {
            guard let host = LostNode.hostAndPort(url)?.host, let address = IPAddress(host),
                !["127.0.0.1", "::1"].contains(address.text), !node.newAddresses.contains(address)
            else { continue }
            throw Failure(
                .usage,
                "the member of \(quoted(node.new.name)) would be reached at \(url), and that is no address of the node",
                hint:
                    "its lost node had several addresses: \(node.backup.node.addresses.map(\.text).joined(separator: ", ")); "
                    + "give the new one as many, in this order")
        }
    }
}

/// URLs with commas between.
func urlList(_ text: String?) -> [String] {
    (text ?? "").split(separator: ",").map { $0.filter { $0 != " " } }.filter { !$0.isEmpty }
}
