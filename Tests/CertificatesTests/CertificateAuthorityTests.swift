import Foundation
import HostIO
import SwiftASN1
import TestSupport
import Testing
import X509

@testable import Certificates

/// Certificates, keys and requests as OpenSSL sees them, and authorities that can't sign.
@Suite(.timeLimit(.minutes(45))) struct CertificateAuthorityTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(arguments: try KubeadmTree.all()) func opensslAcceptsEveryLeaf(_ tree: KubeadmTree) throws {
        for kind in tree.kinds {
            let profile = tree.profile(kind)
            let authority = try tree.authority(kind.authority)
            let made = try authority.issue(profile, key: KubeadmTree.key(profile.keyAlgorithm), now: KubeadmTree.now)
            let path = try write(made.pem, "leaf.crt")
            for use in kind.extendedKeyUsages {
                try verify(
                    path, tree.bytes(kind.authority.certificatePath), use == .serverAuth ? "sslserver" : "sslclient")
            }
            let text = try run("openssl", ["x509", "-in", path, "-noout", "-text"]).text
            #expect(text.contains("CA:FALSE") && text.contains("Digital Signature, Key Encipherment"))
            for name in profile.names.dnsNames { #expect(text.contains("DNS:\(name)"), "\(kind)") }
        }
    }

    @Test(arguments: LeafKeyAlgorithm.allCases) func opensslReadsKeys(_ algorithm: LeafKeyAlgorithm) throws {
        let authority = try KubeadmTree.named("base").authority(.etcd)
        let profile = try profile(names: ["a.example"], algorithm: algorithm)
        let made = try authority.issue(profile, key: KubeadmTree.key(algorithm), now: KubeadmTree.now)
        let certificate = try write(made.pem, "new.crt")
        let key = try write(made.key.pem.withBytes { copy $0 }, "new.key")
        let text = try String(contentsOfFile: key, encoding: .utf8)
        #expect(text.hasPrefix("-----BEGIN \(algorithm.rawValue.hasPrefix("RSA") ? "RSA" : "EC") PRIVATE KEY-----\n"))
        try run("openssl", ["pkey", "-in", key, "-check", "-noout"])
        // Byte by byte what OpenSSL writes of the same key.
        #expect(try run("openssl", ["pkey", "-in", key, "-traditional"]).text == text)
        let ours = try run("openssl", ["pkey", "-in", key, "-pubout"]).text
        #expect(try run("openssl", ["x509", "-in", certificate, "-noout", "-pubkey"]).text == ours)
        #expect(algorithm.matches(try made.parsed(path: "").record.publicKey))
        #expect(LeafKeyAlgorithm(nearest: try made.parsed(path: "").record.publicKey) == algorithm)
    }

    @Test(arguments: LeafKeyAlgorithm.allCases) func opensslReadsRequests(_ algorithm: LeafKeyAlgorithm) throws {
        for hosts in [[], ["a.example", "10.0.0.1", "fd00::1"]] {
            let request = try SigningRequest(
                profile(names: hosts, algorithm: algorithm), key: KubeadmTree.key(algorithm))
            let path = try write(request.pem, "new.csr")
            let result = try run("openssl", ["req", "-in", path, "-verify", "-noout", "-text"])
            #expect(result.text.contains("DNS:a.example, IP Address:10.0.0.1") == !hosts.isEmpty)
        }
    }

    @Test func opensslChoosesTheHashByTheAuthority() throws {
        let curves = ["prime256v1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"]
        for (curve, hash) in curves {
            try makeAuthority(key: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:\(curve)"])
            let made = try authority().issue(
                profile(names: ["a.example"]), key: KubeadmTree.key(.rsa2048), now: .now)
            let path = try write(made.pem, "new.crt")
            #expect(try run("openssl", ["x509", "-in", path, "-noout", "-text"]).text.contains("ecdsa-with-\(hash)"))
            try run("openssl", ["verify", "-x509_strict", "-CAfile", directory.file("ca.crt"), path])
        }
        try makeAuthority(key: ["-newkey", "ed25519"])
        let made = try authority().issue(profile(names: ["a.example"]), key: KubeadmTree.key(.p256), now: .now)
        try run("openssl", ["verify", "-CAfile", directory.file("ca.crt"), write(made.pem, "new.crt")])
    }

    @Test func manyNames() throws {
        let hosts = (0..<300).map { $0 % 3 == 0 ? "10.1.\($0 / 256).\($0 % 256)" : "n\($0).example" } + ["fd00::1"]
        let tree = try KubeadmTree.named("base")
        let made = try tree.authority(.etcd).issue(
            profile(names: hosts), key: KubeadmTree.key(.rsa2048), now: KubeadmTree.now)
        let record = try made.parsed(path: "").record
        #expect(record.dnsNames.count == 200 && record.ipAddresses.count == 101)
        try verify(write(made.pem, "many.crt"), tree.bytes("pki/etcd/ca.crt"), "sslserver")
    }

    @Test func serialNumbersArePositiveAndShort() throws {
        let authority = try KubeadmTree.named("ecdsa").authority(.etcd)
        let key = try KubeadmTree.key(.p256)
        var seen: Set<String> = []
        for _ in 0..<200 {
            let made = try authority.issue(profile(names: []), key: key, now: KubeadmTree.now)
            // Tag, length and content of an INTEGER, which is negative from 0x80 on.
            let serial = Array(try SignedFields(made.der).signed[1])
            #expect((3...10).contains(serial.count) && serial[0] == 2 && serial[2] < 0x80)
            #expect(serial[2...].contains { $0 != 0 })
            seen.insert(try made.parsed(path: "").record.serial)
        }
        #expect(seen.count == 200)
    }

    @Test func timesKeepWithinTheAuthoritys() throws {
        let authority = try KubeadmTree.named("base").authority(.cluster)
        let (start, end) = (authority.certificate.record.notBefore, authority.certificate.record.notAfter)
        let key = try KubeadmTree.key(.rsa2048)
        let first = try authority.issue(profile(names: []), key: key, now: start + 2)
        #expect(first.notBefore == start)
        let last = try authority.issue(profile(names: []), key: key, now: end - 60.5)
        #expect(last.notAfter == end && last.notBefore == end - 361)
        #expect(try last.parsed(path: "").record.notAfter == end)
        for now in [start - 1, end + 1] {
            #expect(throws: Failure.self) { try authority.issue(profile(names: []), key: key, now: now) }
        }
        var endless = try profile(names: [])
        endless.lifetimeSeconds = 0
        #expect(throws: Failure.self) { try authority.issue(endless, key: key, now: KubeadmTree.now) }
    }

    @Test func namesThatNoCertificateCanHave() throws {
        let authority = try KubeadmTree.named("base").authority(.cluster)
        var bad = try profile(names: [])
        bad.names = AlternativeNames([.dns("bücher.example")])
        #expect(throws: Failure.self) { try authority.issue(bad, key: KubeadmTree.key(.rsa2048), now: KubeadmTree.now) }
        #expect(throws: Failure.self) { try SigningRequest(bad, key: KubeadmTree.key(.rsa2048)) }
    }

    @Test func keysOfOthersAreRefused() throws {
        let (base, addr) = (try KubeadmTree.named("base"), try KubeadmTree.named("addr"))
        let certificate = try base.bytes("pki/ca.crt")
        for pem in [
            try addr.bytes("pki/ca.key"), try base.bytes("pki/etcd/ca.key"), try base.bytes("pki/sa.pub"), [],
            Array("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n".utf8),
        ] {
            let error = #expect(throws: Failure.self) {
                try CertificateAuthority(certificatePEM: certificate, keyPEM: secret(pem), path: "ca.crt")
            }
            #expect(error?.code == .untrusted && error?.message.contains("\"ca.crt\"") == true)
        }
        #expect(throws: Failure.self) {
            try CertificateAuthority(certificatePEM: [1], keyPEM: secret(base.bytes("pki/ca.key")), path: "ca.crt")
        }
    }

    @Test func keysOfEveryFormAreRead() throws {
        let base = try KubeadmTree.named("ecdsa")
        for tree in [base, try KubeadmTree.named("base")] {
            let path = try write(tree.bytes("pki/ca.key"), "ca.key")
            let pem = try run("openssl", ["pkcs8", "-topk8", "-nocrypt", "-in", path]).text
            let authority = try CertificateAuthority(
                certificatePEM: tree.bytes("pki/ca.crt"), keyPEM: secret(Array(pem.utf8)), path: "ca.crt")
            let made = try authority.issue(profile(names: []), key: KubeadmTree.key(.p256), now: KubeadmTree.now)
            try verify(write(made.pem, "new.crt"), tree.bytes("pki/ca.crt"), "sslserver")
        }
    }

    @Test func authoritiesThatMayNotSign() throws {
        let cases: [(extensions: [String], problem: AuthorityProblem)] = [
            (["basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,cRLSign"], .mayNotSign),
            (["basicConstraints=critical,CA:FALSE", "keyUsage=critical,keyCertSign"], .notAuthority),
        ]
        for (extensions, problem) in cases {
            try makeAuthority(extensions: extensions)
            let authority = try authority()
            #expect(authority.certificate.problemsAsAuthority(at: .now) == [problem])
            #expect(throws: Failure.self) {
                try authority.issue(profile(names: []), key: KubeadmTree.key(.p256), now: .now)
            }
        }
    }

    /// RFC 5280 lets an authority without key usage sign, and so does Go.
    @Test func authoritiesWithoutKeyUsageSign() throws {
        try makeAuthority(extensions: ["basicConstraints=critical,CA:TRUE", "nameConstraints=permitted;DNS:example"])
        let authority = try authority()
        #expect(authority.certificate.problemsAsAuthority(at: .now).isEmpty)
        #expect(authority.certificate.remarksAsAuthority == [.noKeyUsage, .limitsNames])
        let made = try authority.issue(profile(names: ["a.example"]), key: KubeadmTree.key(.p256), now: .now)
        try run("openssl", ["verify", "-CAfile", directory.file("ca.crt"), write(made.pem, "new.crt")])
    }

    @Test func weakAuthoritiesAreRefused() throws {
        try makeAuthority(key: ["-newkey", "rsa:1024"])
        let error = #expect(throws: Failure.self) { try authority() }
        #expect(error?.message == "the authority in \"ca.crt\" has an RSA key of 1024 bits, less than 2048")
    }

    private func profile(
        names: [String], algorithm: LeafKeyAlgorithm = .rsa2048
    ) throws -> CertificateProfile {
        CertificateProfile(
            subject: .kubeadm(organizations: ["a", "b, c"], commonName: "x*y"), keyAlgorithm: algorithm,
            extendedKeyUsages: [.serverAuth, .clientAuth],
            names: AlternativeNames(names.compactMap(CertificateHost.init)), lifetimeSeconds: 8760 * 3600)
    }

    private func makeAuthority(
        key: [String] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        extensions: [String] = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"]
    ) throws {
        let settings = "[req]\ndistinguished_name=name\nx509_extensions=own\n[name]\n[own]\nsubjectKeyIdentifier=hash\n"
        try directory.write(settings + extensions.joined(separator: "\n") + "\n", to: "ca.cnf")
        try run(
            "openssl",
            [
                "req", "-x509", "-nodes", "-days", "30", "-subj", "/O=ä/CN=ca", "-utf8", "-config",
                directory.file("ca.cnf"),
            ]
                + key + ["-keyout", directory.file("ca.key"), "-out", directory.file("ca.crt")])
    }

    private func authority() throws -> CertificateAuthority {
        try CertificateAuthority(
            certificatePEM: Array(Data(contentsOf: URL(fileURLWithPath: directory.file("ca.crt")))),
            keyPEM: secret(Array(Data(contentsOf: URL(fileURLWithPath: directory.file("ca.key"))))), path: "ca.crt")
    }

    private func secret(_ bytes: [UInt8]) -> SecretBytes { bytes.withUnsafeBytes { SecretBytes(copying: $0) } }

    private func write(_ bytes: [UInt8], _ name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: directory.file(name)))
        return directory.file(name)
    }

    private func verify(_ path: String, _ authority: [UInt8], _ purpose: String) throws {
        let authority = try write(authority, "authority.crt")
        let time = "\(Int(KubeadmTree.now.timeIntervalSince1970))"
        try run(
            "openssl",
            ["verify", "-x509_strict", "-purpose", purpose, "-attime", time, "-CAfile", authority, path])
    }
}
