import ArgumentParser
import Certificates
import HostIO
import NodeFiles
import Operations
import PKIBackup
import SealedArchive

/// The command `etcd-snap doctor`.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at what a backup of this node would take and depends on.",
        discussion: """
            Shows what was found on the node and would be captured, whether etcd answers, for whom archives are sealed, \
            whether the store can be written to and the timer is on, and what a rebuild would lack. Exit status 3 if \
            anything needs attention. Nothing is changed, but that what an interrupted restore, drill or plan has left in the clear \
            is removed, and said.

            Example: etcd-snap doctor
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Recipients") var recipients: RecipientOptions
    @OptionGroup(title: "Node") var capture: CaptureOptions
    @OptionGroup(title: "etcd") var etcd: EtcdOptions

    @Flag(help: "Look at files alone, as for `backup --no-etcd`.")
    var noEtcd = false

    func validate() throws {
        if noEtcd, !etcd.endpoints.isEmpty {
            throw ValidationError("--no-etcd looks at no etcd, so that --endpoints means nothing with it")
        }
    }

    func run() async throws {
        let configuration = try common.start(output.format)
        let stores = try place.stores(configuration)
        let node = try capture.plan(configuration, stores: stores)
        let operation = DoctorOperation(
            node: node,
            etcds: Result { try etcd.sources(configuration, of: node) },
            recipients: Result { try recipients.recipients(configuration) }, labels: configuration.recipientLabels,
            stores: stores,
            scope: try place.scope(configuration, of: NodeRoot(prefix: capture.root)), isOfFilesAlone: noEtcd)
        let report = try await operation.run().withFlags
        try render(report, as: output.format) { text(report) }
        if !report.isHealthy { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func text(_ report: DoctorReport) -> String {
        var sections = [
            fields([
                (
                    "layout",
                    report.distributions.isEmpty ? "not recognised" : report.distributions.joined(separator: ", ")
                ),
                ("components", report.components.isEmpty ? "none found" : report.components.joined(separator: ", ")),
                (
                    "first to expire",
                    report.firstToExpire.map { "\($0.path), \(time($0.notAfter))" } ?? "no certificates"
                ),
            ]),
            table(
                ["CLASS", "FILES", "SIZE", "NAMED BY"],
                report.captured.map {
                    [$0.captureClass, "\($0.fileCount)", size($0.byteCount), abbreviated($0.referrers)]
                }),
            table(["CHECK", "STATUS", "FOUND"], report.checks.map { [$0.name, $0.status.rawValue, sentence($0)] }),
        ]
        if !report.skipped.isEmpty {
            let lines = report.skipped.map { "  \(quoted($0.path)): \($0.reason)" }
            sections.append("left out:\n" + lines.joined(separator: "\n"))
        }
        sections.append(
            report.findings.isEmpty
                ? "no findings" : findingLines(report.findings)
        )
        return sections.joined(separator: "\n\n")
    }

    private func sentence(_ check: DoctorReport.Check) -> String {
        check.message + (check.advice.map { " (\($0))" } ?? "")
    }

    private func abbreviated(_ names: [String]) -> String {
        names.count <= 2
            ? names.joined(separator: ", ") : names.prefix(2).joined(separator: ", ") + ", … (\(names.count))"
    }
}
