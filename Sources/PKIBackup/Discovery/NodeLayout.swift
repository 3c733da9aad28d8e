import HostIO
import NodeFiles
import SealedArchive

/// What a node's control plane is made of, as the node itself tells.
public struct NodeLayout: Sendable {
    /// The distributions whose layout was recognised, such as `kubeadm`; usually one.
    public var distributions: [String] = []
    /// Distributions that are installed here and whose server does not run here: agents, and what is left over.
    public var idleDistributions: Set<String> = []
    /// The components found, each once.
    public var components: [Component] = []
    /// Every file or directory to capture, with its class and with what named it.
    public var references: [FileReference] = []
    /// What starts the KMS plugins of encryption configurations, as far as it was found, by their endpoints.
    public var kmsPlugins: [String: [String]] = [:]
    /// Every etcd of the node.
    public var etcds: [DiscoveredEtcd] = []
    /// Where the cluster's data is, if a distribution keeps it in another place than its own etcd.
    public var datastore: Datastore?
    /// What names it: a file's path or a process.
    public var datastoreOrigin: String?
    /// What components name and what is not captured on purpose, with the reason: data of etcd, logs, system directories.
    public var skipped: [SkippedPath] = []
    /// Paths that are left out with everything below them, though a reference above them may cover them.
    public var excludedPaths: [SkippedPath] = []
    /// What discovery itself found wrong: a manifest that can't be parsed, a directory that can't be read.
    public var findings: [Finding] = []

    /// An empty layout.
    public init() {}
}

extension NodeLayout {
    /// Whether a distribution's layout was recognised and its server is not known to be idle.
    func hasServer(of distribution: String) -> Bool {
        distributions.contains(distribution) && !idleDistributions.contains(distribution)
    }

    /// Where k3s, RKE2 or k0s has its data, as it is configured.
    func dataDirectory(of distribution: String) -> String {
        let component = components.first { $0.name == distribution }
        let path = component?.configuration.last("data-dir").flatMap { $0.hasPrefix("/") ? joinPath("/", $0) : nil }
        return path ?? KnownLayout.standardDataDirectories[distribution] ?? "/var/lib/\(distribution)"
    }
}

/// A component of the control plane, such as `kube-apiserver`, with the arguments it runs with.
public struct Component: Sendable, Equatable {
    /// The name of the program, such as `kube-apiserver` or `etcd`.
    public var name: String
    /// What it was found by: the manifest's path, `process 1234`, a service's or a configuration's path.
    public var source: String
    /// The image that it runs from, nil for a process.
    public var image: String?
    /// What it runs with, out of all places that it reads settings from.
    public var configuration: MergedConfiguration
    /// Variables that it takes settings from.
    public var environment: [String: String]
    /// Whether everything that the component takes from its environment is known; false for a process that does not show it.
    public var isEnvironmentKnown = true
    /// What the component sees of the node's files; nil if it sees all of them under their own paths.
    public var mounts: [ContainerMount]?
    /// What relative paths count from; nil if it is not known.
    public var workingDirectory: String?

    /// A component from its parts.
    public init(
        name: String, source: String, image: String? = nil, flags: [String: [String]] = [:],
        environment: [String: String] = [:], mounts: [ContainerMount]? = nil
    ) {
        self.name = name
        self.source = source
        self.image = image
        configuration = MergedConfiguration(flags, from: source)
        self.environment = environment
        self.mounts = mounts
    }

    /// The values of its settings by the names of flags without dashes; one that is given several times has several.
    public var flags: [String: [String]] { configuration.values }

    /// Where a path that the component names leads.
    public func place(of path: String) -> PathPlace {
        guard let mounts else { return .node(path) }
        let mount = mounts.filter { isPath(path, atOrBelow: $0.mountPath) }
            .max { $0.mountPath.utf8.count < $1.mountPath.utf8.count }
        guard let mount else { return .image }
        let rest = mount.mountPath == "/" ? path : String(path.dropFirst(mount.mountPath.count))
        return mount.nodePath.map { .node(joinPath($0, rest)) } ?? .volume
    }

    /// Where a path that the component names is on the node; nil if what it sees there is none of the node's files.
    public func nodePath(of path: String) -> String? {
        if case .node(let path) = place(of: path) { path } else { nil }
    }
}

/// Where a path of a component leads.
public enum PathPlace: Sendable, Equatable {
    /// To a path of the node.
    case node(String)
    /// Into a volume that is none of the node's files, such as an empty one.
    case volume
    /// Into the component's image.
    case image
}

/// A part of the file system that a container sees in place of its image's: a `volumeMount`.
public struct ContainerMount: Sendable, Equatable {
    /// The path in the container.
    public var mountPath: String
    /// The path on the node: that of a `hostPath` volume, with the mount's `subPath`; nil if it shows none of the node's files.
    public var nodePath: String?

    /// A mount from its parts.
    public init(mountPath: String, nodePath: String?) {
        self.mountPath = mountPath
        self.nodePath = nodePath
    }
}

/// A file or directory of the node and what names it.
public struct FileReference: Sendable, Equatable {
    /// The absolute path on the node.
    public var path: String
    /// What it is.
    public var captureClass: CaptureClass
    /// What names it: `kube-apiserver --tls-cert-file`, `hostPath of kube-apiserver`, `kubeadm layout`.
    public var referrer: String
    /// Whether the cluster can't run without it, for a flag names it; paths known by layout alone may be absent.
    public var isRequired: Bool
    /// What else names it.
    public var otherReferrers: [String] = []

    /// A reference from its parts.
    public init(path: String, captureClass: CaptureClass, referrer: String, isRequired: Bool) {
        self.path = path
        self.captureClass = captureClass
        self.referrer = referrer
        self.isRequired = isRequired
    }
}

/// An etcd whose clients this node can be: its own member, or one that an API server uses.
///
/// Paths are those of the node, without the prefix of its root.
public struct DiscoveredEtcd: Sendable, Equatable {
    /// A name unique on the node, such as `etcd` or `etcd-events`; the snapshot becomes `etcd/<name>.db`.
    public var name: String
    /// Client URLs, the best first.
    public var endpoints: [String]
    /// Further URLs that the member on this node advertises: where the others don't work, these may.
    public var advertisedEndpoints: [String]
    /// The file of the CA's certificate.
    public var caPath: String?
    /// The file of a client certificate.
    public var certificatePath: String?
    /// The file of its private key.
    public var keyPath: String?
    /// The data directory of the member on this node.
    public var dataDirectory: String?
    /// What it was found by.
    public var source: String

    /// An etcd from its parts.
    public init(
        name: String, endpoints: [String], advertisedEndpoints: [String] = [], caPath: String? = nil,
        certificatePath: String? = nil, keyPath: String? = nil, dataDirectory: String? = nil, source: String
    ) {
        self.name = name
        self.endpoints = endpoints
        self.advertisedEndpoints = advertisedEndpoints
        self.caPath = caPath
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        self.dataDirectory = dataDirectory
        self.source = source
    }
}
