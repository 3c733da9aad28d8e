import Certificates
import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive

/// kubespray: static pods as kubeadm makes them, and etcd as a service of the same host, whose settings are variables and whose
/// certificates have the node's name in the names of their files.
///
/// Source: kubespray 2.28, `roles/etcd/templates/etcd.env.j2`, `etcd.service.j2`, `roles/etcd/files/make-ssl-etcd.sh`.
struct KubesprayLayout: RebuildLayout {
    let kind = RebuildLayoutKind.kubespray
    static let variables = "/etc/etcd.env"
    static let certificates = "/etc/ssl/etcd/ssl"

    init?(_ backup: BackedUpFiles) {
        guard !backup.paths({ $0 == Self.variables }).isEmpty else { return nil }
    }

    func lostNode(_ backup: BackedUpFiles) throws -> LostNode {
        let settings = backup.bytes(Self.variables).map(Self.settings) ?? [:]
        let urls = urlList(settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"])
        let hosts = urls.compactMap { LostNode.hostAndPort($0).flatMap { IPAddress($0.host) } }
        let peers = hosts.filter { !["127.0.0.1", "::1"].contains($0.text) }
        let runsPods = backup.files.values.contains { $0.entry.role == CaptureClass.staticPod.rawValue }
        var node: LostNode
        if runsPods {
            node = try LostNode(
                files: backup.files, recordedName: backup.manifest.archive.node, reference: backup.reference)
        } else if !peers.isEmpty {
            // A host for etcd alone.
            node = LostNode(name: certificateName(settings) ?? backup.manifest.archive.node, addresses: peers)
        } else {
            throw backup.noAddress(kind, looked: "static pods nor \(Self.variables)")
        }
        for peer in peers where !node.addresses.contains(peer) { node.addresses.append(peer) }
        node.memberName = settings["ETCD_NAME"] ?? "default"
        node.peerURLs = urls
        node.dataDirectory = settings["ETCD_DATA_DIR"] ?? "/var/lib/etcd"
        node.layout.replacedPaths = replacedPaths(certificateName(settings) ?? node.name)
        return node
    }

    /// Which of its certificates serves for which of kubeadm's; one of the member serves for etcd's server and peer.
    private func replacedPaths(_ name: String) -> [String: String] {
        let directory = Self.certificates
        return [
            "pki/etcd/ca.crt": "\(directory)/ca.pem", "pki/etcd/ca.key": "\(directory)/ca-key.pem",
            "pki/etcd/peer.crt": "\(directory)/member-\(name).pem",
            "pki/etcd/healthcheck-client.crt": "\(directory)/admin-\(name).pem",
            "pki/apiserver-etcd-client.crt": "\(directory)/node-\(name).pem",
            "pki/etcd/server.crt": "\(directory)/.none.pem",
        ]
    }

    /// The name that the names of the files have.
    private func certificateName(_ settings: [String: String]) -> String? {
        guard let file = settings["ETCD_PEER_CERT_FILE"] ?? settings["ETCD_CERT_FILE"] else { return nil }
        let name = lastName(file)
        guard name.hasPrefix("member-"), name.hasSuffix(".pem") else { return nil }
        return String(name.dropFirst("member-".count).dropLast(".pem".count))
    }

    /// `NAME=VALUE` on lines of their own.
    private static func settings(_ bytes: [UInt8]) -> [String: String] {
        var settings: [String: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            settings[String(parts[0])] = parts[1].filter { !"\"' \r".contains($0) }
        }
        return settings
    }

    func member(of node: ReplacedNode, _ content: (String) -> [UInt8]?) -> RebuildNodePlan.Member? {
        guard let directory = node.backup.node.dataDirectory, let bytes = content(Self.variables) else { return nil }
        let settings = Self.settings(bytes)
        let urls = urlList(settings["ETCD_INITIAL_ADVERTISE_PEER_URLS"])
        return RebuildNodePlan.Member(
            name: settings["ETCD_NAME"] ?? "default", peerURLs: urls.isEmpty ? ["http://localhost:2380"] : urls,
            dataDirectory: directory)
    }

    func remarks(of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?) -> [String] {
        let isPlain = files.files["/etc/kubernetes/manifests/kube-apiserver.yaml"] == nil
        let others = files.paths {
            parentPath($0) == Self.certificates
                && ["member-", "admin-", "node-"].contains(where: lastName($0).hasPrefix)
                && !$0.hasSuffix("-key.pem") && !lastName($0).hasSuffix("-\(node.backup.node.name).pem")
        }
        let foreign =
            others.isEmpty
            ? []
            : [
                "\(Self.certificates) also has certificates of other nodes, which stay as they were: "
                    + others.map { lastName($0) }.joined(separator: ", ")
            ]
        return (isPlain ? [] : KubeadmRebuildLayout.kubeletRemarks(files)) + foreign + [
            "the programs of kubespray's etcd (/usr/local/bin/etcd, its user etcd) are not in the backup: install them, or run "
                + "kubespray's roles for etcd without starting it"
        ]
    }

    func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String {
        switch step {
        case .configuration: "grep -e ETCD_NAME= -e ETCD_INITIAL_CLUSTER= \(Self.variables)"
        case .staticPods: "ls /etc/kubernetes/manifests"
        default: KubeadmRebuildLayout.check(step, member)
        }
    }
}
