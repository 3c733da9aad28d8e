import Certificates
import EncryptionAtRest
import Foundation
import PKIBackup
import SealedArchive
import TestSupport
import Testing

/// Trees shaped like k3s, RKE2 and k0s, with real keys and certificates.
@Suite struct DistributionTests {
    @Test(arguments: ["k3s", "rke2"]) func `a sound server has no findings`(_ distribution: String) throws {
        #expect(summary(try rancher(distribution).findings()) == [])
    }

    @Test(arguments: ["k3s", "rke2"], [true, false])
    func `a missing or empty server token is found`(_ distribution: String, _ isMissing: Bool) throws {
        let tree = try rancher(distribution)
        let token = "/var/lib/rancher/\(distribution)/server/token"
        if isMissing { try tree.remove(token) } else { try tree.write(token, "") }
        #expect(summary(tree.findings()) == ["error token-missing \(token)"])
    }

    @Test(arguments: ["/etc/rancher/k3s/config.yaml", "/etc/systemd/system/k3s.service"])
    func `what is left over of k3s on a node of kubeadm asks for no token`(_ path: String) throws {
        let tree = try ControlPlaneTree.kubeadm()
        let unit = "[Service]\nExecStart=/usr/local/bin/k3s server\n"
        try tree.write(path, path.hasSuffix("yaml") ? "token: x\n" : unit)
        let authority = try rancher("k3s").read("/var/lib/rancher/k3s/server/tls/server-ca.crt")
        try tree.write("/etc/rancher/k3s/k3s.yaml", authority)
        #expect(summary(tree.findings()) == [])
    }

    @Test func `an RKE2 agent with the server's unit installed asks for no token`() throws {
        let tree = try ControlPlaneTree()
        let units = "/usr/lib/systemd/system"
        for kind in ["server", "agent"] {
            try tree.write("\(units)/rke2-\(kind).service", "[Service]\nExecStart=/usr/bin/rke2 \(kind)\n")
        }
        try tree.write("/etc/rancher/rke2/config.yaml", "server: https://192.0.2.10:9345\n")
        let wants = "/etc/systemd/system/multi-user.target.wants"
        try run("mkdir", ["-p", tree.location(wants)])
        try run("ln", ["-s", "\(units)/rke2-agent.service", tree.location(wants)])
        #expect(summary(tree.findings()) == [])
        try run("ln", ["-s", "\(units)/rke2-server.service", tree.location(wants)])
        try tree.write("/etc/rancher/rke2/config.yaml", "data-dir: /srv/rke2\n")
        #expect(summary(tree.findings()) == ["error token-missing /srv/rke2/server/token"])
    }

