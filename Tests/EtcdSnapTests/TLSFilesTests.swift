import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

@Suite struct TLSFilesTests {
    let pki: TestPKI
    let scratch: TemporaryDirectory

    init() throws {
        pki = try TestPKI()
        scratch = try TemporaryDirectory()
    }

    private func files(ca: String? = nil, certificate: String? = nil, key: String? = nil) -> TLSFiles {
        TLSFiles(
            caPath: ca ?? pki.caPath, certificatePath: certificate ?? pki.client.certificatePath,
            keyPath: key ?? pki.client.keyPath)
    }

    /// The error that validation throws, which has to be told with the code `untrusted` and the file's path.
    private func error(_ files: TLSFiles, naming path: String) -> TLSFileError? {
        do {
            try files.validate()
            return nil
        } catch {
            let failure = Failure(wrapping: error)
            #expect(failure.code == .untrusted)
            #expect(failure.message.contains(path))
            #expect(failure.hint != nil)
            return error as? TLSFileError
        }
    }

    @Test func acceptsWhatFits() throws {
        try files().validate()
        try TLSFiles().validate()
        try TLSFiles(caPath: pki.caPath).validate()
    }

    @Test(arguments: ["RSA", "EC PKCS8", "EC SEC1 with parameters", "Ed25519"])
    func acceptsKeyKinds(kind: String) throws {
        let key = scratch.file("key"), certificate = scratch.file("crt")
        switch kind {
        case "RSA": try run("openssl", ["genrsa", "-traditional", "-out", key, "2048"])
        case "EC PKCS8":
            try run("openssl", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", key])
        case "Ed25519": try run("openssl", ["genpkey", "-algorithm", "ed25519", "-out", key])
        default: try run("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-out", key])
        }
        let certificateText = try run("openssl", ["req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-text"])
        try scratch.write("Bag Attributes: some text\n" + certificateText.text, to: "crt")
        try files(certificate: certificate, key: key).validate()
    }

    @Test func keyOfAnotherCertificate() {
        let error = error(files(key: pki.server.keyPath), naming: pki.server.keyPath)
        #expect(error == .keyMismatch(certificatePath: pki.client.certificatePath, keyPath: pki.server.keyPath))
    }

    @Test func outdatedClientCertificates() throws {
        let expired = try pki.issue("expired", validity: .expired)
        let past = error(files(certificate: expired.certificatePath, key: expired.keyPath), naming: "2021-01-01")
        guard case .expired = past else { return #expect(Bool(false), "\(String(describing: past))") }
        let future = try pki.issue("future", validity: .future)
        let coming = error(files(certificate: future.certificatePath, key: future.keyPath), naming: "2090-01-01")
        guard case .notYetValid = coming else { return #expect(Bool(false), "\(String(describing: coming))") }
    }

    @Test func expiredAuthority() throws {
        #expect { try files().validate(now: Date(timeIntervalSinceNow: 400 * 86_400)) } throws: { error in
            guard case TLSFileError.expired(let path, _, _) = error else { return false }
            return path == pki.caPath
        }
        // One authority that is still valid is enough.
        let both = try scratch.write(
            try String(contentsOfFile: pki.caPath, encoding: .utf8)
                + String(contentsOfFile: pki.issue("old", validity: .expired).certificatePath, encoding: .utf8),
            to: "both")
        try files(ca: both).validate()
    }

    @Test func serverOnlyCertificate() throws {
        let pair = try pki.issue("serveronly", usage: "serverAuth")
        let error = error(files(certificate: pair.certificatePath, key: pair.keyPath), naming: pair.certificatePath)
        guard case .notForClients = error else { return #expect(Bool(false), "\(String(describing: error))") }
    }

    @Test func encryptedKey() throws {
        let key = scratch.file("encrypted")
        try run("openssl", ["pkcs8", "-topk8", "-in", pki.client.keyPath, "-out", key, "-passout", "pass:secret"])
        #expect(error(files(key: key), naming: key) == .encryptedKey(path: key))
    }

    @Test func swappedAndEmptyFiles() throws {
        #expect(
            error(files(ca: pki.client.keyPath), naming: pki.client.keyPath)
                == .nothingFound(path: pki.client.keyPath, kind: "certificate"))
        #expect(
            error(files(key: pki.caPath), naming: pki.caPath) == .nothingFound(path: pki.caPath, kind: "private key"))
        let empty = try scratch.write("", to: "empty")
        #expect(error(files(ca: empty), naming: empty) == .nothingFound(path: empty, kind: "certificate"))
    }

    @Test func incompletePair() {
        let lonely = TLSFiles(certificatePath: pki.client.certificatePath)
        #expect(throws: TLSFileError.incompletePair(present: pki.client.certificatePath)) { try lonely.validate() }
    }

    @Test func missingFileAndDirectory() {
        #expect(throws: SystemCallError.self) { try files(ca: scratch.file("none")).validate() }
        #expect(throws: Failure.self) { try files(ca: scratch.path).validate() }
    }

    /// No truncation may pass, and none may crash; nor may an error quote the key.
    @Test func truncatedKey() throws {
        let text = try String(contentsOfFile: pki.client.keyPath, encoding: .utf8)
        let body = text.split(separator: "\n")[1]
        for length in 0..<(text.utf8.count - 1) {
            let path = try scratch.write(String(text.prefix(length)), to: "truncated")
            do {
                try files(key: path).validate()
                Issue.record("\(length) of \(text.utf8.count) bytes were accepted")
            } catch {
                let failure = Failure(wrapping: error)
                #expect(!failure.description.contains(body.prefix(16)))
            }
        }
    }
}
