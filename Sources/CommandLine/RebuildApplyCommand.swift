import Age
import ArchiveStore
import ArgumentParser
import FoundationEssentials
import HostIO
import Operations
import SealedArchive
import SystemPackage

/// The command `etcd-snap rebuild apply`.
struct RebuildApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Do one host's part of a plan.",
        discussion: """
            Keys of authorities first, then etcd's data, certificates, kubeconfigs, the kubelet's files, and the manifests of \
            static pods last, etcd's first. Each step is in the journal below var/lib/etcd-snap-rebuild of the root before \
            and after: killed anywhere, the same command or `etcd-snap rebuild continue` goes on, and `undo` takes all of it back. Every \
            host gets its data from the same snapshot with the same token: the members are one cluster when they start, in \
            any order.

            It refuses a host that has none of the node's addresses, unless --root is another one's, and warns where the host \
            has another name. It refuses where a control plane runs, where etcd's data directory is not empty (--keep-data moves it aside), \
            where the clock is before the certificates' time, and where there is too little space. Where an authority's key is \
            not in the backup, requests are written instead, with exit status 3: put each signed certificate beside its \
            request and run `etcd-snap rebuild continue`.

            Archives are found as the plan has them; copies elsewhere are named behind the options.

            Example: etcd-snap rebuild apply --plan plan.json --node cp-21 -i key.txt
            """)

    @Option(help: "The plan's file.", completion: .file(extensions: ["json"]))
    var plan = "plan.json"

    @Option(help: "The node of the plan that this host is to be.")
    var node: String

    @Option(
        name: .customLong("plan-id"),
        help: "The plan's ID, as `rebuild plan` has shown it and the runbook has it: another plan is refused.")
    var planID: String?

    @Flag(help: "Go on although none of the node's addresses is on this host.")
    var evenIfElsewhere = false

    @OptionGroup var work: RebuildWorkOptions

    func run() async throws {
        var request = RebuildApplyRequest(try RebuildPlan.read(plan), node: node, root: work.root, now: Date())
        (request.planID, request.mayBeElsewhere) = (planID, evenIfElsewhere)
        try await work.run(request, beside: parentPath(absolutePath(plan).string))
    }
}

/// The command `etcd-snap rebuild continue`.
struct RebuildContinueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "continue",
        abstract: "Go on with a rebuild of this host that was interrupted, or waits for certificates.",
        discussion: """
            Does what `rebuild apply` would, by the plan and the node that the journal of this host has: what is done already \
            is not done again. Certificates that were signed elsewhere are taken from beside their requests.

            Exit status 4 if no rebuild was begun here.

            Example: etcd-snap rebuild continue -i key.txt
            """)

    @OptionGroup var work: RebuildWorkOptions

    func run() async throws {
        let node = try RebuildStatus.read(root: work.root).node
        let plan = try RebuildPlan.ofRebuild(root: work.root)
        try await work.run(RebuildApplyRequest(plan, node: node, root: work.root, now: Date()), beside: nil)
    }
}

/// How a host's part of a plan is done.
struct RebuildWorkOptions: ParsableArguments {
    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Store") var place: RebuildStoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(help: "The root of the host's file system.", completion: .directory)
    var root = "/"

    @Flag(help: "Move a data directory of etcd that is there aside, and keep it.")
    var keepData = false

    @Option(help: "The level of verification that the snapshot must have reached.")
    var minLevel = VerificationLevel.structural

    @Option(
        help: "The snapshot of a survivor that the plan was made with; without it the one beside the plan.",
        completion: .file(extensions: ["db"]))
    var snapshot: String?

    @Flag(help: "Only check what can be checked before anything is written.")
    var dryRun = false

    @Argument(help: "Archives, where they are elsewhere than in the plan.")
    var archives: [String] = []

    /// - Parameter directory: where the plan is, and a survivor's snapshot beside it; nil where that is not known.
    func run(_ request: RebuildApplyRequest, beside directory: String?) async throws {
        var request = request
        let document = request.plan
        let configuration = try common.start(output.format)
        var stores = place.place()
        if stores.store == nil, configuration.store == nil, configuration.stores == nil {
            stores.store = document.store
        }
        let named = try archives.map { try stores.open($0, configuration) }
        let identities = try keys.required()
        request.keepsData = keepData
        request.minimumLevel = minLevel
        request.snapshotFiles = [snapshot ?? file(of: document, in: directory)].compactMap(\.self)
        let opener = ArchiveOpener(
            named: named, identities: identities, stores: stores, configuration: configuration)
        if dryRun {
            try RebuildApply.check(
                request, identities: identities, open: opener.open, observer: Console.shared.observer)
            let part = try document.node(request.node)
            return try render(part, as: output.format) { RebuildText(document).text(of: part) }
        }
        let report = try await RebuildApply.run(
            request, identities: identities, open: opener.open, observer: Console.shared.observer)
        for note in report.notes { Console.shared.note(note) }
        let service = LayoutWords(document).service
        try show(report, starting: service == "kubelet" ? "the kubelet" : service)
    }

    private func file(of document: RebuildPlan, in directory: String?) -> String? {
        guard let directory else { return nil }
        return document.snapshot?.survivor?.snapshotPath.map { joinPath(directory, lastName($0)) }
    }

    private func show(_ report: RebuildApplyReport, starting service: String) throws {
        try render(report, as: output.format, done: "\(report.node) was rebuilt below \(quoted(report.root))") {
            var lines = [
                ("node", report.node), ("root", report.root), ("plan", report.planID),
                ("placed", "\(report.fileCount) files, \(report.issuedCount) certificates made anew"),
            ]
            if let directory = report.dataDirectory { lines.append(("etcd data", directory)) }
            if let kept = report.keptData { lines.append(("old etcd data", "kept in \(kept)")) }
            if let id = report.clusterID { lines.append(("cluster ID", id)) }
            if let revision = report.revision { lines.append(("revision", "\(revision)")) }
            if !report.resumedSteps.isEmpty {
                lines.append(("done before", report.resumedSteps.joined(separator: ", ")))
            }
            lines.append(("took", seconds(report.durationSeconds)))
            return fields(lines) + "\nnext: do the same on the other hosts, then start \(service) on all of them"
        }
    }
}

/// Finds the archives of a plan on this host.
private struct ArchiveOpener: Sendable {
    let named: [OpenedArchive]
    let identities: [any Identity]
    let stores: StoreOptions
    let configuration: Configuration

    @Sendable func open(_ archive: RebuildPlan.Archive) throws -> OpenedArchive {
        if let found = named.first(where: { isOf(archive, $0) }) { return found }
        if let path = archive.path, (try? RandomAccessFile(path: path)) != nil {
            return try stores.open(path: path, configuration)
        }
        if !named.isEmpty {
            throw Failure(
                .notFound, "none of the \(named.count) archives that are named is \(archive.reference)",
                hint: "name it too: it has the files or the snapshot of this node")
        }
        return try stores.open(archive.reference, configuration)
    }

    private func isOf(_ archive: RebuildPlan.Archive, _ opened: OpenedArchive) -> Bool {
        opened.sidecar?.archive.id.description == archive.id || opened.fileName.hasPrefix(archive.id)
            || opened.reference == archive.reference
            || opened.sidecar == nil && opened.hasManifest(sha256: archive.manifestSHA256, identities: identities)
    }
}
