import Crypto
import CryptoExtras
import FoundationEssentials
import HostIO
import SwiftASN1
import X509

/// An authority of the cluster with its key, which makes certificates as kubeadm does.
public struct CertificateAuthority: Sendable {
    /// Its certificate.
    public let certificate: ParsedCertificate
    private let signer: Certificate.PrivateKey
    private let signatureAlgorithm: Certificate.SignatureAlgorithm

    /// An authority from its files.
    ///
    /// - Parameters:
    ///   - certificatePEM: the certificate; if there are more, the first one counts, as with kubeadm.
    ///   - keyPEM: the key, in any form that Kubernetes reads.
    ///   - path: where the certificate is, for messages.
    /// - Throws: ``Failure`` if one can't be read, they do not belong together or the key is too weak.
    public init(certificatePEM: [UInt8], keyPEM: SecretBytes, path: String) throws(Failure) {
        certificate = try Self.certificate(inPEM: certificatePEM, path: path)
        if let weakness = certificate.record.publicKey.weakness {
            throw AuthorityProblem.weakKey(weakness).failure(path)
        }
        signer = try Self.signer(keyPEM, for: certificate)
        signatureAlgorithm = Self.signatureAlgorithm(for: certificate.record.publicKey)
    }

    /// The certificate of an authority whose key is kept elsewhere.
    ///
    /// - Throws: ``Failure`` if it can't be read.
    public static func certificate(inPEM bytes: [UInt8], path: String) throws(Failure) -> ParsedCertificate {
        guard let block = PEMFile(bytes).blocks.first(where: \.isCertificate),
            let certificate = try? ParsedCertificate(block.content, path: path, index: 0)
        else { throw Failure(.integrity, "\(quoted(path)) holds no certificate that can be read") }
        return certificate
    }

    /// Makes a certificate and its key.
    ///
    /// - Parameter now: the time of making; validity begins five minutes before, but not before the authority's.
    /// - Throws: ``Failure`` if the authority can't sign at this time, or the profile holds what no certificate can.
    public func issue(_ profile: CertificateProfile, now: Date) throws(Failure) -> IssuedCertificate {
        try issue(profile, key: try LeafKey(profile.keyAlgorithm), now: now)
    }

    /// The same for a key that exists.
    func issue(_ profile: CertificateProfile, key: LeafKey, now: Date) throws(Failure) -> IssuedCertificate {
        if let problem = certificate.problemsAsAuthority(at: now).first {
            throw problem.failure(certificate.record.path)
        }
        guard profile.lifetimeSeconds > 0 else {
            throw Failure(.usage, "a certificate can't be valid for \(profile.lifetimeSeconds) seconds")
        }
        let start = Date(timeIntervalSince1970: now.timeIntervalSince1970.rounded(.down))
        let notBefore = max(start - Double(CertificateProfile.backdatingSeconds), certificate.record.notBefore)
        let notAfter = min(start + Double(profile.lifetimeSeconds), certificate.record.notAfter)
        do {
            let signed = try Certificate(
                version: .v3, serialNumber: Self.serialNumber(), publicKey: key.signer.publicKey,
                notValidBefore: notBefore, notValidAfter: notAfter,
                issuer: DistinguishedName(derEncoded: DER.parse(certificate.subject)), subject: profile.subject,
                signatureAlgorithm: signatureAlgorithm, extensions: extensions(of: profile), issuerPrivateKey: signer)
            var coder = DER.Serializer()
            try coder.serialize(signed)
            return IssuedCertificate(
                der: try checked(coder.serializedBytes), key: key, notBefore: notBefore, notAfter: notAfter)
        } catch {
            throw Failure(
                .failed, "no certificate for \(quoted(String(describing: profile.subject))) can be made", cause: error)
        }
    }

