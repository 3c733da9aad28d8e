import Certificates
import FoundationEssentials
import HostIO
import SealedArchive

extension Examination {
    /// Every certificate is valid now and for some time, and of an algorithm that holds.
    mutating func checkCertificates() {
        var seen: Set<String> = []
        // A CA that kubeconfigs embed is told where it has a file of its own.
        let ordered = certificates.filter { $0.embeddedIn == nil } + certificates.filter { $0.embeddedIn != nil }
        for record in ordered where isOfCluster(record) && seen.insert(record.fingerprint).inserted {
            checkValidity(record)
            if !isReplaced(record) { checkAlgorithm(record) }
        }
    }

    /// Bundles that pods or the configuration bring along, and that people put beside the files in use, may have any
    /// certificates.
    private func isOfCluster(_ record: CertificateRecord) -> Bool {
        guard let file = files[record.path] else { return false }
        return file.captureClass != .component && file.captureClass != .include && !isSpare(file)
    }

    /// Whether it is the serving certificate that a kubelet makes for a year where none is given to it, and never renews.
    ///
    /// Source: Kubernetes 1.36 `cmd/kubelet/app/server.go`, `InitializeTLS`.
    private func isKubeletsOwn(_ record: CertificateRecord) -> Bool {
        record.path.hasSuffix("/kubelet.crt") && files[record.path]?.captureClass == .kubeletPKI
            && files[record.path]?.isFoundByWalk == true
    }

    private func name(_ record: CertificateRecord) -> String {
        let place = record.embeddedIn.map { "\(quoted(record.path)), \($0)" } ?? quoted(record.path)
        return "the \(record.isCA ? "CA " : "")certificate \(record.subject) in \(place)"
    }

    private mutating func checkValidity(_ record: CertificateRecord) {
        let days = record.daysLeft(at: options.now)
        let renewal =
            record.isCA ? "rotate the CA before anything else: nothing under it is accepted" : "renew the certificate"
        let elapsedDays = Int(options.now.timeIntervalSince(record.notAfter) / 86_400)
        if days < options.expiryWarningDays, isReplaced(record) {
            return find(
                .note, "ca-replaced", record.path,
                "\(name(record)) \(days < 0 ? "expired" : "expires") on \(record.notAfter.formatted(.iso8601)), and nothing "
                    + "here needs it any more", "remove it from the file")
        }
        if days < options.expiryWarningDays, isKubeletsOwn(record) {
            return find(
                .note, "kubelet-self-signed", record.path,
                "\(name(record)), which the kubelet has made for itself, \(days < 0 ? "expired" : "expires") on "
                    + record.notAfter.formatted(.iso8601),
                "nothing verifies it by default; remove it with its key for the kubelet to make another")
        }
        if record.notAfter <= options.now {
            // What lies in a directory may be a leftover.
            let isLeftover = files[record.path]?.isFoundByWalk ?? false
            find(
                isLeftover ? .warning : .error, "certificate-expired", record.path,
                "\(name(record)) expired on \(record.notAfter.formatted(.iso8601)), \(elapsedDays) days ago", renewal)
        } else if record.notBefore > options.now {
            find(
                .warning, "certificate-not-yet-valid", record.path,
                "\(name(record)) is valid only from \(record.notBefore.formatted(.iso8601))",
                "check the clock of this node, or issue the certificate again")
        } else if days < options.expiryWarningDays {
            find(
                .warning, "certificate-expires-soon", record.path,
                "\(name(record)) expires on \(record.notAfter.formatted(.iso8601)), in \(days) days", renewal)
        }
    }

    private mutating func checkAlgorithm(_ record: CertificateRecord) {
        // Nobody relies on the signature that a root makes under itself.
        let isSignatureWeak = SignatureName.isWeak(record.signatureAlgorithm) && record.subject != record.issuer
        let weakSignature = isSignatureWeak ? "the signature \(record.signatureAlgorithm)" : nil
        guard let weakness = record.publicKey.weakness ?? weakSignature else { return }
        find(
            .warning, "algorithm-weak", record.path, "\(name(record)) has \(weakness)",
            "issue it again with RSA 2048 or ECDSA P-256 and SHA-256")
    }

    /// Certificates of servers have the names by which their clients call them.
    mutating func checkServerNames() {
        for server in components("kube-apiserver") { checkNames(ofServer: server) }
        for etcd in components("etcd") {
            let listens = hosts(etcd, "listen-client-urls").contains("127.0.0.1") ? ["127.0.0.1"] : []
            checkNames(path(etcd, "cert-file"), hosts(etcd, "advertise-client-urls") + listens, of: "etcd's clients")
            checkNames(path(etcd, "peer-cert-file"), hosts(etcd, "initial-advertise-peer-urls"), of: "etcd's peers")
        }
    }

    private mutating func checkNames(ofServer server: Component) {
        // Of two ranges the first is that of the service `kubernetes`: kubeadm 1.36 `constants.GetAPIServerVirtualIP`.
        let ranges = (server.flags["service-cluster-ip-range"]?.last ?? "").split(separator: ",").prefix(1)
        let services = ranges.compactMap { IPAddress($0.prefix { $0 != "/" })?.successor.text }
        let addresses = Array((server.flags["advertise-address"] ?? []).suffix(1)) + services
        let names = addresses + ["kubernetes.default.svc"]
        checkNames(path(server, "tls-cert-file"), names, of: "the API server's clients")
    }

    private mutating func checkNames(_ path: String?, _ names: [String], of clients: String) {
        guard let path, let record = files[path]?.pem?.certificates.first?.record else { return }
        // What a variable stands for is known to the running pod only.
        let missing = names.filter { !$0.isEmpty && !$0.contains("$") && !record.covers($0) }
        guard !missing.isEmpty else { return }
        find(
            .warning, "certificate-name-missing", path,
            "the certificate \(quoted(path)) lacks \(missing.joined(separator: ", ")), by which \(clients) call it",
            "issue the certificate again with these alternative names")
    }

    private func hosts(_ component: Component, _ flag: String) -> [String] {
        (component.flags[flag]?.last ?? "").split(separator: ",").compactMap { host(of: String($0)) }
            .filter { $0 != "0.0.0.0" && $0 != "::" }
    }
}

/// The host of a URL with a scheme, without the brackets of IPv6; nil if there is none.
func host(of url: String) -> String? {
    guard let scheme = url.firstRange(of: "://") else { return nil }
    let authority = url[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" }
    if authority.hasPrefix("[") { return String(authority.dropFirst().prefix { $0 != "]" }) }
    let host = authority.prefix { $0 != ":" }
    return host.isEmpty ? nil : String(host)
}

extension CertificateRecord {
    /// Whether a client may call the server by this host name or address (RFC 6125: one wildcard, as the whole first label).
    func covers(_ host: String) -> Bool {
        if let address = IPAddress(host) { return ipAddresses.contains(address.text) }
        let host = host.lowercased()
        return dnsNames.contains { name in
            let name = name.lowercased()
            guard name.hasPrefix("*.") else { return name == host }
            return host.firstIndex(of: ".").map { host[$0...] == name.dropFirst() } ?? false
        }
    }
}
