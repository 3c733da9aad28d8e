import Foundation
import TestSupport

/// Who kubeconfigs say that they are, keys for tokens of service accounts, and copies that nothing names.
extension Defect {
    private static let directory = "/etc/kubernetes"
    private static let refused = "error service-account-key-refused \(pki)"

    static let identities: [Defect] = {
        let warning = "warning kubeconfig-identity \(directory)"
        return [
            identity("kubelet of another node", "kubelet", "/CN=system:node:other/O=system:nodes", [warning]),
            identity("kubelet without its group", "kubelet", "/CN=system:node:cp0", [warning]),
            identity("kubelet that is no node", "kubelet", "/CN=cp0/O=system:nodes", [warning]),
            identity("kubelet in capitals", "kubelet", "/CN=system:node:CP0/O=system:nodes", []),
            identity("scheduler as the manager", "scheduler", "/CN=system:kube-controller-manager", [warning]),
            identity("manager as the scheduler", "controller-manager", "/CN=system:kube-scheduler", [warning]),
            identity("administrator without a group", "admin", "/CN=kubernetes-admin", [warning]),
            identity("administrator of old", "admin", "/CN=kubernetes-admin/O=system:masters", []),
            identity("administrator of another name", "admin", "/CN=alice/O=staff/O=kubeadm:cluster-admins", []),
            identity(
                "super administrator without the group", "super-admin",
                "/CN=kubernetes-super-admin/O=kubeadm:cluster-admins", [warning]),
            // Who may do what is not told by names then.
            identity("scheduler under another authorizer", "scheduler", "/CN=other", []) {
                try $0.replace(serverManifest, "authorization-mode=Node,RBAC", "authorization-mode=Webhook")
            },
            identity(
                "kubelet of a node whose name is only the kubelet's", "kubelet",
                "/CN=system:node:other/O=system:nodes", []
            ) {
                let flags = "KUBELET_KUBEADM_ARGS=\"--hostname-override=other\"\n"
                try $0.write("/var/lib/kubelet/kubeadm-flags.env", flags)
            },
        ]
    }()

    private static func identity(
        _ name: String, _ file: String, _ subject: String, _ expected: [String],
        _ more: @escaping @Sendable (ControlPlaneTree) throws -> Void = { _ in }
    ) -> Defect {
        let path = "\(directory)/\(file).conf"
        return Defect(name, expected.map { "\($0)/\(file).conf" }) { tree in
            let pair = try tree.openssl.issue(subject, by: tree.pair("\(pki)/ca"))
            try setField("client-certificate-data", pair.certificate, tree, path)
            try setField("client-key-data", pair.key, tree, path)
            try more(tree)
        }
    }

    // MARK: Keys for tokens

    static let tokenKeys: [Defect] = [
        Defect("RSA public key in PKCS#1", ["\(refused)/sa.pub"]) {
            try $0.write("\(pki)/sa.pub", rsaPublicKey($0))
        },
        Defect("RSA public key under the label of PKCS#1", []) {
            try $0.replace("\(pki)/sa.pub", "BEGIN PUBLIC", "BEGIN RSA PUBLIC")
            try $0.replace("\(pki)/sa.pub", "END PUBLIC", "END RSA PUBLIC")
        },
        Defect(
            "RSA public key in PKCS#1 before one that is read", ["error service-account-key-mismatch \(pki)/sa.key"]
        ) {
            let other = try $0.openssl.output(["pkey", "-pubout"], input: $0.openssl.key())
            try $0.write("\(pki)/sa.pub", rsaPublicKey($0) + other)
        },
        Defect("Ed25519", ["\(refused)/sa.key", "\(refused)/sa.pub"]) { try writeKeys($0.openssl.key(.ed25519), $0) },
        Defect("ECDSA on a curve that Go lacks", ["\(refused)/sa.key", "\(refused)/sa.pub"]) {
            try writeKeys($0.openssl.key(.curve("secp256k1")), $0)
        },
        Defect("ECDSA in PKCS#8", []) { try writeKeys($0.openssl.key(.curve("secp521r1")), $0) },
        Defect("ECDSA private key in PKCS#8 to verify with", ["\(refused)/sa.key"]) {
            try writeKeys($0.openssl.key(.curve("prime256v1")), $0)
            try $0.replace(serverManifest, "account-key-file=\(pki)/sa.pub", "account-key-file=\(pki)/sa.key")
        },
        Defect("RSA private key in PKCS#8 to verify with", []) {
            let key = try $0.read("\(pki)/sa.key")
            try $0.write("\(pki)/sa.key", $0.openssl.output(["pkcs8", "-topk8", "-nocrypt"], input: key))
            try $0.replace(serverManifest, "account-key-file=\(pki)/sa.pub", "account-key-file=\(pki)/sa.key")
        },
        Defect("a certificate to verify with", []) {
            let key = OpenSSL.Key.existing(try $0.read("\(pki)/sa.key"))
            try $0.write("\(pki)/sa.pub", $0.openssl.issue("/CN=tokens", key: key).certificate)
        },
        Defect("RSA key under the label of PKCS#8", ["\(refused)/sa.key"]) {
            try $0.replace("\(pki)/sa.key", "BEGIN RSA ", "BEGIN ")
            try $0.replace("\(pki)/sa.key", "END RSA ", "END ")
        },
    ]

