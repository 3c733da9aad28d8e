import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap prune`.
struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove the backups that no rule keeps.",
        discussion: """
            The rules are those of restic's forget, for each node by itself: a backup stays if any of them keeps it. Without \
            flags those of the configuration count. The newest backups of a node, three whose databases were checked page by \
            page, stay whatever the rules say, and where a node has fewer of these the newest of the others too; one that \
            failed, was not verified, has no snapshot or says that it is from the future never takes the place of a good one. \
            What can't be relied on is left alone. In stores elsewhere, uploads and archives that an interrupted run never \
            published go after a day, unless their number is missing.

            A plan that would remove more than half of a node's backups, or comes after a jump of the clock, is only carried \
            out with --yes; without it the plan is shown, and nothing is removed.

            The configuration may have rules of their own for classes of backups, as `backup --class` makes them; what has a \
            class without rules is kept. With --class only backups of that class go, and the flags are rules for it.

            Without --store each of several stores of the configuration is pruned by its own rules; one that has none keeps \
            everything.

            Example: etcd-snap prune --keep-last 24 --keep-daily 30 --keep-monthly 12 --dry-run
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Rules") var rules: RetentionOptions

    @Option(name: .customLong("class"), help: "Only look at backups of this class.")
    var retentionClass: String?

    @Flag(help: "Only say what would be removed and kept, and why.")
    var dryRun = false

    @Flag(name: [.customShort("y"), .long], help: "Also carry out a plan that removes more than half.")
    var yes = false

    func run() throws {
        let configuration = try common.start(output.format)
        let stores = try place.stores(configuration)
        guard stores.areSeveral else {
            let report = try prune(stores.first, configuration)
            try render(report.document, as: output.format, done: report.done) { text(report) }
            if !report.isDone { try confirm(report.plan) }
            return
        }
        try pruneAll(stores, configuration)
    }

    /// What pruning one store came to.
    private struct Pruned {
        var plan: PrunePlan
        /// Whether it was carried out, and not only shown.
        var isDone: Bool
        var document: PruneReport
        /// What was done, whatever becomes of the report.
        var done: String?
    }

    /// The rules of the configuration with the flags before them: those of the class, if one is named.
    private func rules(of store: NamedStore, _ configuration: Configuration) throws -> RetentionRules {
        var retention = configuration.retention(ofStore: store.name) ?? .init()
        guard let retentionClass else { return try retention.overridden(by: rules.configured).rules() }
        var given = rules.configured
        (retention.floor, retention.floorLevel) = (
            given.floor ?? retention.floor, given.floorLevel ?? retention.floorLevel
        )
        (given.floor, given.floorLevel) = (nil, nil)
        let own = retention.classes?[retentionClass] ?? .init()
        retention.classes = [retentionClass: own.overridden(by: given)]
        return try retention.rules()
    }

    private func prune(
        _ store: NamedStore, _ configuration: Configuration, isOneOfSeveral: Bool = false
    ) throws -> Pruned {
        let plan = try PruneOperation.plan(
            for: store.store, cluster: place.cluster, node: place.node, ofClass: retentionClass,
            rules: rules(of: store, configuration))
        let label = isOneOfSeveral ? "\(store.label): " : ""
        for problem in plan.problems { Console.shared.warn("\(label)left alone: \(problem.line)") }
        let isDone = !dryRun && isConfirmed(plan)
        if !isDone {
            try PruneOperation.check(plan)
            for archive in plan.abandoned {
                Console.shared.note("\(label)would remove \(archive.backup.reference), which was never published")
            }
        } else {
            for name in try PruneOperation.run(plan) { Console.shared.warn("\(label)removed \(name)") }
        }
        let count = plan.removed.count
        return Pruned(
            plan: plan, isDone: isDone, document: PruneReport(plan, store: store.name, dryRun: !isDone),
            done: !isDone || count == 0 ? nil : "removed \(count) backups")
    }

    /// Each store by itself: what one can't do keeps the others from nothing.
    private func pruneAll(_ stores: StoreSet, _ configuration: Configuration) throws {
        var reports: [(store: NamedStore, report: Pruned)] = []
        var failures: [(store: NamedStore, failure: Failure)] = []
        let withRules = try stores.stores.filter { store in
            let areThere = try !rules(of: store, configuration).areEmpty
            if !areThere { Console.shared.note("\(store.label) has no rules, and keeps everything") }
            return areThere
        }
        guard !withRules.isEmpty else { _ = try prune(stores.first, configuration); return }
        for store in withRules {
            do {
                let report = try prune(store, configuration, isOneOfSeveral: true)
                reports.append((store, report))
                if !report.isDone { try confirm(report.plan) }
            } catch let error as CancellationError {
                throw error
            } catch {
                let failure = Failure(wrapping: error)
                // A store in which there is nothing yet has nothing to remove.
                if failure.code != .notFound { failures.append((store, failure)) }
            }
        }
        let done = reports.compactMap { entry in entry.report.done.map { "\(entry.store.label): \($0)" } }
        try render(
            reports.map(\.report.document), as: output.format, done: done.isEmpty ? nil : done.joined(separator: ", ")
        ) {
            reports.map { "\($0.store.label):\n\(text($0.report))" }.joined(separator: "\n\n")
        }
        guard var failure = failures.first?.failure else { return }
        failure.message = failures.map { "\($0.store.label): \($0.failure.description)" }.joined(separator: "; ")
        failure.cause = nil
        throw failure
    }

    private func isConfirmed(_ plan: PrunePlan) -> Bool { yes || plan.cautions.isEmpty }

    /// - Throws: ``Failure`` if the plan, which was shown, needs to be confirmed.
    private func confirm(_ plan: PrunePlan) throws {
        guard !isConfirmed(plan) else { return }
        let cautions = plan.cautions.joined(separator: "; ")
        throw Failure(
            .usage, dryRun ? "the real run would remove nothing: \(cautions)" : "nothing was removed: \(cautions)",
            hint: "add --yes if the plan above is right")
    }

    private func text(_ report: Pruned) -> String {
        let plan = report.plan
        let rows = plan.decisions.map { decision in
            let sidecar = decision.backup.sidecar
            let archive = sidecar.archive
            return [
                archive.cluster, archive.node, archive.id.description, age(archive.createdAt),
                size(sidecar.object.size), sidecar.retentionClass.map(printable) ?? "",
                decision.reasons.isEmpty ? (report.isDone ? "removed" : "would be removed") : "kept",
                decision.reasons.isEmpty ? "no rule keeps it" : decision.reasons.joined(separator: ", "),
            ]
        }
        let list = table(
            [
                Column("CLUSTER", rank: 4), Column("NODE", rank: 5), "ID", "AGE", Column("SIZE", rank: 2),
                Column("CLASS", rank: 6), "RESULT",
                Column("WHY", rank: 3),
            ], rows)
        let verb = report.isDone ? "removed" : "would remove"
        return list
            + "\n\(verb) \(plan.removed.count) of \(plan.decisions.count) backups, \(size(plan.removedByteCount))"
    }
}

/// The rules as flags; the names are restic's.
struct RetentionOptions: ParsableArguments {
    @Option(help: "Keep so many of the newest; unlimited keeps all.") var keepLast: RetentionCount?
    @Option(help: "Keep all that are not older than this before the newest: 1y6m, 30d, 12h.") var keepWithin: String?
    @Option(help: "Keep the newest of each of so many hours.") var keepHourly: RetentionCount?
    @Option(help: "Keep the newest of each of so many days.") var keepDaily: RetentionCount?
    @Option(help: "Keep the newest of each of so many weeks.") var keepWeekly: RetentionCount?
    @Option(help: "Keep the newest of each of so many months.") var keepMonthly: RetentionCount?
    @Option(help: "Keep the newest of each of so many years.") var keepYearly: RetentionCount?
    @Option(help: "How many of a node's newest verified backups are never removed; without it 3.") var floor: Int?
    @Option(help: "What those must have reached: streamed, structural, consistent or stored; without it structural.")
    var floorLevel: String?

    /// The rules that were given.
    var configured: Configuration.Retention {
        var retention = Configuration.Retention()
        retention.keepLast = keepLast
        retention.keepWithin = keepWithin
        retention.keepHourly = keepHourly
        retention.keepDaily = keepDaily
        retention.keepWeekly = keepWeekly
        retention.keepMonthly = keepMonthly
        retention.keepYearly = keepYearly
        retention.floor = floor
        retention.floorLevel = floorLevel
        return retention
    }
}

extension RetentionCount: ExpressibleByArgument {
    /// Reads a number, or `unlimited`.
    public init?(argument: String) { self.init(argument) }
}

private struct PruneReport: Encodable {
    struct Backup: Encodable {
        var cluster: String
        var node: String
        var id: String
        var createdAt: Date
        var size: Int
        /// The class, if it has one.
        var retentionClass: String?
        var reasons: [String]

        init(_ decision: RetentionDecision) {
            let sidecar = decision.backup.sidecar
            (cluster, node, id) = (sidecar.archive.cluster, sidecar.archive.node, sidecar.archive.id.description)
            createdAt = sidecar.archive.createdAt
            size = sidecar.object.size
            retentionClass = sidecar.retentionClass
            reasons = decision.reasons
        }
    }

    /// The name that the configuration has for the store; nil if it has none.
    var store: String?
    var dryRun: Bool
    var removed: [Backup]
    var kept: [Backup]
    var removedByteCount: Int
    var cautions: [String]
    /// Archives that were never published, and go too.
    var abandoned: [String]

    init(_ plan: PrunePlan, store: String?, dryRun: Bool) {
        self.store = store
        self.dryRun = dryRun
        removed = plan.removed.map(Backup.init)
        kept = plan.kept.map(Backup.init)
        removedByteCount = plan.removedByteCount
        cautions = plan.cautions
        abandoned = plan.abandoned.map(\.backup.reference)
    }
}
