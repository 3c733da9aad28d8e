import Crypto
import CryptoExtras
import FoundationEssentials
import HostIO

/// Signs tokens of service accounts as Kubernetes does: JSON Web Tokens (RFC 7519) with RS256 or ES256 to ES512 (RFC 7518).
///
/// Source: Kubernetes 1.36 `pkg/serviceaccount/jwt.go`, `JWTTokenGenerator`: the algorithm follows from the key.
public struct TokenSigner: Sendable {
    private enum Key: Sendable {
        case rsa(_RSA.Signing.PrivateKey)
        case p256(P256.Signing.PrivateKey)
        case p384(P384.Signing.PrivateKey)
        case p521(P521.Signing.PrivateKey)
    }

    private let key: Key

    /// A signer with the first private key of a PEM file.
    ///
    /// - Parameter path: what messages call it.
    /// - Throws: ``Failure`` if there is none that signs tokens; it tells nothing of the key.
    public init(keyPEM: SecretBytes, path: String) throws(Failure) {
        var file = keyPEM.withBytes { PEMFile(copy $0) }
        defer { file.wipe() }
        let refusal = Failure(.untrusted, "\(quoted(path)) has no private key that tokens are signed with")
        guard let block = file.blocks.first(where: \.isPrivateKey),
            let (publicKey, label) = try? PrivateKeyReader.publicKeyAndLabel(of: block),
            let key = try? Self.key(block, label, publicKey)
        else { throw refusal }
        self.key = key
    }

    private static func key(_ block: PEMFile.Block, _ label: String, _ publicKey: PublicKey) throws -> Key? {
        if publicKey.algorithm == "RSA" { return .rsa(try _RSA.Signing.PrivateKey(derRepresentation: block.content)) }
        var text = PEMFile.encode(PEMFile.Block(label: label, content: block.content))
        defer { text.wipe() }
        let pem = String(decoding: text, as: UTF8.self)
        switch publicKey.curve {
        case "P-256": return .p256(try P256.Signing.PrivateKey(pemRepresentation: pem))
        case "P-384": return .p384(try P384.Signing.PrivateKey(pemRepresentation: pem))
        case "P-521": return .p521(try P521.Signing.PrivateKey(pemRepresentation: pem))
        default: return nil
        }
    }

    private var algorithm: String {
        switch key {
        case .rsa: "RS256"
        case .p256: "ES256"
        case .p384: "ES384"
        case .p521: "ES512"
        }
    }

    /// A token.
    ///
    /// - Parameter claims: its claims, a JSON object.
    public func token(claims: [UInt8]) throws(Failure) -> SecretBytes {
        let text = Self.encoded(Array(#"{"alg":"\#(algorithm)"}"#.utf8)) + "." + Self.encoded(claims)
        let signature: [UInt8]
        do {
            let data = Data(text.utf8)
            signature =
                switch key {
                case .rsa(let key):
                    Array(
                        try key.signature(for: SHA256.hash(data: data), padding: .insecurePKCS1v1_5).rawRepresentation)
                case .p256(let key): Array(try key.signature(for: data).rawRepresentation)
                case .p384(let key): Array(try key.signature(for: data).rawRepresentation)
                case .p521(let key): Array(try key.signature(for: data).rawRepresentation)
                }
        } catch {
            throw Failure(.failed, "a token can't be signed", cause: error)
        }
        var bytes = Array((text + "." + Self.encoded(signature)).utf8)
        defer { bytes.wipe() }
        return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
    }

    /// Base64 for URLs without padding (RFC 7515, section 2).
    private static func encoded(_ bytes: [UInt8]) -> String {
        let text = bytes.withUnsafeBytes { Base64.encode($0, padded: false) }
        return String(
            decoding: text.map { byte in
                switch byte {
                case UInt8(ascii: "+"): UInt8(ascii: "-")
                case UInt8(ascii: "/"): UInt8(ascii: "_")
                default: byte
                }
            }, as: UTF8.self)
    }
}
