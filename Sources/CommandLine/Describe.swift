import ArchiveStore
import ArgumentParser
import FoundationEssentials
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

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func run() throws {
        let configuration = try common.start(output.format)
        let archive = try place.open(backup, configuration)
        let identities = try keys.optional()
        guard archive.sidecar != nil || identities != nil else {
            throw archive.sidecarFailure
                ?? Failure(
                    .usage, "\(quoted(archive.reference)) has no sidecar beside it that could be shown",
                    hint: "copy the sidecar beside it, or name the file of your key with -i")
        }
        let manifest = try identities.map { try DescribeOperation.run(archive, identities: $0) }
        switch output.format {
        case .table:
            let description = Description(
                sidecar: archive.sidecar, manifest: manifest?.manifest, lock: archive.lock())
            try printOutput(description.text(archive.file))
        case .json, .yaml:
            try render(StoredDocuments(archive, manifestBytes: manifest?.bytes), as: output.format) { "" }
        }
    }
}

/// Sidecar and manifest as they are stored, with what this version does not know of them.
private struct StoredDocuments: Encodable {
    var sidecar: DocumentValue?
    var manifest: DocumentValue?
    var lock: Lock?

    struct Lock: Encodable {
        var mode: String
        var until: Date?
    }

    init(_ archive: OpenedArchive, manifestBytes: [UInt8]?) throws {
        sidecar = try archive.sidecarBytes.map { try DocumentValue($0, name: "sidecar") }
        manifest = try manifestBytes.map { try DocumentValue($0, name: ArchiveFormat.manifestPath) }
        lock = archive.lock().map { Lock(mode: $0.mode, until: $0.until) }
    }
}

/// Sidecar and manifest for people.
private struct Description {
    var sidecar: Sidecar?
    var manifest: Manifest?
    var lock: ObjectLock?

    func text(_ file: any RandomAccessBytes) -> String {
        var sections = [fields(overview(file))]
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
        let findings = (manifest?.findings ?? []) + (sidecar?.checkFindings ?? [])
        if !findings.isEmpty {
            sections.append(findingLines(findings))
        }
        return sections.joined(separator: "\n\n")
    }

    private func overview(_ file: any RandomAccessBytes) -> [(String, String)] {
        guard let archive = sidecar?.archive ?? manifest?.archive else { return [("archive", file.name)] }
        let number = (sidecar?.sequence ?? manifest?.sequence).map { ", number \($0)" } ?? ""
        let general = [
            ("backup", "\(archive.cluster)/\(archive.node)/\(archive.id)"),
            ("archive", file.name),
            ("created", "\(time(archive.createdAt)) (\(distance(archive.createdAt)))\(number)"),
            ("written by", "\(archive.tool.name) \(archive.tool.version), format \(archive.formatVersion)"),
        ]
        guard let sidecar else {
            let count = (manifest?.entries.count ?? 0) + 1
            return general + [
                ("size", "\(size(file.byteCount)), \(count) entries"), ("sidecar", "there is none beside it"),
            ]
        }
        let databases = sidecar.etcd.map { "\($0.name): \($0.serverVersion), \(size($0.databaseSize))" }
        var lines = general
        if let retentionClass = sidecar.retentionClass { lines.append(("class", printable(retentionClass))) }
        lines += [
            (
                "size",
                "\(size(sidecar.object.size)) from \(size(sidecar.object.tarSize)), \(sidecar.entryCount) entries"
            ),
            ("etcd", (databases + sharedSnapshotLines(sidecar)).joined(separator: "; ")),
            ("recipients", sidecar.recipients.map(\.name).joined(separator: ", ")),
            ("verified", verified(sidecar)),
            ("findings", "\(sidecar.findingCount)"),
        ]
        if let lock {
            lines.append(("locked", (lock.until.map { "until \(time($0)), " } ?? "") + lock.mode))
        }
        if sidecar.rebuilt == true { lines.append(("sidecar", "rebuilt from the archive, its own was lost")) }
        return lines
    }

    /// What the sidecar alone says is told from what is sealed.
    private func verified(_ sidecar: Sidecar) -> String {
        let level = sidecar.verification
        guard let sealed = manifest?.reachedLevel, level.known.map({ $0 > sealed }) != false else {
            return level.rawValue
        }
        return "\(level.rawValue) by the sidecar, \(sealed.rawValue) is sealed"
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
            [
                Column("MODE", rank: 2), Column("OWNER", rank: 1), Column("SIZE", rank: 4), Column("ROLE", rank: 3),
                "PATH",
            ],
            manifest.entries.map { entry in
                let target = entry.linkTarget.map { " -> \($0)" } ?? ""
                return [entry.mode, entry.owner, "\(entry.size)", entry.role, entry.path + target]
            })
    }
}
