import Certificates
import HostIO
import SealedArchive

/// As whom the kubeconfigs that kubeadm writes introduce their components: RBAC's default roles and the node authorizer go by
/// these names.
///
/// Source: kubeadm 1.36 `app/phases/kubeconfig/kubeconfig.go` (`getKubeConfigSpecs`) and `app/constants/constants.go`:
/// `ControllerManagerUser`, `SchedulerUser`, `NodesUserPrefix`, `NodesGroup`, `ClusterAdminsGroupAndClusterRoleBinding`,
/// `SystemPrivilegedGroup`.
extension Examination {
    private static let users = [
        "/etc/kubernetes/controller-manager.conf": "system:kube-controller-manager",
        "/etc/kubernetes/scheduler.conf": "system:kube-scheduler",
    ]
    private static let groups = [
        "/etc/kubernetes/admin.conf": ["kubeadm:cluster-admins", "system:masters"],
        "/etc/kubernetes/super-admin.conf": ["system:masters"],
    ]
    private static let kubelet = "/etc/kubernetes/kubelet.conf"
    private static let nodePrefix = "system:node:"

    /// kubeadm's kubeconfigs have the identities that the API server lets in by default.
    mutating func checkIdentities() {
        guard layout.distributions.contains("kubeadm"), authorizesByName else { return }
        for (path, user) in Self.users.sorted(by: { $0.key < $1.key }) {
            guard let record = client(of: path), record.commonName != user else { continue }
            report(path, record, "as \(quoted(user))")
        }
        for (path, groups) in Self.groups.sorted(by: { $0.key < $1.key }) {
            guard let record = client(of: path), !record.subjectValues("O").contains(where: groups.contains) else {
                continue
            }
            report(path, record, "in the group \(groups.map(quoted).joined(separator: " or "))")
        }
        checkKubelet()
    }

    private mutating func checkKubelet() {
        guard let record = client(of: Self.kubelet) else { return }
        let name = record.commonName ?? ""
        let names = nodeNames
        if !name.hasPrefix(Self.nodePrefix) || !record.subjectValues("O").contains("system:nodes") {
            let expected = quoted(Self.nodePrefix + (names.first ?? "NAME"))
            report(Self.kubelet, record, "as \(expected) in the group \"system:nodes\"")
        } else if !names.isEmpty, !names.contains(name.dropFirst(Self.nodePrefix.count).lowercased()) {
            report(Self.kubelet, record, "as \(quoted(Self.nodePrefix + names[0]))")
        }
    }

    private mutating func report(_ path: String, _ record: CertificateRecord, _ expected: String) {
        find(
            .warning, "kubeconfig-identity", path,
            "\(quoted(path)) introduces itself as \(record.subject), and the API server expects it \(expected)",
            "write it again: kubeadm init phase kubeconfig, or kubeadm certs renew")
    }

    /// Whether every API server here is known to go by RBAC, with kubeadm's roles.
    private var authorizesByName: Bool {
        let servers = components("kube-apiserver")
        return !servers.isEmpty
            && servers.allSatisfy { server in
                (server.flags["authorization-mode"]?.last ?? "").split(separator: ",").contains("RBAC")
                    && server.flags["authorization-config"] == nil
            }
    }

    /// The certificate of the user that a kubeconfig uses; nil if it has none.
    private func client(of path: String) -> CertificateRecord? {
        guard let file = files[path], file.captureClass == .kubeconfig, let inspected = file.kubeconfig else {
            return nil
        }
        let kubeconfig = inspected.kubeconfig
        let context = kubeconfig.contexts.first { $0.name == kubeconfig.currentContext }
        guard let user = kubeconfig.users.first(where: { $0.name == context?.user }) else { return nil }
        let contents = inspected.certificates[user.name] ?? user.certificatePath.flatMap { files[$0]?.pem }
        return contents?.certificates.first?.record
    }

    /// What this node is called by what kubeadm has told its components, in lower case; empty if that is not certain.
    private var nodeNames: [String] {
        let overrides = components("kubelet").compactMap { $0.flags["hostname-override"]?.last }
        let members = components("etcd").filter { $0.source.hasPrefix("/etc/kubernetes/") }
            .compactMap { $0.flags["name"]?.last }
        // kubeadm has the API server answer to the node's name, which need not be that of etcd's member.
        let serving = paths("kube-apiserver", "tls-cert-file").compactMap { files[$0]?.pem?.certificates.first?.record }
        let dnsNames = serving.flatMap(\.dnsNames)
        guard !(overrides + members).contains(where: { $0.contains("$") }),
            !overrides.isEmpty || !members.isEmpty && !dnsNames.isEmpty
        else { return [] }
        return (overrides + members + dnsNames).map { $0.lowercased() }
    }
}
