import ArchiveStore
import ArgumentParser
import EtcdStorage
import HostIO
import NodeFiles
import Operations
import SealedArchive

/// The command `etcd-snap inspect`.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look into an etcd snapshot without a server.",
        subcommands: [InspectStatus.self, InspectVolumes.self])
}

/// The command `etcd-snap inspect status`.
struct InspectStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Verify a snapshot and show hash, revision, keys, members, alarms and sizes.",
        discussion: """
            A data directory of a member that is stopped or dead can be named too: its database is verified, and its \
            write-ahead log is read for what it has beyond that. Nothing is written there, and one that a running etcd uses \
            is refused. `rebuild plan --data-dir` compares several.

            Every page is checked, and the SHA-256 trailer. Hash, revision and keys are those of etcdutl snapshot status, \
            which counted all rows as keys up to 3.5 and counts live keys since 3.6; both are shown.

            Example: etcd-snap inspect status snapshot.db -o json
            Example: etcd-snap inspect status /var/lib/etcd
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Snapshot") var snapshot: SnapshotOptions

    @Flag(help: "Do not check the SHA-256 trailer, which takes as long as all the rest.")
    var skipHashCheck = false

    func run() async throws {
        let configuration = try common.start(output.format)
        if let directory = snapshot.memberDirectory(configuration) { return try await show(directory) }
        let source = try snapshot.open(configuration)
        source.tell()
        let status = try await InspectOperation.status(
            source.bytes, checksTrailer: !skipHashCheck, observer: Console.shared.observer)
        for row in status.unreadableRows {
            Console.shared.warn("\(row) is not what etcd writes there, and was not read")
        }
        try render(status, as: output.format) { text(status) }
        if !status.unreadableRows.isEmpty { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func show(_ directory: String) async throws {
        let survivor = try await SurvivorOperation.status(directory, observer: Console.shared.observer)
        for remark in survivor.remarks { Console.shared.warn(remark) }
        try render(survivor, as: output.format) { SurvivorText(survivor).text }
        if !survivor.remarks.isEmpty { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func text(_ status: SnapshotDescription) -> String {
        let members = status.members.map { member in
            "  \(member.id)  \(member.name)  \(member.peerURLs.joined(separator: ","))"
                + (member.isLearner ? "  learner" : "")
        }
        let unknown = "not known: too many keys since the compaction"
        let alarms = status.alarms.map { "\($0.kind.rawValue) of \($0.memberID)" }
        var sections = [
            fields([
                ("snapshot", status.name),
                ("hash", String(status.hash, radix: 16).paddedWithZeros(to: 8)),
                ("hashKV", status.hashKV.map { "\($0) at revision \(status.currentRevision)" } ?? unknown),
                ("revision", "\(status.revision)"),
                ("compacted", status.compactRevision < 0 ? "never" : "\(status.compactRevision)"),
                ("total keys", "\(status.totalKey) rows of all buckets (etcd up to 3.5)"),
                ("live keys", status.liveKeys.map { "\($0) (etcd since 3.6)" } ?? unknown),
                ("size", "\(size(status.totalSize)), \(status.freePages) free pages of \(status.pageSize) bytes"),
                ("version", status.version.isEmpty ? "before 3.6" : status.version),
                ("trailer", status.trailer),
                ("auth", status.authEnabled ? "on, \(status.users) users" : "off"),
                ("leases", "\(status.leases)"),
                ("alarms", alarms.isEmpty ? "none" : alarms.joined(separator: ", ")),
            ]), "members:\n" + members.joined(separator: "\n"),
        ]
        if !status.prefixes.isEmpty {
            let rows = status.prefixes.prefix(20).map { [$0.prefix, "\($0.rowCount)", size($0.byteCount)] }
            sections.append(table(["PREFIX", "REVISIONS", "SIZE"], rows))
        }
        if !status.encryptionKeys.isEmpty {
            sections.append(
                table(
                    ["ENCRYPTION KEY", "REVISIONS"],
                    status.encryptionKeys.map { [$0.provider.isEmpty ? "others" : $0.provider, "\($0.rowCount)"] }))
        }
        return sections.joined(separator: "\n\n")
    }
}

/// A snapshot: a file of its own, or one in an archive.
struct SnapshotOptions: ParsableArguments {
    @OptionGroup var place: StoreOptions
    @OptionGroup var keys: IdentityOptions

    @Option(help: "Which etcd, when the backup has several.")
    var etcd: String?

    @Argument(
        help: """
            A snapshot's file, an archive's file, an ID, the beginning of one, cluster/node/ID, latest, or the data directory \
            of a member that does not run.
            """)
    var snapshot: String

    /// The path, where it is the data directory of a member.
    func memberDirectory(_ configuration: Configuration) -> String? {
        guard case .path(let path) = place.name(snapshot, configuration, prefersFiles: true) else { return nil }
        return SurvivorOperation.isMemberDirectory(path) ? path : nil
    }

    func open(_ configuration: Configuration) throws -> SnapshotSource {
        switch place.name(snapshot, configuration, prefersFiles: true) {
        case .path(let path):
            if let file = try SnapshotSource.file(path) { return SnapshotSource(file: file) }
            return try SnapshotSource(
                place.open(path: path, configuration), identities: keys.required(), name: etcd)
        case .reference(let reference):
            let (store, found) = try place.find(reference, configuration)
            if found.sidecar.etcd.isEmpty, found.sidecar.sharedSnapshots == nil {
                throw SnapshotSource.failure(ofFilesAlone: found, in: store)
            }
            return try SnapshotSource(
                place.opened(found, in: store, configuration), identities: keys.required(), name: etcd)
        }
    }
}

extension SnapshotSource {
    /// Says from which backup it is, where another one was named.
    func tell() {
        for note in notes { Console.shared.note(note) }
        for warning in warnings { Console.shared.warn(warning) }
    }
}

extension String {
    fileprivate func paddedWithZeros(to width: Int) -> String {
        String(repeating: "0", count: max(0, width - count)) + self
    }
}
