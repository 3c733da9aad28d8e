import Certificates
import Crypto
import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive
import YAML

/// k3s and RKE2: one program that makes certificates, kubeconfigs and manifests anew when it starts, from authorities, keys
/// and a token.
///
/// Sources: k3s, `pkg/etcd/etcd.go` (`setName`, `Test`, `Start`, `Register`), `pkg/cluster/bootstrap.go`
/// (`shouldBootstrapLoad`, `ReconcileBootstrapData`), `pkg/daemons/control/deps/deps.go`; RKE2, `pkg/podexecutor`.
struct RancherLayout: RebuildLayout {
    let kind: RebuildLayoutKind
    /// The data directory.
    let data: String
    /// Whether authorities can sign: else what they signed is placed.
    private let canSign: Bool

    init?(_ backup: BackedUpFiles) {
        let ends = ["/server/tls/server-ca.crt", "/server/token", "/server/db/etcd/name"]
        guard
            let data = ends.lazy.compactMap({ end in
                backup.paths { $0.hasSuffix(end) }.first.map { String($0.dropLast(end.count)) }
            }).first
        else { return nil }
        let isRKE2 = data.hasSuffix("/rke2") || !backup.paths { $0.hasPrefix("/etc/rancher/rke2/") }.isEmpty
        kind = isRKE2 ? .rke2 : .k3s
        self.data = data
        canSign = backup.files["\(data)/server/tls/server-ca.key"] != nil
    }

    private var etcd: String { "\(data)/server/db/etcd" }

    // MARK: The lost node

    func lostNode(_ backup: BackedUpFiles) throws -> LostNode {
        let configuration = configuration(backup)
        func addresses(_ key: String) -> [IPAddress] {
            configuration.lazy.compactMap { $0.value(key) }.first.map { value in
                ([value.text].compactMap(\.self) + (value.sequence ?? []).compactMap(\.text)).flatMap { urlList($0) }
                    .compactMap { IPAddress($0) }
            } ?? []
        }
        let document = backup.document("\(etcd)/config")
        let isMember = document != nil || backup.files["\(etcd)/name"] != nil
        let name = backup.text("\(etcd)/name").map(trimmed) ?? document?.text("name")
        let row = backup.members.first { $0.name == name }
        let urls = document.map { urlList($0.text("initial-advertise-peer-urls")) } ?? row?.peerURLs ?? []
        let peers = urls.compactMap { LostNode.hostAndPort($0).flatMap { IPAddress($0.host) } }
        let all = peers + addresses("node-ip") + addresses("advertise-address") + addresses("node-external-ip")
        var unique: [IPAddress] = []
        for address in all where !unique.contains(address) && !["127.0.0.1", "::1"].contains(address.text) {
            unique.append(address)
        }
        guard !unique.isEmpty else {
            throw backup.noAddress(
                kind, looked: "\(etcd)/config nor node-ip in /etc/rancher/\(kind.rawValue)/config.yaml")
        }
        let port = configuration.lazy.compactMap { $0.text("https-listen-port") }.first.flatMap { Int($0) } ?? 6443
        let nodeName =
            configuration.lazy.compactMap { $0.text("node-name") }.first ?? kubeletName(backup)
            ?? name.map(nodeName(ofMember:)) ?? backup.manifest.archive.node
        var node = LostNode(name: nodeName, addresses: unique)
        node.memberName = isMember ? name : nil
        node.peerURLs = urls
        node.dataDirectory = isMember ? etcd : nil
        node.port = port
        node.endpoint = endpoint(configuration, backup, unique, port)
        return node
    }

    /// The configuration's files, of which the last one counts first.
    private func configuration(_ backup: BackedUpFiles) -> [YAML.Node] {
        let directory = "/etc/rancher/\(kind.rawValue)"
        let more = backup.paths { parentPath($0) == "\(directory)/config.yaml.d" }
        return (["\(directory)/config.yaml"] + more).reversed().compactMap(backup.document)
    }

    private func kubeletName(_ backup: BackedUpFiles) -> String? {
        let path = "\(data)/agent/client-kubelet.crt"
        let name = backup.bytes(path).flatMap { PEMContents($0, path: path).certificates.first?.record.commonName }
        let prefix = "system:node:"
        return name.flatMap { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : nil }
    }

    /// Where servers join, unless it is one of them.
    private func endpoint(
        _ configuration: [YAML.Node], _ backup: BackedUpFiles, _ own: [IPAddress], _ port: Int
    ) -> NodeChange.Endpoint? {
        guard let server = configuration.lazy.compactMap({ $0.text("server") }).first,
            let host = LostNode.hostAndPort(server)?.host
        else { return nil }
        let members = backup.members.flatMap(\.peerURLs).compactMap { LostNode.hostAndPort($0)?.host }
        if members.contains(host) { return nil }
        if let address = IPAddress(host), own.contains(address) { return nil }
        return NodeChange.Endpoint(host: host, port: port)
    }

    // MARK: Members

