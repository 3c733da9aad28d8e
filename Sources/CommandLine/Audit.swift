import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap audit`.
struct Audit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer what an auditor asks of a store: what is there, what is missing, and what is proved.",
        discussion: """
            For each node: how many backups from when to when, which numbers are there, were removed or are missing, whether \
            the digests in the sidecars make a chain, how long there was no backup, which levels of verification were \
            reached, for how many keys archives are sealed, what the rules of the configuration make of it, and of several \
            stores how many have each backup, and what drills have shown. All of it comes from sidecars and the records beside them: no archive is \
            opened, no key is needed, and a store is asked no more than by list. What was not looked at is said first.

            Numbers and digests are those of all backups; --since is for the rest. Exit status 3 with findings, 7 with \
            damage, 1 when something could not be read. What is known can be accepted in the configuration.

            Example: etcd-snap audit --store s3://backups/etcd --cluster prod --since 90d --max-gap 26h -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Option(
        help: "Judge only what was made since: 30d, 1y6m (m are months), 2026-11-01 or a time, in UTC; without it all.")
    var since: String?

    @Option(help: "The longest time without a backup that is allowed, such as 26h or 7d.")
    var maxGap = AuditCriteria.usualGap

    @Option(
        help: "What each backup with a snapshot must have reached: streamed, structural, consistent or stored.")
    var minLevel = VerificationLevel.structural

    @Option(
        help:
            "How long ago the last drill that succeeded may be, in each cluster, such as 8d; without it drills are not judged."
    )
    var maxDrillAge: String?

    func run() throws {
        let configuration = try common.start(output.format)
        let now = Date()
        let criteria = try AuditCriteria(
            since: since, maximumGap: maxGap, minimumLevel: minLevel, maximumDrillAge: maxDrillAge,
            accepted: configuration.accept ?? [], now: now)
        let report = try AuditOperation.run(
            on: place.stores(configuration), cluster: place.cluster, node: place.node, criteria: criteria,
            configuration: configuration, now: now)
        try render(report, as: output.format) { AuditText(report).text }
        if let code = report.verdict.exitCode { throw ExitCode(code.rawValue) }
    }
}

extension AuditReport.Verdict {
    /// As of `list`.
    fileprivate var exitCode: Failure.Code? {
        switch self {
        case .passed: nil
        case .findings: .findings
        case .incomplete: .failed
        case .damaged: .integrity
        }
    }
}
