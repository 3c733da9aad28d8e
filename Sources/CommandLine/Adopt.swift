import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive

/// The command `etcd-snap adopt`.
struct Adopt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give an archive in a store that has lost its sidecar a new one.",
        discussion: """
            An archive without its sidecar is not listed, and no backup removes it; `prune` does only where it was never \
            published and no number is missing. Here it is decrypted and checked like by \
            verify; then a sidecar is made from what it says of itself, marked as rebuilt, and the backup is listed again. \
            Copy the sidecar back instead if there is one elsewhere: it knows more.

            Example: etcd-snap adopt prod/cp-0/20261123T030000Z-abcdef --store /var/lib/etcd-snap -i key.txt
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Flag(help: "Check the archive and show its sidecar, but do not store it.")
    var dryRun = false

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, or the path of an archive in a store.")
    var archive: String

    func run() async throws {
        let configuration = try common.start(output.format)
        let (store, orphan) = try find(configuration)
        let report = try await AdoptOperation.run(
            orphan, in: store, identities: keys.required(), isDryRun: dryRun, observer: Console.shared.observer)
        let done = report.isAdopted ? "\(report.reference) was adopted" : nil
        try render(report, as: output.format, done: done) {
            let sidecar = report.sidecar
            return fields([
                (report.isAdopted ? "adopted" : "would adopt", report.reference),
                ("archive", report.path),
                ("created", time(sidecar.archive.createdAt)),
                ("number", "\(sidecar.sequence)"),
                ("size", "\(size(sidecar.object.size)) from \(size(sidecar.object.tarSize))"),
                ("entries", "\(sidecar.entryCount)"),
                ("findings", "\(sidecar.findingCount)"),
            ])
        }
    }

    private func find(_ configuration: Configuration) throws -> (any Store, UnreadableBackup) {
        switch place.name(archive, configuration) {
        case .path(let path):
            let (store, reference) = try place.inNamedStore(StorePath.reference(path), path, configuration)
            return (store, try reference.findOrphan(in: store))
        case .reference(let name):
            let (store, orphan) = try place.stores(configuration).findOrphan(place.reference(name, configuration))
            return (store.store, orphan)
        }
    }
}
