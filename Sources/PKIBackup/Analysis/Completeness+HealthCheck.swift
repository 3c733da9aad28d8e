import Certificates
import HostIO
import NodeFiles
import SealedArchive

/// The client of etcd's health checks, which only people use.
extension Examination {
    /// The pairs of kubeadm that check the health of its etcds, each with the file of the CA that has to have signed it.
    ///
    /// Source: kubeadm 1.36 `app/constants/constants.go`, `EtcdHealthcheckClientCertAndKeyBaseName`.
    var healthcheckClients: [(base: String, authority: String)] {
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
}
