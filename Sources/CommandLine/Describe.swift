import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap describe`.
struct Describe: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a backup is and, with a key, what it holds.",
        discussion: """
            Without -i only what is public is shown. With it the manifest is read, and nothing else of the archive.

            Example: etcd-snap describe latest --store /var/lib/etcd-snap -i key.txt
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, or latest.")
    var backup = BackupReference.latest

    func run() throws {
        let configuration = try common.start(output.format)
        let (store, found) = try place.find(backup, configuration)
        let manifest = try keys.optional().map { identities in
            try DescribeOperation.run(found, in: store, identities: identities)
        }
        switch output.format {
        case .table:
            let description = Description(sidecar: found.sidecar, manifest: manifest?.manifest)
            try printOutput(description.text(path: store.path(of: found)))
        case .json, .yaml:
            try render(StoredDocuments(found, manifestBytes: manifest?.bytes), as: output.format) { "" }
        }
    }
}

/// Sidecar and manifest as they are stored, with what this version does not know of them.
private struct StoredDocuments: Encodable {
    var sidecar: DocumentValue
    var manifest: DocumentValue?

    init(_ backup: StoredBackup, manifestBytes: [UInt8]?) throws {
        sidecar = try DocumentValue(backup.sidecarBytes, name: backup.sidecarName)
        manifest = try manifestBytes.map { try DocumentValue($0, name: ArchiveFormat.manifestPath) }
    }
}

/// Sidecar and manifest for people.
private struct Description {
    var sidecar: Sidecar
    var manifest: Manifest?

    func text(path: String) -> String {
        var sections = [fields(overview(path: path))]
        for record in manifest?.etcd ?? [] { sections.append(etcd(record)) }
        if let manifest {
            sections.append(entries(manifest))
            if !manifest.skipped.isEmpty {
                sections.append(
                    "skipped:\n" + manifest.skipped.map { "  \(quoted($0.path)): \($0.reason)" }.joined(separator: "\n")
                )
            }
        } else {
            sections.append("the contents are sealed: name an identity with -i to see them")
        }
        let findings = (manifest?.findings ?? []) + sidecar.checkFindings
        if !findings.isEmpty {
            sections.append("findings:\n" + findings.map { "  " + findingLine($0) }.joined(separator: "\n"))
        }
        return sections.joined(separator: "\n\n")
    }

    private func overview(path: String) -> [(String, String)] {
        let archive = sidecar.archive
        return [
            ("backup", "\(archive.cluster)/\(archive.node)/\(archive.id)"),
            ("archive", path),
            ("created", "\(time(archive.createdAt)) (\(age(archive.createdAt)) ago), number \(sidecar.sequence)"),
            ("written by", "\(archive.tool.name) \(archive.tool.version), format \(archive.formatVersion)"),
            (
                "size",
                "\(size(sidecar.object.size)) from \(size(sidecar.object.tarSize)), \(sidecar.entryCount) members"
            ),
            (
                "etcd",
                sidecar.etcd.map { "\($0.name): \($0.serverVersion), \(size($0.databaseSize))" }.joined(separator: "; ")
            ),
            ("recipients", sidecar.recipients.map { "\($0.type) \($0.fingerprint)" }.joined(separator: ", ")),
            ("verified", sidecar.verification.rawValue),
            ("findings", "\(sidecar.findingCount)"),
        ] + (sidecar.rebuilt == true ? [("sidecar", "rebuilt from the archive, its own was lost")] : [])
    }

    private func etcd(_ record: EtcdSnapshotRecord) -> String {
        let members = record.members.map { member in
            "  \(member.id)  \(member.name)  \(member.peerURLs.joined(separator: ","))\(member.isLearner ? "  learner" : "")"
        }
        return fields([
            ("etcd", record.name),
            ("cluster ID", record.clusterID),
            ("taken from", "\(record.endpoint) (member \(record.memberID)): \(record.reason)"),
            ("server", record.serverVersion),
            ("revision", "\(record.revisionAtStart) at the start, raft term \(record.raftTerm)"),
            ("database", "\(record.databaseSize) bytes, sha256 \(record.databaseSHA256)"),
            ("alarms", alarms(record)),
        ]) + "\nmembers:\n" + members.joined(separator: "\n")
    }

    /// What nobody could be asked for is not said to be absent.
    private func alarms(_ record: EtcdSnapshotRecord) -> String {
        if record.alarmsKnown == false { return "not known" }
        return record.alarms.isEmpty ? "none" : record.alarms.joined(separator: ", ")
    }

    private func entries(_ manifest: Manifest) -> String {
        table(
            ["MODE", "OWNER", "SIZE", "ROLE", "PATH"],
            manifest.entries.map { entry in
                let target = entry.linkTarget.map { " -> \($0)" } ?? ""
                return [entry.mode, entry.owner, "\(entry.size)", entry.role, entry.path + target]
            })
    }
}