    @Test func `defects of a k3s server are found without any flag`() throws {
        let tree = try rancher("k3s")
        let tls = "/var/lib/rancher/k3s/server/tls"
        try tree.write("\(tls)/client-admin.key", tree.openssl.key(.curve("prime256v1")))
        try tree.write("\(tls)/etcd/server-ca", tree.openssl.authority("/CN=etcd-server-ca", key: .curve("prime256v1")))
        try tree.remove("\(tls)/request-header-ca.key")
        #expect(
            summary(tree.findings()) == [
                "error chain-broken \(tls)/etcd/server-client.crt", "error key-mismatch \(tls)/client-admin.key",
                "note external-ca \(tls)/request-header-ca.crt",
            ])
    }

    @Test func `the encryption configuration of k3s is read`() throws {
        let tree = try rancher("k3s")
        let path = "/var/lib/rancher/k3s/server/cred/encryption-config.json"
        #expect(summary(tree.findings(snapshot: SnapshotFacts())) == [])
        let snapshot = SnapshotFacts(
            encryptionKeysInUse: [
                EncryptionKeyInUse(name: "aescbc:v1:aescbckey", problem: .missing, reader: path, resources: ["secrets"])
            ])
        try tree.replace(path, "aescbckey", "other")
        #expect(summary(tree.findings(snapshot: snapshot)) == ["error encryption-key-missing \(path)"])
        // What k3s keeps beside it is none, and an old copy that is broken does not hide what is missing.
        try tree.write("/var/lib/rancher/k3s/server/cred/encryption-state.json", #"{"currentHash":"start-aa"}"#)
        #expect(summary(tree.findings(snapshot: snapshot)) == ["error encryption-key-missing \(path)"])
        let old = "/var/lib/rancher/k3s/server/cred/second.yaml"
        try tree.write(old, "kind: EncryptionConfiguration\nresources: [")
        #expect(
            summary(tree.findings(snapshot: snapshot)) == [
                "error encryption-configuration-unreadable \(old)", "error encryption-key-missing \(path)",
            ])
    }

    @Test func `a sound k0s controller has no findings and a defect is found`() throws {
        let tree = try ControlPlaneTree()
        let directory = "/var/lib/k0s/pki"
        try tree.write("/etc/k0s/k0s.yaml", "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\n")
        let authority = try tree.openssl.authority("/CN=kubernetes-ca")
        try tree.write("\(directory)/ca", authority)
        try tree.write("\(directory)/server", tree.openssl.issue("/CN=kubernetes", by: authority))
        try tree.write("\(directory)/admin", tree.openssl.issue("/CN=kubernetes-admin", by: authority))
        let key = try tree.openssl.key()
        try tree.write("\(directory)/sa.key", key)
        try tree.write("\(directory)/sa.pub", tree.openssl.output(["pkey", "-pubout"], input: key))
        #expect(summary(tree.findings()) == [])
        try tree.write("\(directory)/sa.key", tree.openssl.key())
        try tree.remove("\(directory)/ca.key")
        #expect(
            summary(tree.findings()) == [
                "error service-account-key-mismatch \(directory)/sa.key", "note external-ca \(directory)/ca.crt",
            ])
    }

    @Test func `the kubelet's rotated certificates are followed and old ones left alone`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let directory = "/var/lib/kubelet/pki"
        let kubelet = "/etc/kubernetes/kubelet.conf"
        let signer = try tree.pair("\(pki)/ca")
        let old = try tree.openssl.issue("/CN=system:node:cp0/O=system:nodes", by: signer, to: "20270101000000Z")
        let new = try tree.openssl.issue("/CN=system:node:cp0/O=system:nodes", by: signer)
        try tree.write("\(directory)/kubelet-client-2026-12-01-00-00-00.pem", old.certificate + old.key)
        try tree.write("\(directory)/kubelet-client-2026-12-20-00-00-00.pem", new.certificate + new.key)
        let current = "\(directory)/kubelet-client-current.pem"
        try run(
            "ln", ["-s", "\(directory)/kubelet-client-2026-12-20-00-00-00.pem", tree.location(current)])
        try tree.replace(kubelet, "client-certificate-data: ", "client-certificate: \(current) #")
        try tree.replace(kubelet, "client-key-data: ", "client-key: \(current) #")
        #expect(summary(tree.findings()) == [])
        let records = tree.inventory().certificates.filter { $0.path.hasPrefix(directory) }
        #expect(records.map(\.path) == [current])
        #expect(records.first?.referencedBy.contains(kubelet) == true)
    }

    @Test func `kubeadm's own old backups are not judged`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let old = try tree.openssl.authority("/CN=old", to: "20270101000000Z")
        try tree.write("/etc/kubernetes/tmp/kubeadm-backup/ca", old)
        #expect(summary(tree.findings()) == [])
        // Nothing refers to it, and nothing was signed by it.
        try tree.write("/etc/kubernetes/other/ca.crt", old.certificate)
        #expect(summary(tree.findings()) == [])
    }

    /// Source of the names: k3s, `pkg/daemons/control/deps/deps.go`, `CreateRuntimeCertFiles`.
    private func rancher(_ distribution: String) throws -> ControlPlaneTree {
        let tree = try ControlPlaneTree()
        let server = "/var/lib/rancher/\(distribution)/server"
        let key = OpenSSL.Key.curve("prime256v1")
        for (name, leaves) in [
            ("server-ca", ["serving-kube-apiserver"]), ("client-ca", ["client-admin", "client-kube-apiserver"]),
            ("request-header-ca", ["client-auth-proxy"]), ("etcd/server-ca", ["etcd/server-client"]),
            ("etcd/peer-ca", ["etcd/peer-server-client"]),
        ] {
            let common = name.replacingOccurrences(of: "/", with: "-")
            let authority = try tree.openssl.authority("/CN=\(common)", key: key)
            try tree.write("\(server)/tls/\(name)", authority)
            for leaf in leaves {
                try tree.write("\(server)/tls/\(leaf)", tree.openssl.issue("/CN=leaf", by: authority, key: key))
            }
        }
        try tree.write("\(server)/tls/service.key", tree.openssl.key())
        try tree.write("\(server)/token", "K10aa::server:bb\n")
        try tree.write("/etc/rancher/node/password", "aabb\n")
        try tree.write(
            "\(server)/cred/encryption-config.json",
            """
            {"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":\
            ["secrets"],"providers":[{"aescbc":{"keys":[{"name":"aescbckey","secret":"\
            \(Data(count: 32).base64EncodedString())"}]}},{"identity":{}}]}]}
            """)
        return tree
    }
}
