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

    /// Whether a file belongs to one that something names, by its name: the key of a certificate in use is in use, and another
    /// certificate of that name is not.
    private func isBesideOneInUse(_ path: String) -> Bool {
        let kinds: [[String]] = [["crt", "cert", "cer", "pem"], ["key"], ["pub"]]
        let stem = stem(path)
        let named = kinds.filter { $0.contains { files["\(stem).\($0)"]?.isFoundByWalk == false } }
        return !named.isEmpty && !named.contains { $0.contains { path.hasSuffix(".\($0)") } }
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
}
