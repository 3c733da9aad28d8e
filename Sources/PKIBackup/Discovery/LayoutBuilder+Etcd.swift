import HostIO
import NodeFiles
import SealedArchive
import YAML

extension LayoutBuilder {
    /// Every etcd that the node tells of, each once, the API server's first.
    mutating func etcds() -> [DiscoveredEtcd] {
        var found: [EtcdCandidate] = []
        let clients = clientCandidates().compactMap(withoutKine)
        let members = memberCandidates() + layoutCandidates()
        let hasMain = clients.contains { $0.name == "etcd" }
        for candidate in clients + members.sorted(by: { $0.name == "etcd" && $1.name != "etcd" }) + networkCandidates()
        {
            guard !candidate.endpoints.isEmpty else { continue }
            if let index = found.firstIndex(where: { $0.isSame(as: candidate) }) {
                found[index].merge(candidate)
            } else {
                found.append(candidate)
            }
        }
        // Without an API server that says so, the first member is the cluster's.
        if !hasMain, !found.contains(where: { $0.name == "etcd" }), !found.isEmpty { found[0].name = "etcd" }
        var names: Set<String> = []
        return found.map { finished($0, &names) }
    }

    private func finished(_ candidate: EtcdCandidate, _ names: inout Set<String>) -> DiscoveredEtcd {
        var name = candidate.name
        var number = 1
        while !names.insert(name).inserted {
            number += 1
            name = "\(candidate.name)-\(number)"
        }
        let unique = EtcdURL.unique(candidate.endpoints)
        let pair = clientPair(candidate)
        return DiscoveredEtcd(
            name: name, endpoints: unique.filter(EtcdURL.isLoopback) + unique.filter { !EtcdURL.isLoopback($0) },
            advertisedEndpoints: EtcdURL.unique(candidate.aliases).filter { !unique.contains($0) },
            caPath: candidate.caPath ?? candidate.serverCAPath, certificatePath: pair?.certificate, keyPath: pair?.key,
            dataDirectory: candidate.dataDirectory, source: candidate.source)
    }

    /// The pair that a client of this etcd is told to use, for that is sure to be the current one; else kubeadm's for health
    /// checks (`EtcdHealthcheckClientCertAndKeyBaseName`), which may be left over from long ago; else the member's own.
    private func clientPair(_ candidate: EtcdCandidate) -> (certificate: String, key: String)? {
        if let certificate = candidate.certificatePath, let key = candidate.keyPath,
            root.hasEntry(certificate), root.hasEntry(key)
        {
            return (certificate, key)
        }
        for path in [candidate.serverCertificatePath, candidate.serverCAPath, candidate.caPath].compactMap(\.self) {
            let base = joinPath(parentPath(path), "healthcheck-client")
            if root.hasEntry(base + ".crt"), root.hasEntry(base + ".key") { return (base + ".crt", base + ".key") }
        }
        if let certificate = candidate.certificatePath, let key = candidate.keyPath { return (certificate, key) }
        guard let certificate = candidate.serverCertificatePath, let key = candidate.serverKeyPath else { return nil }
        return (certificate, key)
    }

    // MARK: Clients

    /// What API servers were told.
    ///
    /// Source: Kubernetes 1.36, `apiserver/pkg/server/options/etcd.go`: `--etcd-servers`, and `--etcd-servers-overrides`
    /// as `group/resource#url;url,...`.
    private func clientCandidates() -> [EtcdCandidate] {
        let servers = layout.components.filter { $0.flags["etcd-servers"] != nil && $0.name != "etcd" }
        return servers.sorted { $0.name == "kube-apiserver" && $1.name != "kube-apiserver" }.flatMap { server in
            let name = server.name == "kube-apiserver" ? "etcd" : "etcd-\(Self.fileName(server.name))"
            var main = EtcdCandidate(
                name: name, endpoints: (server.flags["etcd-servers"] ?? []).flatMap(EtcdURL.list),
                source: "\(server.name) --etcd-servers")
            main.caPath = nodePath("etcd-cafile", server)
            main.certificatePath = nodePath("etcd-certfile", server)
            main.keyPath = nodePath("etcd-keyfile", server)
            let overrides = (server.flags["etcd-servers-overrides"] ?? []).flatMap { $0.split(separator: ",") }
            return [main] + overrides.compactMap { Self.override(String($0), main, server.name) }
        } + datastoreCandidates()
    }