    /// A member is called like its node, with a hyphen and eight digits behind it.
    func nodeName(ofMember name: String) -> String { Self.suffix(name).map { String(name.dropLast($0.count)) } ?? name }

    func memberName(of node: ReplacedNode) -> String {
        if let suffix = node.old?.memberName.flatMap(Self.suffix) { return node.new.name + suffix }
        let digest = Array(SHA256.hash(data: Array(node.new.name.utf8))).hexadecimal
        return "\(node.new.name)-\(digest.prefix(8))"
    }

    private static func suffix(_ name: String) -> String? {
        let suffix = name.utf8.suffix(9)
        guard name.utf8.count > 9, suffix.first == UInt8(ascii: "-"),
            suffix.dropFirst().allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { return nil }
        return String(decoding: Array(suffix), as: UTF8.self)
    }

    func member(of node: ReplacedNode, _ content: (String) -> [UInt8]?) -> RebuildNodePlan.Member? {
        guard node.backup.node.dataDirectory != nil else { return nil }
        let document = content("\(etcd)/config").flatMap { try? YAML.Node.first(in: $0) }
        let urls = urlList(document?.text("initial-advertise-peer-urls"))
        let name = content("\(etcd)/name").map { trimmed(String(decoding: $0, as: UTF8.self)) }
        let address = node.newAddresses.first?.text ?? ""
        let own = "https://\(address.contains(":") ? "[\(address)]" : address):2380"
        return RebuildNodePlan.Member(
            name: name ?? memberName(of: node), peerURLs: urls.isEmpty ? [own] : urls, dataDirectory: etcd)
    }

    // MARK: Files

    func reasonToLeaveOut(_ file: BackedUpFile) -> String? {
        let (path, role) = (file.path, file.entry.role)
        guard file.metadata.kind != .directory else { return nil }
        let kept: [CaptureClass] = [.caCertificate, .caKey, .serviceAccountKey]
        let isMade =
            path.hasPrefix("\(data)/server/tls/") && canSign && !kept.contains { $0.rawValue == role }
            || role == CaptureClass.kubeconfig.rawValue || isOfAgent(path)
        if isMade { return "\(kind.rawValue) makes it anew when it starts" }
        let pods = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager"]
        guard kind == .rke2, parentPath(path) == "\(data)/agent/pod-manifests",
            (pods + ["kube-proxy"]).contains(where: { lastName(path) == "\($0).yaml" })
        else { return nil }
        return "rke2 writes the manifests of its own pods when it starts"
    }

    /// What the agent gets from the server, and where it went.
    private func isOfAgent(_ path: String) -> Bool {
        guard path.hasPrefix("\(data)/agent/") else { return false }
        return parentPath(path) == "\(data)/agent" && [".crt", ".key", ".kubeconfig"].contains { path.hasSuffix($0) }
            || path.hasSuffix("-load-balancer.json") || lastName(path) == "config.toml"
    }

    // MARK: For people

    func remarks(of node: ReplacedNode, _ files: BackedUpFiles, endpoint: NodeChange.Endpoint?) -> [String] {
        var remarks: [String] = []
        let documents = configuration(files)
        if files.files["\(data)/server/token"] == nil {
            remarks.append(
                "the server's token is not in the backup, and without it \(kind.rawValue) can't read what it keeps in etcd: put "
                    + "it into \(quoted("\(data)/server/token")) before the start")
        }
        if !documents.contains(where: { $0.value("node-ip") != nil }) {
            let address = node.newAddresses.first?.text ?? ""
            remarks.append(
                "no file of /etc/rancher/\(kind.rawValue) has node-ip: the server takes the address of its default route, and the "
                    + "member is made for \(address); if that may be another, write `node-ip: \(address)` into config.yaml"
            )
        }
        let names = documents.flatMap { $0.items("tls-san").compactMap(\.text) + urlList($0.text("tls-san")) }
        // It is added to config.yaml, where there is one.
        let isThere = files.files["/etc/rancher/\(kind.rawValue)/config.yaml"] != nil
        if let endpoint, !isThere, node.backup.node.endpoint != endpoint, !names.contains(endpoint.host) {
            remarks.append("the endpoint \(endpoint.host) has to be a tls-san in config.yaml of every server")
        }
        if !canSign {
            remarks.append(
                "the authorities' keys are not in the backup: certificates stay as they were, for the old addresses")
        }
        return remarks
    }

    func check(_ step: RebuildStep, _ member: RebuildNodePlan.Member?) -> String {
        switch step {
        case .authorities: "openssl x509 -noout -enddate -in \(data)/server/tls/server-ca.crt"
        case .etcdData: "ls \(etcd)/member/snap/db"
        case .configuration: "cat \(etcd)/name   # \(member?.name ?? "none"), without a line's end"
        case .certificates, .kubeconfigs, .kubelet: "ls \(data)/server/tls"
        case .staticPods: "ls \(data)/server/manifests"
        }
    }

    private func trimmed(_ text: String) -> String { String(text.filter { !$0.isWhitespace }) }
}
