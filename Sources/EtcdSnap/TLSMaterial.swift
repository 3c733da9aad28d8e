import FoundationEssentials
import HostIO
import SwiftASN1
import X509

#if canImport(Glibc)
    import Glibc
#endif

/// The checked contents of TLS files, each with a NUL at its end for C.
///
/// The key's bytes are wiped when the last reference goes. Parsing them to compare the key with the certificate makes
/// copies inside swift-certificates, and gRPC keeps one for as long as its channel lives: neither can be wiped from here.
///
/// `@unchecked Sendable`: nothing is written between `init` and `deinit`.
final class TLSMaterial: @unchecked Sendable {
    let ca: [UInt8]?
    let certificate: [UInt8]?
    private(set) var key: [UInt8]?
    /// The authorities of ``ca``, to explain a refused server certificate with.
    let authorities: [Certificate]
    let serverName: String?

    /// - Parameter isForServer: whether a server is going to be talked to, for which there must be authorities.
    /// - Throws: ``TLSFileError``, or ``SystemCallError`` for a file that can't be read.
    init(_ files: TLSFiles, isForServer: Bool = false, now: Date = Date()) throws {
        serverName = files.serverName
        if let path = files.caPath {
            let bytes = try contents(of: path)
            authorities = try validAuthorities(in: bytes, path: path, now: now)
            ca = bytes + [0]
        } else {
            authorities = []
            ca = isForServer ? try systemAuthorities() + [0] : nil
        }
        switch (files.certificatePath, files.keyPath) {
        case (let certificatePath?, let keyPath?):
            let bytes = try contents(of: certificatePath)
            let leaf = try validClientCertificate(in: bytes, path: certificatePath, now: now)
            var keyBytes = try contents(of: keyPath)
            defer { wipe(&keyBytes) }
            guard try publicKey(ofKeyIn: keyBytes, path: keyPath) == leaf.publicKey else {
                throw TLSFileError.keyMismatch(certificatePath: certificatePath, keyPath: keyPath)
            }
            certificate = bytes + [0]
            key = keyBytes + [0]
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

private func contents(of path: String) throws -> [UInt8] {
    let file = try RandomAccessFile(path: path)
    guard file.byteCount <= maxFileByteCount else {
        throw TLSFileError.tooLarge(path: path, byteCount: file.byteCount)
    }
    return try file.bytes(at: 0, count: file.byteCount)
}

private func documents(in bytes: [UInt8], path: String, kind: String) throws -> [PEMDocument] {
    // PEM's own text is ASCII; a byte that isn't can only stand around the blocks or make one malformed.
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.contains("-----BEGIN ") else { throw TLSFileError.nothingFound(path: path, kind: kind) }
    do {
        return try PEMDocument.parseMultiple(pemString: text)
    } catch {
        throw TLSFileError.malformed(path: path, kind: kind, why: "a PEM block is damaged")
    }
}

private func certificates(in bytes: [UInt8], path: String) throws -> [Certificate] {
    let blocks = try documents(in: bytes, path: path, kind: "certificate").filter { $0.discriminator == "CERTIFICATE" }
    guard !blocks.isEmpty else { throw TLSFileError.nothingFound(path: path, kind: "certificate") }
    do {
        return try blocks.map { try Certificate(pemDocument: $0) }
    } catch {
        throw TLSFileError.malformed(path: path, kind: "certificate", why: "\(error)")
    }
}

/// The authorities, of which at least one has to be valid now.
private func validAuthorities(in bytes: [UInt8], path: String, now: Date) throws -> [Certificate] {
    let all = try certificates(in: bytes, path: path)
    let problems = all.map { problemWithTime(of: $0, path: path, now: now) }
    if let first = problems.first, let problem = first, !problems.contains(where: { $0 == nil }) { throw problem }
    return all
}

private func validClientCertificate(in bytes: [UInt8], path: String, now: Date) throws -> Certificate {
    let leaf = try certificates(in: bytes, path: path)[0]
    if let problem = problemWithTime(of: leaf, path: path, now: now) { throw problem }
    let usage: ExtendedKeyUsage?
    do {
        usage = try leaf.extensions.extendedKeyUsage
    } catch {
        throw TLSFileError.malformed(path: path, kind: "certificate", why: "\(error)")
    }
    if let usage, !usage.contains(.clientAuth), !usage.contains(.any) {
        throw TLSFileError.notForClients(path: path, subject: leaf.subject.description)
    }
    return leaf
}

private func problemWithTime(of certificate: Certificate, path: String, now: Date) -> TLSFileError? {
    let subject = certificate.subject.description
    if now > certificate.notValidAfter {
        return .expired(path: path, subject: subject, notAfter: certificate.notValidAfter)
    }
    if now < certificate.notValidBefore {
        return .notYetValid(path: path, subject: subject, notBefore: certificate.notValidBefore)
    }
    return nil
}

private func publicKey(ofKeyIn bytes: [UInt8], path: String) throws -> Certificate.PublicKey {
    let blocks = try documents(in: bytes, path: path, kind: "private key")
    // `openssl ecparam -genkey` writes EC PARAMETERS first.
    guard let block = blocks.first(where: { $0.discriminator.hasSuffix("PRIVATE KEY") }) else {
        throw TLSFileError.nothingFound(path: path, kind: "private key")
    }
    if block.discriminator == "ENCRYPTED PRIVATE KEY" { throw TLSFileError.encryptedKey(path: path) }
    do {
        return try Certificate.PrivateKey(pemDocument: block).publicKey
    } catch {
        // The parser's own words might quote the key.
        throw TLSFileError.malformed(path: path, kind: "private key", why: "it is of an unknown kind or damaged")
    }
}