    /// An etcd that a distribution is told to keep the cluster's data in.
    private func datastoreCandidates() -> [EtcdCandidate] {
        guard case .etcd(let endpoints) = layout.datastore else { return [] }
        let server = layout.components.first { $0.configuration.last("datastore-endpoint") != nil }
        var candidate = EtcdCandidate(
            name: "etcd", endpoints: endpoints, source: layout.datastoreOrigin ?? server?.source ?? "the datastore")
        candidate.caPath = server.flatMap { nodePath("datastore-cafile", $0) }
        candidate.certificatePath = server.flatMap { nodePath("datastore-certfile", $0) }
        candidate.keyPath = server.flatMap { nodePath("datastore-keyfile", $0) }
        return [candidate]
    }

    /// A candidate without the addresses at which kine serves another database here, which gives no snapshots; nil if there
    /// are no others.
    ///
    /// Source: kine, `pkg/app/app.go`, `--listen-address`.
    private func withoutKine(_ candidate: EtcdCandidate) -> EtcdCandidate? {
        let ports = layout.components.filter { $0.name == "kine" }.compactMap {
            ($0.configuration.last("listen-address") ?? "0.0.0.0:2379").split(separator: ":").last
        }
        guard !ports.isEmpty else { return candidate }
        var candidate = candidate
        candidate.endpoints.removeAll { url in ports.contains { url.hasSuffix(":\($0)") } }
        return candidate.endpoints.isEmpty ? nil : candidate
    }

    private static func override(_ text: String, _ main: EtcdCandidate, _ server: String) -> EtcdCandidate? {
        let parts = text.split(separator: "#", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return nil }
        var candidate = main
        candidate.name = "etcd-\(fileName(lastName(parts[0])))"
        candidate.endpoints = parts[1].split(separator: ";").compactMap { EtcdURL.usable($0) }
        candidate.source = "\(server) --etcd-servers-overrides \(parts[0])"
        return candidate
    }

    /// A name as a file can have it, within 40 characters.
    private static func fileName(_ name: String) -> String {
        let allowed = name.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
        let text = String(allowed.prefix(40)).split(separator: "-").joined(separator: "-")
        return text.isEmpty ? "other" : text
    }

    private func nodePath(_ flag: String, _ component: Component) -> String? {
        guard let value = component.flags[flag]?.last.flatMap({ absolute($0, in: component) }) else { return nil }
        return nodePath(of: value, in: component)
    }

    // MARK: Members

    /// Files that etcd's packages and kubespray have their variables in, where no service tells.
    private static let environmentFiles = [
        ("/etc/etcd.env", "etcd"), ("/etc/etcd-events.env", "etcd-events"), ("/etc/default/etcd", "etcd"),
        ("/etc/etcd/etcd.conf", "etcd"), ("/etc/etcd/etcd.env", "etcd"), ("/etc/sysconfig/etcd", "etcd"),
        ("/etc/conf.d/etcd", "etcd"),
    ]

    /// The etcds that run here as static pods, processes or services, or would by an environment file.
    private mutating func memberCandidates() -> [EtcdCandidate] {
        for index in layout.components.indices where layout.components[index].name == "etcd" {
            layout.components[index] = withWholeConfiguration(layout.components[index])
        }
        var members = layout.components.filter { $0.name == "etcd" }
        for (path, name) in Self.environmentFiles where !readEnvironmentFiles.contains(path) {
            guard root.hasEntry(path), let bytes = bytes(of: path) else { continue }
            let variables = EnvironmentFile(bytes).variables
            // Debian's package leaves a file of comments, whether an etcd runs or not.
            guard !EtcdConfiguration.settings(in: variables).isEmpty else { continue }
            var component = Component(name: "etcd", source: path)
            component.environment = variables.filter { $0.key.hasPrefix("ETCD_") }
            component = withWholeConfiguration(component)
            members.append(component)
            component.name = name
            layout.components.append(component)
        }
        return members.map(member)
    }

