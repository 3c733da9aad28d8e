import Certificates
import HostIO
import NodeFiles
import SealedArchive

/// Flags of a component that name a certificate and its private key.
private struct PairFlags {
    let component: String
    let certificate: String
    let key: String

    /// Source: Kubernetes 1.36 (`apiserver/pkg/server/options`, `kube-controller-manager/app/options/csrsigningcontroller.go`,
    /// `kubelet/app/options`) and etcd 3.6 (`server/etcdmain/help.go`).
    static let all: [Self] =
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"].map {
            Self(component: $0, certificate: "tls-cert-file", key: "tls-private-key-file")
        }
        + ["", "kubelet-client-", "kubelet-serving-", "kube-apiserver-client-", "legacy-unknown-"].map {
            Self(
                component: "kube-controller-manager", certificate: "cluster-signing-\($0)cert-file",
                key: "cluster-signing-\($0)key-file")
        }
        + ["", "peer-", "client-", "peer-client-"].map {
            Self(component: "etcd", certificate: "\($0)cert-file", key: "\($0)key-file")
        } + [
            Self(component: "kube-apiserver", certificate: "etcd-certfile", key: "etcd-keyfile"),
            Self(component: "kube-apiserver", certificate: "kubelet-client-certificate", key: "kubelet-client-key"),
            Self(component: "kube-apiserver", certificate: "proxy-client-cert-file", key: "proxy-client-key-file"),
        ]
}

extension Examination {
    /// Every private key belongs to its certificate.
    mutating func checkKeyPairs() {
        for pair in flaggedPairs() + siblingPairs() { checkPair(pair.certificate, pair.key) }
    }

    /// The path of the key that belongs to a certificate by name: `x.key` to `x.crt`, `x-key.pem` to `x.pem`.
    static func keySiblings(of path: String) -> [String] {
        for suffix in [".crt", ".cert", ".cer", ".pem"] where path.hasSuffix(suffix) {
            let stem = path.dropLast(suffix.count)
            return ["\(stem).key", "\(stem)-key.pem"]
        }
        return []
    }

    private func flaggedPairs() -> [(certificate: String, key: String)] {
        var pairs: [(String, String)] = []
        for flags in PairFlags.all {
            for component in components(flags.component) {
                guard let certificate = path(component, flags.certificate), let key = path(component, flags.key) else {
                    continue
                }
                pairs.append((certificate, key))
            }
        }
        return pairs + components("kube-apiserver").flatMap(namedPairs)
    }

    /// The values of `--tls-sni-cert-key`: `certificate,key:domain,...`.
    private func namedPairs(_ component: Component) -> [(certificate: String, key: String)] {
        (component.flags["tls-sni-cert-key"] ?? []).compactMap { value in
            let files = value.split(separator: ":", maxSplits: 1).first?.split(separator: ",") ?? []
            guard files.count == 2, let certificate = component.nodePath(of: String(files[0])),
                let key = component.nodePath(of: String(files[1]))
            else { return nil }
            return (joinPath("/", certificate), joinPath("/", key))
        }
    }

    private func siblingPairs() -> [(certificate: String, key: String)] {
        sortedFiles.flatMap { file -> [(String, String)] in
            guard let contents = file.pem, !contents.certificates.isEmpty else { return [] }
            let own = contents.privateKeys.isEmpty ? [] : [(file.path, file.path)]
            // The key in use may have got another certificate since.
            let keys = Self.keySiblings(of: file.path).compactMap { files[$0] }.filter { isSpare($0) || !isSpare(file) }
            return own + keys.map { (file.path, $0.path) }
        }
    }

    private mutating func checkPair(_ certificatePath: String, _ keyPath: String) {
        guard let certificates = files[certificatePath]?.pem?.certificates, let leaf = certificates.first,
            let key = files[keyPath]?.pem?.privateKeys.first
        else { return }
        // While a CA is rotated its file holds the old certificate beside the new; of others the first is used.
        let isAuthority = files[certificatePath]?.captureClass == .caCertificate
        let candidates = isAuthority ? certificates : [leaf]
        guard !candidates.contains(where: { $0.record.publicKey.digest == key.digest }) else { return }
        let pair = [certificatePath, keyPath].compactMap { files[$0] }
        let severity: Finding.Severity =
            pair.contains { !isUnused($0) } ? .error : pair.allSatisfy(isSpare) ? .note : .warning
        find(
            severity, "key-mismatch", keyPath,
            "the private key \(quoted(keyPath)) does not belong to the certificate \(quoted(certificatePath)) "
                + "(\(leaf.record.subject))",
            "restore the pair from another control-plane node or a backup, or issue the certificate again")
    }
}
