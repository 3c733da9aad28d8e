import Certificates
import FoundationEssentials
import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive
import YAML

/// How a lost control-plane node was named and reached, by the files of its backup.
struct LostNode: Sendable {
    /// The node's name as Kubernetes had it.
    var name: String
    /// Its member's name in etcd; nil if it ran none.
    var memberName: String?
    /// Its addresses, the advertised one first.
    var addresses: [IPAddress]
    /// The port of its API server.
    var port = 6443
    /// What stood before all API servers; nil if clients went to the node itself.
    var endpoint: NodeChange.Endpoint?
    /// Its member's URLs for other members.
    var peerURLs: [String] = []
    /// Its member's data directory.
    var dataDirectory: String?
    /// Where kubeadm has its files.
    var layout = KubeadmLayout()

    /// A node of which only these are known yet.
    init(name: String, addresses: [IPAddress]) { (self.name, self.addresses) = (name, addresses) }

    /// The node of a backup as kubeadm lays it out.
    ///
    /// - Throws: ``Failure`` if no static pod of an API server or of etcd tells an address.
    init(files: [String: BackedUpFile], recordedName: String, reference: String) throws {
        let pods = files.values.filter { $0.entry.role == CaptureClass.staticPod.rawValue }
        let server = pods.lazy.compactMap { StaticPodFlags(of: $0, program: "kube-apiserver") }.first
        let etcd = pods.lazy.compactMap { StaticPodFlags(of: $0, program: "etcd") }.first
        memberName = etcd.map { $0["name"] ?? "default" }
        dataDirectory = etcd.map { $0["data-dir"] ?? "/var/lib/etcd" }
        peerURLs = etcd?["initial-advertise-peer-urls"]?.split(separator: ",").map(String.init) ?? []
        port = server?["secure-port"].flatMap { Int($0) } ?? 6443
        let peerHost = peerURLs.first.flatMap(Self.hostAndPort)?.host
        guard let address = (server?["advertise-address"] ?? peerHost).flatMap({ IPAddress($0) }) else {
            throw Failure(
                .failed,
                "nothing in \(quoted(reference)) tells the address of its node: there is no static pod of an API "
                    + "server or of etcd that names one",
                hint: "restore its files and etcd by hand: `etcd-snap restore files`, `etcd-snap restore etcd`")
        }
        addresses = [address]
        // Members may talk to each other in a network of their own.
        if let peer = peerHost.flatMap({ IPAddress($0) }), peer != address, !["127.0.0.1", "::1"].contains(peer.text) {
            addresses.append(peer)
        }
        for text in Self.kubeletAddresses(files) where text.bytes.count != address.bytes.count {
            addresses.append(text)
        }
        let files = files.mapValues(\.content)
        name = Self.nodeName(files) ?? memberName ?? recordedName
        if let authority = server?["client-ca-file"] {
            layout = KubeadmLayout(certificatesDirectory: parentPath(authority))
        }
        endpoint = Self.endpoint(files, of: addresses, port: port)
    }

    /// The node of the kubelet's user, by its kubeconfig or by the certificate that it has renewed itself.
    private static func nodeName(_ files: [String: SecretBytes?]) -> String? {
        let prefix = "system:node:"
        let user = kubeconfig(files["/etc/kubernetes/kubelet.conf"] ?? nil).users.first { $0.hasPrefix(prefix) }
        if let user { return String(user.dropFirst(prefix.count).prefix { $0 != "@" }) }
        let renewed = files.keys.filter { $0.hasPrefix("/var/lib/kubelet/pki/kubelet-client-") }.sorted()
        let names = renewed.reversed().lazy.compactMap { path -> String? in
            guard let content = files[path] ?? nil else { return nil }
            let certificate = content.withBytes { PEMContents(copy $0, path: path).certificates.first }
            return certificate?.record.commonName
        }
        return names.first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }

