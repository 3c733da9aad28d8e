import Certificates
import Foundation
import PKIBackup
import TestSupport
import Testing

@Suite struct CertificateInventoryTests {
    @Test func `the inventory of a kubeadm node agrees with openssl`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let certificates = tree.inventory().certificates
        let files = certificates.filter { $0.embeddedIn == nil }
        #expect(files.count == 10)
        #expect(certificates.count { $0.embeddedIn != nil } == 10)
        #expect(certificates.map(\.notAfter) == certificates.map(\.notAfter).sorted())
        for record in files {
            let text = try tree.openssl.output(
                ["x509", "-in", tree.location(record.path), "-noout", "-subject", "-issuer", "-nameopt", "RFC2253"]
                    + ["-serial", "-startdate", "-enddate", "-dateopt", "iso_8601", "-fingerprint", "-sha256"])
            let lines = text.split(separator: "\n").map(String.init)
            let expected = [
                "subject=\(record.subject)", "issuer=\(record.issuer)", "serial=\(record.serial.uppercased())",
                "notBefore=\(opensslDate(record.notBefore))", "notAfter=\(opensslDate(record.notAfter))",
                "sha256 Fingerprint=\(colons(record.fingerprint))",
            ]
            #expect(lines == expected)
        }
    }

    @Test func `names, uses and referrers of a certificate are listed`() throws {
        let certificates = try ControlPlaneTree.kubeadm().inventory().certificates
        let server = try #require(certificates.first { $0.path == "\(pki)/etcd/server.crt" })
        #expect(server.dnsNames == ["cp0", "localhost"])
        #expect(server.ipAddresses == ["192.0.2.10", "127.0.0.1", "::1"])
        #expect(server.uses == ["digitalSignature", "keyEncipherment", "serverAuth", "clientAuth"])
        #expect(!server.isCA)
        #expect(server.referencedBy == ["etcd --cert-file"])
        #expect(server.signatureAlgorithm == "sha256WithRSAEncryption")
        #expect(server.daysLeft(at: ControlPlaneTree.now) == 311)
        let authority = try #require(certificates.first { $0.path == "\(pki)/ca.crt" })
        #expect(authority.isCA)
        #expect(authority.uses == ["digitalSignature", "keyEncipherment", "keyCertSign"])
        let embedded = certificates.filter { $0.path == "/etc/kubernetes/admin.conf" }.compactMap(\.embeddedIn)
        #expect(embedded == [#"user "kubernetes-admin""#, #"cluster "kubernetes""#])
    }

    @Test(arguments: [
        (OpenSSL.Key.rsa(2048), "RSA", 2048, nil), (.rsa(4096), "RSA", 4096, nil), (.rsa(1024), "RSA", 1024, nil),
        (.curve("prime256v1"), "ECDSA", 256, "P-256"), (.curve("secp384r1"), "ECDSA", 384, "P-384"),
        (.curve("secp521r1"), "ECDSA", 521, "P-521"), (.curve("secp224r1"), "ECDSA", 224, "P-224"),
        (.curve("prime192v1"), "ECDSA", 192, "P-192"), (.curve("secp256k1"), "ECDSA", 256, "secp256k1"),
        (.curve("brainpoolP256r1"), "ECDSA", 256, "brainpoolP256r1"), (.ed25519, "Ed25519", 256, nil),
        (.dsa, "DSA", 1024, nil),
    ])
    func `every kind of key is listed and its pair is known`(
        _ key: OpenSSL.Key, _ algorithm: String, _ bitCount: Int, _ curve: String?
    ) throws {
        let tree = try ControlPlaneTree.kubeadm()
        let digest = algorithm == "Ed25519" ? "default" : "sha256"
        let pair = try tree.openssl.issue(
            "/CN=odd/O=two words", key: key,
            extensions: ["subjectAltName = URI:spiffe://a/b,email:a@b.c,DNS:*.x.y"], digest: digest)
        try tree.write("\(pki)/odd", pair)
        let inventory = tree.inventory()
        let record = try #require(inventory.certificates.first { $0.path == "\(pki)/odd.crt" })
        #expect(record.publicKey.algorithm == algorithm)
        #expect(record.publicKey.bitCount == bitCount)
        #expect(record.publicKey.curve == curve)
        #expect(record.subject == "O=two words,CN=odd")
        #expect(record.uris == ["spiffe://a/b"] && record.emailAddresses == ["a@b.c"] && record.dnsNames == ["*.x.y"])
        let spki = try run(
            "openssl", ["pkey", "-pubout", "-outform", "DER"], input: Data(pair.key.utf8)
        ).output
        #expect(try record.publicKey.digest == sha256(spki))
        if algorithm != "DSA" {
            let own = inventory.privateKeys.first { $0.path == "\(pki)/odd.key" }
            #expect(own?.publicKey == record.publicKey)
        }
    }

    @Test(arguments: ["rsa", "ec", "ed25519"])
    func `every form of a private key has the same public key`(_ algorithm: String) throws {
        let tree = try ControlPlaneTree.kubeadm()
        let openssl = tree.openssl
        let key = try openssl.key(algorithm == "rsa" ? .rsa(2048) : algorithm == "ec" ? .curve("secp384r1") : .ed25519)
        try tree.write("\(pki)/form-a.key", openssl.output(["pkey"], input: key))
        if algorithm != "ed25519" {
            try tree.write("\(pki)/form-b.key", openssl.output(["pkey", "-traditional"], input: key))
        }
        if algorithm == "ec" { try tree.write("\(pki)/form-c.key", openssl.output(["ec", "-no_public"], input: key)) }
        let records = tree.inventory().privateKeys.filter { $0.path.hasPrefix("\(pki)/form-") }
        #expect(records.count == (algorithm == "ec" ? 3 : algorithm == "rsa" ? 2 : 1))
        #expect(Set(records.map(\.publicKey)).count == 1)
    }

    @Test func `a bundle is listed with the place of each certificate`() throws {
        let tree = try ControlPlaneTree.kubeadm()
        let other = try tree.openssl.authority("/CN=other", key: .curve("prime256v1"))
        try tree.write("\(pki)/ca.crt", tree.read("\(pki)/ca.crt") + other.certificate)
        let records = tree.inventory().certificates.filter { $0.path == "\(pki)/ca.crt" }
        #expect(records.sorted { $0.index < $1.index }.map(\.subject) == ["CN=kubernetes", "CN=other"])
    }

    @Test func `the record survives its coding`() throws {
        let records = try ControlPlaneTree.kubeadm().inventory().certificates
        let data = try JSONEncoder().encode(records)
        #expect(try JSONDecoder().decode([CertificateRecord].self, from: data) == records)
        #expect(!String(decoding: data, as: UTF8.self).contains("PRIVATE"))
    }

    private func opensslDate(_ date: Date) -> String {
        date.formatted(.iso8601).replacingOccurrences(of: "T", with: " ")
    }

    private func colons(_ hexadecimal: String) -> String {
        stride(from: 0, to: hexadecimal.count, by: 2).map { offset in
            let start = hexadecimal.index(hexadecimal.startIndex, offsetBy: offset)
            return hexadecimal[start...].prefix(2).uppercased()
        }.joined(separator: ":")
    }

    private func sha256(_ data: Data) throws -> String {
        String(try run("sha256sum", [], input: data).text.prefix(64))
    }
}
