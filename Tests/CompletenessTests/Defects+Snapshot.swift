import EncryptionAtRest
import Foundation
import PKIBackup
import SealedArchive

extension Defect {
    static let configuration = "\(pki)/encryption.yaml"

    static let encryption: [Defect] = [
        Defect(
            "encryption key removed", ["error encryption-key-missing \(configuration)"],
            snapshot: facts(.missing, "aescbc:v1:key1")
        ) { try encrypt($0, "aescbc: {keys: [{name: key2, secret: \(secret(32))}]}") },
        Defect(
            "all keys there", [], snapshot: facts(nil, "aescbc:v1:key1", "secretbox:v1:b")
        ) {
            try encrypt(
                $0, "aescbc: {keys: [{name: key1, secret: \(secret(32))}]}",
                "secretbox: {keys: [{name: b, secret: \(secret(32))}]}")
        },
        Defect(
            "provider removed", ["error encryption-key-missing \(configuration)"],
            snapshot: facts(.missing, "aesgcm:v1:key1")
        ) { try encrypt($0, "aescbc: {keys: [{name: key1, secret: \(secret(32))}]}") },
        Defect(
            "no encryption configuration", ["error encryption-configuration-missing \(serverManifest)"],
            snapshot: facts(nil, "aescbc:v1:key1")
        ) { _ in },
        Defect(
            "encryption configuration missing", ["error reference-missing \(configuration)"],
            snapshot: facts(nil, "aescbc:v1:key1")
        ) {
            try encrypt($0, "identity: {}")
            try $0.remove(configuration)
        },
        Defect(
            "encryption configuration malformed", ["error encryption-configuration-unreadable \(configuration)"],
            snapshot: facts(nil, "aescbc:v1:key1")
        ) {
            try encrypt($0, "identity: {}")
            try $0.write(configuration, "kind: EncryptionConfiguration\nresources: [")
        },
        Defect(
            "secret of another", ["error encryption-key-wrong \(configuration)"],
            snapshot: facts(.refused, "aescbc:v1:key1")
        ) { try encrypt($0, "aescbc: {keys: [{name: key1, secret: \(secret(32))}]}") },
        Defect(
            "values in clear", ["error encryption-identity-missing \(configuration)"], snapshot: facts(.unencrypted, "")
        ) { try encrypt($0, "aescbc: {keys: [{name: key1, secret: \(secret(32))}]}") },
        Defect("key of invalid base64", ["error encryption-key-invalid \(configuration)"]) {
            try encrypt($0, "aescbc: {keys: [{name: key1, secret: '*not base64*'}]}")
        },
        Defect("key of a wrong length", ["error encryption-key-invalid \(configuration)"]) {
            try encrypt($0, "secretbox: {keys: [{name: key1, secret: \(secret(16))}]}")
        },
        Defect(
            "KMS", ["note kms-external \(configuration)"],
            snapshot: facts(nil, "kms:v2:vault")
        ) { try encrypt($0, "kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock'}") },
        Defect(
            "KMS of another version",
            ["note kms-external \(configuration)", "error encryption-key-missing \(configuration)"],
            snapshot: facts(.missing, "kms:v2:vault")
        ) { try encrypt($0, "kms: {name: vault, endpoint: 'unix:///run/kms.sock'}") },
    ]

    static let members: [Defect] = [
        Defect("members agree", [], snapshot: facts([member(), member("cp1", "192.0.2.11")])) { _ in },
        Defect(
            "member of another name", ["warning member-list-mismatch \(etcdManifest)"], snapshot: facts([member("cp1")])
        ) {
            _ in
        },
        Defect(
            "member at another address", ["warning member-list-mismatch \(etcdManifest)"],
            snapshot: facts([member("cp0", "192.0.2.99")])
        ) { _ in },
        Defect("an initial cluster whose members are long gone", [], snapshot: facts([member()])) {
            try $0.replace(
                etcdManifest, "--initial-cluster=",
                "--initial-cluster=cp7=https://192.0.2.17:2380,cp0=https://192.0.2.77:2380,")
        },
    ]

    private static func member(_ name: String = "cp0", _ address: String = "192.0.2.10") -> EtcdMemberRecord {
        EtcdMemberRecord(
            id: "1", name: name, peerURLs: ["https://\(address):2380"], clientURLs: ["https://\(address):2379"],
            isLearner: false)
    }

    private static func facts(_ members: [EtcdMemberRecord]) -> SnapshotFacts {
        SnapshotFacts(members: ["etcd": members])
    }

    /// What the API server of ``encrypt(_:_:)`` makes of values with keys of those names.
    private static func facts(_ problem: EncryptionKeyInUse.Problem?, _ names: String...) -> SnapshotFacts {
        SnapshotFacts(
            encryptionKeysInUse: names.map {
                EncryptionKeyInUse(
                    name: $0, problem: problem, reader: problem == nil ? nil : configuration, resources: ["secrets"])
            })
    }

    private static func secret(_ byteCount: Int) -> String {
        Data(repeating: 7, count: byteCount).base64EncodedString()
    }

