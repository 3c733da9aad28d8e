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
        discussion: """
            Also damaged ones, but no archive that only lacks its sidecar: adopt it first. What was removed is noted in \
            chain.json beside the others, so that it is told from what is missing, and its number is not given again. Where \
            the configuration has several stores, --store names the one to remove it from; sync does not bring it back there.

            Example: etcd-snap delete 20261123T030000Z-abcdef --store /var/lib/etcd-snap --dry-run
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: StoreOptions

    @Flag(help: "Only say what would be removed.")
    var dryRun = false

    @Flag(name: [.customShort("y"), .long], help: "Do not ask.")
    var yes = false

    @Argument(help: "IDs, beginnings of them, cluster/node/ID, latest, or paths of archives in a store.")
    var backups: [String]

    func run() throws {
        let configuration = try common.start(output.format)
        let found = try find(configuration)
        let references = found.flatMap(\.removals).map(\.reference)
        for (store, removals) in found {
            for warning in DeleteOperation.warnings(of: removals, in: store) { Console.shared.warn(warning) }
        }
        if dryRun {
            for (store, removals) in found {
                try DeleteOperation.check(removals, in: store)
                try DeleteOperation.checkLocks(removals, in: store)
            }
        } else {
            try confirm(found.flatMap(\.removals).map(\.description))
            for (store, removals) in found { try DeleteOperation.run(removals, in: store) }
        }
        let done = dryRun ? nil : "deleted \(references.joined(separator: ", "))"
        try render([dryRun ? "wouldDelete" : "deleted": references], as: output.format, done: done) {
            references.map { (dryRun ? "would delete " : "deleted ") + $0 }.joined(separator: "\n")
        }
    }

    /// What is to be removed, by store: a path may be in any.
    private func find(_ configuration: Configuration) throws -> [(store: any Store, removals: [StoreRemoval])] {
        var places: [(store: any Store, references: [BackupReference])] = []
        for name in backups {
            let (store, reference) =
                switch place.name(name, configuration) {
                case .path(let path):
                    try place.inNamedStore(StorePath.referenceForRemoval(path), path, configuration)
                case .reference(let name):
                    (
                        try place.onlyStore(configuration, for: "a removal").store,
                        try place.reference(name, configuration)
                    )
                }
            if let index = places.firstIndex(where: { $0.store.name == store.name }) {
                places[index].references.append(reference)
            } else {
                places.append((store, [reference]))
            }
        }
        return try places.map {
            ($0.store, try DeleteOperation.find($0.references, in: $0.store, observer: Console.shared.observer))
        }
    }

    private func confirm(_ references: [String]) throws {
        if yes { return }
        guard isatty(STDIN_FILENO) == 1 else {
            throw Failure(.usage, "delete asks before it removes, and there is no terminal", hint: "add --yes")
        }
        let question = "delete \(references.joined(separator: ", "))? This can't be undone. [y/N]"
        guard let answer = try ask(question, ifStopped: "nothing was removed"),
            ["y", "yes"].contains(answer.lowercased())
        else {
            throw Failure(.failed, "nothing was removed")
        }
    }
}
