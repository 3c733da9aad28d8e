import HostIO
import NodeFiles
import SealedArchive
import YAML

extension LayoutBuilder {
    /// Every etcd that the node tells of, each once, the API server's first.
    mutating func etcds() -> [DiscoveredEtcd] {
        var found: [EtcdCandidate] = []
        let clients = clientCandidates()
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
            caPath: candidate.caPath ?? candidate.serverCAPath, certificatePath: pair?.certificate, keyPath: pair?.key,
            dataDirectory: candidate.dataDirectory, source: candidate.source)
    }

    /// The pair with the least rights that there is: kubeadm's for health checks (`EtcdHealthcheckClientCertAndKeyBaseName`),
    /// else the API server's, else the member's own.
    private func clientPair(_ candidate: EtcdCandidate) -> (certificate: String, key: String)? {
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
        }
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
        guard let value = component.flags[flag]?.last, value.hasPrefix("/") else { return nil }
        return component.nodePath(of: value)
    }

    // MARK: Members

    /// The etcds that run here as static pods or processes, or would by an environment file.
    private mutating func memberCandidates() -> [EtcdCandidate] {
        var members = layout.components.filter { $0.name == "etcd" }
        // kubespray's, and that of Debian's package.
        for (path, name) in [
            ("/etc/etcd.env", "etcd"), ("/etc/etcd-events.env", "etcd-events"), ("/etc/default/etcd", "etcd"),
        ] {
            guard root.hasEntry(path), let bytes = bytes(of: path) else { continue }
            let flags = CommandLineFlags.etcdFlags(in: CommandLineFlags.environment(in: bytes))
            // Debian's package leaves a file of comments, whether an etcd runs or not.
            guard !flags.isEmpty else { continue }
            let component = Component(name: "etcd", source: path, flags: flags)
            addFlags(of: component)
            members.append(component)
            layout.components.append(Component(name: name, source: path, flags: flags))
        }
        return members.map { member(withConfiguration($0)) }
    }

    /// With `--config-file` etcd passes over its other flags (etcd, `server/etcdmain/config.go`).
    private mutating func withConfiguration(_ component: Component) -> Component {
        guard let path = nodePath("config-file", component), let document = document(at: path) else { return component }
        var component = component
        func set(_ flag: String, _ text: String?) { if let text { component.flags[flag] = [text] } }
        for flag in ["listen-client-urls", "advertise-client-urls", "data-dir", "name"] {
            set(flag, document.text(flag))
        }
        for (section, prefix) in [("client-transport-security", ""), ("peer-transport-security", "peer-")] {
            guard let security = document.value(section) else { continue }
            for flag in ["cert-file", "key-file", "trusted-ca-file"] { set(prefix + flag, security.text(flag)) }
        }
        component.flags["config-file"] = nil
        addFlags(of: component)
        return component
    }

    private func member(_ component: Component) -> EtcdCandidate {
        let flags = component.flags.merging(CommandLineFlags.etcdFlags(in: component.environment)) { flag, _ in flag }
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

    /// The embedded etcds of distributions, which no manifest tells of.
    private func layoutCandidates() -> [EtcdCandidate] {
        var candidates: [EtcdCandidate] = []
        func add(
            _ distribution: String, _ url: String, _ data: String, _ tls: (ca: String, certificate: String, key: String)
        ) {
            guard layout.distributions.contains(distribution), root.attributes(of: data)?.kind == .directory else {
                return
            }
            var candidate = EtcdCandidate(name: "etcd", endpoints: [url], source: "\(distribution) layout")
            (candidate.caPath, candidate.certificatePath, candidate.keyPath) = (tls.ca, tls.certificate, tls.key)
            candidate.dataDirectory = data
            candidate.isMember = true
            candidates.append(candidate)
        }
        for (distribution, server) in rancherServers() {
            let tls = "\(server)/tls/etcd"
            add(
                distribution, "https://127.0.0.1:2379", "\(server)/db/etcd",
                ("\(tls)/server-ca.crt", "\(tls)/client.crt", "\(tls)/client.key"))
        }
        let k0s = layout.components.first { $0.name == "k0s" }?.flags["data-dir"]?.last ?? "/var/lib/k0s"
        add(
            "k0s", "https://127.0.0.1:2379", "\(k0s)/etcd",
            ("\(k0s)/pki/etcd/ca.crt", "\(k0s)/pki/apiserver-etcd-client.crt", "\(k0s)/pki/apiserver-etcd-client.key"))
        let signer = "/var/lib/microshift/certs/etcd-signer"
        add(
            "microshift", "https://localhost:2379", "/var/lib/microshift/etcd",
            (
                "\(signer)/ca.crt", "\(signer)/apiserver-etcd-client/client.crt",
                "\(signer)/apiserver-etcd-client/client.key"
            ))
        return candidates
    }

    /// Where the servers of k3s and RKE2 have their data, as their excluded data directories tell.
    private func rancherServers() -> [(distribution: String, path: String)] {
        collector.excluded.compactMap { excluded in
            guard excluded.path.hasSuffix("/server/db/etcd") else { return nil }
            let server = String(excluded.path.dropLast("/db/etcd".count))
            let isRKE2 =
                layout.distributions.contains("rke2") && !layout.distributions.contains("k3s")
                || server.contains("rke2")
            return (isRKE2 ? "rke2" : "k3s", server)
        }
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
