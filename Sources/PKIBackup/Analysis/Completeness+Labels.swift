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
            for contents in file.kubeconfig?.contents ?? [] {
                guard let label = Self.mislabel(in: contents) else { continue }
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) embeds a certificate labelled \(quoted(label)), which clients pass over",
                    "write it again with the label CERTIFICATE")
            }
            guard let contents = file.pem, !contents.certificates.isEmpty else { continue }
            if etcds.contains(file.path), let label = Self.label(refusedIn: contents) {
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) has a block \(quoted(label)) among its certificates, and etcd refuses such a file",
                    "leave only certificates in it: etcd does not start again with it")
            } else if let label = Self.mislabel(in: contents), !etcds.contains(file.path) {
                find(
                    .error, "pem-label", file.path,
                    "\(quoted(file.path)) has a certificate labelled \(quoted(label)), which components pass over",
                    "write it again with the label CERTIFICATE: openssl x509 -in FILE")
            }
        }
    }

    /// The label of a certificate that most programs don't take for one.
    private static func mislabel(in contents: PEMContents) -> String? {
        contents.otherLabels.first { PEMFile.Block.otherCertificateLabels.contains($0) }
    }

    /// The label of what is no certificate.
    private static func label(refusedIn contents: PEMContents) -> String? {
        contents.otherLabels.first { !PEMFile.Block.otherCertificateLabels.contains($0) }
    }
}
