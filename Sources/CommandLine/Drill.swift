import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap drill`.
struct Drill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prove that a backup would bring the cluster back: restore it and boot a real etcd from it.",
        discussion: """
            Every byte is verified, the files are restored and read back, and each database is restored and booted: once \
            as it is, where HashKV and every key are compared with the archive, and once with the bump of a real restore, \
            through the compaction that follows. All that is in memory, in a directory of this user alone, and etcd listens \
            on no port. Nothing of it is left in the end. Of a drill that was killed the next one removes what is left.

            With --kube-apiserver, or one in PATH, that is booted too on the database as it is, with the restored files: it \
            has to become ready, list every type with as many objects as etcd has, and take a token of a ServiceAccount.

            The record with the time of each stage is kept beside the archive as ID.drill-TIME.json and .html, and the \
            newest makes the level drilled of `etcd-snap list`.

            Example: etcd-snap drill latest --store /var/lib/etcd-snap -i key.txt
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(
        help: "The etcd to boot; without it the one in PATH, or the one that runs here.", completion: .file())
    var etcd: String?

    @Option(
        help: "The kube-apiserver to boot on it; without it the one in PATH, or none.", completion: .file())
    var kubeApiserver: String?

    @Option(
        help: "The directory to restore into; without it \(DrillOptions.defaultScratch), which is in memory.",
        completion: .directory)
    var scratch: String?

    @Flag(help: "Leave the record out of the store.")
    var noRecord = false

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func run() async throws {
        let configuration = try common.start(output.format)
        let (archive, found) = try open(configuration)
        let identities = try keys.required()
        var options = DrillOptions(etcdPath: etcd, apiServerPath: kubeApiserver)
        if let scratch {
            options.scratch = try plaintextPlace(
                scratch, of: "the scratch directory", outside: place.stores(configuration))
        }
        if dryRun { return try show(DrillOperation.preview(archive, identities: identities, options: options)) }
        let report = try await DrillOperation.run(
            archive, identities: identities, options: options, observer: Console.shared.observer)
        for warning in report.warnings { Console.shared.warn(warning) }
        let isKept = await keep(report.record, found)
        try show(report.record)
        if let failure = report.failure { throw failure }
        if !report.record.isDrilled || !report.warnings.isEmpty || !isKept {
            throw ExitCode(Failure.Code.findings.rawValue)
        }
    }

    /// The archive, with where it is in a store; nil for one that is in none.
    private func open(
        _ configuration: Configuration
    ) throws -> (OpenedArchive, (store: any Store, backup: StoredBackup)?) {
        switch place.name(backup, configuration) {
        case .reference(let reference):
            let (store, found) = try place.find(reference, configuration)
            return (try place.opened(found, in: store, configuration), (store, found))
        case .path(let path):
            let archive = try place.open(path: path, configuration)
            guard let (store, reference) = try? StorePath.reference(path),
                let found = try? reference.find(in: store, observer: Console.shared.observer)
            else { return (archive, nil) }
            return (archive, (store, found))
        }
    }

    /// - Returns: false if the record was to be kept and could not be, which was said.
    private func keep(_ record: DrillRecord, _ found: (store: any Store, backup: StoredBackup)?) async -> Bool {
        guard !noRecord else { return true }
        guard record.hasFailed || record.stages.contains(where: { $0.name == "boot" && $0.outcome == .passed }) else {
            Console.shared.note("nothing was proved either way: no record is kept, and an earlier one stays")
            return true
        }
        guard let found else {
            Console.shared.note("the archive is in no store: no record is kept beside it")
            return true
        }
        do {
            try await DrillKeeping.keep(record, of: found.backup, in: found.store, observer: Console.shared.observer)
            return true
        } catch {
            Console.shared.warn(
                "the drill was made, but its record can't be kept beside the archive: \(Failure(wrapping: error).line)")
            return false
        }
    }

    private func show(_ preview: DrillPreview) throws {
        try render(preview, as: output.format) {
            let memory = preview.availableMemory.map { ", \(size($0)) are free" } ?? ""
            return fields(
                [("backup", preview.reference)]
                    + preview.databases.map {
                        ("would boot", "\($0.name), \(size($0.size)) at revision \($0.revision)")
                    }
                    + [
                        ("etcd", "\(preview.etcd.version), \(preview.etcd.path)"),
                        ("kube-apiserver", preview.apiServer.map { "\($0.version), \($0.path)" } ?? "none"),
                        ("in", preview.scratch + (preview.isScratchInMemory ? ", in memory" : ", on a disk")),
                        ("memory", "\(size(preview.neededMemory)) are needed\(memory)"),
                    ])
        }
    }

    private func show(_ record: DrillRecord) throws {
        try render(record, as: output.format, done: "the drill was made") {
            let rows = record.stages.map { stage in
                [
                    (stage.etcd.map { "\($0): " } ?? "") + stage.name,
                    stage.outcome == .notMade ? "not made" : stage.outcome.rawValue, seconds(stage.durationSeconds),
                    printable(stage.detail),
                ]
            }
            var lines = [
                ("backup", record.archive.reference),
                ("etcd", record.etcd.map { "\($0.version), \($0.path)" } ?? "none"),
                ("kube-apiserver", record.apiServer.map { "\($0.version), \($0.path)" } ?? "none"),
                ("level", record.isDrilled ? VerificationLevel.drilled.rawValue : "not drilled"),
            ]
            if let recovery = record.recoverySeconds { lines.append(("recovery", seconds(recovery))) }
            return table(["STAGE", "OUTCOME", "TIME", "WHAT"], rows) + "\n\n"
                + fields(lines + [("took", seconds(record.durationSeconds))])
        }
    }
}
