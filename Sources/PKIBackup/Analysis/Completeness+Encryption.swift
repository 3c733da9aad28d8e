import HostIO
import SealedArchive

extension Examination {
    /// Every key that values in the snapshot need is in the encryption configuration, and opens them.
    mutating func checkEncryption(keysInUse: [EncryptionKeyFact]) {
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
        let missing = keysInUse.filter { !known.contains($0.name) }
        if let names = Self.list(missing.filter(\.isCurrent)) {
            find(
                .error, "encryption-key-missing", first.path,
                "values in the snapshot are encrypted with \(names), which \(quoted(first.path)) does not have",
                "add the key that was removed: without it these values are lost")
        }
        let refused = keysInUse.filter { known.contains($0.name) && $0.isRefused }
        if let names = Self.list(refused.filter(\.isCurrent)) {
            find(
                .error, "encryption-key-wrong", first.path,
                "values in the snapshot are encrypted with \(names) and do not open with what \(quoted(first.path)) has "
                    + "under that name: the secret is another one",
                "find the secret that the API server encrypted with: without it these values are lost")
        }
        if let names = Self.list((missing + refused).filter { !$0.isCurrent }) {
            find(
                .note, "encryption-key-retired", first.path,
                "only revisions that were replaced since are encrypted with \(names), which \(quoted(first.path)) does "
                    + "not have any more",
                "nothing is lost: etcd drops them with its next compaction")
        }
    }

    /// Names in quotes and in order, nil for none.
    private static func list(_ keys: [EncryptionKeyFact]) -> String? {
        keys.isEmpty ? nil : Set(keys.map(\.name)).sorted().map(quoted).joined(separator: ", ")
    }

    private mutating func checkAbsence(_ keysInUse: [EncryptionKeyFact]) {
        guard let keys = Self.list(keysInUse.filter(\.isCurrent)) else { return }
        let subject = components("kube-apiserver").first?.source ?? "kube-apiserver"
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
