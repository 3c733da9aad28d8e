import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive

/// Static pods of the API server and, if it is on the same nodes, of etcd.
struct KubeadmRebuildLayout: RebuildLayout {
    let kind = RebuildLayoutKind.kubeadm

    func lostNode(_ backup: BackedUpFiles) throws -> LostNode {
        try LostNode(
            files: backup.files, recordedName: backup.manifest.archive.node, reference: backup.reference)
    }

    /// The member that the manifest of etcd starts.
    func member(of node: ReplacedNode, _ content: (String) -> [UInt8]?) -> RebuildNodePlan.Member? {
        let pods = node.backup.files.values.filter { $0.entry.role == CaptureClass.staticPod.rawValue }.map(\.path)
        var flags: StaticPodFlags?
        for path in pods.sorted() where flags == nil {
            flags = content(path).flatMap { StaticPodFlags($0, program: "etcd") }
        }
        guard let flags, let directory = node.backup.node.dataDirectory else { return nil }
        let urls = urlList(flags["initial-advertise-peer-urls"])
        return RebuildNodePlan.Member(
            name: flags["name"] ?? "default", peerURLs: urls.isEmpty ? ["http://localhost:2380"] : urls,
            dataDirectory: directory)
    }

    func remarks(
        of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?
    ) -> [String] { Self.kubeletRemarks(files) }

    /// That the kubelet's configuration has to be made.
    static func kubeletRemarks(_ backup: BackedUpFiles) -> [String] {
        let kubelet = "/var/lib/kubelet/config.yaml"
        guard backup.files[kubelet] == nil else { return [] }
        return [
            "\(quoted(kubelet)) is not in the backup, and the kubelet needs it before it is started: copy it from a worker, for "
                + "kubeadm gives all nodes the same (it says `staticPodPath: /etc/kubernetes/manifests`); without a worker make it "
                + "with `kubeadm init phase kubelet-start` from a file with a ClusterConfiguration of the same ranges and domain"
        ]
    }

    func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String { Self.check(step, member) }

    static func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String {
        switch step {
        case .authorities: "openssl x509 -noout -enddate -in /etc/kubernetes/pki/ca.crt"
        case .etcdData: "ls \(member?.dataDirectory ?? "/var/lib/etcd")/member/snap/db"
        case .configuration: "ls -d /etc/kubernetes"
        case .certificates: "openssl verify -CAfile /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/apiserver.crt"
        case .kubeconfigs: "grep server: /etc/kubernetes/*.conf"
        case .kubelet: "ls -l /var/lib/kubelet"
        case .staticPods: "curl -s http://127.0.0.1:2381/health (once a majority of the members runs)"
        }
    }
}
