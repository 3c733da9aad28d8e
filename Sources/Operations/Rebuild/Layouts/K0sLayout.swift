import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive
import YAML

/// k0s: one program that makes certificates and kubeconfigs anew when it starts, from authorities and keys.
///
/// Where its etcd has data it joins nothing, and where authorities are there it asks no other controller for them. Source: k0s,
/// `pkg/component/controller/etcd.go` (`Start`, `setupCerts`), `pkg/certificate/manager.go` (`EnsureCertificate`),
/// `cmd/controller/controller.go` (`needToJoin`), `pkg/apis/k0s/v1beta1/storage.go`.
struct K0sLayout: RebuildLayout {
    let kind = RebuildLayoutKind.k0s
    /// The data directory.
    let data: String
    /// The configuration's file.
    private let configuration: String

    init?(_ backup: BackedUpFiles) {
        let end = "/pki/etcd/ca.crt"
        let authority = backup.paths { $0.hasSuffix(end) && !$0.hasPrefix("/etc/kubernetes/") }.first
        let files = backup.paths { $0.hasPrefix("/etc/k0s/") && [".yaml", ".yml"].contains(where: $0.hasSuffix) }
        let isThere = !files.isEmpty || !backup.paths { $0.hasPrefix("/var/lib/k0s/pki/") }.isEmpty
        guard isThere else { return nil }
        data = authority.map { String($0.dropLast(end.count)) } ?? "/var/lib/k0s"
        configuration = files.first { backup.document($0)?.text("kind") == "ClusterConfig" } ?? "/etc/k0s/k0s.yaml"
    }

    private var etcd: String { "\(data)/etcd" }

    func lostNode(_ backup: BackedUpFiles) throws -> LostNode {
        let spec = backup.document(configuration)?.value("spec")
        let api = spec?.value("api")
        let peer = spec?.value("storage")?.value("etcd")?.text("peerAddress")
        let recorded = backup.manifest.archive.node
        func host(_ row: EtcdMemberRecord) -> String? { row.peerURLs.first.flatMap(LostNode.hostAndPort)?.host }
        let row =
            backup.members.first { host($0) == peer } ?? backup.members.first { $0.name == recorded }
            ?? (backup.members.count == 1 ? backup.members.first : nil)
        var addresses: [IPAddress] = []
        for text in [peer, row.flatMap(host), api?.text("address")] {
            guard let address = text.flatMap({ IPAddress($0) }), !addresses.contains(address),
                !["127.0.0.1", "::1"].contains(address.text)
            else { continue }
            addresses.append(address)
        }
        guard !addresses.isEmpty else {
            throw backup.noAddress(
                kind, looked: "peerAddress nor api.address of \(configuration), nor a member of etcd")
        }
        var node = LostNode(name: (row?.name ?? recorded).lowercased(), addresses: addresses)
        let isMember = usesEtcd(spec) && !backup.manifest.etcd.isEmpty || row != nil
        node.memberName = isMember ? row?.name ?? recorded : nil
        node.peerURLs = isMember ? row?.peerURLs ?? [] : []
        node.dataDirectory = isMember ? etcd : nil
        node.port = api?.text("port").flatMap { Int($0) } ?? 6443
        node.endpoint = api?.text("externalAddress").map { NodeChange.Endpoint(host: $0, port: node.port) }
        return node
    }

    private func usesEtcd(_ spec: YAML.Node?) -> Bool {
        let storage = spec?.value("storage")
        return (storage?.text("type") ?? "etcd") == "etcd" && storage?.value("etcd")?.value("externalCluster") == nil
    }

    /// A member is called like its host.
    func memberName(of node: ReplacedNode) -> String { node.new.name }

    func member(of node: ReplacedNode, _ content: (String) -> [UInt8]?) -> RebuildNodePlan.Member? {
        guard node.backup.node.dataDirectory != nil else { return nil }
        let document = content(configuration).flatMap { try? YAML.Node.first(in: $0) }
        let etcdSettings = document?.value("spec")?.value("storage")?.value("etcd")
        let address = etcdSettings?.text("peerAddress") ?? node.newAddresses.first?.text ?? ""
        let url = "https://\(address.contains(":") ? "[\(address)]" : address):2380"
        return RebuildNodePlan.Member(name: node.new.name, peerURLs: [url], dataDirectory: etcd)
    }

    func reasonToLeaveOut(_ file: BackedUpFile) -> String? {
        let (path, role) = (file.path, file.entry.role)
        guard file.metadata.kind != .directory, path.hasPrefix("\(data)/") else { return nil }
        let made: [CaptureClass] = [.certificate, .privateKey, .kubeconfig, .kubeletPKI]
        // Whom etcd gave tokens to is told by that key, which is made only where it is missing.
        guard made.contains(where: { $0.rawValue == role }), lastName(path) != "jwt.key" else { return nil }
        return "k0s makes it anew when it starts"
    }

    func remarks(of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?) -> [String] {
        var remarks: [String] = []
        let spec = files.document(configuration)?.value("spec")
        if spec?.value("storage")?.value("etcd")?.text("peerAddress") == nil {
            let address = node.newAddresses.first?.text ?? ""
            remarks.append(
                "\(quoted(configuration)) has no spec.storage.etcd.peerAddress: k0s takes the first address of the host, and the "
                    + "member is made for \(address); if that may be another, write it there")
        }
        if files.files["\(data)/pki/ca.key"] == nil {
            remarks.append(
                "the authority's key is not in the backup: k0s would join by its token, and finds no controller")
        }
        if let endpoint, spec == nil {
            remarks.append(
                "the endpoint \(endpoint.host) has to be spec.api.externalAddress in \(quoted(configuration))")
        }
        if let endpoint, endpoint.port != node.backup.node.port {
            remarks.append(
                "k0s has no port of its own for the endpoint \(endpoint.text): kubeconfigs name the port "
                    + "\(node.backup.node.port) of spec.api.port, so that the endpoint has to be reached there too")
        }
        return remarks
    }

    func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String {
        switch step {
        case .authorities: "openssl x509 -noout -enddate -in \(data)/pki/ca.crt"
        case .etcdData: "ls \(etcd)/member/snap/db"
        case .configuration: "grep -i address: \(configuration)"
        case .certificates, .kubeconfigs, .kubelet: "ls \(data)/pki"
        case .staticPods: "ls \(data)/manifests"
        }
    }
}
