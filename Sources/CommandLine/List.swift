import ArchiveStore
import ArgumentParser
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
            of archives, as download fills it, can be listed too.

            Example: etcd-snap list --store /var/lib/etcd-snap --cluster prod -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Flag(help: "List what can't be relied on instead: archives without sidecars, sidecars without archives, damage.")
    var problems = false

    func run() throws {
        let configuration = try common.start(output.format)
        let store = try place.store(configuration)
        let listing = try store.list(cluster: place.cluster, node: place.node)
        if problems {
            try renderProblems(listing)
        } else {
            try renderBackups(listing, in: store)
        }
        if let code = exitCode(listing) { throw ExitCode(code.rawValue) }
    }

    private func renderBackups(_ listing: StoreListing, in store: any Store) throws {
        for problem in listing.problems { Console.shared.warn(problem.line) }
        for problem in listing.chain { Console.shared.warn("\(problem.message) (\(problem.advice))") }
        if listing.backups.isEmpty, listing.problems.isEmpty, listing.chain.isEmpty {
            if output.format != .table { try render([Sidecar](), as: output.format) { "" } }
            throw BackupReference.nothing(in: store, cluster: place.cluster, node: place.node)
                ?? Failure(.notFound, "there is no backup in \(quoted(store.name))")
        }
        let documents =
            output.format == .table
            ? [] : try listing.backups.map { try DocumentValue($0.sidecarBytes, name: $0.sidecarName) }
        try render(documents, as: output.format) {
            table(
                [
                    Column("CLUSTER", rank: 6), Column("NODE", rank: 7), "ID", "AGE", Column("SIZE", rank: 4),
                    Column("DATABASE", rank: 2), Column("REVISION", rank: 1), Column("VERIFIED", rank: 3),
                    Column("FINDINGS", rank: 5),
                ],
                listing.backups.map { row($0.sidecar) })
        }
    }

    private func renderProblems(_ listing: StoreListing) throws {
        let problems =
            listing.unreadable.map(Problem.init) + listing.hidden.map { Problem(nil, false, $0.failure) }
            + listing.chain.map(Problem.init)
        try render(problems, as: output.format) {
            table(["BACKUP", "PROBLEM"], problems.map { [$0.reference ?? "", $0.message] })
        }
    }

    /// An archive that only lacks its sidecar is not damaged, nor is one of a newer version; without the latter this list is
    /// not whole.
    private func exitCode(_ listing: StoreListing) -> Failure.Code? {
        if listing.problems.isEmpty, listing.chain.isEmpty { return nil }
        var codes = listing.unreadable.filter { !$0.isOrphan }.map(\.failure.code)
        if let obstacle = listing.obstacle { codes.append(obstacle.code) }
        if codes.contains(.integrity) { return .integrity }
        return codes.isEmpty ? .findings : .failed
    }

    private func row(_ sidecar: Sidecar) -> [String] {
        [
            sidecar.archive.cluster, sidecar.archive.node, sidecar.archive.id.description,
            age(sidecar.archive.createdAt), size(sidecar.object.size),
            sidecar.etcd.map { size($0.databaseSize) }.joined(separator: ","),
            sidecar.etcd.map { "\($0.revision ?? $0.revisionAtStart)" }.joined(separator: ","),
            sidecar.verification.rawValue,
            "\(sidecar.findingCount)",
        ]
    }
}

private struct Problem: Encodable {
    var reference: String?
    /// Of what does not hold in the chain of backups.
    var code: String?
    var isOrphan: Bool
    var message: String
    var hint: String?

    init(_ backup: UnreadableBackup) { self.init(backup.reference, backup.isOrphan, backup.failure) }

    init(_ problem: ChainProblem) {
        reference = problem.subject
        code = problem.code.rawValue
        isOrphan = false
        message = problem.message
        hint = problem.advice
    }

    init(_ reference: String?, _ isOrphan: Bool, _ failure: Failure) {
        self.reference = reference
        self.isOrphan = isOrphan
        message = failure.description
        hint = failure.shownHint
    }
}