    /// The extensions in kubeadm's order, with its criticality.
    private func extensions(of profile: CertificateProfile) throws -> Certificate.Extensions {
        var parts: [Certificate.Extension] = []
        if let usage = profile.keyUsage { parts.append(try Certificate.Extension(usage, critical: true)) }
        if !profile.extendedKeyUsages.isEmpty {
            parts.append(try Certificate.Extension(ExtendedKeyUsage(profile.extendedKeyUsages), critical: false))
        }
        parts.append(try Certificate.Extension(BasicConstraints.notCertificateAuthority, critical: true))
        if let identifier = try certificate.value(
            .X509ExtensionID.subjectKeyIdentifier, { try SubjectKeyIdentifier($0) })
        {
            let own = AuthorityKeyIdentifier(keyIdentifier: identifier.keyIdentifier)
            parts.append(try Certificate.Extension(own, critical: false))
        }
        if !profile.names.isEmpty {
            // RFC 5280, section 4.2.1.6: with an empty subject the names are all that there is.
            parts.append(
                try Certificate.Extension(profile.names.generalNames, critical: profile.subject.isEmpty))
        }
        return try Certificate.Extensions(parts)
    }

    /// Reads the certificate back: a signature that was disturbed tells about the key, and must not leave this host.
    private func checked(_ der: [UInt8]) throws -> [UInt8] {
        let made = try ParsedCertificate(der, path: "", index: 0)
        guard made.issuer == certificate.subject, made.isSigned(by: certificate) == true else {
            throw Failure(.integrity, "the new certificate does not chain to its authority")
        }
        return der
    }

    /// A random number in [1, 2^63), as kubeadm takes.
    private static func serialNumber() -> Certificate.SerialNumber {
        let number = UInt64.random(in: 1..<1 << 63)
        return Certificate.SerialNumber(bytes: withUnsafeBytes(of: number.bigEndian) { Array($0) })
    }

    /// The signature of a key as Go's `crypto/x509` chooses it.
    private static func signatureAlgorithm(for key: PublicKey) -> Certificate.SignatureAlgorithm {
        switch (key.algorithm, key.curve) {
        case ("ECDSA", "P-384"): .ecdsaWithSHA384
        case ("ECDSA", "P-521"): .ecdsaWithSHA512
        case ("ECDSA", _): .ecdsaWithSHA256
        case ("Ed25519", _): .ed25519
        default: .sha256WithRSAEncryption
        }
    }

    private static func signer(
        _ pem: SecretBytes, for certificate: ParsedCertificate
    ) throws(Failure) -> Certificate.PrivateKey {
        var file = pem.withBytes { PEMFile(copy $0) }
        defer { file.wipe() }
        let path = quoted(certificate.record.path)
        guard let block = file.blocks.first(where: \.isPrivateKey) else {
            throw Failure(.untrusted, "there is no private key for the authority in \(path)")
        }
        let (key, label): (PublicKey, String)
        do throws(PrivateKeyReader.Problem) {
            (key, label) = try PrivateKeyReader.publicKeyAndLabel(of: block)
        } catch {
            throw Failure(.untrusted, "the private key of the authority in \(path) \(error.clause)")
        }
        guard key.digest == certificate.record.publicKey.digest else {
            throw Failure(
                .untrusted, "the private key is not that of the authority in \(path)",
                hint: "take certificate and key out of one backup")
        }
        do {
            switch label {
            case "RSA PRIVATE KEY":
                return Certificate.PrivateKey(
                    try _RSA.Signing.PrivateKey(unsafeDERRepresentation: block.content))
            case "PRIVATE KEY": return try Certificate.PrivateKey(derBytes: block.content)
            default:
                return try Certificate.PrivateKey(pemDocument: PEMDocument(type: label, derBytes: block.content))
            }
        } catch {
            // The error may tell about the key.
            throw Failure(
                .untrusted, "the private key of the authority in \(path) is of a kind that nothing is signed with here")
        }
    }
}

extension PrivateKeyReader.Problem {
    /// What is wrong, as a clause about the key.
    fileprivate var clause: String {
        switch self {
        case .encrypted: "is encrypted with a passphrase"
        case .inconsistent: "has parts that do not belong together"
        case .unreadable(let reason): "can't be read: \(reason)"
        }
    }
}