    /// Where clients went, unless it was the node itself.
    private static func endpoint(
        _ files: [String: SecretBytes?], of addresses: [IPAddress], port: Int
    ) -> NodeChange.Endpoint? {
        let servers = ["admin.conf", "super-admin.conf", "kubelet.conf"].lazy.compactMap { file in
            kubeconfig(files["/etc/kubernetes/\(file)"] ?? nil).server.flatMap(hostAndPort)
        }
        guard let (host, urlPort) = servers.first else { return nil }
        let isOwn = IPAddress(host).map { addresses.contains($0) } ?? false
        if isOwn, (urlPort ?? 443) == port { return nil }
        return NodeChange.Endpoint(host: host, port: urlPort ?? 443)
    }

    /// A lost node that only etcd's list of members tells of.
    init?(member: EtcdMemberRecord) {
        guard let url = member.peerURLs.first, let host = Self.hostAndPort(url)?.host, let address = IPAddress(host),
            !member.name.isEmpty
        else { return nil }
        // Of a member that was reached by what every host has, no address is known.
        let isOfEveryHost = ["127.0.0.1", "::1"].contains(address.text)
        (name, memberName, peerURLs) = (member.name, member.name, member.peerURLs)
        addresses = isOfEveryHost ? [] : [address]
    }

    /// How certificates were made for it.
    func identity() throws(Failure) -> Certificates.NodeIdentity {
        try Certificates.NodeIdentity(nodeName: name, addresses: addresses, endpointHost: endpoint?.host)
    }

    // MARK: Reading

    static func hostAndPort(_ url: String) -> (host: String, port: Int?)? {
        let rest = url.firstRange(of: "://").map { url[$0.upperBound...] } ?? url[...]
        let authority = rest.prefix { $0 != "/" }
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            let host = String(authority[authority.index(after: authority.startIndex)..<end])
            return (host, Int(authority[authority.index(after: end)...].dropFirst()))
        }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first, !host.isEmpty, parts.count <= 2 else { return nil }
        return (String(host), parts.count == 2 ? Int(parts[1]) : nil)
    }

    private static func kubeconfig(_ content: SecretBytes?) -> (server: String?, users: [String]) {
        guard let content, let root = content.withBytes({ try? YAML.Node.first(in: copy $0) }) else { return (nil, []) }
        let server = root.items("clusters").first?.value("cluster")?.text("server")
        return (server, root.items("users").compactMap { $0.text("name") } + contextUsers(root))
    }

    private static func contextUsers(_ root: YAML.Node) -> [String] {
        root.items("contexts").compactMap { $0.value("context")?.text("user") }
    }

    /// The addresses that the kubelet's own flags name.
    private static func kubeletAddresses(_ files: [String: BackedUpFile]) -> [IPAddress] {
        guard let content = files["/var/lib/kubelet/kubeadm-flags.env"]?.content else { return [] }
        let text = content.withBytes { String(decoding: copy $0, as: UTF8.self) }
        guard let start = text.firstRange(of: "--node-ip=")?.upperBound else { return [] }
        return text[start...].prefix { !" \"'\n".contains($0) }.split(separator: ",").compactMap { IPAddress($0) }
    }
}

/// The flags of a program in a static pod.
struct StaticPodFlags {
    private let values: [String: String]

    /// Nil if no container of the pod runs the program.
    init?(of file: BackedUpFile, program: String) {
        guard let content = file.content else { return nil }
        self.init(content.withBytes { copy $0 }, program: program)
    }

    init?(_ bytes: [UInt8], program: String) {
        guard let root = try? YAML.Node.first(in: bytes) else { return nil }
        for container in root.value("spec")?.items("containers") ?? [] {
            let words = (container.items("command") + container.items("args")).compactMap(\.text)
            guard let first = words.first, lastName(first) == program else { continue }
            var values: [String: String] = [:]
            for word in words.dropFirst() where word.hasPrefix("--") {
                let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                values[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
            }
            self.values = values
            return
        }
        return nil
    }

    subscript(_ name: String) -> String? { values[name] }
}
