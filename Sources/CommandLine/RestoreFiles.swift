import Age
import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import NodeFiles
import Operations
import PKIBackup

#if canImport(Glibc)
    import Glibc
#endif

/// The command `etcd-snap restore files`.
struct RestoreFiles: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "files",
        abstract: "Restore captured files, into a new directory or to where they were.",
        discussion: """
            Without --in-place the files go into a new directory, by default restored-ID. With it they go to their own paths below \
            --root: the plan is printed first, and nothing is done without --yes or an answer on the terminal. Everything is \
            staged, checked and durable before the first file is replaced; keys come first and static pods last. What is \
            replaced is kept, in the clear as it was, below var/lib/etcd-snap-kept of the root: remove it when it is no \
            longer needed.

            Without --node the archive is one of this node, which is --this-node, on this host `node` of the configuration or \
            the host's name, and below another --root what its etc/hostname, kubelet.conf or etcd.yaml says. Another node's has \
            to be named, as --node or CLUSTER/NODE/ID; classes that belong to a node (its certificates, kubeconfigs, static \
            pods) are then left alone unless --only names them, and so is what describes the host and its networks. A host \
            where a control plane runs is refused.

            --for new-host restores what a new host of the same cluster needs before its kubelet, such as the keys of the \
            authorities and of service accounts and the encryption configuration, and nothing that belongs to the old one.

            Example: etcd-snap restore files latest -i key.txt --in-place --dry-run
            Example: etcd-snap restore files latest -i key.txt --in-place --for new-host
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(help: "The new directory to restore into.", completion: .directory)
    var target: String?

    @Flag(help: "Restore to the files' own paths, replacing what is there.")
    var inPlace = false

    @Option(help: "With --in-place: the root of the file system to restore to.", completion: .directory)
    var root: String?

    @Option(help: "With --in-place: the node whose file system is restored to, as its backups call it.")
    var thisNode: String?

    @Option(
        parsing: .singleValue, help: "Restore only files of this class, such as ca-key; may be repeated.",
        completion: .list(CaptureClass.allCases.map(\.rawValue)))
    var only: [String] = []

    @Option(
        name: .customLong("for"),
        help: "Restore what is needed for a purpose: new-host, another host of the same cluster.")
    var purpose: RestorePurpose?

    @Flag(help: "With --in-place: go on though a control plane runs below the root.")
    var force = false

    @Flag(help: "With --in-place: do not ask.")
    var yes = false

    @Flag(help: "Only say what would be restored.")
    var dryRun = false

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func validate() throws {
        if !inPlace, yes || force || root != nil || thisNode != nil {
            throw ValidationError("--yes, --force, --root and --this-node are for --in-place")
        }
        if purpose != nil, !only.isEmpty { throw ValidationError("--for and --only exclude each other") }
        if root?.isEmpty == true { throw ValidationError("--root names no directory") }
        if inPlace, target != nil { throw ValidationError("--in-place and --target exclude each other") }
        let known = CaptureClass.allCases.map(\.rawValue)
        if let unknown = only.first(where: { !known.contains($0) }) {
            throw ValidationError("\(unknown) is no class; known are: \(known.joined(separator: ", "))")
        }
    }

    func run() async throws {
        let configuration = try common.start(output.format)
        let selection = purpose == .newHost ? FileSelection.forNewHost : FileSelection(classes: Set(only))
        guard inPlace else {
            let archive = try place.open(backup, configuration)
            let name = archive.reference.split(separator: "/").last.map(String.init) ?? "backup"
            let target = try plaintextPlace(
                target ?? "restored-\(name)", of: "the target", outside: place.stores(configuration))
            return try await stage(archive, try keys.required(), selection, target)
        }
        let target = try inPlaceTarget(configuration)
        // What belongs to no node may come from any.
        let archive =
            purpose == .newHost
            ? try place.open(backup, configuration) : try place.open(backup, configuration, on: target.node)
        try await restoreInPlace(archive, try keys.required(), selection, target)
    }

    private func inPlaceTarget(_ configuration: Configuration) throws -> InPlaceTarget {
        let root = root ?? "/"
        let node = NodeRoot(prefix: root)
        let stores = try place.stores(configuration).directories + [node.location(of: StoreOptions.defaultStore)]
        return InPlaceTarget(
            root: root, node: thisNode ?? place.nodeName(of: node, configuration), isNodeNamed: thisNode != nil,
            stores: stores, isForced: force)
    }

    private func restoreInPlace(
        _ archive: OpenedArchive, _ identities: [any Identity], _ selection: FileSelection, _ target: InPlaceTarget
    ) async throws {
        Console.shared.note("restoring from \(archive.reference)")
        let plan = try RestoreFilesOperation.plan(archive, identities: identities, target: target, selection: selection)
        let isDone = dryRun || plan.contains { $0.action == .blocked }
        if isDone || output.format == .table {
            try render(plan, as: output.format) { text(plan) }
        }
        if let blocked = plan.first(where: { $0.action == .blocked }) {
            throw Failure(
                .failed, "\(quoted(blocked.path)) can't be placed: \(blocked.reason ?? "")",
                hint: "clear the way and run it again; nothing was changed")
        }
        try RestoreFilesOperation.checkNothingRuns(at: target, observer: Console.shared.observer)
        if dryRun { return }
        try confirm(plan, target.root)
        let report = try await RestoreFilesOperation.run(
            archive, identities: identities, target: target, selection: selection, observer: Console.shared.observer)
        try finish(report)
    }

    private func finish(_ report: RestoreFilesReport) throws {
        warn(report.refused, below: report.root)
        tell(report.differingDirectories)
        try render(report, as: output.format, done: "the files were restored below \(quoted(report.root))") {
            var lines = [
                ("backup", report.reference), ("root", report.root),
                (
                    "restored",
                    "\(report.createdCount) created, \(report.replacedCount) replaced, \(report.unchangedCount) unchanged"
                ),
                (
                    "replaced files",
                    report.keptPath.map { "kept in the clear in \($0); remove them with: rm -r \($0)" } ?? "none"
                ),
            ]
            if !report.keptBefore.isEmpty { lines.append(("kept before", keptBefore(report.keptBefore))) }
            let leftOut = self.lines(report.leftOut).joined(separator: "; ")
            lines.append(("left out", leftOut.isEmpty ? "nothing" : leftOut))
            return fields(lines + [("took", seconds(report.durationSeconds))])
        }
    }

    /// Says which directories are not as in the backup: keys may lie where others may write.
    private func tell(_ directories: [DirectoryDifference]) {
        for directory in directories.prefix(10) {
            Console.shared.warn(
                "\(quoted(directory.path)) was there already and was left as it is, mode and owner \(directory.found); in the "
                    + "backup it has \(directory.archived)")
        }
        if directories.count > 10 {
            Console.shared.warn("\(directories.count - 10) more directories differ, see -o json")
        }
    }

    private func keptBefore(_ paths: [String]) -> String {
        "in the clear by earlier restores; remove it with: rm -r \(paths.joined(separator: " "))"
    }

    /// What was left out, a sentence for each reason.
    private func lines(_ leftOut: [LeftOutClass]) -> [String] {
        Dictionary(grouping: leftOut, by: \.reason).sorted { $0.key < $1.key }.map { reason, classes in
            "\(classes.map { "\($0.captureClass) (\($0.fileCount))" }.joined(separator: ", ")): \(reason)"
        }
    }

    private func stage(
        _ archive: OpenedArchive, _ identities: [any Identity], _ selection: FileSelection, _ target: String
    ) async throws {
        if dryRun {
            let entries = try RestoreOperation.plan(archive, identities: identities, to: target, files: selection)
            return try render(entries, as: output.format) { wouldRestore(entries) }
        }
        let report = try await RestoreOperation.run(
            archive, identities: identities, to: target, files: selection, observer: Console.shared.observer)
        try show(report, as: output.format)
    }

    /// Asks on a terminal; elsewhere only --yes will do.
    private func confirm(_ plan: [PlannedPlacement], _ root: String) throws {
        guard !yes else { return }
        guard output.format == .table else {
            throw Failure(
                .usage, "with -o \(output.format.rawValue) nobody is asked",
                hint: "read the plan with --dry-run, then add --yes")
        }
        let changed = plan.filter { $0.action == .create || $0.action == .replace }.count
        guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
            throw Failure(
                .usage, "\(changed) files would be placed below \(quoted(root)), and nobody can be asked",
                hint: "read the plan with --dry-run, then add --yes")
        }
        let question = "Place \(changed) files below \(root)? Type yes: "
        guard try ask(question, ifStopped: "nothing was restored") == "yes" else {
            throw Failure(.failed, "nothing was restored", hint: "type yes, or add --yes")
        }
    }

    private func text(_ plan: [PlannedPlacement]) -> String {
        let shown = plan.filter { $0.action != .unchanged && $0.action != .leftOut }
        let rows = shown.map { [$0.action.rawValue, $0.role, $0.path, $0.reason ?? ""] }
        return
            ([
                table(["ACTION", "CLASS", "PATH", "DIFFERS IN"], rows),
                "\(plan.count { $0.action == .unchanged }) entries are there already",
            ] + lines(LeftOutClass.of(plan)).map { "left out unless --only names it: \($0)" }).joined(separator: "\n")
    }
}

/// What files are restored for.
enum RestorePurpose: String, ExpressibleByArgument, CaseIterable {
    case newHost = "new-host"
}
