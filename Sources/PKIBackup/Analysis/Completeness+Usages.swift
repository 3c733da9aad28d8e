import Certificates
import HostIO
import SealedArchive

/// What certificates may be used for: Go refuses a server's or a client's certificate whose extended key usages leave that
/// out, and a CA that is none by its constraints.
///
/// Source: Go 1.25 `crypto/x509/verify.go`, `Verify` (`KeyUsages`), and `x509.go`, `CheckSignatureFrom`.
extension Examination {
    private enum Purpose: String {
        case server = "serverAuth"
        case client = "clientAuth"

        var words: String { self == .server ? "a server" : "a client" }
    }

    /// Every certificate may be used for what a flag or a kubeconfig uses it for.
    mutating func checkUsages() {
        let table: [(component: String, flag: String, purposes: [Purpose])] = [
            ("kube-apiserver", "tls-cert-file", [.server]), ("kube-apiserver", "etcd-certfile", [.client]),
            ("kube-apiserver", "kubelet-client-certificate", [.client]),
            ("kube-apiserver", "proxy-client-cert-file", [.client]),
            ("kube-controller-manager", "tls-cert-file", [.server]), ("kube-scheduler", "tls-cert-file", [.server]),
            ("kubelet", "tls-cert-file", [.server]), ("etcd", "cert-file", [.server]),
            ("etcd", "peer-cert-file", [.server, .client]),
        ]
        for entry in table {
            for path in paths(entry.component, entry.flag) {
                guard let record = files[path]?.pem?.certificates.first?.record else { continue }
                for purpose in entry.purposes { check(record, for: purpose, "--\(entry.flag) of \(entry.component)") }
            }
        }
        for file in sortedFiles where file.captureClass == .kubeconfig && !isSpare(file) {
            for contents in file.kubeconfig?.certificates.sorted(by: { $0.key < $1.key }).map(\.value) ?? [] {
                guard let record = contents.certificates.first?.record else { continue }
                check(record, for: .client, quoted(file.path))
            }
        }
        checkIssuers()
        checkFrontProxy()
    }

    private mutating func check(_ record: CertificateRecord, for purpose: Purpose, _ user: String) {
        guard !record.isFor(purpose.rawValue) else { return }
        find(
            .error, "certificate-usage", record.path,
            "the certificate \(record.subject) in \(quoted(record.path)) may not be used by \(purpose.words), as \(user) does: "
                + "its extended key usages are \(record.extendedUses.joined(separator: ", "))",
            "issue it again with \(purpose.rawValue)")
    }

    /// The CAs that have signed what is in use are CAs by their constraints.
    private mutating func checkIssuers() {
        let paths = authorityPaths
        let named = Set(paths.clients + paths.serving + paths.frontProxy + paths.etcdServing + paths.etcdOwn)
        let leaves = sortedFiles.filter { !isSpare($0) }.compactMap { $0.pem?.certificates.first }
        for path in named.sorted() {
            for authority in files[path]?.pem?.certificates ?? [] {
                guard let problem = authority.record.reasonNotToSign,
                    leaves.contains(where: { leaf in
                        leaf.issuer == authority.subject && leaf.record.fingerprint != authority.record.fingerprint
                            && leaf.isSigned(by: authority) == true
                    })
                else { continue }
                find(
                    .error, "certificate-usage", path,
                    "the CA certificate \(authority.record.subject) in \(quoted(path)) \(problem), so nothing that it has "
                        + "signed is accepted", "make the certificate again, with the same key, as one of a CA")
            }
        }
    }

    /// The API server has a name as a proxy that aggregated servers are told to accept.
    private mutating func checkFrontProxy() {
        for server in components("kube-apiserver") {
            let allowed = (server.flags["requestheader-allowed-names"]?.last ?? "").split(separator: ",").map(
                String.init)
            guard !allowed.isEmpty, !allowed.contains(where: { $0.contains("$") }),
                let path = path(server, "proxy-client-cert-file"),
                let record = files[path]?.pem?.certificates.first?.record,
                let name = record.commonName, !allowed.contains(name)
            else { continue }
            find(
                .error, "certificate-usage", path,
                "the certificate \(record.subject) in \(quoted(path)) is none of \(allowed.map(quoted).joined(separator: ", ")), "
                    + "which --requestheader-allowed-names has", "issue it again by that name, or correct the flag")
        }
    }
}

extension CertificateRecord {
    /// Why what it has signed is refused; nil if it may sign.
    fileprivate var reasonNotToSign: String? {
        if !isCA { return "is none by its basic constraints" }
        return keyUses.isEmpty || keyUses.contains("keyCertSign") ? nil : "may not sign certificates by its key usages"
    }
}
