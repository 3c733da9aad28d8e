import ArgumentParser
import HostIO
import Operations

extension RebuildFinishRequest.Part: ExpressibleByArgument {}

/// The command `etcd-snap rebuild finish`.
struct RebuildFinishCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finish", abstract: "Put right what in the rebuilt cluster still names the lost hosts.",
        discussion: """
            Once, on one host, when the API server is ready. The ConfigMaps kubeadm-config, cluster-info and kube-proxy get \
            the new names and addresses in the values that have the old ones, shown as differences. Nodes of lost \
            control-plane hosts that the plan has others for are deleted, whatever their labels, if no kubelet has renewed \
            their lease, and their mirror pods after them; workers and nodes of the new topology never. Each object is changed only as it was read, \
            and a second run finds nothing to do. Nothing is done without --yes.

            The plan is the one that this host was rebuilt by, or --plan. Exit status 3 if something is left to a person.

            Example: etcd-snap rebuild finish --dry-run
            Example: etcd-snap rebuild finish --plan plan.json --kubeconfig admin.conf --yes
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions

    @Option(help: "The plan's file; without it the one that the journal of this host has.", completion: .file())
    var plan: String?

    @Option(
        help:
            "The kubeconfig of an administrator; without it /etc/kubernetes/admin.conf, or super-admin.conf beside it.",
        completion: .file())
    var kubeconfig: String?

    @Option(
        parsing: .singleValue, help: "Leave out configmaps or nodes; may be repeated.")
    var skip: [RebuildFinishRequest.Part] = []

    @Option(help: "The root of the host's file system.", completion: .directory)
    var root = "/"

    @Flag(help: "Do not ask.")
    var yes = false

    @Flag(help: "Only show what would be changed.")
    var dryRun = false

    func run() throws {
        _ = try common.start(output.format)
        let document = try plan.map { try RebuildPlan.read($0) } ?? RebuildPlan.ofRebuild(root: root)
        var request = RebuildFinishRequest(plan: document.plan, kubeconfig: try kubeconfigPath())
        request.skipped = Set(skip)
        request.isDryRun = dryRun || !yes
        let report = try RebuildFinish.run(request, observer: Console.shared.observer)
        guard dryRun || yes || report.changeCount == 0 else {
            throw Failure(
                .usage, "\(summary(report)) of the cluster at \(report.server)",
                hint: "look at it with --dry-run, and add --yes if that is meant")
        }
        let done = report.changeCount == 0 ? "nothing is left to do" : summary(report)
        try render(report, as: output.format, done: done) { text(report) }
        if report.needsAttention { throw ExitCode(Failure.Code.findings.rawValue) }
    }

    private func kubeconfigPath() throws -> String {
        if let kubeconfig { return kubeconfig }
        let paths = RebuildFinishRequest.kubeconfigs.map { joinPath(root, $0) }
        guard let found = paths.first(where: { (try? RandomAccessFile(regular: $0)) != nil }) else {
            throw Failure(
                .notFound, "there is no kubeconfig of an administrator: neither \(paths.joined(separator: " nor "))",
                hint: "run it on a control-plane host, or name one with --kubeconfig")
        }
        return found
    }

    private func summary(_ report: RebuildFinishReport) -> String {
        let maps = report.configMaps.count { [.changed, .wouldChange].contains($0.outcome) }
        let nodes = report.nodes.count { [.deleted, .wouldDelete].contains($0.outcome) }
        let pods = report.nodes.reduce(0) { $0 + $1.mirrorPods.count }
        let verb = report.isDryRun ? "would be" : "were"
        return "\(maps) ConfigMaps \(verb) changed, \(nodes) Nodes and \(pods) mirror pods deleted"
    }

    private func text(_ report: RebuildFinishReport) -> String {
        var parts = [fields([("API server", "\(report.server), \(report.version)")])]
        parts += report.configMaps.map(\.diff).filter { !$0.isEmpty }
        let maps = report.configMaps.map {
            ["ConfigMap", $0.name, words($0.outcome), ($0.settings + $0.remarks).joined(separator: "; ")]
        }
        let nodes = report.nodes.flatMap { node in
            [["Node", node.name, words(node.outcome), node.reason]]
                + node.mirrorPods.map { ["Pod", $0, words(report.isDryRun ? .wouldDelete : .deleted), "mirror pod"] }
        }
        if !(maps + nodes).isEmpty { parts.append(table(["KIND", "NAME", "OUTCOME", "WHAT"], maps + nodes)) }
        parts.append(report.changeCount == 0 ? "nothing is left to do" : summary(report))
        parts += report.commands.map { "run then: \($0)" }
        parts.append("by themselves heal:\n" + report.heals.map { "  \($0)" }.joined(separator: "\n"))
        return parts.joined(separator: "\n")
    }

    private func words(_ outcome: RebuildFinishReport.Outcome) -> String {
        switch outcome {
        case .wouldChange: "would change"
        case .wouldDelete: "would be deleted"
        default: outcome.rawValue
        }
    }
}
