import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// The command `etcd-snap delete`.
struct Delete: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove backups from a store.",
        discussion: "Example: etcd-snap delete 20261123T030000Z-abcdef --store /var/lib/etcd-snap --dry-run")

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @Flag(name: [.customShort("y"), .long], help: "Do not ask.")
    var yes = false

    @Argument(help: "IDs, beginnings of them, cluster/node/ID, or latest.")
    var backups: [String]

    func run() throws {
        let configuration = try common.start(output.format)
        let store = place.store(configuration)
        let found = try DeleteOperation.find(backups.map { try place.reference($0, configuration) }, in: store)
        let references = found.map(\.reference)
        if !dryRun {
            try confirm(references)
            try DeleteOperation.run(found, in: store)
        }
        try render([dryRun ? "wouldDelete" : "deleted": references], as: output.format) {
            references.map { (dryRun ? "would delete " : "deleted ") + $0 }.joined(separator: "\n")
        }
    }

    private func confirm(_ references: [String]) throws {
        if yes { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(.usage, "delete asks before it removes, and there is no terminal", hint: "add --yes")
        }
        let question = "delete \(references.joined(separator: ", "))? This can't be undone. [y/N]"
        guard let answer = try ask(question), ["y", "yes"].contains(answer.lowercased()) else {
            throw Failure(.failed, "nothing was removed")
        }
    }
}
