/// Keys as Kubernetes reads them to sign and to verify tokens of service accounts, which is not all that a PEM file may have.
///
/// Source: Kubernetes 1.36 (and since 1.13, for ECDSA 1.5), `client-go/util/keyutil/key.go`: `ParsePrivateKeyPEM` goes by the
/// labels, `ParsePublicKeysPEM` tries `parseRSAPrivateKey`, `parseRSAPublicKey`, `parseECPrivateKey` and `parseECPublicKey`
/// whatever the label, which leaves out PKCS#1 public keys, ECDSA keys in PKCS#8 and Ed25519;
/// `pkg/serviceaccount/jwt.go`, `JWTTokenGenerator`, and `signerFromECDSAPrivateKey`.
public struct TokenKeys: Sendable {
    /// The public keys by which tokens can be verified.
    public private(set) var verifiers: [PublicKey] = []
    /// The public half of the key that would sign: the first private key whose form is that of its label.
    public private(set) var signer: PublicKey?

    /// Whether there is a key that can sign.
    public var canSign: Bool {
        switch signer?.algorithm {
        case "RSA": true
        case "ECDSA": ["P-256", "P-384", "P-521"].contains(signer?.curve ?? "")
        default: false
        }
    }

    mutating func addVerifier(_ key: PublicKey) {
        if Self.isRead(key) { verifiers.append(key) }
    }

    /// Adds a private key.
    ///
    /// - Parameter form: the label that its form asks for.
    mutating func addPrivateKey(_ key: PublicKey, label: String, form: String) {
        if form != "PRIVATE KEY" || key.algorithm == "RSA" { addVerifier(key) }
        if signer == nil, label == form { signer = key }
    }

    /// Go's `crypto/x509` knows these curves only.
    private static func isRead(_ key: PublicKey) -> Bool {
        key.algorithm == "RSA"
            || key.algorithm == "ECDSA" && ["P-224", "P-256", "P-384", "P-521"].contains(key.curve ?? "")
    }
}