    private func member(_ component: Component) -> EtcdCandidate {
        let flags = component.flags
        let listening = (flags["listen-client-urls"] ?? []).flatMap(EtcdURL.list)
        let advertised = (flags["advertise-client-urls"] ?? []).flatMap(EtcdURL.list)
        let isEvents = component.source.contains("events") || flags["name"]?.last?.contains("events") == true
        var candidate = EtcdCandidate(
            name: isEvents ? "etcd-events" : memberName(component),
            endpoints: listening.isEmpty ? advertised : listening,
            aliases: advertised, source: component.source)
        candidate.serverCertificatePath = nodePath("cert-file", component)
        candidate.serverKeyPath = nodePath("key-file", component)
        candidate.serverCAPath = nodePath("trusted-ca-file", component)
        candidate.dataDirectory = nodePath("data-dir", component)
        candidate.isMember = true
        if candidate.endpoints.isEmpty, component.isEnvironmentKnown {
            // etcd's own default, `DefaultListenClientURLs`.
            candidate.endpoints = ["http://127.0.0.1:2379"]
        }
        return candidate
    }

    /// `etcd` unless the file of a manifest has another name.
    private func memberName(_ component: Component) -> String {
        let file = lastName(component.source)
        guard component.source.hasPrefix("/"), let base = file.split(separator: ".").first else { return "etcd" }
        let name = Self.fileName(String(base))
        if name == "etcd" || file.hasSuffix(".env") { return "etcd" }
        return name.hasPrefix("etcd") ? name : "etcd-\(name)"
    }

    // MARK: Layouts

    /// The embedded etcds of distributions, which no manifest tells of; none where the data is somewhere else.
    private mutating func layoutCandidates() -> [EtcdCandidate] {
        guard layout.datastore == nil else { return [] }
        var candidates: [EtcdCandidate] = []
        for distribution in ["k3s", "rke2"] where layout.hasServer(of: distribution) {
            let server = joinPath(dataDirectory(of: distribution), "server")
            let tls = "\(server)/tls/etcd"
            candidates += embedded(
                distribution, "\(server)/db/etcd", configuration: "\(server)/db/etcd/config",
                ("\(tls)/server-ca.crt", "\(tls)/client.crt", "\(tls)/client.key"))
        }
        if layout.hasServer(of: "k0s") {
            let data = dataDirectory(of: "k0s")
            let client = "\(data)/pki/apiserver-etcd-client"
            candidates += embedded(
                "k0s", "\(data)/etcd", configuration: nil, ("\(data)/pki/etcd/ca.crt", "\(client).crt", "\(client).key")
            )
        }
        if layout.distributions.contains("microshift") {
            let signer = "/var/lib/microshift/certs/etcd-signer"
            let client = "\(signer)/apiserver-etcd-client/client"
            candidates += embedded(
                "microshift", "/var/lib/microshift/etcd", configuration: nil,
                ("\(signer)/ca.crt", "\(client).crt", "\(client).key"))
        }
        return candidates
    }

    /// An etcd within a distribution's own process, or one that it starts; none if there are no data.
    ///
    /// - Parameter configuration: the file that the distribution writes for it, with what it listens at.
    private mutating func embedded(
        _ distribution: String, _ data: String, configuration: String?,
        _ tls: (ca: String, certificate: String, key: String)
    ) -> [EtcdCandidate] {
        guard root.attributes(of: data)?.kind == .directory else { return [] }
        var candidate = EtcdCandidate(
            name: "etcd", endpoints: endpoints(ofEmbedded: distribution), source: "\(distribution) layout")
        candidate.isMember = true
        candidate.dataDirectory = data
        let known = layout.components.first { component in
            component.name == "etcd" && dataDirectory(of: component).flatMap(component.nodePath) == data
        }
        if let known {
            // What the etcd itself tells goes before; only its client's files are the distribution's.
            candidate.endpoints = member(known).endpoints
        } else if let configuration, root.hasEntry(configuration), let document = document(at: configuration) {
            var etcd = Component(name: "etcd", source: configuration, mounts: containerMounts[distribution])
            etcd.configuration = MergedConfiguration(EtcdConfiguration.settings(in: document), from: configuration)
            addFlags(of: etcd)
            layout.components.append(etcd)
            candidate = member(etcd)
            candidate.name = "etcd"
        }
        (candidate.caPath, candidate.certificatePath, candidate.keyPath) = (tls.ca, tls.certificate, tls.key)
        return [candidate]
    }

