import ArgumentParser
import SealedArchive

/// The command without a subcommand: help and version.
struct RootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etcd-snap",
        abstract: "Back up a Kubernetes control plane, prove the backup, and bring the cluster back from it.",
        discussion: """
            Every archive is an age file around a compressed tar: `age -d -i key.txt ID.tar.zst.age | zstd -d | tar x` \
            opens it without this program.

            Exit status: 0 done, 1 failed, 2 usage, 3 done with findings, 4 nothing found, 5 locked, \
            6 not enough space, 7 integrity failure, 8 authentication or trust failure, \
            9 made, but in too few stores.
            """,
        version: "etcd-snap \(Tool.current.version)",
        groupedSubcommands: [
            CommandGroup(name: "Backing up", subcommands: [Doctor.self, Backup.self, Keygen.self]),
            CommandGroup(
                name: "Looking at backups",
                subcommands: [List.self, Describe.self, Verify.self, Audit.self, Certs.self, Inspect.self]),
            CommandGroup(
                name: "Getting it back",
                subcommands: [Restore.self, Rebuild.self, Drill.self, Download.self, Unseal.self]),
            CommandGroup(
                name: "Housekeeping", subcommands: [Prune.self, Sync.self, Adopt.self, Delete.self, Completion.self]),
        ])
}
