import Age
import ArgumentParser
import FoundationEssentials
import HostIO
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
            Without --in-place the files go into a new directory, by default restored-ID. With it they go to their own paths below
            --root: the plan is printed first, and nothing is done without --yes or an answer on the terminal. Each file
            appears complete with owner, mode, times and attributes; what it replaces is kept below
            var/lib/etcd-snap/replaced-TIME of the root. What belongs to the old host itself (its network, its machine ID) is
            left alone unless --only names that class.

            Example: etcd-snap restore files latest -i key.txt --only ca-key --only ca-certificate --in-place
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

    @Option(
        parsing: .singleValue, help: "Restore only files of this class, such as ca-key; may be repeated.",
        completion: .list(CaptureClass.allCases.map(\.rawValue)))
    var only: [String] = []

    @Flag(help: "With --in-place: do not ask.")
    var yes = false

    @Flag(help: "Only say what would be restored.")
    var dryRun = false

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func validate() throws {
        if !inPlace, yes || root != nil { throw ValidationError("--yes and --root are for --in-place") }
        if root?.isEmpty == true { throw ValidationError("--root names no directory") }
        if inPlace, target != nil { throw ValidationError("--in-place and --target exclude each other") }
        let known = CaptureClass.allCases.map(\.rawValue)
        if let unknown = only.first(where: { !known.contains($0) }) {
            throw ValidationError("\(unknown) is no class; known are: \(known.joined(separator: ", "))")
        }
    }

    func run() async throws {
        let configuration = try common.start(output.format)
        let archive = try place.open(backup, configuration)
        let identities = try keys.required()
        let selection = FileSelection(
            classes: Set(only), leftOut: inPlace && only.isEmpty ? FileSelection.classesOfTheHost : [])
        guard inPlace else {
            let name = archive.reference.split(separator: "/").last.map(String.init) ?? "backup"
            return try await stage(archive, identities, selection, target ?? "restored-\(name)")
        }
        let root = root ?? "/"
        Console.shared.note("restoring from \(archive.reference)")
        let plan = try RestoreFilesOperation.plan(archive, identities: identities, root: root, selection: selection)
        let isDone = dryRun || plan.contains { $0.action == .blocked }
        if isDone || output.format == .table {
            try render(plan, as: output.format) { text(plan) }
        }
        if let blocked = plan.first(where: { $0.action == .blocked }) {
            throw Failure(
                .failed, "\(quoted(blocked.path)) can't be placed: \(blocked.reason ?? "")",
                hint: "move away what is there; nothing was changed")
        }
        if dryRun { return }
        try confirm(plan, root)
        let report = try await RestoreFilesOperation.run(
            archive, identities: identities, root: root, selection: selection, observer: Console.shared.observer)
        try finish(report)
    }

    private func finish(_ report: RestoreFilesReport) throws {
        warn(refused: report.refusedAttributeCount)
        try render(report, as: output.format) {
            fields([
                ("backup", report.reference), ("root", report.root),
                (
                    "restored",
                    "\(report.createdCount) created, \(report.replacedCount) replaced, \(report.unchangedCount) unchanged"
                ),
                ("replaced files", report.keptPath.map { "kept in \($0)" } ?? "none"),
                ("took", seconds(report.durationSeconds)),
            ])
        }
    }

    private func stage(
        _ archive: OpenedArchive, _ identities: [any Identity], _ selection: FileSelection, _ target: String
    ) async throws {
        if dryRun {
            let entries = try RestoreFilesOperation.entries(archive, identities: identities, selection: selection)
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
        guard try ask("Place \(changed) files below \(root)? Type yes: ") == "yes" else {
            throw Failure(.failed, "nothing was restored", hint: "type yes, or add --yes")
        }
    }

    private func text(_ plan: [PlannedPlacement]) -> String {
        table(
            ["ACTION", "CLASS", "PATH", "DIFFERS IN"],
            plan.filter { $0.action != .unchanged }.map { [$0.action.rawValue, $0.role, $0.path, $0.reason ?? ""] })
            + "\n\(plan.count { $0.action == .unchanged }) entries are there already"
    }
}
