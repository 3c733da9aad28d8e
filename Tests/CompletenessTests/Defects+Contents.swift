import Foundation
import TestSupport

extension Defect {
    static let contents: [Defect] = [
        Defect("certificate of 0 bytes", ["error file-empty \(pki)/apiserver.crt"]) {
            try $0.write("\(pki)/apiserver.crt", "")
        },
        Defect("CA of 0 bytes", ["error file-empty \(pki)/etcd/ca.crt"]) { try $0.write("\(pki)/etcd/ca.crt", "") },
        Defect("key of 0 bytes", ["error file-empty \(pki)/ca.key"]) { try $0.write("\(pki)/ca.key", "") },
        Defect("certificate cut", ["error pem-damaged \(pki)/apiserver.crt"]) {
            try $0.write("\(pki)/apiserver.crt", String($0.read("\(pki)/apiserver.crt").prefix(500)))
        },
        Defect("base64 broken", ["error pem-damaged \(pki)/etcd/ca.crt"]) {
            try $0.replace("\(pki)/etcd/ca.crt", "MII", "M!I")
        },
        Defect("END line of another block", ["error pem-damaged \(pki)/sa.pub"]) {
            try $0.replace("\(pki)/sa.pub", "END PUBLIC KEY", "END CERTIFICATE")
        },
        Defect("second block cut", ["error pem-damaged \(pki)/front-proxy-ca.crt"]) {
            let text = try $0.read("\(pki)/front-proxy-ca.crt")
            try $0.write("\(pki)/front-proxy-ca.crt", text + String(text.prefix(300)))
        },
        Defect("certificate that is none", ["error certificate-unreadable \(pki)/apiserver.crt"]) {
            try damageDER("\(pki)/apiserver.crt", $0) { $0.removeFirst(10) }
        },
        Defect("certificate in DER", ["error der-instead-of-pem \(pki)/apiserver.crt"]) {
            try run(
                "openssl",
                ["x509", "-in", $0.location("\(pki)/apiserver.crt"), "-outform", "DER"]
                    + ["-out", $0.location("\(pki)/apiserver.der")])
            try $0.remove("\(pki)/apiserver.crt")
            try FileManager.default.moveItem(
                atPath: $0.location("\(pki)/apiserver.der"), toPath: $0.location("\(pki)/apiserver.crt"))
        },
        Defect("key in DER", ["error der-instead-of-pem \(pki)/apiserver.key"]) {
            let key = try run(
                "openssl", ["pkey", "-in", $0.location("\(pki)/apiserver.key"), "-outform", "DER"]
            ).output
            try $0.write("\(pki)/apiserver.key", key)
        },
        Defect("text in place of a key", ["error pem-missing \(pki)/sa.pub"]) {
            try $0.write("\(pki)/sa.pub", "to do\n")
        },
        Defect("key in place of a certificate", ["error pem-missing \(pki)/front-proxy-client.crt"]) {
            try $0.write("\(pki)/front-proxy-client.crt", $0.read("\(pki)/front-proxy-client.key"))
        },
        Defect("flag to a missing file", ["error reference-missing \(pki)/audit.yaml"]) {
            try $0.replace(
                serverManifest, "- --allow-privileged=true",
                "- --allow-privileged=true\n    - --audit-policy-file=\(pki)/audit.yaml")
        },
        Defect("named pipe in place of a key", ["error reference-unreadable \(pki)/sa.pub"]) {
            try $0.remove("\(pki)/sa.pub")
            try run("mkfifo", [$0.location("\(pki)/sa.pub")])
        },
        Defect("circle of links", ["error reference-unreadable \(pki)/apiserver.crt"]) {
            try $0.remove("\(pki)/apiserver.crt")
            try run("ln", ["-s", "apiserver.crt", $0.location("\(pki)/apiserver.crt")])
        },
        Defect("link to nothing", ["error reference-missing \(pki)/apiserver.crt"]) {
            try $0.remove("\(pki)/apiserver.crt")
            try run("ln", ["-s", "/nowhere", $0.location("\(pki)/apiserver.crt")])
        },
        Defect("file of 5 MiB", ["error reference-unreadable \(pki)/sa.pub"]) {
            try $0.write("\(pki)/sa.pub", Data(count: 5 << 20))
        },
    ]