    private static func rsaPublicKey(_ tree: ControlPlaneTree) throws -> String {
        try tree.openssl.output(["rsa", "-RSAPublicKey_out"], input: tree.read("\(pki)/sa.key"))
    }

    private static func writeKeys(_ key: String, _ tree: ControlPlaneTree) throws {
        try tree.write("\(pki)/sa.key", key)
        try tree.write("\(pki)/sa.pub", tree.openssl.output(["pkey", "-pubout"], input: key))
    }

    // MARK: Copies

    static let spares: [Defect] = [
        Defect("DER copy of a CA", ["note der-instead-of-pem \(pki)/ca.cer"]) { try convert("ca", "ca", $0) },
        Defect(
            "DER copies, and what they don't hide",
            ["note der-instead-of-pem \(pki)/etcd/ca.cer", "error chain-broken \(pki)/etcd/extra.crt"]
        ) {
            try convert("etcd/ca", "etcd/ca", $0)
            try $0.write("\(pki)/etcd/extra", $0.openssl.issue("/CN=extra", by: $0.openssl.authority("/CN=etcd-ca")))
            try $0.replace(
                etcdManifest, "- --data-dir", "- --client-cert-file=\(pki)/etcd/extra.crt\n    - --data-dir")
        },
        Defect("pair of a user that does not belong together", ["note key-mismatch \(pki)/users/bob.key"]) {
            try $0.write("\(pki)/users/bob", $0.openssl.issue("/CN=bob", by: $0.pair("\(pki)/ca")))
            try $0.write("\(pki)/users/bob.key", $0.openssl.key())
        },
        Defect("spare key encrypted", ["note key-encrypted \(pki)/offline.key"]) {
            try $0.write(
                "\(pki)/offline.key",
                $0.openssl.output(
                    ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"], input: $0.openssl.key()))
        },
        Defect("control plane that nothing starts", ["note component-paths-unknown \(pki)/sa.key"]) {
            try $0.remove("/etc/kubernetes/manifests")
        },
        Defect("flag that is given twice, the first time for nothing", []) {
            try $0.replace(
                "\(directory)/manifests/kube-apiserver.yaml", "- --tls-cert-file",
                "- --tls-cert-file=\(pki)/gone.crt\n    - --tls-cert-file")
        },
        Defect("etcd that trusts another CA", ["error chain-broken \(pki)/apiserver-etcd-client.crt"]) {
            try $0.replace(
                etcdManifest, "- --trusted-ca-file=\(pki)/etcd/ca.crt", "- --trusted-ca-file=\(pki)/front-proxy-ca.crt")
        },
        Defect("controller manager that signs by another CA", ["error chain-broken \(pki)/etcd/ca.crt"]) {
            let path = "\(directory)/manifests/kube-controller-manager.yaml"
            for (flag, ending) in [("cert", "crt"), ("key", "key")] {
                let argument = "--cluster-signing-\(flag)-file="
                try $0.replace(path, "\(argument)\(pki)/ca.\(ending)", "\(argument)\(pki)/etcd/ca.\(ending)")
            }
        },
        Defect("etcd that also serves version 2", ["note etcd-v2-enabled \(etcdManifest)"]) {
            try $0.replace(etcdManifest, "- --data-dir", "- --enable-v2=true\n    - --data-dir")
        },
        Defect("copy of the certificate before", []) {
            try $0.write("\(pki)/apiserver.pem", $0.openssl.issue("/CN=old", by: $0.pair("\(pki)/ca")).certificate)
        },
        Defect("kubeconfig with the old label", ["error pem-label \(directory)/controller-manager.conf"]) {
            let pair = try $0.openssl.issue("/CN=system:kube-controller-manager", by: $0.pair("\(pki)/ca"))
            let path = "\(directory)/controller-manager.conf"
            let old = pair.certificate.replacingOccurrences(of: " CERTIFICATE", with: " X509 CERTIFICATE")
            try setField("client-certificate-data", old, $0, path)
            try setField("client-key-data", pair.key, $0, path)
        },
    ]

    private static func convert(_ name: String, _ copy: String, _ tree: ControlPlaneTree) throws {
        try run(
            "openssl",
            ["x509", "-in", tree.location("\(pki)/\(name).crt"), "-outform", "DER"]
                + ["-out", tree.location("\(pki)/\(copy).cer")])
    }
}
