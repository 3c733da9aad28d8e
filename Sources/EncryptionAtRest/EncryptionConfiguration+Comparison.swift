import HostIO

extension EncryptionConfiguration {
    /// The keys and plugins of other configurations that these lack, or have with another secret: what stands before values
    /// that only the others open, such as `aescbc:v1:key1`; sorted.
    ///
    /// Secrets are compared where both sides have kept them.
    public static func missing(of others: [EncryptionConfiguration], in own: [EncryptionConfiguration]) -> [String] {
        let providers = own.flatMap(\.providers)
        let missing = others.flatMap(\.providers).flatMap { provider -> [String] in
            guard provider.kind != "kms" else {
                return provider.prefixes.filter { prefix in !providers.contains { $0.prefixes.contains(prefix) } }
            }
            return zip(provider.keys, provider.prefixes).filter { key, _ in
                !providers.contains { $0.kind == provider.kind && $0.keys.contains { $0.opensWhat(key) } }
            }.map { $1 }
        }
        return Set(missing).sorted()
    }
}

extension EncryptionConfiguration.Key {
    /// Whether it has the name and, as far as that is known, the secret of another key.
    fileprivate func opensWhat(_ other: Self) -> Bool {
        guard name == other.name, byteCount == other.byteCount else { return false }
        guard let secret, let otherSecret = other.secret else { return true }
        return secret.withUnsafeBytes { own in otherSecret.withUnsafeBytes { own.elementsEqual($0) } }
    }
}
