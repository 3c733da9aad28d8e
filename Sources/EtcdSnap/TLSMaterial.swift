import Certificates
import FoundationEssentials
import HostIO

/// The checked contents of TLS files, each with a NUL at its end for C.
///
/// gRPC is given the blocks that were checked and nothing else of the files, written as the strictest reader wants them:
/// so it reads what etcdctl, by Go's rules, would read.
///
/// The key's bytes are wiped when the last reference goes. Parsing them to compare the key with the certificate makes
/// copies inside the crypto libraries, and gRPC keeps one for as long as its channel lives: neither can be wiped from here.
///
/// `@unchecked Sendable`: nothing is written between `init` and `deinit`.
final class TLSMaterial: @unchecked Sendable {
    let ca: [UInt8]?
    let certificate: [UInt8]?
    private(set) var key: [UInt8]?
    let serverName: String?

    /// - Parameter isForServer: whether a server is going to be talked to, for which there must be authorities.
    /// - Throws: ``TLSFileError``, or ``SystemCallError`` for a file that can't be read.
    init(_ files: TLSFiles, isForServer: Bool = false, now: Date = Date()) throws {
        serverName = files.serverName
        if let path = files.caPath {
            ca = try CertificateFile(path).authorities(now: now) + [0]
        } else {
            ca = isForServer ? try systemAuthorities() + [0] : nil
        }
        switch (files.certificatePath, files.keyPath) {
        case (let certificatePath?, let keyPath?):
            let chain = try CertificateFile(certificatePath)
            try chain.checkClient(now: now)
            var keyFile = try PrivateKeyFile(keyPath)
            defer { keyFile.pem.wipe() }
            guard keyFile.publicKey.digest == chain.leaf.record.publicKey.digest else {
                throw TLSFileError.keyMismatch(certificatePath: certificatePath, keyPath: keyPath)
            }
            certificate = chain.pem + [0]
            key = keyFile.pem + [0]
        case (nil, nil):
            certificate = nil
            key = nil
        case (let present?, nil), (nil, let present?):
            throw TLSFileError.incompletePair(present: present)
        }
    }

    deinit {
        if var key {
            self.key = nil
            wipe(&key)
        }
    }
}

private func systemAuthorities() throws -> [UInt8] {
    guard let pem = SystemAuthorities.pem() else {
        throw TLSFileError.noAuthorities(searched: SystemAuthorities.bundles + SystemAuthorities.directories)
    }
    return pem
}

/// The largest PEM file that is read: a system's whole bundle of authorities has a quarter of it.
private let maxFileByteCount = 1 << 20

/// The blocks of a PEM file.
///
/// - Throws: ``TLSFileError``, or ``SystemCallError`` for a file that can't be read.
private func blocks(of path: String) throws -> PEMFile {
    let file = try RandomAccessFile(path: path)
    guard file.byteCount <= maxFileByteCount else {
        throw TLSFileError.tooLarge(path: path, byteCount: file.byteCount)
    }
    var bytes = try file.bytes(at: 0, count: file.byteCount)
    defer { bytes.wipe() }
    return PEMFile(bytes)
}

/// The error for a file without a block of a kind: a damaged one may have been it.
private func nothingFound(_ kind: String, in file: PEMFile, path: String) -> TLSFileError {
    file.problems.first.map { .malformed(path: path, kind: kind, why: $0) } ?? .nothingFound(path: path, kind: kind)
}

/// The certificates of a file; what of a bundle can't be read is passed over, as long as there are others.
private struct CertificateFile {
    let path: String
    let certificates: [ParsedCertificate]
    /// The certificates again.
    let pem: [UInt8]

    init(_ path: String) throws {
        let file = try blocks(of: path)
        var parsed: [ParsedCertificate] = []
        var text: [UInt8] = []
        var problem: (any Error)?
        for block in file.blocks where block.isCertificate {
            do {
                parsed.append(try ParsedCertificate(block.content, path: path, index: parsed.count))
                text += PEMFile.encode(PEMFile.Block(label: "CERTIFICATE", content: block.content))
            } catch {
                problem = error
            }
        }
        guard !parsed.isEmpty else {
            if problem == nil { throw nothingFound("certificate", in: file, path: path) }
            throw TLSFileError.malformed(path: path, kind: "certificate", why: "its DER is no X.509 certificate")
        }
        self.path = path
        certificates = parsed
        pem = text
    }

    var leaf: ParsedCertificate { certificates[0] }

    /// The certificates as authorities, of which at least one has to be valid now.
    func authorities(now: Date) throws -> [UInt8] {
        let problems = certificates.map { problemWithTime(of: $0.record, now: now) }
        if let first = problems.first, let problem = first, !problems.contains(where: { $0 == nil }) { throw problem }
        return pem
    }

    /// Whether the first certificate is a client's and valid now.
    func checkClient(now: Date) throws {
        let record = leaf.record
        if let problem = problemWithTime(of: record, now: now) { throw problem }
        guard record.mayAuthenticateClients else {
            throw TLSFileError.notForClients(path: path, subject: record.subject)
        }
    }

    private func problemWithTime(of record: CertificateRecord, now: Date) -> TLSFileError? {
        if now > record.notAfter { return .expired(path: path, subject: record.subject, notAfter: record.notAfter) }
        if now < record.notBefore {
            return .notYetValid(path: path, subject: record.subject, notBefore: record.notBefore)
        }
        return nil
    }
}

/// The first private key of a file, which Go's `tls.X509KeyPair` takes as well; `openssl ecparam -genkey` writes
/// `EC PARAMETERS` before it.
private struct PrivateKeyFile {
    let publicKey: PublicKey
    /// The key again; the caller wipes it.
    var pem: [UInt8]

    init(_ path: String) throws {
        var file = try blocks(of: path)
        defer { file.wipe() }
        guard let block = file.blocks.first(where: \.isPrivateKey) else {
            throw nothingFound("private key", in: file, path: path)
        }
        let label: String
        do throws(PrivateKeyReader.Problem) {
            (publicKey, label) = try PrivateKeyReader.publicKeyAndLabel(of: block)
        } catch {
            switch error {
            case .encrypted: throw TLSFileError.encryptedKey(path: path)
            case .inconsistent:
                throw TLSFileError.malformed(
                    path: path, kind: "private key", why: "its parts do not belong together")
            case .unreadable(let reason):
                throw TLSFileError.malformed(path: path, kind: "private key", why: reason)
            }
        }
        pem = PEMFile.encode(PEMFile.Block(label: label, content: block.content))
    }
}
