import EncryptionAtRest
import EtcdStorage
import HostIO
import KubernetesObjects
import SealedArchive

/// How far a stored snapshot was verified, and what was found.
struct SnapshotCheck {
    var level: VerificationLevel
    /// The hash by which the snapshot was compared with its cluster.
    var hashKV: KeyValueHash?
    /// What the database itself says; nil when only the stream was checked.
    var contents: SnapshotContents?
    var findings: [Finding] = []

    /// What could not be told while the snapshot streamed, because old pages looked like pages of the tree.
    static func late(_ contents: SnapshotContents, of name: String) -> [Finding] {
        let keys = contents.encryptionKeys.names
        let volumes = contents.selectedRows.map { VolumeInventory($0) }
        var findings = contents.unreadFindings(of: name, volumes: volumes)
        if !keys.isEmpty {
            findings.append(
                Finding(
                    .warning, code: "encryption-keys-unchecked", subject: name,
                    message:
                        "values are encrypted with \(keys.joined(separator: ", ")), which was known too late to look "
                        + "for the keys", advice: "see that the encryption configuration in the backup has them"))
        }
        if volumes?.isEmpty == false {
            findings.append(
                Finding(
                    .warning, code: "volumes-incomplete", subject: name,
                    message: "the volumes were known too late to be listed in \(quoted(VolumeDocument.path))",
                    advice: "list them with `etcd-snap inspect volumes`"))
        }
        return findings
    }

    /// Takes over into the sidecar what the manifest, which was written before, may lack.
    func fill(_ summary: inout Sidecar.EtcdSummary) {
        guard let contents else { return }
        summary.hashKV = (hashKV ?? contents.hashKV)?.hash
        if let hashKV, hashKV.compactRevision != contents.compactRevision {
            summary.hashKVCompactRevision = hashKV.compactRevision
        }
        summary.revision = contents.currentRevision
        summary.compactRevision = contents.compactRevision
        summary.hash = contents.hash
    }
}
