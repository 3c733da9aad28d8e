import HostIO
import SealedArchive

extension Examination {
    /// Every key that values in the snapshot need is in the encryption configuration.
    mutating func checkEncryption(keysInUse: [String]) {
        let references = sortedFiles.filter { $0.captureClass == .encryptionConfiguration && $0.state != .directory }
        for file in references {
            if let configuration = file.encryption { checkConfiguration(configuration, file.path) }
        }
        // What a walk found and can't be read may be anything, such as an old copy.
        let existing = references.filter {
            ($0.state != .missing || $0.isRequired) && !($0.isFoundByWalk && $0.encryption == nil)
        }
        guard let first = existing.first else {
            return checkAbsence(keysInUse)
        }
        // What can't be read is a finding already and says nothing about keys.
        guard existing.allSatisfy({ $0.encryption != nil }) else { return }
        let known = existing.compactMap(\.encryption).reduce(into: Set<String>()) { $0.formUnion($1.prefixes) }
        let missing = Set(keysInUse).subtracting(known).sorted()
        guard !missing.isEmpty else { return }
        find(
            .error, "encryption-key-missing", first.path,
            "values in the snapshot are encrypted with \(missing.map(quoted).joined(separator: ", ")), "
                + "which \(quoted(first.path)) does not have",
            "add the key that was removed: without it these values are lost")
    }

    private mutating func checkAbsence(_ keysInUse: [String]) {
        guard !keysInUse.isEmpty else { return }
        let subject = components("kube-apiserver").first?.source ?? "kube-apiserver"
        let keys = Set(keysInUse).sorted().map(quoted).joined(separator: ", ")
        find(
            .error, "encryption-configuration-missing", subject,
            "values in the snapshot are encrypted with \(keys), and no API server here names an encryption configuration",
            "find the file that --encryption-provider-config named: without it these values are lost")
    }

    private mutating func checkConfiguration(_ configuration: EncryptionConfiguration, _ path: String) {
        let invalid = configuration.providers.flatMap { provider in
            provider.keys.compactMap { Self.problem(of: $0, kind: provider.kind) }
        }
        if !invalid.isEmpty {
            find(
                .error, "encryption-key-invalid", path,
                "\(quoted(path)) has keys that can't be used: \(invalid.prefix(8).joined(separator: "; "))",
                "restore the key from another control-plane node: the API server does not start with it")
        }
        let plugins = configuration.providers.filter { $0.kind == "kms" }.map { provider in
            "\(quoted(provider.pluginName ?? "")) at \(quoted(provider.endpoint ?? ""))"
        }
        if !plugins.isEmpty {
            find(
                .note, "kms-external", path,
                "\(quoted(path)) depends on the KMS plugin \(Set(plugins).sorted().joined(separator: ", "))",
                "the key is kept by the KMS: back it up there, and have the plugin running before a restore")
        }
    }

    /// Why a key can't be used.
    ///
    /// Source: Kubernetes 1.36, `apiserver/pkg/apis/apiserver/validation/validation_encryption.go`, `aesKeySizes` and
    /// `secretBoxKeySizes`.
    private static func problem(of key: EncryptionConfiguration.Key, kind: String) -> String? {
        guard let byteCount = key.byteCount else { return "\(kind) \(quoted(key.name)) is not valid base64" }
        let allowed = kind == "secretbox" ? [32] : [16, 24, 32]
        guard !allowed.contains(byteCount) else { return nil }
        let lengths = allowed.map(String.init).joined(separator: ", ")
        return "\(kind) \(quoted(key.name)) has \(byteCount) bytes, not \(lengths)"
    }
}
