import Crypto
import CryptoExtras
import FoundationEssentials
import SwiftASN1

/// A private key as the analysis sees it: where it is and which public key belongs to it, never the key.
public struct PrivateKeyRecord: Codable, Sendable, Equatable {
    /// The file.
    public var path: String
    /// The user of a kubeconfig that embeds the key.
    public var user: String?
    /// The public key that belongs to it.
    public var publicKey: PublicKey

    /// A record from its parts.
    public init(path: String, user: String? = nil, publicKey: PublicKey) {
        self.path = path
        self.user = user
        self.publicKey = publicKey
    }
}

/// Finds the public key of private keys: PKCS#1 (RFC 8017), PKCS#8 (RFC 5958), SEC 1 (RFC 5915), Ed25519 (RFC 8410).
public enum PrivateKeyReader {
    /// Why a private key gives no public key.
    public enum Problem: Error, Equatable {
        /// It is encrypted.
        case encrypted
        /// Its parts do not belong together.
        case inconsistent
        /// It can't be decoded; the text says why.
        case unreadable(String)
    }

    /// The forms of private keys by the labels that are theirs.
    private static let labels = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]

    /// The public key of the private key in a block.
    ///
    /// - Throws: ``Problem``.
    public static func publicKey(of block: PEMFile.Block) throws(Problem) -> PublicKey {
        try publicKeyAndLabel(of: block).key
    }

    /// The public key of the private key in a block, and the label that its form asks for.
    ///
    /// The label that it has need not be that: Go's `crypto/tls` tries all forms (`parsePrivateKey`).
    ///
    /// - Throws: ``Problem``, that of the form that the label says.
    public static func publicKeyAndLabel(of block: PEMFile.Block) throws(Problem) -> (key: PublicKey, label: String) {
        do throws(Problem) {
            return (try key(of: block), block.label)
        } catch {
            guard case .unreadable = error, labels.contains(block.label) else { throw error }
            for label in labels where label != block.label {
                let other = PEMFile.Block(label: label, content: block.content)
                if let key = try? key(of: other) { return (key, label) }
            }
            throw error
        }
    }

    private static func key(of block: PEMFile.Block) throws(Problem) -> PublicKey {
        guard !block.isEncrypted, block.label != "ENCRYPTED PRIVATE KEY" else { throw .encrypted }
        do {
            switch block.label {
            case "RSA PRIVATE KEY": return try rsa(block.content[...])
            case "EC PRIVATE KEY": return try ellipticCurve(DER.parse(block.content), curve: nil)
            case "PRIVATE KEY": return try pkcs8(block.content)
            default: throw Problem.unreadable("\(block.label.lowercased()) is not a form that Kubernetes reads")
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw .unreadable("its DER can't be decoded")
        }
    }

    /// The public key of a private key in DER without a PEM block, nil if the bytes are none.
    static func publicKey(ofDER bytes: [UInt8]) -> PublicKey? {
        try? publicKey(of: PEMFile.Block(label: labels[0], content: bytes))
    }

    private static func pkcs8(_ bytes: [UInt8]) throws -> PublicKey {
        try DER.sequence(try DER.parse(bytes), identifier: .sequence) { nodes in
            _ = try nodes.next().map(DERFields.content)
            let algorithm = try AlgorithmNode(&nodes)
            let key = try ASN1OctetString(derEncoded: &nodes).bytes
            while nodes.next() != nil {}
            switch algorithm.oid {
            case KeyAlgorithm.rsa: return try rsa(key)
            case KeyAlgorithm.ecdsa:
                let curve = try algorithm.parameters.map { try ASN1ObjectIdentifier(derEncoded: $0) }
                return try ellipticCurve(DER.parse(key), curve: curve)
            case KeyAlgorithm.ed25519: return try ed25519(ASN1OctetString(derEncoded: key).bytes)
            default:
                let name = KeyAlgorithm.names[algorithm.oid] ?? algorithm.oid
                throw Problem.unreadable("the algorithm \(name) is not one that Kubernetes reads")
            }
        }
    }

    private static func rsa(_ bytes: ArraySlice<UInt8>) throws -> PublicKey {
        let integers = try DERFields.integers(DER.parse(bytes))
        guard integers.count >= 9 else { throw Problem.unreadable("it has \(integers.count) of 9 integers") }
        let key = try subjectPublicKeyInfo(KeyAlgorithm.rsa, parameters: .null) { coder in
            coder.appendConstructedNode(identifier: .sequence) { coder in
                for integer in integers[1...2] {
                    coder.appendPrimitiveNode(identifier: .integer) { $0.append(contentsOf: integer) }
                }
            }
        }
        // BoringSSL checks the factors and exponents when it loads a key; it loads whole bytes of modulus only.
        if (1024...8192).contains(key.bitCount), key.bitCount % 8 == 0,
            (try? _RSA.Signing.PrivateKey(unsafeDERRepresentation: bytes)) == nil
        {
            throw Problem.inconsistent
        }
        return key
    }

    private static func ellipticCurve(_ node: ASN1Node, curve: ASN1ObjectIdentifier?) throws -> PublicKey {
        let (secret, named, embedded) = try DER.sequence(node, identifier: .sequence) { nodes in
            _ = try nodes.next().map(DERFields.content)
            let secret = try ASN1OctetString(derEncoded: &nodes).bytes
            let named = try DER.optionalExplicitlyTagged(&nodes, tagNumber: 0, tagClass: .contextSpecific) {
                try ASN1ObjectIdentifier(derEncoded: $0)
            }
            let embedded = try DER.optionalExplicitlyTagged(&nodes, tagNumber: 1, tagClass: .contextSpecific) {
                try ASN1BitString(derEncoded: $0).bytes
            }
            return (secret, named, embedded)
        }
        guard let curve = curve ?? named else { throw Problem.unreadable("it names no curve") }
        let computed = try point(of: secret, on: curve)
        // 2 and 3 begin a compressed point, which is the same key in another form.
        if let computed, let embedded, embedded.first == 4, !embedded.elementsEqual(computed) {
            throw Problem.inconsistent
        }
        guard let point = computed ?? embedded.map({ Array($0) }) else {
            throw Problem.unreadable("it has no public key, and its curve \(curve) is not one that Kubernetes reads")
        }
        return try subjectPublicKeyInfo(KeyAlgorithm.ecdsa, parameters: .curve(curve)) { $0.serializeRawBytes(point) }
    }

    /// The public point of a scalar, nil on a curve that swift-crypto lacks.
    private static func point(of secret: ArraySlice<UInt8>, on curve: ASN1ObjectIdentifier) throws -> [UInt8]? {
        func padded(_ count: Int) -> [UInt8] {
            let digits = secret.drop { $0 == 0 }
            return Array(repeating: 0, count: max(0, count - digits.count)) + digits
        }
        switch curve {
        case .NamedCurves.secp256r1:
            return try Array(P256.Signing.PrivateKey(rawRepresentation: padded(32)).publicKey.x963Representation)
        case .NamedCurves.secp384r1:
            return try Array(P384.Signing.PrivateKey(rawRepresentation: padded(48)).publicKey.x963Representation)
        case .NamedCurves.secp521r1:
            return try Array(P521.Signing.PrivateKey(rawRepresentation: padded(66)).publicKey.x963Representation)
        default: return nil
        }
    }

    private static func ed25519(_ seed: ArraySlice<UInt8>) throws -> PublicKey {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: seed).publicKey.rawRepresentation
        return try subjectPublicKeyInfo(KeyAlgorithm.ed25519, parameters: .absent) { $0.serializeRawBytes(key) }
    }

    private enum Parameters {
        case absent
        case null
        case curve(ASN1ObjectIdentifier)
    }

    /// Writes a `SubjectPublicKeyInfo` as certificates have it, and reads its facts.
    private static func subjectPublicKeyInfo(
        _ algorithm: String, parameters: Parameters, key: (inout DER.Serializer) throws -> Void
    ) throws -> PublicKey {
        var keyCoder = DER.Serializer()
        try key(&keyCoder)
        let keyBytes = keyCoder.serializedBytes
        var coder = DER.Serializer()
        try coder.appendConstructedNode(identifier: .sequence) { coder in
            try coder.appendConstructedNode(identifier: .sequence) { coder in
                try coder.serialize(try ASN1ObjectIdentifier(dotRepresentation: algorithm))
                switch parameters {
                case .absent: break
                case .null: try coder.serialize(ASN1Null())
                case .curve(let curve): try coder.serialize(curve)
                }
            }
            try coder.serialize(ASN1BitString(bytes: keyBytes[...]))
        }
        return try PublicKey(subjectPublicKeyInfo: coder.serializedBytes[...])
    }
}
