import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap sync`.
struct Sync: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring backups that are missing in a store over from another.",
        discussion: """
            Each of several stores of the configuration gets what others have of the backups, the oldest first; with --from and \
            --to the one from the other. Copies are byte for byte, with numbers and sidecars as they are, and checked on the \
            way by the digests of the sidecar; no key is needed. What is there is not copied again, so an interrupted run is \
            gone on with by the next. What was removed from a store on purpose, by delete or prune, stays away, and so does \
            what the store's rules would remove at once. A damaged backup does not keep the others back; exit status 3 then.

            Example: etcd-snap sync --from local --to /mnt/usb/etcd-snap --cluster prod
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions

    @Option(
        help: "The store to take backups from: a name of the configuration, or a place; without it all others.",
        completion: .directory)
    var from: String?

    @Option(
        help: "The store to bring them to: a name of the configuration, or a place; without it all others.",
        completion: .directory)
    var to: String?

    @Option(help: "Only backups of this cluster.")
    var cluster: String?

    @Option(help: "Only backups of this node.")
    var node: String?

    @Flag(help: "Also what was removed from the store on purpose, or left out of it by its rules.")
    var includeRemoved = false

    @Flag(help: "Only say what would be copied.")
    var dryRun = false

    func run() async throws {
        scheduleAsBatch()
        let configuration = try common.start(output.format)
        let (sources, targets) = try places(configuration)
        let operation = SyncOperation(
            from: sources, to: targets, cluster: cluster, node: node, includesRemoved: includeRemoved,
            observer: Console.shared.observer)
        let report = try await dryRun ? operation.preview() : operation.run()
        for finding in report.findings { Console.shared.report(finding) }
        let count = report.targets.reduce(0) { $0 + $1.copied.count }
        try render(report, as: output.format, done: dryRun || count == 0 ? nil : "copied \(count) backups") {
            text(report)
        }
        if let failure = report.failure { throw failure }
        if report.findings.defectCount > 0 { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    /// The stores to take from, and those to fill.
    private func places(_ configuration: Configuration) throws -> (StoreSet, StoreSet) {
        let source = try from.map { try StoreOptions.store($0, configuration) }
        let target = try to.map { try named($0, configuration) }
        if let source, let target {
            guard !StoreOptions.isSame(source.store, target.store) else {
                throw Failure(
                    .usage, "\(quoted(source.label)) is where backups would come from and go to",
                    hint: "name another store with --from or --to")
            }
            return (StoreSet([source]), StoreSet([target]))
        }
        let all = try StoreOptions.all(configuration)
        guard all.areSeveral else {
            // One that is named, and the only one of the configuration.
            if let source { return (StoreSet([source]), try other(than: source, all)) }
            if let target { return (try other(than: target, all), StoreSet([target])) }
            throw Failure(
                .usage, "the configuration has one store, and nothing can be brought from it to itself",
                hint: "name the stores with --from and --to, or write them under stores in the configuration")
        }
        let sources = try source.map { StoreSet([$0]) } ?? (target.map { try other(than: $0, all) } ?? all)
        let targets = try target.map { StoreSet([$0]) } ?? (source.map { try other(than: $0, all) } ?? all)
        return (sources, targets)
    }

    /// The stores of the configuration but for one.
    private func other(than store: NamedStore, _ all: StoreSet) throws -> StoreSet {
        let others = all.stores.filter { !StoreOptions.isSame($0.store, store.store) }
        guard !others.isEmpty else {
            throw Failure(
                .usage, "there is no other store than \(quoted(store.label))",
                hint: "name the other one with --from or --to")
        }
        return StoreSet(others)
    }

    /// A target; the only store of the configuration has its rules.
    private func named(_ text: String, _ configuration: Configuration) throws -> NamedStore {
        let store = try StoreOptions.store(text, configuration)
        guard store.name == nil, let only = configuration.store, let retention = configuration.retention,
            StoreOptions.isSame(store.store, try StoreOptions.store(only, configuration).store)
        else { return store }
        return NamedStore(store.store, rules: try configuration.locating("retention") { try retention.rules() })
    }

    private func text(_ report: SyncReport) -> String {
        var rows = report.targets.flatMap { target in
            target.copied.map { copy in
                [
                    target.store, copy.reference, size(copy.byteCount), copy.source,
                    (dryRun ? "would be copied" : "copied") + (copy.isSidecarAlone ? " (the sidecar)" : ""),
                ]
            }
        }
        rows += report.targets.flatMap { target in
            target.omitted.filter { $0.reason == .damaged }.map {
                [target.store, $0.reference, "", "", "not copied: damaged"]
            }
        }
        let columns: [Column] = [
            "STORE", "BACKUP", Column("SIZE", rank: 1), Column("FROM", rank: 2), Column("RESULT", rank: 3),
        ]
        let list = rows.isEmpty ? [] : [table(columns, rows)]
        return (list + report.targets.map(summary)).joined(separator: "\n")
    }

    private func summary(_ target: SyncReport.Target) -> String {
        let kinds: [(SyncReport.Reason, String)] = [
            (.removed, "removed there before"), (.expired, "that its rules would remove"), (.damaged, "damaged"),
        ]
        let omitted = kinds.filter { target.omittedCount($0.0) > 0 }.map { "\(target.omittedCount($0.0)) \($0.1)" }
        let drills = target.drilled.isEmpty ? "" : ", \(target.drilled.count) records of drills"
        return "\(target.store): \(dryRun ? "would copy" : "copied") \(target.copied.count) backups, "
            + size(target.copiedByteCount) + drills + (target.error == nil ? "" : ", and failed")
            + (omitted.isEmpty ? "" : "; left out: \(omitted.joined(separator: ", "))")
    }
}
