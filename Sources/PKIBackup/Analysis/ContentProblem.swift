import Certificates
import HostIO
import SealedArchive

/// Something that is wrong with a file's content, before it is known what the file is for.
struct ContentProblem: Equatable {
    var severity = Finding.Severity.error
    var code: String
    var message: String
    var advice: String
}

extension ContentProblem {
    /// What a person is told of a problem.
    ///
    /// - Parameter name: the file in quotes, with the part of it.
    init(_ problem: PEMContents.Problem, in name: String) {
        let restore = "restore the file from another control-plane node or a backup"
        switch problem {
        case .empty: self.init(code: "file-empty", message: "\(name) has 0 bytes", advice: restore)
        case .damagedBlock(let clause):
            self.init(
                code: "pem-damaged", message: "\(name) is damaged: \(clause)",
                advice: "compare the file with another control-plane node's")
        case .tooManyBlocks:
            self.init(
                code: "pem-damaged",
                message: "\(name) has more than \(PEMFile.blockCountLimit) blocks; the rest was not checked",
                advice: "split the bundle")
        case .certificateUnreadable(let byteCount):
            self.init(
                code: "certificate-unreadable",
                message: "\(name) has a certificate of \(byteCount) bytes that is no X.509",
                advice: "issue the certificate again")
        case .isDER:
            self.init(
                code: "der-instead-of-pem", message: "\(name) is DER, and Kubernetes reads PEM only",
                advice: "convert it: openssl x509 (or pkey) -inform DER -outform PEM")
        case .nothingFound(let byteCount):
            self.init(
                code: "pem-missing", message: "\(name) has \(byteCount) bytes and no PEM block",
                advice: "restore the file as PEM")
        case .publicKeyUnreadable, .keyEncrypted, .keyInconsistent, .keyUnreadable:
            self.init(ofKey: problem, in: name)
        }
    }

    private init(ofKey problem: PEMContents.Problem, in name: String) {
        switch problem {
        case .keyEncrypted:
            self.init(
                code: "key-encrypted", message: "\(name) has a private key that is encrypted with a passphrase",
                advice:
                    "no component of Kubernetes can read it: decrypt it, or keep the passphrase with the recovery plan")
        case .keyInconsistent:
            self.init(
                code: "key-damaged", message: "\(name) has a private key whose parts do not belong together",
                advice: "restore the key from another control-plane node or a backup")
        case .keyUnreadable(let reason):
            self.init(
                code: "key-unreadable", message: "\(name) has a private key that can't be read: \(reason)",
                advice: "write the key as PKCS#1, PKCS#8 or SEC 1 in PEM")
        default:
            self.init(
                code: "key-unreadable", message: "\(name) has a public key that can't be decoded",
                advice: "write the key again")
        }
    }
}
