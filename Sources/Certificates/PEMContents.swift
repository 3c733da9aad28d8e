import HostIO

/// Certificates and keys out of a PEM file, or out of what a kubeconfig embeds.
public struct PEMContents: Sendable {
    /// Something that is wrong with the bytes, before it is known what they are for.
    public enum Problem: Sendable, Hashable {
        /// There are none.
        case empty
        /// A block can't be used; the clause says which and why.
        case damagedBlock(String)
        /// There are more than ``PEMFile/blockCountLimit`` blocks.
        case tooManyBlocks
        /// A block of so many bytes is no X.509 certificate.
        case certificateUnreadable(byteCount: Int)
        /// A public key can't be decoded.
        case publicKeyUnreadable
        /// A private key is encrypted with a passphrase.
        case keyEncrypted
        /// A private key has parts that do not belong together.
        case keyInconsistent
        /// A private key can't be read; the clause says why.
        case keyUnreadable(String)
        /// It is DER, which Kubernetes does not read.
        case isDER
        /// So many bytes hold nothing that is known.
        case nothingFound(byteCount: Int)
    }

    /// The certificates, in the order of the file.
    public private(set) var certificates: [ParsedCertificate] = []
    /// The public keys of the private keys.
    public private(set) var privateKeys: [PublicKey] = []
    /// The public keys that stand by themselves.
    public private(set) var publicKeys: [PublicKey] = []
    /// What Kubernetes takes out of it for tokens of service accounts.
    public private(set) var tokenKeys = TokenKeys()
    /// The labels of blocks other than `CERTIFICATE`, each once, in their order.
    public private(set) var otherLabels: [String] = []
    /// What is wrong, each kind once.
    public private(set) var problems: [Problem] = []

    /// Reads PEM, or DER where someone put it in place of PEM.
    ///
    /// - Parameters:
    ///   - bytes: wiped before this returns.
    ///   - path: the file, which the certificates' records name.
    ///   - embeddedIn: the cluster or user of a kubeconfig at `path`.
    public init(_ bytes: consuming [UInt8], path: String, embeddedIn: String? = nil) {
        guard !bytes.isEmpty else {
            problems = [.empty]
            return
        }
        var file = PEMFile(copy bytes)
        if file.blocks.isEmpty, file.problems.isEmpty {
            readDER(bytes, path: path)
        }
        bytes.wipe()
        for block in file.blocks { read(block, path: path, embeddedIn: embeddedIn) }
        file.wipe()
        for problem in file.problems { note(.damagedBlock(problem)) }
        if file.isCut { note(.tooManyBlocks) }
    }

    private mutating func note(_ problem: Problem) {
        if !problems.contains(where: { $0.isSameKind(as: problem) }) { problems.append(problem) }
    }

    private mutating func read(_ block: PEMFile.Block, path: String, embeddedIn: String?) {
        if block.label != PEMFile.Block.certificateLabel, !otherLabels.contains(block.label) {
            otherLabels.append(block.label)
        }
        if block.isCertificate {
            do {
                let certificate = try ParsedCertificate(
                    block.content, path: path, index: certificates.count, embeddedIn: embeddedIn)
                certificates.append(certificate)
                tokenKeys.addVerifier(certificate.record.publicKey)
            } catch {
                note(.certificateUnreadable(byteCount: block.content.count))
            }
        } else if block.label == "PUBLIC KEY" || block.label == "RSA PUBLIC KEY" {
            readPublicKey(block)
        } else if block.isPrivateKey {
            do throws(PrivateKeyReader.Problem) {
                let (key, label) = try PrivateKeyReader.publicKeyAndLabel(of: block)
                privateKeys.append(key)
                tokenKeys.addPrivateKey(key, label: block.label, form: label)
            } catch {
                note(error.problem)
            }
        }
    }

    private mutating func readPublicKey(_ block: PEMFile.Block) {
        if let key = try? PublicKey(subjectPublicKeyInfo: block.content[...]) {
            publicKeys.append(key)
            tokenKeys.addVerifier(key)
        } else if block.label == "RSA PUBLIC KEY", let key = try? PublicKey(pkcs1: block.content) {
            publicKeys.append(key)
        } else {
            note(.publicKeyUnreadable)
        }
    }

    private mutating func readDER(_ bytes: borrowing [UInt8], path: String) {
        let key = PrivateKeyReader.publicKey(ofDER: copy bytes)
        if let certificate = try? ParsedCertificate(copy bytes, path: path, index: 0) {
            certificates = [certificate]
        } else if let key {
            privateKeys = [key]
        } else if let key = try? PublicKey(subjectPublicKeyInfo: (copy bytes)[...]) {
            publicKeys = [key]
        } else {
            return note(.nothingFound(byteCount: bytes.count))
        }
        note(.isDER)
    }
}

extension PEMContents.Problem {
    /// Whether both say the same of maybe different blocks.
    fileprivate func isSameKind(as other: Self) -> Bool {
        switch (self, other) {
        case (.damagedBlock, .damagedBlock), (.certificateUnreadable, .certificateUnreadable),
            (.keyUnreadable, .keyUnreadable):
            true
        default: self == other
        }
    }
}

extension PrivateKeyReader.Problem {
    fileprivate var problem: PEMContents.Problem {
        switch self {
        case .encrypted: .keyEncrypted
        case .inconsistent: .keyInconsistent
        case .unreadable(let reason): .keyUnreadable(reason)
        }
    }
}