    /// Where a distribution's etcd listens: at what its own arguments say, else at the loopback address of either family, for
    /// a node may have one family only.
    ///
    /// Source: k3s, `pkg/daemons/config/types.go`, `Loopback`; k0s, `pkg/component/controller/etcd.go`; MicroShift,
    /// `etcd/cmd/microshift-etcd/run.go`, `configure`.
    private func endpoints(ofEmbedded distribution: String) -> [String] {
        if distribution == "microshift" { return ["https://localhost:2379"] }
        let server = layout.components.first { $0.name == distribution }
        let arguments = CommandLineFlags.flags(ofArguments: server?.flags["etcd-arg"] ?? [])
        let listening = (arguments["listen-client-urls"] ?? []).flatMap(EtcdURL.list)
        guard listening.isEmpty else { return listening }
        let loopback = ["https://127.0.0.1:2379", "https://[::1]:2379"]
        let isIPv6 = server?.configuration.last("etcd-peer-address")?.contains(":") == true
        return isIPv6 ? loopback.reversed() : loopback
    }

    // MARK: Networks

    /// The etcds of pod networks.
    ///
    /// Sources: Calico 3.30 documentation, "Configure calicoctl to connect to an etcd datastore" (`/etc/calico/calicoctl.cfg`)
    /// and its CNI configuration (`etcd_endpoints`); Cilium 1.17, `pkg/kvstore/etcd.go` (`etcd.config`).
    private mutating func networkCandidates() -> [EtcdCandidate] {
        var candidates: [EtcdCandidate] = []
        func add(
            _ name: String, _ node: Node, _ path: String,
            _ keys: (urls: String, ca: String, certificate: String, key: String)
        ) {
            let urls =
                node.text(keys.urls).map(EtcdURL.list)
                ?? node.items(keys.urls).compactMap { $0.presentText.flatMap { EtcdURL.usable($0) } }
            var candidate = EtcdCandidate(name: name, endpoints: urls, source: path)
            candidate.caPath = node.text(keys.ca)
            candidate.certificatePath = node.text(keys.certificate)
            candidate.keyPath = node.text(keys.key)
            candidates.append(candidate)
        }
        let calico = "/etc/calico/calicoctl.cfg"
        if root.hasEntry(calico), let spec = document(at: calico)?.value("spec") {
            add("etcd-calico", spec, calico, ("etcdEndpoints", "etcdCACertFile", "etcdCertFile", "etcdKeyFile"))
        }
        for name in (try? root.names(in: "/etc/cni/net.d")) ?? []
        where name.hasSuffix("conf") || name.hasSuffix("conflist") {
            let path = "/etc/cni/net.d/\(name)"
            guard root.attributes(of: path)?.kind == .file, let document = document(at: path) else { continue }
            for plugin in [document] + document.items("plugins") where plugin.value("etcd_endpoints") != nil {
                add(
                    "etcd-calico", plugin, path,
                    ("etcd_endpoints", "etcd_ca_cert_file", "etcd_cert_file", "etcd_key_file"))
            }
        }
        for path in [
            "/etc/cilium/etcd-config.yml", "/var/lib/cilium/etcd-config.yml", "/var/lib/etcd-config/etcd.config",
        ] {
            guard root.hasEntry(path), let document = document(at: path) else { continue }
            add("etcd-cilium", document, path, ("endpoints", "trusted-ca-file", "cert-file", "key-file"))
        }
        for candidate in candidates { addNetworkFiles(candidate) }
        return candidates
    }

    private mutating func addNetworkFiles(_ candidate: EtcdCandidate) {
        let files: [(String?, CaptureClass)] = [
            (candidate.caPath, .caCertificate), (candidate.certificatePath, .certificate),
            (candidate.keyPath, .privateKey),
        ]
        for case (let path?, let captureClass) in files where path.hasPrefix("/") {
            collector.add(path, captureClass, by: candidate.source, isRequired: true)
        }
    }
}