    private static func encrypt(_ tree: ControlPlaneTree, _ providers: String...) throws {
        try tree.write(
            configuration,
            """
            apiVersion: apiserver.config.k8s.io/v1
            kind: EncryptionConfiguration
            resources:
            - resources: [secrets]
              providers:
            \(providers.map { "  - \($0)" }.joined(separator: "\n"))
            """)
        try tree.replace(
            serverManifest, "- --allow-privileged=true",
            "- --allow-privileged=true\n    - --encryption-provider-config=\(configuration)")
    }

    /// What must not be taken for a defect.
    static let harmless: [Defect] = [
        Defect("leaf with its intermediate", []) {
            let intermediate = try $0.openssl.issue(
                "/CN=intermediate", by: $0.pair("\(pki)/ca"), extensions: OpenSSL.authorityExtensions)
            let leaf = try $0.openssl.issue("/CN=kube-apiserver", by: intermediate, extensions: serverExtensions)
            try $0.write(
                "\(pki)/apiserver",
                OpenSSL.Pair(certificate: leaf.certificate + intermediate.certificate, key: leaf.key))
        },
        Defect("CA under rotation", []) {
            let next = try $0.openssl.authority("/CN=kubernetes")
            try $0.write("\(pki)/ca.crt", $0.read("\(pki)/ca.crt") + next.certificate)
        },
        Defect("text and a revocation list in a bundle", []) {
            let pair = try $0.pair("\(pki)/front-proxy-ca")
            let key = try $0.openssl.file(pair.key)
            let certificate = try $0.openssl.file(pair.certificate)
            let text = try $0.openssl.output(["x509", "-in", certificate, "-text"])
            let configuration = try $0.openssl.file("[ca]\ndefault_ca=a\n[a]\ndatabase=\(try $0.openssl.file(""))\n")
            let list = try $0.openssl.output(
                ["ca", "-gencrl", "-config", configuration, "-md", "sha256", "-crldays", "9"]
                    + ["-cert", certificate, "-keyfile", key])
            try $0.write("\(pki)/front-proxy-ca.crt", "# the front proxy\n" + list + text)
        },
        Defect("elliptic curves of every kind", []) {
            let authority = try $0.openssl.authority("/CN=front-proxy-ca", key: .ed25519)
            try $0.write("\(pki)/front-proxy-ca", authority)
            try $0.write(
                "\(pki)/front-proxy-client",
                $0.openssl.issue("/CN=front-proxy-client", by: authority, key: .curve("secp384r1")))
            try $0.write(
                "\(pki)/apiserver-kubelet-client",
                $0.openssl.issue("/CN=k", by: $0.pair("\(pki)/ca"), key: .curve("secp521r1")))
            let key = try $0.openssl.key(.curve("prime256v1"))
            try $0.write("\(pki)/sa.key", $0.openssl.output(["ec"], input: key))
            try $0.write("\(pki)/sa.pub", $0.openssl.output(["pkey", "-pubout"], input: key))
        },
        Defect("another etcd of a CA of its own", []) {
            let authority = try $0.openssl.authority("/CN=calico-etcd", key: .curve("prime256v1"))
            try $0.write("\(pki)/calico/ca", authority)
            try $0.write(
                "\(pki)/calico/server",
                $0.openssl.issue(
                    "/CN=calico", by: authority, key: .curve("prime256v1"),
                    extensions: ["subjectAltName = IP:192.0.2.10"]))
            var manifest = try $0.read(etcdManifest)
            for name in ["ca.crt", "server.crt", "server.key", "peer.crt", "peer.key"] {
                let other = name.replacingOccurrences(of: "peer", with: "server")
                manifest = manifest.replacingOccurrences(of: "\(pki)/etcd/\(name)", with: "\(pki)/calico/\(other)")
            }
            manifest = manifest.replacingOccurrences(of: "path: \(pki)/etcd", with: "path: \(pki)/calico")
                .replacingOccurrences(of: "mountPath: \(pki)/etcd", with: "mountPath: \(pki)/calico")
                .replacingOccurrences(of: "https://127.0.0.1:2379,", with: "")
                .replacingOccurrences(of: "/var/lib/etcd", with: "/var/lib/calico-etcd")
                .replacingOccurrences(of: ":2379", with: ":6666").replacingOccurrences(of: ":2380", with: ":6667")
            try $0.write("/etc/kubernetes/manifests/calico-etcd.yaml", manifest)
        },
        Defect("Windows line ends", []) {
            try $0.write("\(pki)/ca.crt", $0.read("\(pki)/ca.crt").replacingOccurrences(of: "\n", with: "\r\n"))
        },
        Defect("CA renewed with its key", []) {
            let key = OpenSSL.Key.existing(try $0.read("\(pki)/ca.key"))
            try $0.write("\(pki)/ca", $0.openssl.authority("/CN=kubernetes", key: key))
        },
        Defect("service account keys under rotation", []) {
            let key = try $0.openssl.key()
            let text = try $0.openssl.output(["pkey", "-pubout"], input: key)
            try $0.write("\(pki)/sa.pub", $0.read("\(pki)/sa.pub") + text)
        },
    ]
}
