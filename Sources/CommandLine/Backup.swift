import ArgumentParser
import HostIO
import Operations
import PKIBackup
import SealedArchive

/// The command `etcd-snap backup`.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take an etcd snapshot and files of this node into a sealed archive.",
        discussion: """
            On a kubeadm node endpoint and client certificate are found at their usual places.

            Example: etcd-snap backup -r age1… --store /var/lib/etcd-snap --include /etc/kubernetes
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "etcd") var etcd: EtcdOptions

    @Option(
        name: .shortAndLong, parsing: .singleValue, help: "Seal for this age recipient; may be repeated.")
    var recipient: [String] = []

    @Option(
        name: [.customShort("R"), .long], parsing: .singleValue,
        help: "Seal for the recipients in this file; may be repeated.", completion: .file())
    var recipientsFile: [String] = []

    @Option(
        parsing: .singleValue, help: "Capture this file or directory too; may be repeated.", completion: .file())
    var include: [String] = []

    @Option(parsing: .singleValue, help: "Leave out paths that match this pattern; may be repeated.")
    var exclude: [String] = []

    @Option(help: "The name of the snapshot in the archive.")
    var name: String?

    @Option(
        help: ArgumentHelp(
            "How far to verify before publishing: streamed, structural, consistent or stored.",
            discussion:
                "structural checks every page, consistent compares with the members' own hash of the key space, "
                + "stored reads the whole archive back. Without it structural, or what the configuration says."))
    var verify: VerificationLevel?

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    func run() async throws {
        let configuration = try common.start(output.format)
        let operation = try BackupOperation(plan(configuration), observer: Console.shared.observer)
        if dryRun {
            let lines = try await operation.dryRun()
            try render(lines, as: output.format) { lines.joined(separator: "\n") }
            return
        }
        let report = try await operation.run()
        for finding in report.findings { Console.shared.warn(findingLine(finding)) }
        for path in report.skipped { Console.shared.detail("skipped \(quoted(path.path)): \(path.reason)") }
        try render(report, as: output.format) { summary(report) }
        if !report.findings.isEmpty { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func plan(_ configuration: Configuration) throws -> BackupPlan {
        var section = etcd.section(configuration)
        section.name = name ?? section.name
        let hasFlags = !recipient.isEmpty || !recipientsFile.isEmpty
        let recipients = try Keys.recipients(
            hasFlags ? recipient : configuration.recipients ?? [],
            files: hasFlags ? recipientsFile : configuration.recipientsFiles ?? [])
        var plan = BackupPlan(
            scope: try place.scope(configuration), store: place.store(configuration),
            etcd: try EtcdSource.resolve(section), recipients: recipients,
            selection: CaptureSelection(
                include: (configuration.include ?? []) + include, exclude: (configuration.exclude ?? []) + exclude))
        plan.verification = try verify ?? configuredLevel(configuration)
        return plan
    }

    private func configuredLevel(_ configuration: Configuration) throws -> VerificationLevel {
        guard let text = configuration.verify else { return .structural }
        guard let level = VerificationLevel(argument: text) else {
            throw Failure(
                .usage, "the configuration has the unknown level \(quoted(text)) for verify",
                hint: "known are: \(VerificationLevel.allValueStrings.joined(separator: ", "))")
        }
        return level
    }

    private func summary(_ report: BackupReport) -> String {
        let sidecar = report.sidecar
        let database = sidecar.etcd.map { "\(size($0.databaseSize)) at revision \($0.revision ?? $0.revisionAtStart)" }
        return fields([
            ("backup", report.reference),
            ("archive", report.path),
            ("size", "\(size(sidecar.object.size)) from \(size(sidecar.object.tarSize))"),
            ("etcd", database.joined(separator: ", ")),
            ("members", "\(sidecar.entryCount)"),
            ("verified", sidecar.verification.rawValue),
            ("findings", "\(report.findings.count)"),
            ("took", seconds(report.durationSeconds)),
        ])
    }
}

/// A finding on one line.
func findingLine(_ finding: Finding) -> String {
    "\(finding.code): \(quoted(finding.subject)): \(finding.message)\(finding.advice.map { " (\($0))" } ?? "")"
}

extension VerificationLevel: ExpressibleByArgument {
    /// The levels that a backup can reach by itself.
    public static let allValueStrings = ["streamed", "structural", "consistent", "stored"]

    /// Reads one of ``allValueStrings``.
    public init?(argument: String) {
        guard Self.allValueStrings.contains(argument) else { return nil }
        self.init(rawValue: argument)
    }
}
