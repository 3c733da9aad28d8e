import EtcdStorage
import HostIO
import KubernetesObjects
import NodeFiles
import PKIBackup

extension EncryptionKeyMatcher {
    /// Tries every encrypted value with the keys of a node's encryption configurations, as they were sealed.
    ///
    /// - Returns: nil if the node has no configuration that can be read.
    init?(_ configurations: [String: EncryptionConfiguration], in files: any FileSource) {
        guard !configurations.isEmpty else { return nil }
        let keys = configurations.keys.sorted().flatMap { path in
            // What can't be read is a finding of the analysis, and then nothing is tried with it.
            let bytes = (try? files.bytes(of: path, limitByteCount: 4 << 20)) ?? []
            return ((try? EncryptionConfiguration.secrets(in: bytes, path: path)) ?? []).map {
                EncryptionKeyring.Key(provider: $0.provider, name: $0.name, secret: $0.bytes)
            }
        }
        let keyring = EncryptionKeyring(
            keys, others: configurations.values.reduce(into: []) { $0.formUnion($1.prefixes) })
        let resources = configurations.values.map(\.resources)
        self.init(
            labels: keyring.labels,
            resources: resources.contains(nil) ? nil : resources.reduce(into: []) { $0.formUnion($1 ?? []) }
        ) { label, sealed, key in
            switch keyring.trial(label: label, sealed: sealed, key: key) {
            case .opens: .opens
            case .refused: .refused
            case .unknown: .unknown
            }
        }
    }
}

extension [StreamedSnapshot] {
    /// The keys that values of all snapshots refer to.
    var encryptionKeys: [EncryptionKeyFact] {
        var isCurrent: [EncryptionKeyFact: Bool] = [:]
        for key in flatMap({ $0.encryptionKeys?.keys ?? [] }) {
            isCurrent[EncryptionKeyFact(name: key.name, isRefused: key.isRefused), default: false] =
                isCurrent[EncryptionKeyFact(name: key.name, isRefused: key.isRefused)] ?? false || key.isCurrent
        }
        return isCurrent.map { fact, isCurrent in
            EncryptionKeyFact(name: fact.name, isRefused: fact.isRefused, isCurrent: isCurrent)
        }.sorted { ($0.name, $0.isRefused ? 1 : 0) < ($1.name, $1.isRefused ? 1 : 0) }
    }
}
