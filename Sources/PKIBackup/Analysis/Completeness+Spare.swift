import Certificates
import FoundationEssentials
import HostIO
import NodeFiles
import SealedArchive

/// What lies beside the files in use and is needed by nobody: it is captured, and says nothing of a rebuild.
extension Examination {
    /// Whether no component, kubeconfig or layout is known to use a file.
    ///
    /// kubeadm's directories hold what people put there; those that a distribution fills by itself hold what it uses.
    func isSpare(_ file: InspectedFile) -> Bool {
        guard file.isFoundByWalk, file.captureClass != .kubeletPKI else { return false }
        let isOfItsLayout = file.referrers.contains { $0.hasSuffix(" layout") && $0 != "kubeadm layout" }
        return !isOfItsLayout && !isBesideOneInUse(file.path)
            && !healthcheckClients.contains { $0.base == stem(file.path) }
    }

    /// Whether no component uses a file: a spare one, or of the pair by which people check the health of etcd.
    func isUnused(_ file: InspectedFile) -> Bool {
        isSpare(file) || file.isFoundByWalk && healthcheckClients.contains { $0.base == stem(file.path) }
    }

    /// Whether a file that something names differs only in its ending: the key of a certificate in use is in use.
    private func isBesideOneInUse(_ path: String) -> Bool {
        ["crt", "cert", "cer", "pem", "key", "pub"].contains { files["\(stem(path)).\($0)"]?.isFoundByWalk == false }
    }

    private func stem(_ path: String) -> String {
        let name = lastName(path)
        guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return path }
        return String(path.dropLast(name.distance(from: dot, to: name.endIndex)))
    }

    /// Whether a CA stands beside one that is valid for longer, and all that the cluster uses leads to that.
    func isReplaced(_ record: CertificateRecord) -> Bool {
        guard record.isCA, let file = files[record.path] else { return false }
        let bundles = [file.pem].compactMap(\.self) + (file.kubeconfig.map { Array($0.authorities.values) } ?? [])
        return bundles.filter { $0.certificates.contains { $0.record.fingerprint == record.fingerprint } }.allSatisfy {
            isReplaced(record, in: $0)
        }
    }

    private func isReplaced(_ record: CertificateRecord, in bundle: PEMContents) -> Bool {
        let others = bundle.certificates.filter {
            $0.record.fingerprint != record.fingerprint && $0.record.isCA
                && $0.record.daysLeft(at: options.now) >= options.expiryWarningDays
        }
        guard !others.isEmpty,
            let expired = bundle.certificates.first(where: { $0.record.fingerprint == record.fingerprint })
        else {
            return false
        }
        return !files.values.contains { file in
            guard let chain = file.pem?.certificates, let leaf = chain.first, !leaf.record.isCA, !isSpare(file) else {
                return false
            }
            return Chain.leads(chain, to: [expired]) && !Chain.leads(chain, to: others)
        }
    }

    // MARK: The client of health checks

    /// The pairs of kubeadm that check the health of its etcds, each with the file of the CA that has to have signed it.
    ///
    /// Source: kubeadm 1.36 `app/constants/constants.go`, `EtcdHealthcheckClientCertAndKeyBaseName`.
    private var healthcheckClients: [(base: String, authority: String)] {
        components("etcd").compactMap { etcd in
            path(etcd, "trusted-ca-file").map { (joinPath(parentPath($0), "healthcheck-client"), $0) }
        }
    }

    /// Says where a pair for health checks was left over: nothing of the cluster uses it, and people do.
    ///
    /// - Returns: the certificates that are judged now.
    mutating func checkHealthcheckClients() -> Set<String> {
        var judged: Set<String> = []
        for (base, authority) in healthcheckClients {
            let path = "\(base).crt"
            guard let file = files[path], file.isSound, let chain = file.pem?.certificates, let leaf = chain.first
            else {
                continue
            }
            judged.insert(path)
            if files["\(base).key"]?.state ?? .missing == .missing {
                find(
                    .warning, "key-missing", path, "the certificate \(quoted(path)) is there and its key is not",
                    "remove it, or have kubeadm issue the pair again")
            }
            guard let anchors = authorities([authority]), !Chain.leads(chain, to: anchors) else { continue }
            find(
                .warning, "chain-broken", path,
                "the certificate \(quoted(path)) (\(leaf.record.subject)), issued by \(leaf.record.issuer), is not signed by "
                    + "the CA in \(quoted(authority)): it is left over",
                "have kubeadm issue it again: etcd refuses it")
        }
        return judged
    }

    // MARK: CA files of etcd

    /// Blocks by other labels than `CERTIFICATE`: etcd reads each as a certificate, all others read none of them.
    ///
    /// Source: etcd 3.6 `client/pkg/tlsutil/tlsutil.go`, `NewCertPool`; Go 1.25 `crypto/tls`, `X509KeyPair`, and
    /// `crypto/x509`, `AppendCertsFromPEM`.
    mutating func checkLabels() {
        let authorities = authorityPaths
        let etcds = Set(authorities.etcdServing + authorities.etcdOwn)
        for file in sortedFiles where !isSpare(file) {
            for contents in file.kubeconfig?.contents ?? [] where contents.hasMislabelledCertificate {
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) embeds a certificate labelled \"X509 CERTIFICATE\", which clients pass over",
                    "write it again with the label CERTIFICATE")
            }
            guard let contents = file.pem, !contents.certificates.isEmpty else { continue }
            if etcds.contains(file.path), let label = contents.otherLabels.first(where: { $0 != "X509 CERTIFICATE" }) {
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) has a block \(quoted(label)) among its certificates, and etcd refuses such a file",
                    "leave only certificates in it: etcd does not start again with it")
            } else if contents.hasMislabelledCertificate, !etcds.contains(file.path) {
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) has a certificate labelled \"X509 CERTIFICATE\", which components pass over",
                    "write it again with the label CERTIFICATE: openssl x509 -in FILE")
            }
        }
    }
}
