import ArchiveStore
import ArgumentParser
import HostIO
import SealedArchive

/// The command `etcd-snap list`.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the backups in a store.",
        discussion: """
            Only complete archives are listed. What can't be relied on, such as an archive without its sidecar, is a warning,
            and listed with --problems. No key is needed.

            Example: etcd-snap list --store /var/lib/etcd-snap --cluster prod -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Flag(help: "List what can't be relied on instead: archives without sidecars, sidecars without archives, damage.")
    var problems = false

    func run() throws {
        let configuration = try common.start(output.format)
        let store = place.store(configuration)
        let listing = try store.list(cluster: place.cluster, node: place.node)
        if problems {
            try renderProblems(listing)
        } else {
            try renderBackups(listing, in: store)
        }
        if let code = exitCode(listing) { throw ExitCode(code.rawValue) }
    }

    private func renderBackups(_ listing: StoreListing, in store: LocalStore) throws {
        for problem in listing.problems { Console.shared.warn(problem.line) }
        if listing.backups.isEmpty, listing.problems.isEmpty {
            if output.format != .table { try render([Sidecar](), as: output.format) { "" } }
            throw Failure(
                .notFound, "there is no backup in \(quoted(store.root))", hint: "make one with `etcd-snap backup`")
        }
        let documents =
            output.format == .table
            ? [] : try listing.backups.map { try DocumentValue($0.sidecarBytes, name: $0.sidecarName) }
        try render(documents, as: output.format) {
            table(
                ["CLUSTER", "NODE", "ID", "AGE", "SIZE", "DATABASE", "REVISION", "VERIFIED", "FINDINGS"],
                listing.backups.map { row($0.sidecar) })
        }
    }

    private func renderProblems(_ listing: StoreListing) throws {
        let problems = listing.unreadable.map(Problem.init) + listing.hidden.map { Problem(nil, false, $0.failure) }
        try render(problems, as: output.format) {
            table(["BACKUP", "PROBLEM"], problems.map { [$0.reference ?? "", $0.message] })
        }
    }

    /// An archive that only lacks its sidecar is not damaged, nor is one of a newer version; without the latter this list is
    /// not whole.
    private func exitCode(_ listing: StoreListing) -> Failure.Code? {
        if listing.problems.isEmpty { return nil }
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
    var isOrphan: Bool
    var message: String
    var hint: String?

    init(_ backup: UnreadableBackup) { self.init(backup.reference, backup.isOrphan, backup.failure) }

    init(_ reference: String?, _ isOrphan: Bool, _ failure: Failure) {
        self.reference = reference
        self.isOrphan = isOrphan
        message = failure.description
        hint = failure.shownHint
    }
}
