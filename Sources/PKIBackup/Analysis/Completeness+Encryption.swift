import EncryptionAtRest
import HostIO
import SealedArchive

extension Examination {
    /// Every API server can read what the snapshots hold.
    mutating func checkEncryption(_ servers: [EncryptionServer], keysInUse: [EncryptionKeyInUse]) {
        for file in sortedFiles {
            if let configuration = file.encryption { checkConfiguration(configuration, file.path) }
        }
        guard !servers.isEmpty else { return checkAbsence(keysInUse) }
        for server in servers {
            // What can't be read is a finding already and says nothing about keys.
            guard server.paths.allSatisfy({ files[$0]?.encryption != nil }) else { continue }
            check(server, keysInUse.filter { $0.reader == server.subject })
        }
    }

    private mutating func check(_ server: EncryptionServer, _ keysInUse: [EncryptionKeyInUse]) {
        let place = quoted(server.subject)
        let current = keysInUse.filter(\.isCurrent)
        let missing = current.filter { $0.problem == .missing }
        let known = server.paths.compactMap { files[$0]?.encryption }.reduce(into: Set<String>()) {
            $0.formUnion($1.prefixes)
        }
        if server.paths.isEmpty {
            find(
                "encryption-configuration-missing", missing, server.source,
                "and the API server of \(quoted(server.source)) names no encryption configuration, though another one here does",
                "give it the configuration of the other: it can't read these values")
        } else {
            find(
                "encryption-key-missing", missing.filter { !known.contains($0.name) }, server.subject,
                "which \(place) does not have", "add the key that was removed: without it these values are lost")
            find(
                "encryption-key-missing", missing.filter { known.contains($0.name) }, server.subject,
                "which \(place) has for other resources only",
                "add the key to the entry that counts for them: the API server tries no other")
        }
        find(
            "encryption-key-wrong", current.filter { $0.problem == .refused }, server.subject,
            "and do not open with what \(place) has under that name for them: the secret is another one",
            "find the secret that the API server encrypted with: without it these values are lost")
        checkUnencrypted(current.filter { $0.problem == .unencrypted }, server)
        noteRetired(keysInUse.filter { !$0.isCurrent && $0.problem != .unencrypted && $0.problem != nil }, server)
    }

    /// Says that values are encrypted with keys, and what is wrong with that.
    private mutating func find(
        _ code: String, _ keys: [EncryptionKeyInUse], _ subject: String, _ problem: String, _ advice: String
    ) {
        guard let names = Self.names(keys) else { return }
        find(.error, code, subject, "\(Self.values(keys)) are encrypted with \(names), \(problem)", advice)
    }

    private mutating func checkUnencrypted(_ keys: [EncryptionKeyInUse], _ server: EncryptionServer) {
        guard !keys.isEmpty else { return }
        find(
            .error, "encryption-identity-missing", server.subject,
            "\(Self.values(keys)) are not encrypted, and \(quoted(server.subject)) has no provider identity for them, so the "
                + "API server can't read them",
            "add `identity: {}` as the last provider, and have the values written again to encrypt them")
    }

    private mutating func noteRetired(_ keys: [EncryptionKeyInUse], _ server: EncryptionServer) {
        guard let names = Self.names(keys) else { return }
        find(
            .note, "encryption-key-retired", server.subject,
            "only revisions that were replaced since are encrypted with \(names), which \(quoted(server.subject)) does not "
                + "have any more",
            "nothing is lost: etcd drops them with its next compaction")
    }

    private mutating func checkAbsence(_ keysInUse: [EncryptionKeyInUse]) {
        guard let names = Self.names(keysInUse.filter(\.isCurrent)) else { return }
        let subject = components("kube-apiserver").first?.source ?? "kube-apiserver"
        find(
            .error, "encryption-configuration-missing", subject,
            "values in the snapshot are encrypted with \(names), and no API server here names an encryption configuration",
            "find the file that --encryption-provider-config named: without it these values are lost")
    }

    /// Names in quotes and in order, nil for none.
    private static func names(_ keys: [EncryptionKeyInUse]) -> String? {
        keys.isEmpty ? nil : Set(keys.map(\.name)).sorted().map(quoted).joined(separator: ", ")
    }

    /// Whose values they are, a few of many.
    private static func values(_ keys: [EncryptionKeyInUse]) -> String {
        let resources = Set(keys.flatMap(\.resources)).sorted()
        guard !resources.isEmpty else { return "values in the snapshot" }
        let named = resources.prefix(4).joined(separator: ", ")
        let others = resources.count > 4 ? " and \(resources.count - 4) more" : ""
        return "values of \(printable(named))\(others) in the snapshot"
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
        notePlugins(configuration, path)
    }

    private mutating func notePlugins(_ configuration: EncryptionConfiguration, _ path: String) {
        let plugins = configuration.providers.filter { $0.kind == "kms" }.map { provider in
            let endpoint = provider.endpoint ?? ""
            let starter = layout.kmsPlugins[endpoint].map { "started by \($0.joined(separator: " and "))" }
            return "\(quoted(provider.pluginName ?? "")) at \(quoted(endpoint)), "
                + (starter ?? "which no unit and no static pod here is known to start: the plugin is not in the backup")
        }
        guard !plugins.isEmpty else { return }
        find(
            .note, "kms-external", path,
            "\(quoted(path)) depends on the KMS plugin \(Set(plugins).sorted().joined(separator: "; "))",
            "the key is kept by the KMS: back it up there, and have the plugin running before a restore")
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
