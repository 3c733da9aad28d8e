import ArchiveStore
import ArgumentParser
import EtcdStorage
import HostIO
import Operations
import SystemPackage

/// The command `etcd-snap restore etcd`.
struct RestoreEtcd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etcd",
        abstract: "Write data directories of a new etcd cluster from a snapshot.",
        discussion: """
            The directories boot with etcd 3.4 to 3.7. A directory that exists has to be empty, and is filled; it may be \
            a mount point. With --all-members so may the directories of the members in --data-dir. By default the \
            cluster gets a new token, so that surviving members of the lost one can't talk to it, and a higher revision, \
            so that watchers notice: ten times what was written since by the rate that the manifest records, and at least \
            1000000000. Without --all-members run it once for each member, with the same token and bump.

            A data directory of a member that is stopped or dead can be named as the snapshot: it stays as it is, and what its \
            log has beyond the database is taken up by a real etcd on a copy, where one is at hand; else the database is \
            taken alone, with a warning of how many entries it lacks.

            The data is given to --owner; without it to the owner of the directory that is filled, unless that is root, \
            or of the lost member's data directory, as the archive has it.

            Example: etcd-snap restore etcd latest -i key.txt --all-members \\
              --data-dir /root/etcd --initial-cluster \\
              m1=https://10.0.0.1:2380,m2=https://10.0.0.2:2380
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Snapshot") var snapshot: SnapshotOptions

    @OptionGroup(title: "Survivors") var survivors: SurvivorArguments

    @Option(help: "The data directory to write; with --all-members the directory of all.", completion: .directory)
    var dataDir: String

    @Option(help: "A separate directory for the write-ahead log.", completion: .directory)
    var walDir: String?

    @Option(help: "The member's name; default without it.")
    var name: String?

    @Option(help: "The members of the new cluster: name=url, separated by commas.")
    var initialCluster = "default=http://localhost:2380"

    @Option(help: "The token of the new cluster; a new random one without it.")
    var initialClusterToken: String?

    @Option(help: "The member's peer URLs, separated by commas; those of the initial cluster without it.")
    var initialAdvertisePeerUrls: String?

    @Flag(help: "Write a data directory for every member.")
    var allMembers = false

    @Option(help: "Raise the revision by this much; a bump computed from the write rate without it.")
    var bumpRevision: Int64?

    @Flag(help: "Mark everything before as compacted; goes with a bump, which always does.")
    var markCompacted = false

    @Flag(help: "Keep the revision as it is.")
    var noBump = false

    @Option(help: "Whom the data is given to: USER, USER:GROUP or uid:gid.")
    var owner: String?

    @Option(help: "The version of etcd that will run, such as 3.5; any without it.")
    var targetVersion: String?

    @Flag(
        help: """
            Accept a snapshot without its SHA-256 trailer, such as a copy of a stopped member's db; one that is wrong is a \
            warning.
            """)
    var skipHashCheck = false

    @Flag(help: "Only say what would be made.")
    var dryRun = false

    func validate() throws {
        if noBump, bumpRevision != nil || markCompacted {
            throw ValidationError("--no-bump excludes --bump-revision and --mark-compacted")
        }
        if let bumpRevision, bumpRevision < 1 { throw ValidationError("--bump-revision must be at least 1") }
        if allMembers, name != nil || initialAdvertisePeerUrls != nil {
            throw ValidationError("--name and --initial-advertise-peer-urls go with one member, not with --all-members")
        }
        if let walDir, !isUsualPlace(walDir), absolutePath(walDir).starts(with: absolutePath(dataDir)) {
            throw ValidationError("--wal-dir must not be in --data-dir, but for its usual place, member/wal")
        }
        if allMembers, walDir != nil { throw ValidationError("--wal-dir goes with one member, not with --all-members") }
    }

    func run() async throws {
        let configuration = try common.start(output.format)
        let stores = try snapshot.place.stores(configuration)
        let request = try request(stores)
        let taken = try await takenFromSurvivor(configuration, stores)
        defer { withExtendedLifetime(taken) {} }
        let source = try taken?.source ?? snapshot.open(configuration)
        var report =
            dryRun
            ? try RestoreEtcdOperation.dryRun(source, request)
            : try await RestoreEtcdOperation.run(source, request, observer: Console.shared.observer)
        if taken != nil { report.source = snapshot.snapshot }
        if dryRun { Console.shared.note("nothing was written") }
        for note in report.notes { Console.shared.note(note) }
        for warning in report.warnings { Console.shared.warn(warning) }
        let directories = report.dataDirectories.values.sorted().map { quoted($0) }.joined(separator: ", ")
        let done = dryRun ? nil : "the data directories were made: \(directories)"
        try render(report, as: output.format, done: done) {
            var lines = [("snapshot", report.source), ("cluster ID", report.clusterID ?? "made with the token")]
            for (name, directory) in report.dataDirectories.sorted(by: { $0.key < $1.key }) {
                lines.append(("member \(name)", report.memberIDs[name].map { "\(directory) (\($0))" } ?? directory))
            }
            return fields(
                lines + [
                    ("token", report.initialClusterToken ?? "a new random one is made"),
                    ("owner", report.owner),
                    ("revision", "\(report.revision), raised by \(report.revisionBump) (\(report.bumpReason))"),
                    ("took", seconds(report.durationSeconds)),
                ])
        }
        if !report.warnings.isEmpty { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    /// A snapshot of the member's data directory, where one is named.
    private func takenFromSurvivor(
        _ configuration: Configuration, _ stores: StoreSet
    ) async throws -> SurvivorOperation.TakenSnapshot? {
        guard let directory = snapshot.memberDirectory(configuration) else { return nil }
        let place = try plaintextPlace(dataDir, of: "the data directory", outside: stores)
        return try await SurvivorOperation.snapshot(
            of: directory, options: survivors.options { stores },
            in: parentPath(absolutePath(place).string), observer: Console.shared.observer)
    }

    /// Where etcd has its log without `--wal-dir`.
    private func isUsualPlace(_ path: String) -> Bool {
        absolutePath(path) == absolutePath(dataDir).appending("member").appending("wal")
    }

    private func request(_ stores: StoreSet) throws -> RestoreEtcdRequest {
        var request = RestoreEtcdRequest(
            dataDirectory: try plaintextPlace(dataDir, of: "the data directory", outside: stores))
        request.walDirectory = try walDir.flatMap {
            isUsualPlace($0) ? nil : try plaintextPlace($0, of: "the directory of the write-ahead log", outside: stores)
        }
        request.memberName = allMembers ? nil : name ?? "default"
        request.initialCluster = initialCluster
        request.initialClusterToken = initialClusterToken
        request.initialAdvertisePeerURLs = initialAdvertisePeerUrls?.split(separator: ",").map(String.init)
        request.revisionBump = noBump ? 0 : bumpRevision
        request.skipsHashCheck = skipHashCheck
        request.owner = try owner.map { try FileOwner(named: $0) }
        if let targetVersion {
            guard let version = MinorVersion(targetVersion) else {
                throw ValidationError("--target-version takes a version such as 3.5, not \(quoted(targetVersion))")
            }
            request.targetVersion = version
        }
        return request
    }
}
