import Certificates
import HostIO
import SealedArchive

extension Examination {
    /// The files of the CAs by what they are for.
    struct AuthorityPaths {
        /// Those that sign clients of the API server.
        var clients: [String]
        /// Those that sign the API server's own certificate.
        var serving: [String]
        /// Those that sign the API server as a proxy.
        var frontProxy: [String]
        /// Those that sign the API server as a client of the etcd on this node.
        var etcdClients: [String]
        /// Those that the API server trusts etcd by.
        var etcdServing: [String]
        /// Those that this node's etcds trust clients and peers by.
        var etcdOwn: [String]
    }

    var authorityPaths: AuthorityPaths {
        let clients = paths("kube-apiserver", "client-ca-file")
        let roots = paths("kube-controller-manager", "root-ca-file")
        let trusted = paths("etcd", "trusted-ca-file")
        let etcdServing = paths("kube-apiserver", "etcd-cafile")
        return AuthorityPaths(
            clients: clients,
            serving: roots.isEmpty && layout.distributions.contains("kubeadm") ? clients : roots,
            frontProxy: paths("kube-apiserver", "requestheader-client-ca-file"),
            etcdClients: etcdClientAuthorities(etcdServing), etcdServing: etcdServing,
            etcdOwn: trusted + paths("etcd", "peer-trusted-ca-file"))
    }

    /// By which CAs the etcds that the API servers use, and are here, trust their clients.
    ///
    /// An etcd of another CA and other URLs is not the API server's.
    private func etcdClientAuthorities(_ serving: [String]) -> [String] {
        let urls = Set(components("kube-apiserver").flatMap { $0.flags["etcd-servers"] ?? [] }.flatMap(EtcdURL.list))
        return components("etcd").compactMap { etcd in
            guard let trusted = path(etcd, "trusted-ca-file") else { return nil }
            let own = ["listen-client-urls", "advertise-client-urls"].compactMap { etcd.flags[$0]?.last }
                .flatMap(EtcdURL.list)
            return serving.contains(trusted) || own.contains(where: urls.contains) ? trusted : nil
        }
    }

    /// The certificates of CA files; nil if one of the files is not sound, so that nothing can be concluded.
    func authorities(_ paths: [String]) -> [ParsedCertificate]? {
        guard !paths.isEmpty else { return nil }
        var certificates: [ParsedCertificate] = []
        for path in paths {
            guard let file = files[path], file.isSound, let contents = file.pem, !contents.certificates.isEmpty else {
                return nil
            }
            certificates += contents.certificates
        }
        return certificates
    }

    /// Every certificate leads to the CA that its place implies, or where none is implied to any captured CA.
    mutating func checkChains() {
        let paths = authorityPaths
        checkSigningAuthority(paths.clients)
        var judged = checkHealthcheckClients()
        for (path, expected) in impliedAuthorities(paths) {
            judged.insert(path)
            guard let anchors = authorities(expected) else { continue }
            let lacking = "none of the CAs in \(expected.map(quoted).joined(separator: ", "))"
            checkChain(path, anchors, lacking, isImplied: true)
        }
        guard let captured = capturedAuthorities() else { return }
        let classes: Set<CaptureClass> = [.certificate, .kubeletPKI, .etcdConfiguration, .distribution]
        for file in sortedFiles where classes.contains(file.captureClass) && !judged.contains(file.path) {
            if isSpare(file) || isForOtherNames(file) { continue }
            checkChain(file.path, captured, "no captured CA", isImplied: false)
        }
    }

    /// kubeadm's controller manager signs for kubelets and users of the API server, which has to trust them.
    private mutating func checkSigningAuthority(_ authorities: [String]) {
        guard layout.distributions.contains("kubeadm"), let anchors = self.authorities(authorities) else { return }
        for path in paths("kube-controller-manager", "cluster-signing-cert-file") {
            guard let file = files[path], file.isSound, let own = file.pem?.certificates, !own.isEmpty,
                !Chain.leads(own, to: anchors)
            else { continue }
            find(
                .error, "chain-broken", path,
                "kube-controller-manager signs certificates by \(quoted(path)) (\(own[0].record.subject)), and the API server "
                    + "trusts its clients by \(authorities.map(quoted).joined(separator: ", "))",
                "have both use the CA of the cluster: kubelets that join are refused")
        }
    }

    /// Whether it is a certificate by which clients of other trust call the API server: any CA may have signed it.
    private func isForOtherNames(_ file: InspectedFile) -> Bool {
        file.referrers.contains { $0.hasSuffix("--tls-sni-cert-key") || $0.hasSuffix(" namedCertificates") }
    }

    /// Certificates by the flags that name them, with the files of the CAs that have to have signed them.
    private func impliedAuthorities(_ authorities: AuthorityPaths) -> [(path: String, expected: [String])] {
        let kubelets = paths("kubelet", "client-ca-file")
        let table = [
            ("kube-apiserver", "tls-cert-file", authorities.serving),
            ("kube-apiserver", "etcd-certfile", authorities.etcdClients),
            ("kube-apiserver", "kubelet-client-certificate", kubelets.isEmpty ? authorities.clients : kubelets),
            ("kube-apiserver", "proxy-client-cert-file", authorities.frontProxy),
        ]
        let flagged = table.filter { !$0.2.isEmpty }.flatMap { component, flag, expected in
            paths(component, flag).map { ($0, expected) }
        }
        let etcds = components("etcd")
        let members = etcds.flatMap { etcd in
            let own = paths(etcd, "trusted-ca-file")
            let serving = authorities.etcdServing + (etcds.count > 1 || authorities.etcdServing.isEmpty ? own : [])
            return [("cert-file", serving), ("peer-cert-file", paths(etcd, "peer-trusted-ca-file"))]
                .filter { !$0.1.isEmpty }.compactMap { flag, expected in path(etcd, flag).map { ($0, expected) } }
        }
        let clients = sortedFiles.compactMap { $0.kubeconfig?.kubeconfig }.flatMap(\.users)
            .compactMap(\.certificatePath)
        return flagged + members + (authorities.clients.isEmpty ? [] : clients.map { ($0, authorities.clients) })
    }

