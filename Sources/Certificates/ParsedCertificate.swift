import Crypto
import FoundationEssentials
import HostIO
import SwiftASN1
import X509

/// A certificate with what chains are checked by.
///
/// swift-certificates refuses a certificate whose key it can't use, such as RSA-1024, DSA or P-192. An inventory has to
/// show exactly those, so the outer structure is read here (RFC 5280, section 4.1), and swift-certificates reads names
/// and extensions and checks signatures.
public struct ParsedCertificate: Sendable {
    /// What it says.
    public var record: CertificateRecord
    /// The subject's name in DER.
    public let subject: ArraySlice<UInt8>
    /// The issuer's name in DER.
    public let issuer: ArraySlice<UInt8>
    /// Whether subject and issuer have one name.
    public let isSelfIssued: Bool
    /// Every extension, whether it can be decoded or not.
    let extensions: [Certificate.Extension]
    private let signed: ArraySlice<UInt8>
    private let signature: ArraySlice<UInt8>
    private let subjectPublicKeyInfo: ArraySlice<UInt8>

    /// Reads a certificate in DER.
    ///
    /// - Throws: errors of SwiftASN1 and swift-certificates.
    public init(_ bytes: [UInt8], path: String, index: Int, embeddedIn: String? = nil) throws {
        let outer = try Outer(bytes)
        let inner = try Inner(outer.signed)
        subject = inner.subject.encodedBytes
        issuer = inner.issuer.encodedBytes
        isSelfIssued = subject == issuer
        signed = outer.signed.encodedBytes
        signature = outer.signature
        subjectPublicKeyInfo = inner.subjectPublicKeyInfo.encodedBytes
        extensions =
            try inner.extensions.map {
                try DER.sequence(of: Certificate.Extension.self, identifier: .sequence, rootNode: $0)
            } ?? []
        let known = KnownExtensions(extensions)
        record = CertificateRecord(
            subject: try Self.text(inner.subject), issuer: try Self.text(inner.issuer),
            serial: inner.serial.drop { $0 == 0 }.hexadecimal, dnsNames: known.dnsNames,
            ipAddresses: known.ipAddresses, uris: known.uris, emailAddresses: known.emailAddresses,
            publicKey: try PublicKey(subjectPublicKeyInfo: subjectPublicKeyInfo),
            signatureAlgorithm: SignatureName.names[outer.algorithm] ?? outer.algorithm,
            notBefore: inner.notBefore, notAfter: inner.notAfter, isCA: known.isCA, uses: known.uses,
            unreadableExtensions: known.unreadable, fingerprint: SHA256.hash(data: bytes).hexadecimal, path: path,
            index: index, embeddedIn: embeddedIn, referencedBy: [])
    }

    /// Whether this certificate was signed by the key of `authority`; nil if the algorithm is not one that is checked.
    public func isSigned(by authority: ParsedCertificate) -> Bool? {
        guard let algorithm = SignatureName.checked[record.signatureAlgorithm],
            let key = try? Certificate.PublicKey(derEncoded: authority.subjectPublicKeyInfo)
        else { return nil }
        return key.isValidSignature(signature, for: signed, signatureAlgorithm: algorithm)
    }

    /// A name as RFC 4514 writes it, without control characters.
    private static func text(_ node: ASN1Node) throws -> String {
        shown(String(describing: try DistinguishedName(derEncoded: node)))
    }
}

/// Text out of a certificate, in quotes and escaped if a terminal would obey something in it.
private func shown(_ text: String) -> String { printable(text) == text ? text : quoted(text) }

/// The fields of `Certificate`: what is signed, the algorithm, the signature.
private struct Outer {
    let signed: ASN1Node
    let algorithm: String
    let signature: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) throws {
        (signed, algorithm, signature) = try DER.sequence(try DER.parse(bytes), identifier: .sequence) { nodes in
            guard let signed = nodes.next() else { throw ASN1Error.invalidASN1Object(reason: "no certificate") }
            return (signed, try AlgorithmNode(&nodes).oid, try ASN1BitString(derEncoded: &nodes).bytes)
        }
    }
}

/// The fields of `TBSCertificate`.
private struct Inner {
    let serial: ArraySlice<UInt8>
    let issuer: ASN1Node
    let notBefore: Date
    let notAfter: Date
    let subject: ASN1Node
    let subjectPublicKeyInfo: ASN1Node
    let extensions: ASN1Node?

    init(_ node: ASN1Node) throws {
        self = try DER.sequence(node, identifier: .sequence) { try Self(fields: &$0) }
    }

    private init(fields nodes: inout ASN1NodeCollection.Iterator) throws {
        _ = try DER.optionalExplicitlyTagged(&nodes, tagNumber: 0, tagClass: .contextSpecific) { $0 }
        serial = try DERFields.content(try Self.next(&nodes))
        _ = try AlgorithmNode(&nodes)
        issuer = try Self.next(&nodes)
        (notBefore, notAfter) = try DER.sequence(try Self.next(&nodes), identifier: .sequence) { times in
            (try Self.date(try Self.next(&times)), try Self.date(try Self.next(&times)))
        }
        subject = try Self.next(&nodes)
        subjectPublicKeyInfo = try Self.next(&nodes)
        var last: ASN1Node?
        let tag = ASN1Identifier(tagWithNumber: 3, tagClass: .contextSpecific)
        while let node = nodes.next() {
            if node.identifier == tag {
                last = try DER.explicitlyTagged(node, tagNumber: 3, tagClass: .contextSpecific) { $0 }
            }
        }
        extensions = last
    }

