import ArgumentParser
import HostIO
import NodeFiles
import Operations
import PKIBackup
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// The command `etcd-snap backup`.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Take etcd snapshots and the state of this control-plane node into a sealed archive.",
        discussion: """
            What to take is found out from the node itself: static pods, flags of the components, the layouts of kubeadm, \
            k3s, RKE2, k0s and others. See what that is with `etcd-snap doctor` or --dry-run.

            Example: etcd-snap backup -r age1… --store /var/lib/etcd-snap
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Recipients") var recipients: RecipientOptions
    @OptionGroup(title: "Node") var capture: CaptureOptions
    @OptionGroup(title: "etcd") var etcd: EtcdOptions

    @Flag(
        help: ArgumentHelp(
            "Take files alone, and no snapshot of any etcd.",
            discussion: "For a cluster whose data is in another database, which is backed up by itself."))
    var noEtcd = false

    @Flag(
        help: ArgumentHelp(
            "Take a snapshot of etcd whatever other nodes take.",
            discussion:
                "Without it one node takes the snapshot of each time slot, where several members of an etcd cluster back up "
                + "into one store; the others take their files, and name the backup that has it."))
    var everyNode = false

    @Option(help: "The name of the snapshot in the archive.")
    var name: String?

    @Option(
        help: ArgumentHelp(
            "How far to verify before publishing: streamed, structural, consistent or stored.",
            discussion:
                "structural checks every page, consistent compares with the members' own hash of the key space, "
                + "stored reads the whole archive back. Without it structural, or what the configuration says."))
    var verify: VerificationLevel?

    @Option(
        name: .customLong("class"),
        help: ArgumentHelp(
            "The class of the backup, such as pre-upgrade: it is kept by the rules that the configuration has for it.",
            discussion: "A name of small letters, digits and '-'. Without rules for it nothing removes it but delete."))
    var retentionClass: String?

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    func validate() throws {
        if noEtcd, let verify, [.structural, .consistent].contains(verify) {
            throw ValidationError(
                "--no-etcd takes no snapshot that --verify \(verify.rawValue) could check: with it, streamed or stored")
        }
        if noEtcd, !etcd.endpoints.isEmpty || name != nil {
            throw ValidationError("--no-etcd takes no snapshot, so that --endpoints and --name mean nothing with it")
        }
    }

    func run() async throws {
        scheduleAsBatch()
        let configuration = try common.start(output.format)
        let plan = try plan(configuration)
        let operation = BackupOperation(plan, observer: Console.shared.observer)
        if dryRun {
            let preview = try await operation.preview()
            try render(preview, as: output.format) { preview.lines.joined(separator: "\n") }
            if preview.findings.defectCount > 0 { throw ExitCode(Failure.Code.findings.rawValue) }
            return
        }
        let report = try await operation.run()
        for finding in report.findings { Console.shared.report(finding) }
        let isAskedFor = verify != nil || configuration.verify != nil
        if let warning = unreachedLevel(report, plan.verification, isAskedFor) { Console.shared.warn(warning) }
        for shared in report.sidecar.sharedSnapshots ?? [] { Console.shared.note(sharedNote(shared)) }
        for path in report.skipped { Console.shared.detail("skipped \(quoted(path.path)): \(path.reason)") }
        let done = "the backup \(report.reference) was made and published as \(quoted(report.path))"
        try render(report, as: output.format, done: done) { summary(report) }
        if report.findings.defectCount > 0 { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    /// Who looks at a terminal would rather be told soon.
    private static var patience: Duration {
        isatty(STDERR_FILENO) == 1 ? StoreOpening.watchedPatience : StoreOpening.unwatchedPatience
    }

    private func plan(_ configuration: Configuration) throws -> BackupPlan {
        let stores = try place.stores(configuration, patience: Self.patience)
        let node = try capture.plan(configuration, stores: stores, removesLeftovers: !dryRun)
        var plan = BackupPlan(
            scope: try place.scope(configuration, of: NodeRoot(prefix: capture.root)),
            stores: stores,
            etcds: noEtcd ? [] : try etcd.sources(configuration, of: node, name: name),
            recipients: try recipients.recipients(configuration), node: node)
        plan.isOfFilesAlone = noEtcd
        plan.retentionClass = try retentionClass(configuration)
        plan.sharing = try configuration.snapshotSharing(everyNode: everyNode ? true : nil)
        plan.recipientLabels = configuration.recipientLabels
        plan.verification = try verify ?? configuredLevel(configuration)
        return plan
    }

    /// That a backup was not verified as far as it was to be, unless a finding says so, or there was nothing to verify by a
    /// level that nobody asked for.
    private func unreachedLevel(_ report: BackupReport, _ wanted: VerificationLevel, _ isAskedFor: Bool) -> String? {
        let sidecar = report.sidecar
        guard let reached = VerificationLevel(rawValue: sidecar.verification.rawValue), reached < wanted,
            isAskedFor && sidecar.sharedSnapshots == nil || !sidecar.etcd.isEmpty,
            !report.findings.contains(where: { $0.code == "hashkv-not-compared" })
        else { return nil }
        let why = sidecar.etcd.isEmpty ? ": there is no snapshot of etcd in it" : ""
        return "it is verified as \(reached.rawValue), and not as \(wanted.rawValue)\(why)"
    }

    /// Who expects a new snapshot has to know that there is none, and how to have one.
    private func sharedNote(_ shared: SharedSnapshot) -> String {
        let made = shared.createdAt.map { ", made \(distance($0))" } ?? ""
        return
            "no snapshot of \(shared.name) was taken: it is by \(shared.place)\(made); --every-node takes one here too"
    }

    private func retentionClass(_ configuration: Configuration) throws -> String? {
        if let retentionClass {
            try Configuration.Retention.checkClass(retentionClass)
            return retentionClass
        }
        guard let configured = configuration.retentionClass else { return nil }
        try configuration.locating("class") { try Configuration.Retention.checkClass(configured) }
        return configured
    }

    private func configuredLevel(_ configuration: Configuration) throws -> VerificationLevel {
        guard let text = configuration.verify else { return .structural }
        guard let level = VerificationLevel(argument: text) else {
            return try configuration.locating("verify") {
                throw Failure(
                    .usage, "there is no level \(quoted(text))",
                    hint: "known are: \(VerificationLevel.allValueStrings.joined(separator: ", "))")
            }
        }
        return level
    }

    private func summary(_ report: BackupReport) -> String {
        let sidecar = report.sidecar
        let database =
            sidecar.etcd.map { "\(size($0.databaseSize)) at revision \($0.revision ?? $0.revisionAtStart)" }
            + sharedSnapshotLines(sidecar)
        var lines = [("backup", report.reference), ("archive", report.path)]
        lines += (report.stores ?? []).map { ("store \($0.store)", $0.path == nil ? "does not have it" : "has it") }
        if let retentionClass = sidecar.retentionClass { lines.append(("class", retentionClass)) }
        lines += [
            ("size", "\(size(sidecar.object.size)) from \(size(sidecar.object.tarSize))"),
            ("etcd", database.isEmpty ? "none" : database.joined(separator: ", ")),
            ("entries", "\(sidecar.entryCount)"),
            ("verified", sidecar.verification.rawValue),
            ("findings", "\(report.findings.defectCount)"),
            ("took", seconds(report.durationSeconds)),
        ]
        return fields(lines)
    }
}

/// What is said of the etcds whose snapshots are in other nodes' backups.
func sharedSnapshotLines(_ sidecar: Sidecar) -> [String] {
    sharedSnapshotLines(sidecar.sharedSnapshots, sidecar.etcd.isEmpty)
}

/// - Parameter isOfFilesAlone: whether there is no other snapshot in the backup.
func sharedSnapshotLines(_ shared: [SharedSnapshot]?, _ isOfFilesAlone: Bool) -> [String] {
    (shared ?? []).map { snapshot in
        let what = isOfFilesAlone && shared?.count == 1 ? "snapshot" : "snapshot of \(printable(snapshot.name))"
        return (isOfFilesAlone ? "files only; " : "") + "\(what) by \(printable(snapshot.place))"
    }
}

/// Findings, a line each.
func findingLines(_ findings: [Finding]) -> String {
    "findings:\n" + findings.map { "  \(findingLabel($0)): \(findingLine($0))" }.joined(separator: "\n")
}

/// How bad a finding is; why it is none for now, where the configuration accepts it.
func findingLabel(_ finding: Finding) -> String {
    guard let accepted = finding.accepted else { return "\(finding.severity)" }
    let until = accepted.until.map { " until \($0)" } ?? ""
    return "accepted\(until) (\(printable(accepted.reason)))"
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
