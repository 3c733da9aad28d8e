import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import PKIBackup
import SealedArchive
import SystemPackage

/// The command `etcd-snap rebuild`.
struct Rebuild: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Put the control plane of a lost cluster on new hosts, under other names and addresses if need be.",
        discussion: """
            `plan` shows everything and changes nothing; with --out it writes the plan to a file that goes to every host. \
            `apply` does one host's part by it, and `continue` goes on with that. `status` says where that stands, and `undo` makes the host what it was. When \
            the control plane runs, `finish` puts right what in the cluster still names the lost hosts.

            Example: etcd-snap rebuild plan prod/cp-1/latest prod/cp-2/latest prod/cp-3/latest -i key.txt \\
              --node cp-21=10.0.0.21 --node cp-22=10.0.0.22 --node cp-23=10.0.0.23 --out plan.json
            Example: etcd-snap rebuild apply --plan plan.json --node cp-21 -i key.txt
            """,
        subcommands: [
            RebuildPlanCommand.self, RebuildApplyCommand.self, RebuildContinueCommand.self, RebuildStatusCommand.self,
            RebuildFinishCommand.self, RebuildUndoCommand.self,
        ])
}

/// Where archives of a rebuild are; a node there is one of the topology.
struct RebuildStoreOptions: ParsableArguments {
    @Option(
        help:
            "The store: a directory, s3://BUCKET/PREFIX, rclone:REMOTE:PATH, or the name of one of the configuration.",
        completion: .directory)
    var store: String?

    @Option(help: "The cluster's name in the store.")
    var cluster: String?

    @OptionGroup var s3: S3Options

    func place() -> StoreOptions {
        var options = StoreOptions()
        options.store = store
        options.cluster = cluster
        options.node = nil
        options.s3 = s3
        return options
    }
}

/// The command `etcd-snap rebuild status`.
struct RebuildStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Say where a rebuild stands on a host.",
        discussion: """
            Exit status 4 if there is no rebuild below the root.

            Example: etcd-snap rebuild status
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions

    @Option(help: "The root of the host's file system.", completion: .directory)
    var root = "/"

    func run() throws {
        _ = try common.start(output.format)
        let status = try RebuildStatus.read(root: root)
        try render(status, as: output.format) {
            var lines = [
                ("node", status.node), ("root", status.root), ("plan", status.planID), ("state", status.state),
                ("began", time(status.startedAt)),
                ("files", "\(status.fileCount)"),
            ]
            if let kept = status.keptData { lines.append(("old etcd data", "kept as \(kept)")) }
            if let requests = status.requests { lines.append(("requests", requests)) }
            let rows = status.steps.map { [$0.name, $0.state, $0.at.map(time) ?? ""] }
            let next =
                switch status.state {
                case "done": "to take it back: \(RebuildUndo.command(status.root))"
                case "undoing": "to go on: \(RebuildUndo.command(status.root))"
                default:
                    "to go on: etcd-snap rebuild continue -i key.txt\(RebuildUndo.rootOption(status.root)); "
                        + "to take it back: \(RebuildUndo.command(status.root))"
                }
            return [fields(lines), table(["STEP", "STATE", "AT"], rows), next].joined(separator: "\n")
        }
    }
}

/// The command `etcd-snap rebuild undo`.
struct RebuildUndoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "undo", abstract: "Make a host what it was before a rebuild, byte for byte.",
        discussion: """
            What was placed is removed, what was replaced is put back with its mode, owner and times, and etcd's old data \
            is where it was. What the new control plane has written since is lost with its data directory, so nothing is \
            done without --yes. A host where a control plane runs is refused. Killed in its middle, the same command goes on. \
            Exit status 4 if there is no rebuild below the root.

            Example: etcd-snap rebuild undo --yes
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions

    @Option(help: "The root of the host's file system.", completion: .directory)
    var root = "/"

    @Flag(help: "Do not ask.")
    var yes = false

    @Flag(help: "Only say what would be taken back.")
    var dryRun = false

    func run() throws {
        _ = try common.start(output.format)
        if let remains = try RebuildUndo.remains(root: root) {
            // Nothing of the host is in it.
            return dryRun ? try show(remains) : try RebuildUndo.run(root: root, didTakeBack: show)
        }
        if dryRun {
            let status = try RebuildStatus.read(root: root, readsPlan: false)
            return try render(status, as: output.format) {
                "would take back the rebuild of \(status.node) below \(status.root): \(status.fileCount) files"
            }
        }
        guard yes else {
            let status = try RebuildStatus.read(root: root, readsPlan: false)
            throw Failure(
                .usage,
                "the rebuild of \(quoted(status.node)), \(status.fileCount) files and its etcd data, would be taken back",
                hint: "add --yes if that is meant; what etcd has written since is lost")
        }
        LeftoverRemoval.removeRegistered(observer: Console.shared.observer)
        try RebuildUndo.run(root: root, didTakeBack: show)
    }

    private func show(_ report: RebuildUndoReport) throws {
        for note in report.notes { Console.shared.note(note) }
        for directory in report.remaining {
            Console.shared.warn("\(quoted(directory)) was made by the rebuild and stays, for something else is in it")
        }
        let done = report.notes.isEmpty ? "the rebuild was taken back" : "nothing is left to take back"
        try render(report, as: output.format, done: done) {
            report.node.isEmpty
                ? done
                : fields([
                    ("node", report.node), ("root", report.root),
                    ("taken back", "\(report.removedCount) removed, \(report.restoredCount) put back"),
                ])
        }
    }
}
