import EncryptionAtRest
import EtcdSnap
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive
import Synchronization

/// The values that API servers have encrypted, as the booted etcd returns them, opened with the restored configuration.
final class SecretsDrill: Sendable {
    private struct Tally {
        /// How many each key has opened.
        var opened: [String: Int] = [:]
        /// How many are for a service elsewhere (KMS), or a provider that is not known here, by the names of their keys.
        var undecided: [String: Int] = [:]
        /// How many can't be read, by why.
        var refused: [EncryptionKeyInUse.Problem: Int] = [:]
        /// How many are encrypted and not of any API server whose configuration is there.
        var strangerCount = 0
    }

    private let readers: EncryptionReaders?
    private let tally = Mutex(Tally())

    /// Whether the archive is of a node with an API server, which has to be able to read them.
    private let hasAPIServer: Bool

    /// - Parameter readers: who must be able to read; nil where the archive has no configuration.
    init(_ readers: EncryptionReaders?, hasAPIServer: Bool) {
        self.readers = readers
        self.hasAPIServer = hasAPIServer
    }

    /// The API servers of a node whose files are restored below a root.
    static func encryption(below root: String) -> NodeEncryption {
        let root = NodeRoot(prefix: root)
        let layout = NodeDiscovery(root: root).discover()
        let inventory = CertificateInventory.build(layout: layout, files: root)
        var encryption = NodeEncryption(inventory.encryptionServers, in: root)
        encryption.hasAPIServer = layout.components.contains { $0.name == "kube-apiserver" }
        return encryption
    }

    /// Looks at a value that etcd has returned.
    func look(at row: RangeRow) {
        guard let readers else {
            if EncryptedValue.isMarked(row.value) { tally.withLock { $0.strangerCount += 1 } }
            return
        }
        guard readers.judges(row.value) else { return }
        var judgements: [(name: String, problem: EncryptionKeyInUse.Problem?)] = []
        let isKnown = readers.judge(row.value, of: row.key) { judgement in
            let name = judgement.name.map { String(decoding: $0, as: UTF8.self) } ?? ""
            judgements.append((name, judgement.problem))
        }
        tally.withLock { tally in
            if !isKnown, EncryptedValue.isMarked(row.value) { tally.strangerCount += 1 }
            // Of several API servers each must be able to read it.
            if let problem = judgements.lazy.compactMap(\.problem).first {
                tally.refused[problem, default: 0] += 1
            } else if let name = judgements.first?.name {
                let isUndecided = !Self.providers.contains { name.hasPrefix($0) }
                if isUndecided { tally.undecided[name, default: 0] += 1 } else { tally.opened[name, default: 0] += 1 }
            }
        }
    }

    /// The providers whose keys stand in the configuration (Kubernetes 1.36, `EncryptionConfiguration`).
    private static let providers = ["aescbc:", "aesgcm:", "secretbox:"]

    /// What came of it, when all values were looked at.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if one can't be read with what the archive has.
    func result(of etcd: String) throws(Failure) -> (outcome: DrillRecord.Outcome, detail: String) {
        let tally = tally.withLock(\.self)
        let count = tally.refused.values.reduce(0, +)
        guard count == 0 else {
            let reasons = tally.refused.sorted { $0.key.rawValue < $1.key.rawValue }.map { problem, count in
                switch problem {
                case .missing: "\(count) have a key that is not in the archive"
                case .refused: "\(count) are not opened by the key of that name"
                case .unencrypted: "\(count) are not encrypted, and are read only if they are"
                }
            }
            throw Failure(
                .integrity,
                "\(count) values of \(quoted(etcd)) can't be read with the restored encryption configuration: "
                    + reasons.joined(separator: ", "),
                hint: "back up again with the configuration that has all keys in use; without it these objects are lost"
            )
        }
        if readers == nil, hasAPIServer, tally.strangerCount > 0 {
            throw Failure(
                .integrity,
                "\(tally.strangerCount) values of \(quoted(etcd)) are encrypted, and the encryption configuration of the API "
                    + "server is not in the archive",
                hint: "back up again with the configuration; without it these objects are lost")
        }
        let opened = Self.list(tally.opened)
        guard tally.undecided.isEmpty, tally.strangerCount == 0 else {
            var others: [String] = []
            if !tally.undecided.isEmpty { others.append("\(Self.list(tally.undecided)) need a service elsewhere") }
            if tally.strangerCount > 0 {
                others.append("\(tally.strangerCount) are encrypted, and the archive has no configuration for them")
            }
            let those = others.joined(separator: ", ")
            return (.notMade, tally.opened.isEmpty ? those : "\(opened) were opened; \(those)")
        }
        guard !tally.opened.isEmpty else { return (.notMade, "no value is encrypted at rest") }
        return (.passed, "\(opened) were opened with the restored encryption configuration")
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.value) values of \(printable($0.key))" }.joined(separator: ", ")
    }
}
