import FoundationEssentials

/// A certificate of the node, for people and for the manifest.
public struct CertificateRecord: Codable, Sendable, Equatable {
    /// The subject as RFC 4514 writes it, such as `CN=kube-apiserver`.
    public var subject: String
    /// The issuer likewise.
    public var issuer: String
    /// The serial number in hexadecimal.
    public var serial: String
    /// DNS names of the subject.
    public var dnsNames: [String]
    /// IP addresses of the subject.
    public var ipAddresses: [String]
    /// URIs of the subject.
    public var uris: [String]
    /// E-mail addresses of the subject.
    public var emailAddresses: [String]
    /// The subject's key.
    public var publicKey: PublicKey
    /// The algorithm of the signature as its specification calls it, such as `sha256WithRSAEncryption`.
    public var signatureAlgorithm: String
    /// When validity begins.
    public var notBefore: Date
    /// When it ends.
    public var notAfter: Date
    /// Whether it is a CA's.
    public var isCA: Bool
    /// Key usages and extended key usages, such as `digitalSignature`, `serverAuth`.
    public var uses: [String]
    /// Object identifiers of extensions that can't be decoded.
    public var unreadableExtensions: [String]
    /// SHA-256 of the certificate in hexadecimal.
    public var fingerprint: String
    /// The file.
    public var path: String
    /// Which certificate of the file it is, the first being 0.
    public var index: Int
    /// The cluster or the user of a kubeconfig that embeds it, such as `user "admin"`.
    public var embeddedIn: String?
    /// What names the file: flags, layouts, hostPaths.
    public var referencedBy: [String]

    /// Whether a server may take it for a client's: without extended key usages it is for anything (RFC 5280, 4.2.1.12).
    public var mayAuthenticateClients: Bool { isFor("clientAuth") }

    /// The extended key usages; without any it is for anything.
    public var extendedUses: [String] { uses.filter { !Self.plainUses.contains($0) } }

    /// The key usages that are not extended.
    public var keyUses: [String] { uses.filter(Self.plainUses.contains) }

    /// Whether its extended key usages allow one, such as `serverAuth`.
    public func isFor(_ use: String) -> Bool {
        let extended = extendedUses
        return extended.isEmpty || extended.contains(use) || extended.contains("anyKeyUsage")
    }

    /// The common name of the subject, the first if there are several.
    public var commonName: String? { subjectValues("CN").first }

    /// The values that the subject has for an attribute, such as `O` for the groups of a client, in the order of ``subject``.
    public func subjectValues(_ attribute: String) -> [String] {
        var parts: [String] = [""]
        var isEscaped = false
        for character in subject {
            if isEscaped {
                parts[parts.count - 1].append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "," || character == "+" {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        return parts.filter { $0.hasPrefix(attribute + "=") }.map { String($0.dropFirst(attribute.count + 1)) }
    }

    /// Key usages (RFC 5280, 4.2.1.3), which stand beside extended ones in ``uses``.
    private static let plainUses: Set<String> = [
        "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign",
        "cRLSign",
    ]

    /// Whole days from `now` until the certificate expires, negative when it has.
    public func daysLeft(at now: Date) -> Int {
        Int((notAfter.timeIntervalSince(now) / 86_400).rounded(.down))
    }
}
