import Foundation
import TestSupport

let pki = "/etc/kubernetes/pki"
let serverManifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
let managerManifest = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
let etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"

/// What an API server's certificate of the fixture has.
let serverExtensions = [
    "basicConstraints = critical,CA:FALSE", "extendedKeyUsage = serverAuth",
    "subjectAltName = DNS:cp0,DNS:kubernetes.default.svc,IP:10.96.0.1,IP:192.0.2.10",
]

extension Defect {
    static let keys: [Defect] = [
        Defect("key swapped", ["error key-mismatch \(pki)/apiserver.key"]) {
            try $0.write("\(pki)/apiserver.key", $0.openssl.key())
        },
        Defect("key that no flag names swapped", ["warning key-mismatch \(pki)/etcd/healthcheck-client.key"]) {
            try $0.write("\(pki)/etcd/healthcheck-client.key", $0.openssl.key(.curve("prime256v1")))
        },
        Defect("CA key swapped", ["error key-mismatch \(pki)/ca.key"]) {
            try $0.write("\(pki)/ca.key", $0.openssl.key())
        },
        Defect("service account key swapped", ["error service-account-key-mismatch \(pki)/sa.key"]) {
            try $0.write("\(pki)/sa.key", $0.openssl.key())
        },
        Defect("service account public key missing", ["error reference-missing \(pki)/sa.pub"]) {
            try $0.remove("\(pki)/sa.pub")
        },
        Defect("service account key of another pair named", ["error service-account-key-mismatch \(pki)/new.key"]) {
            try $0.write("\(pki)/new.key", $0.openssl.key())
            try $0.replace(serverManifest, "signing-key-file=\(pki)/sa.key", "signing-key-file=\(pki)/new.key")
        },
        Defect("service account key weak", ["warning algorithm-weak \(pki)/sa.key"]) {
            let key = try $0.openssl.key(.rsa(1024))
            try $0.write("\(pki)/sa.key", key)
            try $0.write("\(pki)/sa.pub", $0.openssl.output(["pkey", "-pubout"], input: key))
        },
        Defect("key encrypted as PKCS#8", ["error key-encrypted \(pki)/apiserver.key"]) {
            let key = try $0.read("\(pki)/apiserver.key")
            try $0.write(
                "\(pki)/apiserver.key",
                $0.openssl.output(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"], input: key))
        },
        Defect("key encrypted in the old form", ["error key-encrypted \(pki)/apiserver.key"]) {
            let key = try $0.read("\(pki)/apiserver.key")
            try $0.write(
                "\(pki)/apiserver.key",
                $0.openssl.output(["rsa", "-traditional", "-aes128", "-passout", "pass:x"], input: key))
        },
        Defect("spare key encrypted", ["warning key-encrypted \(pki)/front-proxy-ca.key"]) {
            let key = try $0.read("\(pki)/front-proxy-ca.key")
            try $0.write(
                "\(pki)/front-proxy-ca.key",
                $0.openssl.output(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"], input: key))
        },
        Defect("key with parts of two keys", ["error key-damaged \(pki)/apiserver.key"]) {
            // The last bytes are the CRT coefficient; the first are the modulus that the certificate has.
            try damageDER("\(pki)/apiserver.key", $0) { $0[$0.count - 5] ^= 0xFF }
        },
        Defect("key cut", ["error key-unreadable \(pki)/apiserver.key"]) {
            try damageDER("\(pki)/apiserver.key", $0) { $0.removeLast(40) }
        },
        Defect("two keys in a file", ["warning keys-several \(pki)/apiserver.key"]) {
            try $0.write("\(pki)/apiserver.key", $0.read("\(pki)/apiserver.key") + $0.openssl.key())
        },
    ]

    static let authorities: [Defect] = [
        Defect("CA missing", ["error reference-missing \(pki)/ca.crt"]) { try $0.remove("\(pki)/ca.crt") },
        Defect("front-proxy CA missing", ["error reference-missing \(pki)/front-proxy-ca.crt"]) {
            try $0.remove("\(pki)/front-proxy-ca.crt")
        },
        Defect("CA missing that no flag names", ["error ca-missing \(pki)/other-ca.crt"]) {
            try $0.write("\(pki)/other-ca.key", $0.openssl.key())
            try $0.replace(
                managerManifest, "- --leader-elect=true",
                "- --leader-elect=true\n    - --cluster-signing-legacy-unknown-key-file=\(pki)/other-ca.key")
        },
        Defect("CA key missing that a flag names", ["error ca-key-missing \(pki)/ca.key"]) {
            try $0.remove("\(pki)/ca.key")
        },
        Defect("CA kept elsewhere", ["note external-ca \(pki)/ca.crt"]) {
            try $0.remove("\(pki)/ca.key")
            try $0.replace(managerManifest, "signing-cert-file=\(pki)/ca.crt", "signing-cert-file=")
            try $0.replace(managerManifest, "signing-key-file=\(pki)/ca.key", "signing-key-file=")
        },
        Defect("front-proxy CA kept elsewhere", ["note external-ca \(pki)/front-proxy-ca.crt"]) {
            try $0.remove("\(pki)/front-proxy-ca.key")
        },
        Defect("etcd's CA kept elsewhere", ["note external-ca \(pki)/etcd/ca.crt"]) {
            try $0.remove("\(pki)/etcd/ca.key")
        },
        Defect("front-proxy CA swapped", ["error chain-broken \(pki)/front-proxy-client.crt"]) {
            try $0.write("\(pki)/front-proxy-ca", $0.openssl.authority("/CN=front-proxy-ca"))
        },
        Defect(
            "etcd's CA swapped",
            [
                "error chain-broken \(pki)/apiserver-etcd-client.crt", "error chain-broken \(pki)/etcd/server.crt",
                "error chain-broken \(pki)/etcd/peer.crt", "warning chain-broken \(pki)/etcd/healthcheck-client.crt",
            ]
        ) { try $0.write("\(pki)/etcd/ca", $0.openssl.authority("/CN=etcd-ca", key: .curve("secp384r1"))) },
        Defect("leaf of the wrong CA", ["error chain-broken \(pki)/apiserver-kubelet-client.crt"]) {
            let signer = try $0.pair("\(pki)/front-proxy-ca")
            try $0.write("\(pki)/apiserver-kubelet-client", $0.openssl.issue("/CN=kubelet-client", by: signer))
        },
        Defect("leaf with its intermediate left out", ["error chain-broken \(pki)/apiserver.crt"]) {
            let intermediate = try $0.openssl.issue(
                "/CN=intermediate", by: $0.pair("\(pki)/ca"), extensions: OpenSSL.authorityExtensions)
            try $0.write(
                "\(pki)/apiserver",
                $0.openssl.issue("/CN=kube-apiserver", by: intermediate, extensions: serverExtensions))
        },
        Defect(
            "front-proxy CA swapped for one of a curve that is not checked",
            [
                "error chain-broken \(pki)/front-proxy-client.crt", "warning algorithm-weak \(pki)/front-proxy-ca.crt",
            ]
        ) { try $0.write("\(pki)/front-proxy-ca", $0.openssl.authority("/CN=other", key: .curve("prime192v1"))) },
        Defect("key of the intermediate in place of the leaf's", ["error key-mismatch \(pki)/apiserver.key"]) {
            let intermediate = try $0.openssl.issue(
                "/CN=intermediate", by: $0.pair("\(pki)/ca"), extensions: OpenSSL.authorityExtensions)
            let leaf = try $0.openssl.issue("/CN=kube-apiserver", by: intermediate, extensions: serverExtensions)
            try $0.write(
                "\(pki)/apiserver",
                OpenSSL.Pair(certificate: leaf.certificate + intermediate.certificate, key: intermediate.key))
        },
        Defect("CA expired", ["error certificate-expired \(pki)/front-proxy-ca.crt"]) {
            let key = OpenSSL.Key.existing(try $0.read("\(pki)/front-proxy-ca.key"))
            try $0.write(
                "\(pki)/front-proxy-ca",
                $0.openssl.authority("/CN=front-proxy-ca", key: key, to: "20270101000000Z"))
        },
    ]

    static let certificates: [Defect] = [
        Defect("leaf expired", ["error certificate-expired \(pki)/apiserver.crt"]) {
            try reissueServer($0, to: "20270110000000Z")
        },
        Defect("leaf expires soon", ["warning certificate-expires-soon \(pki)/apiserver.crt"]) {
            try reissueServer($0, to: "20270201000000Z")
        },
        Defect("leaf expires in 40 days", []) { try reissueServer($0, to: "20270224000000Z") },
        Defect("leaf not yet valid", ["warning certificate-not-yet-valid \(pki)/apiserver.crt"]) {
            try reissueServer($0, from: "20270301000000Z")
        },
        Defect("leaf with RSA-1024", ["warning algorithm-weak \(pki)/apiserver.crt"]) {
            try reissueServer($0, key: .rsa(1024))
        },
        Defect("leaf with P-192", ["warning algorithm-weak \(pki)/apiserver.crt"]) {
            try reissueServer($0, key: .curve("prime192v1"))
        },
        Defect("leaf signed with SHA-1", ["warning algorithm-weak \(pki)/apiserver.crt"]) {
            try reissueServer($0, digest: "sha1")
        },
        Defect("server without its address", ["warning certificate-name-missing \(pki)/apiserver.crt"]) {
            try $0.write(
                "\(pki)/apiserver",
                $0.openssl.issue(
                    "/CN=kube-apiserver", by: $0.pair("\(pki)/ca"),
                    extensions: ["subjectAltName = DNS:kubernetes.default.svc,IP:192.0.2.10"]))
        },
        Defect("server without the name in the kubeconfigs", ["warning certificate-name-missing \(pki)/apiserver.crt"])
        {
            try $0.write(
                "\(pki)/apiserver",
                $0.openssl.issue(
                    "/CN=kube-apiserver", by: $0.pair("\(pki)/ca"),
                    extensions: ["subjectAltName = DNS:*.default.svc,IP:10.96.0.1"]))
        },
        Defect("etcd without the loopback address", ["warning certificate-name-missing \(pki)/etcd/server.crt"]) {
            try $0.write(
                "\(pki)/etcd/server",
                $0.openssl.issue(
                    "/CN=cp0", by: $0.pair("\(pki)/etcd/ca"), extensions: ["subjectAltName = IP:192.0.2.10"]))
        },
        Defect("etcd's peer without its address", ["warning certificate-name-missing \(pki)/etcd/peer.crt"]) {
            try $0.write(
                "\(pki)/etcd/peer",
                $0.openssl.issue("/CN=cp0", by: $0.pair("\(pki)/etcd/ca"), extensions: ["subjectAltName = DNS:cp0"]))
        },
    ]

    private static func reissueServer(
        _ tree: ControlPlaneTree, key: OpenSSL.Key = .rsa(2048), from start: String = "20261201000000Z",
        to end: String = "20271101000000Z", digest: String = "sha256"
    ) throws {
        try tree.write(
            "\(pki)/apiserver",
            tree.openssl.issue(
                "/CN=kube-apiserver", by: tree.pair("\(pki)/ca"), key: key, extensions: serverExtensions, from: start,
                to: end, digest: digest))
    }

    /// Changes the content of a PEM file of one block.
    static func damageDER(_ path: String, _ tree: ControlPlaneTree, _ damage: (inout Data) -> Void) throws {
        let lines = try tree.read(path).split(separator: "\n").map(String.init)
        guard var content = Data(base64Encoded: lines.dropFirst().dropLast().joined()), let begin = lines.first,
            let end = lines.last
        else { throw TestSupportError("\(path) is no PEM file of one block") }
        damage(&content)
        let body = content.base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
        try tree.write(path, [begin, body, end, ""].joined(separator: "\n"))
    }
}
