import Certificates
import HostIO
import SealedArchive

/// Labels of PEM blocks by which programs take them for certificates.
extension Examination {
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
