import HostIO
import SealedArchive

/// Something that is wrong with a file's content, before it is known what the file is for.
struct ContentProblem: Equatable {
    var severity = Finding.Severity.error
    var code: String
    var message: String
    var advice: String
}

/// Certificates and public keys out of a PEM file, or out of what a kubeconfig embeds.
struct PEMContents {
    /// The certificates, in the order of the file.
    var certificates: [ParsedCertificate] = []
    /// The public keys of the private keys.
    var privateKeys: [PublicKey] = []
    /// The public keys that stand by themselves.
    var publicKeys: [PublicKey] = []
    /// What is wrong.
    var problems: [ContentProblem] = []

    /// Reads PEM, or DER where someone put it in place of PEM.
    ///
    /// - Parameters:
    ///   - bytes: wiped before this returns.
    ///   - embeddedIn: the cluster or user of a kubeconfig at `path`.
    init(_ bytes: consuming [UInt8], path: String, embeddedIn: String? = nil) {
        let name = quoted(path) + (embeddedIn.map { " (\($0))" } ?? "")
        guard !bytes.isEmpty else {
            note("file-empty", "\(name) has 0 bytes", "restore the file from another control-plane node or a backup")
            return
        }
        var file = PEMFile(copy bytes)
        if file.blocks.isEmpty, file.problems.isEmpty {
            readDER(bytes, name: name, path: path)
        }
        bytes.wipe()
        for block in file.blocks { read(block, name: name, path: path, embeddedIn: embeddedIn) }
        file.wipe()
        for problem in file.problems {
            note("pem-damaged", "\(name) is damaged: \(problem)", "compare the file with another control-plane node's")
        }
        if file.isCut {
            note(
                "pem-damaged", "\(name) has more than \(PEMFile.blockCountLimit) blocks; the rest was not checked",
                "split the bundle")
        }
    }

    private mutating func note(_ code: String, _ message: String, _ advice: String) {
        if !problems.contains(where: { $0.code == code }) {
            problems.append(ContentProblem(code: code, message: message, advice: advice))
        }
    }

    private mutating func read(_ block: PEMFile.Block, name: String, path: String, embeddedIn: String?) {
        switch block.label {
        case "CERTIFICATE":
            do {
                certificates.append(
                    try ParsedCertificate(
                        block.content, path: path, index: certificates.count, embeddedIn: embeddedIn))
            } catch {
                note(
                    "certificate-unreadable",
                    "\(name) has a certificate of \(block.content.count) bytes that is no X.509",
                    "issue the certificate again")
            }
        case "PUBLIC KEY", "RSA PUBLIC KEY": readPublicKey(block, name: name)
        case _ where PrivateKeyReader.labels.contains(block.label): readPrivateKey(block, name: name)
        default: break
        }
    }

    private mutating func readPublicKey(_ block: PEMFile.Block, name: String) {
        let key =
            block.label == "PUBLIC KEY"
            ? try? PublicKey(subjectPublicKeyInfo: block.content[...]) : try? PublicKey(pkcs1: block.content)
        guard let key else {
            return note("key-unreadable", "\(name) has a public key that can't be decoded", "write the key again")
        }
        publicKeys.append(key)
    }

    private mutating func readPrivateKey(_ block: PEMFile.Block, name: String) {
        do throws(PrivateKeyReader.Problem) {
            privateKeys.append(try PrivateKeyReader.publicKey(of: block))
        } catch {
            note(error, name: name)
        }
    }

    private mutating func note(_ problem: PrivateKeyReader.Problem, name: String) {
        switch problem {
        case .encrypted:
            note(
                "key-encrypted", "\(name) has a private key that is encrypted with a passphrase",
                "no component of Kubernetes can read it: decrypt it, or keep the passphrase with the recovery plan")
        case .inconsistent:
            note(
                "key-damaged", "\(name) has a private key whose parts do not belong together",
                "restore the key from another control-plane node or a backup")
        case .unreadable(let reason):
            note(
                "key-unreadable", "\(name) has a private key that can't be read: \(reason)",
                "write the key as PKCS#1, PKCS#8 or SEC 1 in PEM")
        }
    }

    private mutating func readDER(_ bytes: borrowing [UInt8], name: String, path: String) {
        let key = PrivateKeyReader.publicKey(ofDER: copy bytes)
        if let certificate = try? ParsedCertificate(copy bytes, path: path, index: 0) {
            certificates = [certificate]
        } else if let key {
            privateKeys = [key]
        } else if let key = try? PublicKey(subjectPublicKeyInfo: (copy bytes)[...]) {
            publicKeys = [key]
        } else {
            return note("pem-missing", "\(name) has \(bytes.count) bytes and no PEM block", "restore the file as PEM")
        }
        note(
            "der-instead-of-pem", "\(name) is DER, and Kubernetes reads PEM only",
            "convert it: openssl x509 (or pkey) -inform DER -outform PEM")
    }
}
