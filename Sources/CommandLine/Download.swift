import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive
import SystemPackage

/// The command `etcd-snap download`.
struct Download: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy a sealed backup out of the store, checking it on the way.",
        discussion: """
            The copy stays sealed; its sidecar is put beside it. An existing file is never replaced; a copy that was \
            interrupted goes on.

            Example: etcd-snap download latest --store /var/lib/etcd-snap /mnt/usb
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup: String

    @Argument(help: "A file, a directory, or - for standard output.", completion: .file())
    var destination = "."

    func run() throws {
        let configuration = try common.start(output.format)
        let archive = try place.open(backup, configuration)
        if let failure = archive.sidecarFailure { throw failure }
        if archive.sidecar == nil { Console.shared.warn("it has no sidecar, and is copied without being checked") }
        if destination == "-" {
            try refuseTerminal()
            return try DownloadOperation.copy(
                archive, to: DescriptorSink(.standardOutput, name: "standard output"),
                observer: Console.shared.observer)
        }
        for shared in archive.sidecar?.sharedSnapshots ?? [] {
            Console.shared.note(
                "it has no snapshot of \(printable(shared.name)): that is by \(printable(shared.place)), to be copied too"
            )
        }
        let target = try localPlace(destination, of: "the copy")
        let paths = try DownloadOperation.run(archive, to: target, observer: Console.shared.observer)
        let done = "the copy was made: \(paths.map { quoted($0) }.joined(separator: ", "))"
        try render(["paths": paths], as: output.format, done: done) { paths.joined(separator: "\n") }
    }
}
