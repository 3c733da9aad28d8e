import HostIO
import SwiftASN1
import X509

/// A certificate signing request (RFC 2986) for an authority whose key is elsewhere, with the new key.
///
/// As kubeadm's, it asks for subject and names only: what the key and the certificate are for, and for how long, its
/// signer has to be told, which ``tableLine(file:authority:)`` is for.
public struct SigningRequest: Sendable {
    /// The request in DER.
    public let der: [UInt8]
    /// The key.
    public let key: LeafKey
    /// What the certificate is to have.
    public let profile: CertificateProfile

    /// Makes a key and a request.
    ///
    /// - Throws: ``Failure`` if the profile holds what no request can.
    public init(_ profile: CertificateProfile) throws(Failure) {
        try self.init(profile, key: try LeafKey(profile.keyAlgorithm))
    }

    /// The same for a key that exists.
    init(_ profile: CertificateProfile, key: LeafKey) throws(Failure) {
        self.profile = profile
        self.key = key
        do {
            var attributes: [CertificateSigningRequest.Attribute] = []
            if !profile.names.isEmpty {
                let names = try Certificate.Extension(profile.names.generalNames, critical: profile.subject.isEmpty)
                attributes.append(
                    try CertificateSigningRequest.Attribute(
                        ExtensionRequest(extensions: Certificate.Extensions([names]))))
            }
            let request = try CertificateSigningRequest(
                version: .v1, subject: profile.subject, privateKey: key.signer,
                attributes: CertificateSigningRequest.Attributes(attributes),
                signatureAlgorithm: Self.signatureAlgorithm(for: profile.keyAlgorithm))
            var coder = DER.Serializer()
            try coder.serialize(request)
            der = coder.serializedBytes
        } catch {
            throw Failure(
                .failed, "no request for \(quoted(String(describing: profile.subject))) can be made", cause: error)
        }
    }

    /// The request as a PEM file.
    public var pem: [UInt8] { PEMFile.encode(PEMFile.Block(label: "CERTIFICATE REQUEST", content: der)) }

    /// The heads of the columns of ``tableLine(file:authority:)``, with tabs between them.
    public static let tableHead = "file\tauthority\tkey usage (critical)\textended key usage\tdays"

    /// What the signer has to know about this request, with tabs between the columns.
    ///
    /// - Parameters:
    ///   - file: the name of the request's file.
    ///   - authority: who is to sign it.
    public func tableLine(file: String, authority: KubeadmCertificate.Authority) -> String {
        let days = (profile.lifetimeSeconds + 86_399) / 86_400
        return [printable(file), authority.rawValue, profile.keyUsageText, profile.extendedKeyUsageText, "\(days)"]
            .joined(separator: "\t")
    }

    private static func signatureAlgorithm(for key: LeafKeyAlgorithm) -> Certificate.SignatureAlgorithm {
        switch key {
        case .rsa2048, .rsa3072, .rsa4096: .sha256WithRSAEncryption
        case .p256: .ecdsaWithSHA256
        case .p384: .ecdsaWithSHA384
        }
    }
}
