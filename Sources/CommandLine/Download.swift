import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SystemPackage

/// The command `etcd-snap download`.
struct Download: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy a sealed backup out of the store, checking it on the way.",
        discussion: """
            The copy stays sealed; its sidecar is put beside it. An existing file is never replaced; a copy that was
            interrupted goes on.

            Example: etcd-snap download latest --store /var/lib/etcd-snap /mnt/usb
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, or latest.")
    var backup: String

    @Argument(help: "A file, a directory, or - for standard output.", completion: .file())
    var destination = "."

    func run() throws {
        let configuration = try common.start(output.format)
        let (store, found) = try place.find(backup, configuration)
        if destination == "-" {
            try refuseTerminal()
            return try DownloadOperation.copy(
                found, in: store, to: DescriptorSink(.standardOutput, name: "standard output"),
                observer: Console.shared.observer)
        }
        let paths = try DownloadOperation.run(found, in: store, to: destination, observer: Console.shared.observer)
        try render(["paths": paths], as: output.format) { paths.joined(separator: "\n") }
    }
}
