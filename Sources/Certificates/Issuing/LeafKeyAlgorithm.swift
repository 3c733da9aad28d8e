/// The kinds of keys that kubeadm makes; the raw value is what `encryptionAlgorithm` of a `ClusterConfiguration` says.
public enum LeafKeyAlgorithm: String, Sendable, Hashable, CaseIterable {
    /// RSA with 2048 bits, kubeadm's default.
    case rsa2048 = "RSA-2048"
    /// RSA with 3072 bits.
    case rsa3072 = "RSA-3072"
    /// RSA with 4096 bits.
    case rsa4096 = "RSA-4096"
    /// ECDSA on P-256.
    case p256 = "ECDSA-P256"
    /// ECDSA on P-384.
    case p384 = "ECDSA-P384"

    /// The one like a key, or for a key of another kind the next one that is no weaker, as far as there is one.
    public init(nearest key: PublicKey) {
        switch (key.algorithm, key.bitCount) {
        case ("ECDSA", 257...): self = .p384
        case ("ECDSA", _), ("Ed25519", _): self = .p256
        case (_, 3073...): self = .rsa4096
        case (_, 2049...): self = .rsa3072
        default: self = .rsa2048
        }
    }

    /// Whether a key is of this kind.
    public func matches(_ key: PublicKey) -> Bool {
        switch self {
        case .rsa2048: key.algorithm == "RSA" && key.bitCount == 2048
        case .rsa3072: key.algorithm == "RSA" && key.bitCount == 3072
        case .rsa4096: key.algorithm == "RSA" && key.bitCount == 4096
        case .p256: key.algorithm == "ECDSA" && key.curve == "P-256"
        case .p384: key.algorithm == "ECDSA" && key.curve == "P-384"
        }
    }
}
