import Crypto
import HostIO
import SwiftASN1

/// What kind of key a certificate or a private key has, and a digest by which the two are matched.
public struct PublicKey: Codable, Sendable, Hashable {
    /// The algorithm: `RSA`, `ECDSA`, `Ed25519`, `DSA`, or the dotted object identifier of another.
    public var algorithm: String
    /// The size of an RSA or DSA modulus or of a curve's field in bits, 0 if it is not known.
    public var bitCount: Int
    /// The curve of an ECDSA key, such as `P-256`, or its dotted object identifier.
    public var curve: String?
    /// SHA-256 of the `SubjectPublicKeyInfo` in hexadecimal.
    public var digest: String

    /// Why no component of Kubernetes should use this key, nil if nothing speaks against it.
    ///
    /// 2048 bits are NIST SP 800-131A's minimum for RSA; the curves are those that Go's `crypto/x509` and TLS have.
    public var weakness: String? {
        switch algorithm {
        case "RSA", "RSA-PSS": bitCount < 2048 ? "an RSA key of \(bitCount) bits, less than 2048" : nil
        case "ECDSA":
            ["P-256", "P-384", "P-521"].contains(curve ?? "") ? nil : "an ECDSA key on \(curve ?? "an unknown curve")"
        case "Ed25519": nil
        default: "a key of the algorithm \(algorithm)"
        }
    }
}

extension PublicKey {
    /// The facts of an encoded `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    ///
    /// - Throws: errors of SwiftASN1.
    public init(subjectPublicKeyInfo bytes: ArraySlice<UInt8>) throws {
        let node = try DER.parse(bytes)
        (algorithm, bitCount, curve) = try DER.sequence(node, identifier: .sequence) { nodes in
            let identifier = try AlgorithmNode(&nodes)
            let key = try ASN1BitString(derEncoded: &nodes)
            return try Self.parameters(identifier, key.bytes)
        }
        digest = SHA256.hash(data: bytes).hexadecimal
    }

    /// The facts of an RSA public key without its `SubjectPublicKeyInfo` (RFC 8017, appendix A.1.1).
    ///
    /// - Throws: errors of SwiftASN1.
    init(pkcs1 bytes: [UInt8]) throws {
        var coder = DER.Serializer()
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(ASN1ObjectIdentifier.AlgorithmIdentifier.rsaEncryption)
                try coder.serialize(ASN1Null())
            }
            try coder.serialize(ASN1BitString(bytes: bytes[...]))
        }
        try self.init(subjectPublicKeyInfo: coder.serializedBytes[...])
    }

    private static func parameters(
        _ identifier: AlgorithmNode, _ key: ArraySlice<UInt8>
    ) throws -> (String, Int, String?) {
        let name = KeyAlgorithm.names[identifier.oid] ?? identifier.oid
        switch name {
        case "RSA", "RSA-PSS":
            return (name, bitCount(try DERFields.integers(DER.parse(key)).first ?? []), nil)
        case "DSA":
            let prime = try identifier.parameters.map { try DERFields.integers($0).first ?? [] }
            return (name, bitCount(prime ?? []), nil)
        case "ECDSA":
            let oid = try identifier.parameters.map { String(describing: try ASN1ObjectIdentifier(derEncoded: $0)) }
            let curve = EllipticCurve.all.first { $0.oid == oid }
            return (name, curve?.bitCount ?? 0, curve?.name ?? oid)
        case "Ed25519": return (name, 256, nil)
        default: return (name, key.count * 8, nil)
        }
    }

    /// The number of bits of a big-endian integer.
    private static func bitCount(_ integer: ArraySlice<UInt8>) -> Int {
        let digits = integer.drop { $0 == 0 }
        return digits.count * 8 - (digits.first?.leadingZeroBitCount ?? 0)
    }
}

/// Names of public key algorithms by object identifier (RFC 3279, RFC 8410).
enum KeyAlgorithm {
    static let rsa = "1.2.840.113549.1.1.1"
    static let ecdsa = "1.2.840.10045.2.1"
    static let ed25519 = "1.3.101.112"
    static let names = [
        rsa: "RSA", ecdsa: "ECDSA", ed25519: "Ed25519",
        "1.2.840.113549.1.1.10": "RSA-PSS", "1.2.840.10040.4.1": "DSA", "1.3.101.113": "Ed448",
    ]
}

/// A named curve (SEC 2, appendix A.2; RFC 5639 for Brainpool).
struct EllipticCurve {
    let name: String
    let oid: String
    let bitCount: Int

    static let all = [
        Self(name: "P-192", oid: "1.2.840.10045.3.1.1", bitCount: 192),
        Self(name: "P-224", oid: "1.3.132.0.33", bitCount: 224),
        Self(name: "P-256", oid: "1.2.840.10045.3.1.7", bitCount: 256),
        Self(name: "P-384", oid: "1.3.132.0.34", bitCount: 384),
        Self(name: "P-521", oid: "1.3.132.0.35", bitCount: 521),
        Self(name: "secp256k1", oid: "1.3.132.0.10", bitCount: 256),
        Self(name: "brainpoolP256r1", oid: "1.3.36.3.3.2.8.1.1.7", bitCount: 256),
        Self(name: "brainpoolP384r1", oid: "1.3.36.3.3.2.8.1.1.11", bitCount: 384),
        Self(name: "brainpoolP512r1", oid: "1.3.36.3.3.2.8.1.1.13", bitCount: 512),
    ]
}

/// An `AlgorithmIdentifier` (RFC 5280, section 4.1.1.2).
struct AlgorithmNode {
    let oid: String
    let parameters: ASN1Node?

    init(_ nodes: inout ASN1NodeCollection.Iterator) throws {
        guard let node = nodes.next() else { throw ASN1Error.invalidASN1Object(reason: "no algorithm") }
        (oid, parameters) = try DER.sequence(node, identifier: .sequence) { nodes in
            let oid = String(describing: try ASN1ObjectIdentifier(derEncoded: &nodes))
            let parameters = nodes.next()
            while nodes.next() != nil {}
            return (oid, parameters)
        }
    }
}

/// Small readers of DER.
enum DERFields {
    /// The contents of the integers of a sequence, as far as it holds integers.
    static func integers(_ node: ASN1Node) throws -> [ArraySlice<UInt8>] {
        guard case .constructed(let children) = node.content else {
            throw ASN1Error.unexpectedFieldType(node.identifier)
        }
        return try children.prefix { $0.identifier == .integer }.map(content)
    }

    /// The content of a primitive node.
    static func content(_ node: ASN1Node) throws -> ArraySlice<UInt8> {
        guard case .primitive(let bytes) = node.content else {
            throw ASN1Error.unexpectedFieldType(node.identifier)
        }
        return bytes
    }
}
