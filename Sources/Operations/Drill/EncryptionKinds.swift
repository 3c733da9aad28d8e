import EncryptionAtRest

/// Which kinds of providers an encryption configuration has.
struct EncryptionKinds {
    /// Whether some of them run beside the API server.
    let needsService: Bool

    init(_ bytes: [UInt8], path: String) throws {
        needsService = try EncryptionConfiguration(parsing: bytes, path: path).providers.contains { $0.kind == "kms" }
    }
}
