import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import PKIBackup
import SealedArchive
import SystemPackage

/// The command `etcd-snap rebuild plan`.
struct RebuildPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show how a lost control plane is put on new hosts; changes nothing there.",
        discussion: """
            Each master's newest backup is named, or the one that there is: a node without a backup gets what is shared from \
            another's. The topology is --topology FILE (--example prints one for the backups), or --node for each node with \
            --endpoint. Without --endpoint it stays what it was; `none` is for clients that go to the nodes themselves. \
            Ranges of services and pods never change.

            The old members of etcd are asked whether they accept connections, for a second, and the plan says which situation \
            that is. Where a majority answers, and some don't, nothing is lost that a backup has to bring back: the runbook for \
            the lost members is printed instead of a plan, with exit status 1 (--even-if-running plans all the same).

            The plan has the snapshot and why it was taken, and for each node the files to place, each change as a \
            difference, certificates to keep and to issue with the reason, the member of etcd, the steps with a check each, \
            and a forecast in minutes. --out writes it to a file, which has no secrets and goes to every host; --runbook \
            writes what to do on each host as Markdown, to be printed. The plan's ID, the beginning of its digest, reads the \
            same wherever it is: two plans have two IDs, and their members would be no cluster.

            --data-dir is a directory that a member of the lost cluster has left, and may be repeated. The best of them is \
            named, and how it stands to the newest archive; one that is newer is what the new members start from. With --out \
            its snapshot is written too, to a file that goes to every host with the plan: what its log has beyond the \
            database is taken up by a real etcd on a copy, where one is at hand. Without archives survivors are compared, and \
            that is all.

            Example: etcd-snap rebuild plan prod/cp-1/latest -i key.txt --example >topology.yaml
            Example: etcd-snap rebuild plan prod/cp-1/latest -i key.txt --topology topology.yaml \\
              --out plan.json --runbook runbook.md
            Example: etcd-snap rebuild plan --data-dir /mnt/cp-1/etcd --data-dir /mnt/cp-2/etcd
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: RebuildStoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(help: "The topology's file.", completion: .file(extensions: ["yaml"]))
    var topology: String?

    @Option(
        name: .customLong("node"), parsing: .singleValue,
        help: "A new node as NAME=ADDRESS, with a comma before a second address; may be repeated.")
    var nodes: [String] = []

    @Option(help: "The control-plane endpoint, HOST:PORT, or none.")
    var endpoint: String?

    @Option(help: "The level of verification that the snapshot must have reached.")
    var minLevel = VerificationLevel.structural

    @Option(help: "Which etcd, when the backups have several.")
    var etcd: String?

    @Option(help: "Raise the revision by this much; a bump computed from the write rate without it.")
    var bumpRevision: Int64?

    @Flag(help: "Keep the revision as it is.")
    var noBump = false

    @Flag(help: "Leave the leases of lost nodes in the database: others then wait for their end.")
    var keepLeases = false

    @Option(
        name: .customLong("data-dir"), parsing: .singleValue,
        help: "The data directory of a stopped or dead member of the lost cluster; may be repeated.",
        completion: .directory)
    var dataDirectories: [String] = []

    @Option(
        help: "Write a survivor's snapshot to this file; without it beside --out, with the ending .db.",
        completion: .file(extensions: ["db"]))
    var snapshotOut: String?

    @OptionGroup(title: "Survivors") var survivors: SurvivorArguments

    @Flag(help: "Don't ask the old members whether they run.")
    var noProbe = false

    @Flag(help: "Plan although a majority of the old members answers, and some do not.")
    var evenIfRunning = false

    @Flag(help: "Print a topology's file for the nodes as they were, and nothing else.")
    var example = false

    @Option(help: "Write the plan to this file.", completion: .file(extensions: ["json"]))
    var out: String?

    @Option(help: "Write the runbook to this file.", completion: .file(extensions: ["md"]))
    var runbook: String?

    @Argument(help: "IDs, beginnings of one, cluster/node/ID, latest, or paths of archives.")
    var archives: [String] = []

    func validate() throws {
        if archives.isEmpty {
            guard !dataDirectories.isEmpty else {
                throw ValidationError("name archives to plan with, or --data-dir for each survivor to compare")
            }
            guard !example, topology == nil, nodes.isEmpty, out == nil, runbook == nil, snapshotOut == nil else {
                throw ValidationError("a plan needs archives: files and certificates are in no data directory of etcd")
            }
            return
        }
        if snapshotOut != nil, dataDirectories.isEmpty {
            throw ValidationError("--snapshot-out goes with --data-dir")
        }
        if example { return }
        if topology != nil, !nodes.isEmpty || endpoint != nil {
            throw ValidationError("--topology excludes --node and --endpoint")
        }
        if topology == nil, nodes.isEmpty {
            throw ValidationError("name the new nodes: --topology FILE, or --node NAME=ADDRESS for each")
        }
        if noBump, bumpRevision != nil { throw ValidationError("--no-bump excludes --bump-revision") }
        if let bumpRevision, bumpRevision < 1 { throw ValidationError("--bump-revision must be at least 1") }
    }

    func run() async throws {
        let configuration = try common.start(output.format)
        let comparison =
            dataDirectories.isEmpty
            ? nil : try await SurvivorComparison.read(dataDirectories, takesLogs: takesLogs(configuration))
        if archives.isEmpty, let comparison { return try show(comparison) }
        let stores = place.place()
        let opened = try archives.map { try stores.open($0, configuration) }
        let identities = try keys.required()
        if example { return try printOutput(RebuildPlanner.example(opened, identities: identities), terminator: "") }
        var options = RebuildOptions(now: Date())
        options.minimumLevel = minLevel
        options.revisionBump = noBump ? 0 : bumpRevision
        options.snapshotName = etcd
        options.keepsLeases = keepLeases
        options.probesMembers = !noProbe
        options.store = place.store ?? configuration.store
        options.survivors = try comparison.map { try planned($0, stores, configuration) }
        let plan = try await RebuildPlanner.plan(
            opened, identities: identities, topology: try readTopology(), options: options,
            observer: Console.shared.observer)
        if let refusal = plan.situation?.refusal, !evenIfRunning {
            try showReplacement(plan)
            throw refusal
        }
        for warning in plan.warnings { Console.shared.warn(warning) }
        if let out { try write(try DocumentCoding.encode(plan), to: out) }
        if let runbook {
            try write(Array(RebuildRunbook(plan, planFile: out ?? "plan.json").text.utf8), to: runbook)
            if out == nil {
                Console.shared.warn(
                    "the runbook needs the plan \(plan.id), which is not written: run it again with --out")
            }
        }
        try render(plan, as: output.format) { RebuildText(plan).text }
    }

    /// For a plan that can be carried out an etcd has to be there for that.
    private func takesLogs(_ configuration: Configuration) throws -> Bool {
        guard !archives.isEmpty else { return !survivors.databaseAlone }
        return try survivors.options { try place.place().stores(configuration) }.findsEtcd
    }

    private func planned(
        _ comparison: SurvivorComparison, _ stores: StoreOptions, _ configuration: Configuration
    ) throws -> RebuildSurvivors {
        let file = snapshotOut ?? out.map { ($0.hasSuffix(".json") ? String($0.dropLast(5)) : $0) + ".db" }
        return RebuildSurvivors(
            comparison,
            snapshotPath: try file.map {
                try plaintextPlace($0, of: "the survivor's snapshot", outside: stores.stores(configuration))
            }, options: try survivors.options { try stores.stores(configuration) })
    }

    private func show(_ comparison: SurvivorComparison) throws {
        let descriptions = comparison.descriptions
        for survivor in descriptions {
            for remark in survivor.remarks { Console.shared.warn("\(quoted(survivor.directory)): \(remark)") }
        }
        try render(descriptions, as: output.format) {
            SurvivorText.comparison(of: descriptions) + "\n\n\(comparison.sentence)\n"
                + "beyond its database: " + SurvivorText.beyond(descriptions[0])
        }
    }

    /// What is done instead of a rebuild where a minority is lost.
    private func showReplacement(_ plan: RebuildPlan) throws {
        guard let situation = plan.situation else { return }
        let text = ReplacementRunbook(plan, situation).text
        if let runbook { try write(Array(text.utf8), to: runbook) }
        try render(situation, as: output.format) { text }
    }

    private func readTopology() throws -> RebuildTopology {
        guard let topology else { return try RebuildTopology(endpoint: endpoint, nodes: nodes) }
        let file = try RandomAccessFile(regular: topology)
        return try RebuildTopology(parsing: file.bytes(at: 0, count: min(file.byteCount, 1 << 20)), path: topology)
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let (directory, name) = try OpenDirectory.parent(of: path)
        let file = try PendingFile(in: directory, name: name)
        try bytes.withUnsafeBytes { try file.write($0) }
        try file.publish(replacing: true)
        Console.shared.note("wrote \(quoted(path))")
    }
}
