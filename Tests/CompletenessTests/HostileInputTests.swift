import Certificates
import Foundation
import HostIO
import PKIBackup
import SealedArchive
import TestSupport
import Testing

/// Input that is made to hurt: findings, never a crash, a hang or a secret in a message.
@Suite struct HostileInputTests {
    private let scheduler = "/etc/kubernetes/scheduler.conf"

    @Test(arguments: [
        "deep flow": String(repeating: "[", count: 1 << 20), "deep blocks": String(repeating: "- ", count: 1 << 20),
        "deep mappings": String(repeating: "{a: ", count: 1 << 18),
        "billion laughs": laughs(), "laughs as keys": "x: &a {b: c}\n" + String(repeating: "? *a\n: d\n", count: 5000),
        "invalid UTF-8": "kind: Config\u{FFFD}", "control characters": "kind: \u{1}Config",
        "many clusters": "kind: Config\nclusters:\n" + String(repeating: "- {}\n", count: 300_000),
        "many scalars": "kind: Config\nx: [" + String(repeating: "a,", count: 2_000_000) + "]\n",
        "same key twice": "kind: Config\nkind: Config\n", "tab": "kind:\n\tConfig", "no document": "# nothing\n",
        "two documents": "---\n---\nkind: Config\n", "scalar": "Config",
        "wrong types": "kind: Config\nclusters: 7\nusers: {}",
    ])
    func `a kubeconfig that is made to hurt is a finding within seconds`(_ name: String, _ text: String) throws {
        let tree = try ControlPlaneTree.kubeadm()
        var bytes = Data(text.utf8)
        if name == "invalid UTF-8" { bytes.append(0xC0) }
        try tree.write(scheduler, bytes)
        let start = ContinuousClock.now
        let codes = tree.findings().filter { $0.subject == scheduler }.map(\.code)
        #expect(ContinuousClock.now - start < .seconds(120))
        #expect(codes == [name == "wrong types" ? "kubeconfig-context-broken" : "kubeconfig-unreadable"])
    }