    static let kubeconfigs: [Defect] = {
        let scheduler = "/etc/kubernetes/scheduler.conf"
        let admin = "/etc/kubernetes/admin.conf"
        return [
            Defect("kubeconfig's key swapped", ["error kubeconfig-key-mismatch \(scheduler)"]) {
                let key = try $0.openssl.key()
                try setField("client-key-data", key, $0, scheduler)
            },
            Defect("kubeconfig's CA differs", ["error kubeconfig-ca-mismatch \(scheduler)"]) {
                try setField(
                    "certificate-authority-data", $0.openssl.authority("/CN=kubernetes").certificate, $0, scheduler)
            },
            Defect("kubeconfig of a foreign CA", ["error kubeconfig-chain-broken \(scheduler)"]) {
                let signer = try $0.openssl.authority("/CN=kubernetes")
                let pair = try $0.openssl.issue("/CN=system:kube-scheduler", by: signer)
                try setField("client-certificate-data", pair.certificate, $0, scheduler)
                try setField("client-key-data", pair.key, $0, scheduler)
            },
            Defect("kubeconfig's certificate expired", ["error certificate-expired \(scheduler)"]) {
                let pair = try $0.openssl.issue(
                    "/CN=system:kube-scheduler", by: $0.pair("\(pki)/ca"), to: "20270110000000Z")
                try setField("client-certificate-data", pair.certificate, $0, scheduler)
                try setField("client-key-data", pair.key, $0, scheduler)
            },
            Defect("kubeconfig malformed", ["error kubeconfig-unreadable \(scheduler)"]) {
                try $0.write(scheduler, "apiVersion: v1\nclusters:\n- cluster: {\n")
            },
            Defect("kubeconfig of another kind", ["error kubeconfig-unreadable \(scheduler)"]) {
                try $0.replace(scheduler, "kind: Config", "kind: Pod")
            },
            Defect("kubeconfig of 0 bytes", ["error file-empty \(scheduler)"]) { try $0.write(scheduler, "") },
            Defect("kubeconfig with broken base64", ["error kubeconfig-unreadable \(scheduler)"]) {
                try $0.replace(scheduler, "client-key-data: LS0t", "client-key-data: L!0t")
            },
            Defect("kubeconfig with a broken certificate", ["error pem-damaged \(scheduler)"]) {
                let text = try $0.read("\(pki)/ca.crt")
                try setField("client-certificate-data", String(text.prefix(400)), $0, scheduler)
            },
            Defect("kubeconfig naming a missing file", ["error reference-missing \(pki)/gone.crt"]) {
                try $0.replace(scheduler, "client-certificate-data: ", "client-certificate: \(pki)/gone.crt #")
            },
            Defect("kubeconfig without a key", ["warning kubeconfig-credentials-missing \(scheduler)"]) {
                try $0.replace(scheduler, "client-key-data: ", "#client-key-data: ")
            },
            Defect("kubeconfig with a program", ["note kubeconfig-exec-credential \(admin)"]) {
                try $0.replace(admin, "client-key-data: ", "#")
                try $0.replace(
                    admin, "client-certificate-data: ",
                    "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks]} #")
            },
            Defect("kubeconfig with a missing program", ["error reference-missing /opt/get-token"]) {
                try $0.replace(admin, "client-key-data: ", "#")
                try $0.replace(admin, "client-certificate-data: ", "exec: {command: /opt/get-token} #")
            },
            Defect("kubeconfig with a token only", []) {
                try $0.replace(admin, "client-key-data: ", "#")
                try $0.replace(admin, "client-certificate-data: ", "token: abc #")
            },
            Defect("kubeconfig with another server", ["warning kubeconfig-server-name \(scheduler)"]) {
                try $0.replace(scheduler, "https://192.0.2.10:6443", "https://api.example.com:6443")
            },
            Defect("kubeconfig of a person, without a context", []) {
                try $0.write(
                    "/etc/kubernetes/user.conf",
                    "apiVersion: v1\nkind: Config\ncurrent-context: \"\"\nclusters: []\ncontexts: []\nusers: []\n")
            },
            Defect("kubeconfig of a pod", []) {
                let directory = "/var/run/secrets/kubernetes.io/serviceaccount"
                try $0.write(
                    "/etc/kubernetes/pod.conf",
                    """
                    apiVersion: v1
                    kind: Config
                    current-context: a
                    contexts: [{name: a, context: {cluster: a, user: a}}]
                    clusters: [{name: a, cluster: {server: 'https://10.96.0.1', certificate-authority: \(directory)/ca.crt}}]
                    users: [{name: a, user: {tokenFile: \(directory)/token}}]

                    """)
            },
            Defect("kubeconfig with a broken context", ["warning kubeconfig-context-broken \(scheduler)"]) {
                try $0.replace(scheduler, "current-context: ", "current-context: x")
            },
        ]
    }()

    static func setField(_ field: String, _ pem: String, _ tree: ControlPlaneTree, _ path: String) throws {
        let lines = try tree.read(path).split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard let range = line.range(of: "\(field): ") else { return String(line) }
            return line[..<range.upperBound] + Data(pem.utf8).base64EncodedString()
        }
        try tree.write(path, lines.joined(separator: "\n"))
    }
}