    private static func next(_ nodes: inout ASN1NodeCollection.Iterator) throws -> ASN1Node {
        guard let node = nodes.next() else { throw ASN1Error.invalidASN1Object(reason: "a field is missing") }
        return node
    }

    private static func date(_ node: ASN1Node) throws -> Date {
        if node.identifier == .utcTime {
            let time = try UTCTime(derEncoded: node)
            return date(time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
        }
        let time = try GeneralizedTime(derEncoded: node)
        return date(time.year, time.month, time.day, time.hours, time.minutes, time.seconds)
    }

    /// Days since 1970 in the proleptic Gregorian calendar, counted from 1 March so that leap days come last.
    private static func date(_ year: Int, _ month: Int, _ day: Int, _ hour: Int, _ minute: Int, _ second: Int) -> Date {
        let shiftedYear = month > 2 ? year : year - 1
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let days = 365 * shiftedYear + shiftedYear / 4 - shiftedYear / 100 + shiftedYear / 400 + dayOfYear - 719_468
        return Date(timeIntervalSince1970: Double(days * 86_400 + hour * 3600 + minute * 60 + second))
    }
}

/// The extensions that the analysis needs (RFC 5280, section 4.2.1).
private struct KnownExtensions {
    var dnsNames: [String] = []
    var ipAddresses: [String] = []
    var uris: [String] = []
    var emailAddresses: [String] = []
    var isCA = false
    var uses: [String] = []
    var unreadable: [String] = []

    init(_ extensions: [Certificate.Extension]) {
        for part in extensions {
            do {
                try add(part)
            } catch {
                unreadable.append(String(describing: part.oid))
            }
        }
    }

    private mutating func add(_ part: Certificate.Extension) throws {
        switch part.oid {
        case .X509ExtensionID.subjectAlternativeName: add(try SubjectAlternativeNames(part))
        case .X509ExtensionID.basicConstraints:
            if case .isCertificateAuthority = try BasicConstraints(part) { isCA = true }
        case .X509ExtensionID.keyUsage: uses = Self.names(of: try KeyUsage(part)) + uses
        case .X509ExtensionID.extendedKeyUsage: uses += try ExtendedKeyUsage(part).map { String(describing: $0) }
        default: break
        }
    }

    private mutating func add(_ names: SubjectAlternativeNames) {
        for name in names {
            switch name {
            case .dnsName(let text): dnsNames.append(shown(text))
            case .uniformResourceIdentifier(let text): uris.append(shown(text))
            case .rfc822Name(let text): emailAddresses.append(shown(text))
            case .ipAddress(let address): ipAddresses.append(IPAddress(bytes: address.bytes)?.text ?? "invalid")
            default: break
            }
        }
    }

    private static func names(of usage: KeyUsage) -> [String] {
        [
            usage.digitalSignature ? "digitalSignature" : nil, usage.nonRepudiation ? "nonRepudiation" : nil,
            usage.keyEncipherment ? "keyEncipherment" : nil, usage.dataEncipherment ? "dataEncipherment" : nil,
            usage.keyAgreement ? "keyAgreement" : nil, usage.keyCertSign ? "keyCertSign" : nil,
            usage.cRLSign ? "cRLSign" : nil,
        ].compactMap(\.self)
    }
}

/// Signature algorithms by object identifier (RFC 3279, 4055, 5758, 8410).
public enum SignatureName {
    static let names = [
        "1.2.840.113549.1.1.2": "md2WithRSAEncryption", "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5": "sha1WithRSAEncryption", "1.3.14.3.2.29": "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10": "RSASSA-PSS", "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12": "sha384WithRSAEncryption", "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14": "sha224WithRSAEncryption", "1.2.840.10045.4.1": "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1": "ecdsa-with-SHA224", "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3": "ecdsa-with-SHA384", "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
        "1.2.840.10040.4.3": "dsa-with-sha1", "2.16.840.1.101.3.4.3.2": "dsa-with-sha256",
        "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
    ]

    /// Those that swift-certificates checks.
    static let checked: [String: Certificate.SignatureAlgorithm] = [
        "sha1WithRSAEncryption": .sha1WithRSAEncryption, "sha256WithRSAEncryption": .sha256WithRSAEncryption,
        "sha384WithRSAEncryption": .sha384WithRSAEncryption, "sha512WithRSAEncryption": .sha512WithRSAEncryption,
        "ecdsa-with-SHA256": .ecdsaWithSHA256, "ecdsa-with-SHA384": .ecdsaWithSHA384,
        "ecdsa-with-SHA512": .ecdsaWithSHA512, "Ed25519": .ed25519,
    ]

    /// Whether the digest or the algorithm is broken or refused by Go's `crypto/x509`.
    public static func isWeak(_ name: String) -> Bool {
        name.hasPrefix("md") || name.hasPrefix("dsa") || name.lowercased().contains("sha1")
    }
}
