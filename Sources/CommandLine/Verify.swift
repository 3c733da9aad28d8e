import ArchiveStore
import ArgumentParser
import HostIO
import Operations

/// The command `etcd-snap verify`.
struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read a backup back and check every byte of it.",
        discussion: """
            Without -i the sealed bytes are checked against the sidecar. With it everything is decrypted too, and checked \
            against the manifest and etcd's own digest; nothing is written anywhere. The sidecar lies open in the store: what \
            it says is compared with what is sealed, and what nothing sealed confirms is listed as not confirmed.

            Example: etcd-snap verify latest --store /var/lib/etcd-snap -i key.txt
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup = BackupReference.latest

    func run() async throws {
        let configuration = try common.start(output.format)
        let report = try await VerifyOperation.run(
            place.open(backup, configuration), identities: keys.optional(), observer: Console.shared.observer)
        try render(report, as: output.format) {
            var lines = [("backup", report.reference), ("result", "intact")]
            lines += report.checked.map { ("checked", $0) }
            lines += sharedSnapshotLines(report.sharedSnapshots, report.snapshotCount == 0).map { ("etcd", $0) }
            if report.snapshotCount == 0, report.sharedSnapshots == nil {
                lines.append(("etcd", "no snapshot of etcd is in it"))
            }
            lines += report.unconfirmed.map { ("not confirmed", "\($0.field), \($0.value): \($0.reason)") }
            lines.append(("sealed", size(report.sealedSize)))
            if let content = report.contentSize { lines.append(("content", size(content))) }
            return fields(lines + [("took", seconds(report.durationSeconds))])
        }
    }
}
