import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap list`.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the backups in a store.",
        discussion: """
            Only complete archives are listed. What can't be relied on, such as an archive without its sidecar, or a number that \
            is missing among the backups of a node, is a warning, and listed with --problems. No key is needed. A directory \
            of archives, as download fills it, can be listed too. Of several stores each backup is listed once, with the \
            stores that have it.

            Example: etcd-snap list --store /var/lib/etcd-snap --cluster prod -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Option(name: .customLong("class"), help: "Only list backups of this class.")
    var retentionClass: String?

    @Flag(help: "List what can't be relied on instead: archives without sidecars, sidecars without archives, damage.")
    var problems = false

    func run() throws {
        let configuration = try common.start(output.format)
        let stores = try place.stores(configuration)
        let contents = try ListedStores(stores, cluster: place.cluster, node: place.node)
        if problems {
            try renderProblems(contents)
        } else {
            try renderBackups(contents)
        }
        if let code = contents.exitCode { throw ExitCode(code.rawValue) }
    }

    private func renderBackups(_ contents: ListedStores) throws {
        for warning in contents.warnings { Console.shared.warn(warning) }
        if contents.unpublishedCount > 0 {
            Console.shared.note("archives that are not published: \(contents.unpublishedCount) (see --problems)")
        }
        let backups = contents.backups.filter {
            retentionClass == nil || $0.sidecar.retentionClass == retentionClass
        }
        if backups.isEmpty, contents.warnings.isEmpty {
            if output.format != .table { try render([Sidecar](), as: output.format) { "" } }
            if let retentionClass, !contents.backups.isEmpty {
                throw Failure(.notFound, "there is no backup of class \(quoted(retentionClass))")
            }
            throw contents.nothing(cluster: place.cluster, node: place.node)
        }
        let documents = output.format == .table ? [] : try backups.map { try contents.document($0) }
        try render(documents, as: output.format) {
            var columns = [
                Column("CLUSTER", rank: 6), Column("NODE", rank: 7), "ID", "AGE", Column("SIZE", rank: 4),
                Column("DATABASE", rank: 2), Column("REVISION", rank: 1), Column("VERIFIED", rank: 3),
                Column("FINDINGS", rank: 5),
            ]
            let haveClasses = backups.contains { $0.sidecar.retentionClass != nil }
            if haveClasses { columns.append("CLASS") }
            if contents.areSeveral { columns.append("STORES") }
            return table(
                columns,
                backups.map { backup in
                    row(backup.sidecar, verified: level(backup))
                        + (haveClasses ? [backup.sidecar.retentionClass.map(printable) ?? ""] : [])
                        + (contents.areSeveral ? [contents.holders(of: backup).joined(separator: ",")] : [])
                })
        }
    }

    private func renderProblems(_ contents: ListedStores) throws {
        let problems = contents.problems
        try render(problems, as: output.format) {
            guard contents.areSeveral else {
                return table(["BACKUP", "PROBLEM"], problems.map { [$0.reference ?? "", $0.message] })
            }
            return table(
                ["STORE", "BACKUP", "PROBLEM"], problems.map { [$0.store ?? "", $0.reference ?? "", $0.message] })
        }
    }

    /// The sizes of databases; of one that another node's backup has, whose that is.
    private func databases(_ sidecar: Sidecar) -> String {
        (sidecar.etcd.map { size($0.databaseSize) } + sharedSnapshotLines(sidecar)).joined(separator: ",")
    }

    /// How far it was verified when it was made, or since: the newest drill counts.
    private func level(_ backup: StoredBackup) -> String {
        guard let drill = backup.drill else { return backup.sidecar.verification.rawValue }
        if drill.isDrilled { return VerificationLevel.drilled.rawValue }
        return drill.hasFailed ? "drill failed" : backup.sidecar.verification.rawValue
    }

    private func row(_ sidecar: Sidecar, verified: String) -> [String] {
        [
            sidecar.archive.cluster, sidecar.archive.node, sidecar.archive.id.description,
            age(sidecar.archive.createdAt), size(sidecar.object.size),
            databases(sidecar),
            sidecar.etcd.map { "\($0.revision ?? $0.revisionAtStart)" }.joined(separator: ","),
            verified,
            "\(sidecar.findingCount)",
        ]
    }
}

/// What is in the stores that a list is of.
private struct ListedStores {
    let areSeveral: Bool
    /// Each backup once, wherever it is.
    let backups: [StoredBackup]
    private let read: [StoreContents]
    private let failed: [StoreFailure]
    private let stores: StoreSet
    private let labels: [String: [String]]

    /// - Throws: errors of reading the only store, or all of several.
    init(_ stores: StoreSet, cluster: String?, node: String?) throws {
        self.stores = stores
        areSeveral = stores.areSeveral
        guard areSeveral else {
            let listing = try stores.first.store.list(cluster: cluster, node: node)
            (read, failed, backups) = ([StoreContents(store: stores.first, listing: listing)], [], listing.backups)
            labels = [:]
            return
        }
        let (read, failed) = stores.listings(cluster: cluster, node: node)
        guard let first = read.first else { throw failed[0].failure }
        (self.read, self.failed) = (read, failed)
        backups = first.listing.joined(with: read.dropFirst().map(\.listing)).backups
        var labels: [String: [String]] = [:]
        for contents in read {
            for backup in contents.listing.backups {
                labels[backup.reference, default: []].append(contents.store.label)
            }
        }
        self.labels = labels
    }

    /// The names of the stores that have a backup.
    func holders(of backup: StoredBackup) -> [String] { labels[backup.reference] ?? [] }

    /// The sidecar as it is stored, with what the newest drill came to; of several stores with the names of those that have
    /// it.
    func document(_ backup: StoredBackup) throws -> DocumentValue {
        let document = try DocumentValue(backup.sidecarBytes, name: backup.sidecarName)
        guard areSeveral || backup.drill != nil, case .object(var fields) = document else { return document }
        if areSeveral { fields["stores"] = .array(holders(of: backup).map(DocumentValue.text)) }
        if let drill = backup.drill {
            fields["drill"] = try DocumentValue(DocumentCoding.encode(DrillSummary(drill)), name: "drill")
        }
        return .object(fields)
    }

    var warnings: [String] {
        failed.map { "the store \($0.description)" }
            + read.flatMap { contents in
                (contents.listing.problems.map(\.line) + contents.listing.chain.map { "\($0.message) (\($0.advice))" })
                    .map { areSeveral ? "\(contents.store.label): \($0)" : $0 }
            }
    }

    /// How many archives a backup that goes on, or was interrupted, has there.
    var unpublishedCount: Int { read.reduce(0) { $0 + $1.listing.unpublished.count } }

    var problems: [Problem] {
        failed.map { Problem(nil, false, $0.failure, in: $0.store.label) }
            + read.flatMap { contents in
                let label = areSeveral ? contents.store.label : nil
                return contents.listing.unreadable.map { Problem($0, in: label) }
                    + contents.listing.unpublished.map { Problem($0, in: label) }
                    + contents.listing.hidden.map { Problem(nil, false, $0.failure, in: label) }
                    + contents.listing.chain.map { Problem($0, in: label) }
            }
    }

    /// That there is nothing, with what there is instead.
    func nothing(cluster: String?, node: String?) -> Failure {
        let store = stores.first.store
        if !areSeveral, let failure = BackupReference.nothing(in: store, cluster: cluster, node: node) {
            return failure
        }
        return Failure(
            .notFound, "there is no backup in \(areSeveral ? "the stores \(stores.label)" : quoted(store.name))",
            hint: areSeveral ? "make one with `etcd-snap backup`, or name another store" : nil,
            settings: areSeveral ? [.store] : [])
    }

    /// An archive that only lacks its sidecar is not damaged, nor is one of a newer version; without the latter this list is
    /// not whole, nor is it without a store.
    var exitCode: Failure.Code? {
        let listings = read.map(\.listing)
        if failed.isEmpty, listings.allSatisfy({ $0.problems.isEmpty && $0.chain.isEmpty }) { return nil }
        var codes = listings.flatMap(\.unreadable).filter { !$0.isOrphan }.map(\.failure.code)
        codes += listings.compactMap(\.obstacle?.code)
        if codes.contains(.integrity) { return .integrity }
        return codes.isEmpty && failed.isEmpty ? .findings : .failed
    }
}

/// What a drill came to.
private struct DrillSummary: Encodable {
    var isDrilled: Bool
    var hasFailed: Bool
    var startedAt: Date
    var etcdVersion: String?
    var recoverySeconds: Double?

    init(_ record: DrillRecord) {
        isDrilled = record.isDrilled
        hasFailed = record.hasFailed
        startedAt = record.startedAt
        etcdVersion = record.etcd?.version
        recoverySeconds = record.recoverySeconds
    }
}

private struct Problem: Encodable {
    /// The store, if there are several.
    var store: String?
    var reference: String?
    /// Of what does not hold in the chain of backups.
    var code: String?
    var isOrphan: Bool
    var message: String
    var hint: String?

    init(_ backup: UnreadableBackup, in store: String?) {
        self.init(backup.reference, backup.isOrphan, backup.failure, in: store)
    }

    init(_ archive: UnpublishedArchive, in store: String?) {
        self.store = store
        reference = archive.backup.reference
        isOrphan = true
        message = archive.explanation
        hint = "if nothing writes it, `etcd-snap prune` removes it a day later; if its sidecar was lost, adopt it"
    }

    init(_ problem: ChainProblem, in store: String?) {
        self.store = store
        reference = problem.subject
        code = problem.code.rawValue
        isOrphan = false
        message = problem.message
        hint = problem.advice
    }

    init(_ reference: String?, _ isOrphan: Bool, _ failure: Failure, in store: String?) {
        self.store = store
        self.reference = reference
        self.isOrphan = isOrphan
        message = failure.description
        hint = failure.shownHint
    }
}
