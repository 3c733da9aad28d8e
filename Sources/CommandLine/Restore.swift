import ArchiveStore
import ArgumentParser
import HostIO
import NodeFiles
import Operations
import SealedArchive

/// The command `etcd-snap restore`: without a subcommand `restore all`.
struct Restore: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Restore a backup: everything into a directory, files to their places, or a new etcd cluster.",
        discussion: """
            Without a subcommand everything is restored into the directory named by --target.

            Example: etcd-snap restore latest --store /var/lib/etcd-snap -i key.txt --target /root/restored
            """,
        subcommands: [RestoreAll.self, RestoreFiles.self, RestoreEtcd.self], defaultSubcommand: RestoreAll.self)
}

/// The command `etcd-snap restore all`.
struct RestoreAll: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "all",
        abstract: "Restore files and etcd snapshots of a backup into a new directory.",
        discussion: """
            The directory must not exist or be empty. It appears only when everything is in it, checked and durable: \
            files/… with owners, modes, times and attributes, and etcd/NAME.db, which `etcd-snap restore etcd` or etcdutl makes a data directory of.

            Example: etcd-snap restore latest --store /var/lib/etcd-snap -i key.txt --target /root/restored
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(help: "The directory to restore into.", completion: .directory)
    var target: String

    @Option(help: "Restore only files, or only etcd.")
    var only: RestoreSelection?

    @Flag(help: "Only say what would be restored.")
    var dryRun = false

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func run() async throws {
        let configuration = try common.start(output.format)
        let archive = try place.open(backup, configuration)
        let identities = try keys.required()
        let target = try plaintextPlace(target, of: "the target", outside: place.stores(configuration))
        if dryRun {
            let joined = try RestoreOperation.planOfJoined(archive, identities: identities, selection: only)
            for note in joined.notes { Console.shared.note(note) }
            for warning in joined.warnings { Console.shared.warn(warning) }
            let entries =
                try RestoreOperation.plan(archive, identities: identities, to: target, selection: only) + joined.entries
            return try render(entries, as: output.format) {
                wouldRestore(entries)
            }
        }
        let report = try await RestoreOperation.run(
            archive, identities: identities, to: target, selection: only,
            observer: Console.shared.observer)
        try show(report, as: output.format)
    }
}

/// What a restore would place, a line each.
func wouldRestore(_ entries: [ManifestEntry]) -> String {
    entries.map { "would restore \($0.path) (\(size($0.size)))" }.joined(separator: "\n")
}

/// Says what was restored into a new directory.
func show(_ report: RestoreReport, as format: OutputFormat) throws {
    warn(report.refused, below: report.target)
    for note in report.joined ?? [] { Console.shared.note(note) }
    for warning in report.warnings { Console.shared.warn(warning) }
    try render(report, as: format, done: "all was restored into \(quoted(report.target))") {
        fields([
            ("backup", report.reference), ("target", report.target),
            ("restored", "\(report.memberCount) entries, \(size(report.byteCount))"),
            ("snapshots", report.snapshots.isEmpty ? "none" : report.snapshots.joined(separator: ", ")),
            ("took", seconds(report.durationSeconds)),
        ])
    }
    if !report.warnings.isEmpty { throw ExitCode(Failure.Code.findings.rawValue) }
}

/// Says once what owners and attributes are missing, and how to have them.
func warn(_ refused: PlacementRefusals, below target: String) {
    guard refused.count > 0 else { return }
    let what = PlacementRefusals.Kind.allCases.filter { refused.count(of: $0) > 0 }.map { kind in
        let (count, name) = (refused.count(of: kind), kind.noun)
        let counted = count == 1 ? "1 \(name)" : "\(count) \(name.replacing(" or ", with: "s or "))s"
        return "\(counted) (\(listed(refused.paths(of: kind))))"
    }.joined(separator: ", ")
    let reason = refused.firstReason.map { " (\($0))" } ?? ""
    var advice: [String] = []
    if refused.ownerCount > 0 {
        advice.append("owners need root, outside of a user namespace that lacks their numbers")
    }
    if refused.labelCount + refused.attributeCount > 0 {
        advice.append("where SELinux is used, `restorecon -R \(target)` gives labels")
    }
    if refused.linkCount > 0 {
        advice.append(
            "the file system has no symbolic links, so these were left out: restore to one that has, or make them there"
        )
    }
    let hint = advice.isEmpty ? "" : "; " + advice.joined(separator: "; ")
    Console.shared.warn("\(what) could not be set\(reason), all else was restored\(hint)")
}

/// The first of some paths; a document has all of them.
private func listed(_ paths: [String]) -> String {
    let others = paths.count > 3 ? " and \(paths.count - 3) others" : ""
    return paths.prefix(3).map { quoted($0) }.joined(separator: ", ") + others
}

extension PlacementRefusals.Kind {
    fileprivate var noun: String {
        switch self {
        case .owner: "owner"
        case .label: "SELinux label"
        case .attribute: "extended attribute"
        case .mode: "mode or time"
        case .link: "symbolic link"
        }
    }
}

extension RestoreSelection: ExpressibleByArgument {}