    @Test func `thousands of certificates in a file are read, and no more than the limit`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let pem = try tree.openssl.authority("/CN=kubernetes", key: .curve("prime256v1")).certificate
        try tree.write("\(pki)/ca.crt", tree.read("\(pki)/ca.crt") + String(repeating: pem, count: 3000))
        #expect(summary(tree.findings()) == [])
        #expect(tree.inventory().certificates.count { $0.path == "\(pki)/ca.crt" } == 3001)
        try tree.write("\(pki)/ca.crt", tree.read("\(pki)/ca.crt") + String(repeating: pem, count: 2000))
        #expect(summary(tree.findings()) == ["error pem-damaged \(pki)/ca.crt"])
    }

    @Test func `a chain of look-alikes ends after few signature checks`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        // Two thousand CAs with the issuer's name in front of the one that signed.
        let pem = try tree.openssl.authority("/CN=front-proxy-ca").certificate
        let own = try tree.read("\(pki)/front-proxy-ca.crt")
        try tree.write("\(pki)/front-proxy-ca.crt", own + String(repeating: pem, count: 2000))
        let start = ContinuousClock.now
        #expect(summary(tree.findings()) == [])
        #expect(ContinuousClock.now - start < .seconds(120))
    }

    @Test(arguments: ["\(pki)/apiserver.crt", "\(pki)/apiserver.key", "/etc/kubernetes/scheduler.conf"])
    func `a file cut anywhere is told once and nothing else is`(_ path: String) throws {
        let tree = try ControlPlaneTree.kubeadm()
        let whole = try tree.read(path)
        for count in stride(from: 0, to: whole.count - 30, by: max(1, whole.count / 24)) {
            try tree.write(path, String(whole.prefix(count)))
            let findings = tree.findings()
            #expect(Set(findings.map(\.subject)) == [path], "cut at \(count)")
            #expect(findings.allSatisfy { !leaks($0, whole) })
        }
    }

    @Test(arguments: ["\(pki)/apiserver.crt", "\(pki)/apiserver.key", "\(pki)/sa.pub"])
    func `a DER with one byte changed is a finding or another sound key, never a crash`(_ path: String) throws {
        let tree = try ControlPlaneTree.kubeadm()
        let whole = try tree.read(path)
        for step in 0..<24 {
            try tree.write(path, whole)
            try Defect.damageDER(path, tree) { $0[$0.count * step / 24] ^= UInt8(1 << (step % 8)) }
            #expect(
                Set(tree.findings().map(\.subject)).subtracting([path, "\(pki)/apiserver.key", "\(pki)/sa.key"]) == [])
        }
    }

    @Test func `no finding tells anything of a key`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let secret = "Q2FuYXJ5U2VjcmV0Q2FuYXJ5U2VjcmV0"
        try tree.write(
            "\(pki)/apiserver.key", "-----BEGIN RSA PRIVATE KEY-----\n\(secret)\n-----END RSA PRIVATE KEY-----\n")
        try tree.write("\(pki)/ca.key", "-----BEGIN PRIVATE KEY-----\n\(secret)!\n-----END PRIVATE KEY-----\n")
        try tree.write(scheduler, "kind: Config\nusers:\n- user: {client-key-data: \(secret)!}\n")
        try tree.write("/etc/kubernetes/admin.conf", "kind: Config\ntoken: [\(secret)\n")
        try tree.write(
            "\(pki)/e.yaml",
            "kind: EncryptionConfiguration\nresources: [{resources: [secrets], providers: [{aescbc: {keys: "
                + "[{name: a, secret: \(secret)}]}}]}]")
        try tree.replace(
            serverManifest, "- --allow-privileged=true",
            "- --allow-privileged=true\n    - --encryption-provider-config=\(pki)/e.yaml")
        let findings = tree.findings()
        #expect(
            Set(findings.map(\.code)).isSuperset(
                of: ["key-unreadable", "pem-damaged", "kubeconfig-unreadable"]), "\(summary(findings))")
        let text = findings.map { $0.message + ($0.advice ?? "") }.joined()
        #expect(!text.contains("Canary") && !text.contains(secret.prefix(8)))
    }

    @Test func `names with line breaks and escapes are printed harmlessly`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        try tree.write("\(pki)/a\nb\u{1B}[2J.crt", "")
        let message = try #require(tree.findings().first?.message)
        #expect(message == #""/etc/kubernetes/pki/a\u{a}b\u{1b}[2J.crt" has 0 bytes"#)
    }

    @Test func `names in a certificate are printed harmlessly`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let pair = try tree.openssl.issue(
            "/CN=odd", key: .curve("prime256v1"), extensions: ["subjectAltName = DNS:x\u{1B}[2Jy,email:a\u{7}@b"])
        try tree.write("\(pki)/odd", pair)
        let record = try #require(tree.inventory().certificates.first { $0.path == "\(pki)/odd.crt" })
        #expect(record.dnsNames == [#""x\u{1b}[2Jy""#])
        #expect(record.emailAddresses == [#""a\u{7}@b""#])
    }

    @Test func `a directory of ten thousand files is walked quickly`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        for index in 0..<10_000 { try tree.write("\(pki)/many/\(index).txt", "x") }
        let start = ContinuousClock.now
        #expect(summary(tree.findings()) == [])
        #expect(ContinuousClock.now - start < .seconds(120))
    }

    /// Whether a finding quotes eight characters of a file's body.
    private func leaks(_ finding: Finding, _ text: String) -> Bool {
        let body = text.split(separator: "\n").filter { $0.count == 64 || $0.count > 200 }
        return body.contains { finding.message.contains($0.dropFirst(40).prefix(8)) }
    }

    private static func laughs() -> String {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<12 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        return text
    }
}
