import ArchiveStore
import ArgumentParser
import HostIO
import SealedArchive

/// The command `etcd-snap list`.
struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the backups in a store.",
        discussion: """
            Only complete archives are listed. No key is needed.

            Example: etcd-snap list --store /var/lib/etcd-snap --cluster prod -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    func run() throws {
        let configuration = try common.start(output.format)
        let store = place.store(configuration)
        let listing = try store.list(cluster: place.cluster, node: place.node)
        for problem in listing.problems { Console.shared.warn(problem.description) }
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
        // A backup of a newer version is no damage, but this list is not whole without it.
        let codes = Set(listing.problems.map(\.code))
        guard codes.isEmpty else {
            throw ExitCode((codes == [.failed] ? Failure.Code.failed : .integrity).rawValue)
        }
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
