import HostIO
import NodeFiles
import SealedArchive
import SystemPackage
import YAML

/// Finds out what a node's control plane consists of, from the node itself and without configuration.
///
/// Each component's settings are merged out of its static pod, its process, its service, its environment and its files, by
/// the rules of its program; what they name is followed; layouts of known distributions and the places of networks, runtimes
/// and units are looked up. What can't be read becomes a finding and the rest goes on.
public struct NodeDiscovery: Sendable {
    private let root: NodeRoot
    private let processDirectory: String?

    /// A discovery of the node at `root`; processes are looked at if that is this host.
    public init(root: NodeRoot = NodeRoot()) {
        self.init(root: root, processDirectory: root.isHost ? "/proc" : nil)
    }

    /// A discovery that reads processes in `processDirectory`, a path of this host laid out as proc(5) says.
    public init(root: NodeRoot, processDirectory: String?) {
        self.root = root
        self.processDirectory = processDirectory
    }

    /// Looks at the node; changes nothing on it.
    public func discover() -> NodeLayout {
        var builder = LayoutBuilder(root: root)
        let processes = processes(&builder)
        let services = builder.services()
        builder.addDistributions(processes, services)
        builder.addKubelets(processes, services)
        builder.addStaticPods()
        for process in processes { builder.addProcess(process) }
        builder.addServices(services)
        builder.addArgumentFiles()
        builder.addKnownLayouts()
        builder.addFilesOfDistributions()
        builder.addHostPaths()
        builder.addHostGroups()
        builder.addCompanions()
        builder.layout.etcds = builder.etcds()
        builder.addDefaultDatastore()
        builder.addAuthorityKeys()
        builder.reportUnseen()
        builder.reportUnknownServices()
        builder.reportMissingServer()
        return builder.finished()
    }

    private func processes(_ builder: inout LayoutBuilder) -> [RunningComponent] {
        guard let processDirectory else { return [] }
        let table = ProcessTable(directory: processDirectory)
        if !table.isVisible {
            builder.find(
                .warning, "processes-unseen", processDirectory,
                "no process can be seen, so flags of components that are no static pods are not known",
                "mount it: mount -t proc proc \(processDirectory)")
        }
        return table.components()
    }
}

/// A layout while it is put together.
struct LayoutBuilder {
    let root: NodeRoot
    var layout = NodeLayout()
    var collector = ReferenceCollector()
    /// Directories that the kubelet reads static pods from.
    var staticPodDirectories: [String] = []
    /// Volumes of static pods, looked at when the data directories are known that they may show.
    var hostPaths: [(volume: PodManifest.HostPath, pod: String, isControlPlane: Bool)] = []
    /// Configuration files whose settings are known.
    var followed: Set<String> = []
    /// Environment files that a service reads.
    var readEnvironmentFiles: Set<String> = []
    /// Root directories of kubelets.
    var kubeletDirectories = [KubeletConfiguration.rootDirectory]
    /// Processes whose files are not known.
    var unseen: [RunningComponent] = []
    /// What distributions that run in containers see of the node's files.
    var containerMounts: [String: [ContainerMount]] = [:]
    /// All units of services, with their commands.
    var units: [(service: ServiceDefinition, commands: [[String]])] = []
    /// Services of components that something else starts.
    var idleServices: [ServiceDefinition] = []
    /// Distributions of which an agent is started at boot.
    var agents: Set<String> = []
    /// Distributions that are only left over: something else is the control plane here.
    var leftovers: Set<String> = []
    /// Services that are called like a program of the control plane, and may start it in a way that is not understood.
    var unknownServices: [ServiceDefinition] = []

    init(root: NodeRoot) { self.root = root }

    func finished() -> NodeLayout {
        var layout = layout
        var collector = collector
        collector.excludeData(root: root)
        collector.excludeOutputs(root: root)
        layout.references = collector.references.filter { !collector.excludes($0.path) }
        layout.skipped = collector.skipped
        layout.excludedPaths = collector.excluded
        return layout
    }

    mutating func find(
        _ severity: Finding.Severity, _ code: String, _ subject: String, _ message: String, _ advice: String
    ) {
        layout.findings.append(Finding(severity, code: code, subject: subject, message: message, advice: advice))
    }

    /// The bytes of a file; nil if there is none or it can't be read, which is a finding.
    mutating func bytes(of path: String) -> [UInt8]? {
        do {
            return try root.bytes(of: path)
        } catch let error as SystemCallError where [.noSuchFileOrDirectory, .notDirectory].contains(error.errno) {
            return nil
        } catch {
            find(
                .error, "file-unreadable", path, Failure(wrapping: error).message,
                "what it names is not known: make it readable for this program")
            return nil
        }
    }

    /// The document of a configuration file; nil also if it is not YAML, which is a finding unless it is `quiet`.
    mutating func document(at path: String, quiet: Bool = false) -> Node? {
        guard let bytes = quiet ? try? root.bytes(of: path) : bytes(of: path) else { return nil }
        do {
            return try YAMLDocument.first(in: bytes, path: path)
        } catch {
            guard !quiet else { return nil }
            find(
                .error, "configuration-unparsable", path, Failure(wrapping: error).message,
                "the file is captured, but what it names is not known: correct it")
            return nil
        }
    }

    /// Classes whose files are YAML and may name others, and whether broken ones are findings.
    ///
    /// Kubeconfigs are analysed later, and said there to be broken.
    private static let followedClasses: [CaptureClass: Bool] = [
        .kubeconfig: false, .component: false, .kubeletConfiguration: true, .admissionConfiguration: true,
        .authorizationConfiguration: true, .authenticationConfiguration: true, .egressSelector: true,
        .auditPolicy: true,
    ]

    /// Adds the files that a configuration file names, and those that they name.
    ///
    /// - Parameter component: whose view of the node the paths are in.
    mutating func follow(_ path: String, _ captureClass: CaptureClass, of component: Component?) {
        guard let isStrict = Self.followedClasses[captureClass], followed.insert(path).inserted,
            root.attributes(of: path)?.kind == .file, let document = document(at: path, quiet: !isStrict)
        else { return }
        for named in FollowedFiles.named(in: document, path: path) {
            guard let target = component.map({ nodePath(of: named.path, in: $0) }) ?? named.path else {
                collector.skip(named.path, "in the image of \(component?.name ?? "a component"), not on the node")
                continue
            }
            if named.field == "staticPodPath" { addStaticPodDirectory(target) }
            if let reason = PathPolicy.reasonToSkipAlways(target) {
                collector.skip(target, reason)
                continue
            }
            collector.add(
                target, named.captureClass, by: "\(path) \(named.field)", isRequired: named.isRequired)
            follow(target, named.captureClass, of: component)
        }
    }

    mutating func addStaticPodDirectory(_ path: String) {
        if !staticPodDirectories.contains(path) { staticPodDirectories.append(path) }
    }

    /// Adds a path that a layout knows, if it is there.
    mutating func addKnown(_ path: String, _ captureClass: CaptureClass, by referrer: String) {
        guard root.hasEntry(path) else { return }
        collector.add(path, captureClass, by: referrer, isRequired: false)
    }
}
