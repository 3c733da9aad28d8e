import FoundationEssentials
import HostIO
import SwiftASN1
import X509

/// What a certificate for a server or a client is to have, apart from its key and the time of its making.
public struct CertificateProfile: Sendable, Hashable {
    /// The subject.
    public var subject: DistinguishedName
    /// The kind of its key.
    public var keyAlgorithm: LeafKeyAlgorithm
    /// What the key is for, nil for a certificate that does not say.
    public var keyUsage: KeyUsage?
    /// What the certificate is for in TLS, none for a certificate that does not say.
    public var extendedKeyUsages: [ExtendedKeyUsage.Usage]
    /// The subject alternative names.
    public var names: AlternativeNames
    /// The seconds from the making to the end of its validity.
    public var lifetimeSeconds: Int

    /// By how much validity begins before the making, for the sake of clocks that are behind: kubeadm's five minutes.
    public static let backdatingSeconds = 300

    /// What kubeadm lets every certificate's key be used for.
    public static let kubeadmKeyUsage = KeyUsage(digitalSignature: true, keyEncipherment: true)

    /// A profile from its parts.
    public init(
        subject: DistinguishedName, keyAlgorithm: LeafKeyAlgorithm,
        keyUsage: KeyUsage? = CertificateProfile.kubeadmKeyUsage, extendedKeyUsages: [ExtendedKeyUsage.Usage],
        names: AlternativeNames = AlternativeNames(), lifetimeSeconds: Int
    ) {
        self.subject = subject
        self.keyAlgorithm = keyAlgorithm
        self.keyUsage = keyUsage
        self.extendedKeyUsages = extendedKeyUsages
        self.names = names
        self.lifetimeSeconds = lifetimeSeconds
    }

    /// What a certificate has.
    ///
    /// - Throws: ``Failure`` if it is an authority's, or has an extension that can't be decoded among those that a profile
    ///   speaks of.
    public init(of certificate: ParsedCertificate) throws(Failure) {
        let path = quoted(certificate.record.path)
        guard !certificate.record.isCA else {
            throw Failure(.failed, "the certificate in \(path) is an authority's, which is never made anew here")
        }
        do {
            subject = try DistinguishedName(derEncoded: DER.parse(certificate.subject))
            keyUsage = try certificate.value(.X509ExtensionID.keyUsage) { try KeyUsage($0) }
            extendedKeyUsages =
                try certificate.value(.X509ExtensionID.extendedKeyUsage) { Array(try ExtendedKeyUsage($0)) } ?? []
            names =
                try certificate.value(.X509ExtensionID.subjectAlternativeName) {
                    try AlternativeNames(SubjectAlternativeNames($0))
                } ?? AlternativeNames()
        } catch {
            throw Failure(.failed, "the certificate in \(path) can't be taken as a model", cause: error)
        }
        keyAlgorithm = LeafKeyAlgorithm(nearest: certificate.record.publicKey)
        lifetimeSeconds = Self.lifetime(of: certificate.record)
    }

    /// The time from the making to the end, which is all of the validity but what it was backdated by.
    private static func lifetime(of record: CertificateRecord) -> Int {
        let seconds = Int(record.notAfter.timeIntervalSince(record.notBefore))
        return seconds > backdatingSeconds ? seconds - backdatingSeconds : seconds
    }

    /// What a CSR's signer has to be told of the uses of the key, such as `digitalSignature, keyEncipherment`.
    public var keyUsageText: String { keyUsage.map(String.init(describing:)) ?? "" }

    /// The same of extended key usages, such as `serverAuth`.
    public var extendedKeyUsageText: String {
        extendedKeyUsages.map(String.init(describing:)).joined(separator: ", ")
    }
}

extension ParsedCertificate {
    /// What an extension says, nil if the certificate has none of that kind.
    func value<Value>(
        _ identifier: ASN1ObjectIdentifier, _ decode: (Certificate.Extension) throws -> Value
    ) rethrows -> Value? {
        try extensions.first { $0.oid == identifier }.map(decode)
    }
}

extension DistinguishedName {
    /// A name with organisations and a common name, each in a set of its own and as a `PrintableString` where it can be,
    /// as Go's `crypto/x509/pkix` writes it.
    static func kubeadm(organizations: [String], commonName: String) -> DistinguishedName {
        let parts =
            organizations.map { (ASN1ObjectIdentifier.RDNAttributeType.organizationName, $0) }
            + [(.RDNAttributeType.commonName, commonName)]
        return DistinguishedName(parts.map { RelativeDistinguishedName(attribute($0, $1)) })
    }

    /// The common name, the first if there are several.
    var commonName: String? {
        lazy.flatMap { $0 }.first { $0.type == .RDNAttributeType.commonName }.flatMap { String($0.value) }
    }

    /// The same name with another common name.
    func replacingCommonName(_ old: String, by new: String) -> DistinguishedName {
        DistinguishedName(
            map { part in
                RelativeDistinguishedName(
                    part.map { attribute in
                        let isMeant = attribute.type == .RDNAttributeType.commonName && String(attribute.value) == old
                        return isMeant ? Self.attribute(attribute.type, new) : attribute
                    })
            })
    }

    private static func attribute(
        _ type: ASN1ObjectIdentifier, _ text: String
    ) -> RelativeDistinguishedName.Attribute {
        (try? RelativeDistinguishedName.Attribute(type: type, printableString: text))
            ?? RelativeDistinguishedName.Attribute(type: type, utf8String: text)
    }
}