    /// Every CA certificate in a file of its own; nil if a CA file is not sound.
    private func capturedAuthorities() -> [ParsedCertificate]? {
        var certificates: [ParsedCertificate] = []
        for file in sortedFiles {
            let isBroken = file.state == .missing ? file.isRequired : !file.isSound
            if file.captureClass == .caCertificate, file.state != .directory, isBroken, !isSpare(file) { return nil }
            certificates += file.pem?.certificates.filter(\.record.isCA) ?? []
        }
        return certificates
    }

    private mutating func checkChain(
        _ path: String, _ anchors: [ParsedCertificate], _ lacking: String, isImplied: Bool
    ) {
        guard let certificates = files[path]?.pem?.certificates, let leaf = certificates.first, !leaf.record.isCA,
            isImplied || !leaf.isSelfIssued, !Chain.leads(certificates, to: anchors)
        else { return }
        // A certificate that no component is told of may be a stranger's, unless it names a CA of the cluster.
        let isOwn = isImplied || anchors.contains { $0.subject == leaf.issuer }
        find(
            isOwn ? .error : .warning, "chain-broken", path,
            "the certificate \(quoted(path)) (\(leaf.record.subject)), issued by \(leaf.record.issuer), "
                + "is signed by \(lacking)",
            "capture the CA that signed it, or issue the certificate again by the cluster's CA")
    }

    /// The CAs of the cluster have their keys here; where they are kept elsewhere is a state of its own.
    mutating func checkAuthorities() {
        guard !layout.distributions.contains("openshift") else { return }
        let paths = authorityPaths
        let named = paths.clients + paths.serving + paths.frontProxy + paths.etcdOwn
        // These distributions make their CAs themselves; beside kubeadm's there may be CAs of others.
        let makers = ["k3s layout", "rke2 layout", "k0s layout"]
        let known = sortedFiles.filter { file in
            file.captureClass == .caCertificate && file.referrers.contains(where: makers.contains)
        }
        let keys = Set(files.values.flatMap { $0.pem?.privateKeys ?? [] }.map(\.digest))
        var judged: Set<String> = []
        for path in named + known.map(\.path) where judged.insert(path).inserted {
            checkAuthority(path, capturedKeys: keys)
        }
        for file in sortedFiles where file.captureClass == .caKey && file.state == .file { checkCertificate(of: file) }
    }

    private mutating func checkAuthority(_ path: String, capturedKeys: Set<String>) {
        guard let certificates = authorities([path]), certificates.contains(where: \.record.isCA),
            !certificates.contains(where: { capturedKeys.contains($0.record.publicKey.digest) }),
            !Self.keySiblings(of: path).contains(where: { files[$0] != nil }), !signingKeyIsNamed(for: path)
        else { return }
        find(
            .note, "external-ca", path,
            "the key of the CA \(quoted(path)) (\(certificates[0].record.subject)) is not captured",
            "back up the CA where it is kept: a rebuild can't issue certificates by itself")
    }

    private func signingKeyIsNamed(for path: String) -> Bool {
        components("kube-controller-manager").contains {
            self.path($0, "cluster-signing-cert-file") == path && self.path($0, "cluster-signing-key-file") != nil
        }
    }

    /// A CA key without its certificate.
    private mutating func checkCertificate(of key: InspectedFile) {
        guard key.path.hasSuffix(".key"), key.isSound, let digest = key.pem?.privateKeys.first?.digest else { return }
        let path = key.path.dropLast(4) + ".crt"
        let isThere = files.values.contains { file in
            file.path == path || file.pem?.certificates.contains { $0.record.publicKey.digest == digest } ?? false
        }
        guard !isThere else { return }
        find(
            .error, "ca-missing", String(path), "the CA key \(quoted(key.path)) is there and its certificate is not",
            "copy the certificate from another control-plane node")
    }
}

/// Chains of certificates.
enum Chain {
    /// As many signatures are checked for one certificate; a real chain needs three.
    private static let checkCountLimit = 64

    /// Whether the first certificate leads to one of the anchors, with the others as intermediates.
    ///
    /// Names and signatures count, dates do not: they are findings of their own. Where a signature's algorithm is not one
    /// that is checked, the names decide, and the algorithm is a finding.
    static func leads(_ certificates: [ParsedCertificate], to anchors: [ParsedCertificate]) -> Bool {
        guard let leaf = certificates.first else { return false }
        var visited: Set<String> = []
        var remaining = checkCountLimit
        var pending = [leaf]
        while let certificate = pending.popLast() {
            guard visited.insert(certificate.record.fingerprint).inserted else { continue }
            for anchor in anchors {
                if anchor.record.fingerprint == certificate.record.fingerprint { return true }
                if signs(anchor, certificate, &remaining) { return true }
            }
            pending += certificates.dropFirst().filter { $0.record.isCA && signs($0, certificate, &remaining) }
        }
        return false
    }

    private static func signs(
        _ authority: ParsedCertificate, _ certificate: ParsedCertificate, _ remaining: inout Int
    ) -> Bool {
        guard authority.subject == certificate.issuer, remaining > 0 else { return false }
        remaining -= 1
        return certificate.isSigned(by: authority) ?? true
    }
}
