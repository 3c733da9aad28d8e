import HostIO
import NodeFiles
import SealedArchive
import YAML

extension LayoutBuilder {
    /// Adds a process unless it is known by something else, or anybody may have started it under that name.
    mutating func addProcess(_ process: RunningComponent) {
        let component = process.component
        // `k3s kubectl` and `etcd grpc-proxy` are no components.
        guard CommandLineFlags.knownPrograms.contains(component.name),
            !layout.components.contains(where: { isSame($0, component) })
        else { return }
        guard process.seesNode else {
            unseen.append(process)
            return collector.skip(
                component.source,
                "\(component.name) runs in a container whose manifest was not found: its paths are not known")
        }
        guard isTrusted(process) else {
            unseen.append(process)
            return collector.skip(
                component.source,
                "\(component.name) runs as a user who is neither root nor the owner of its data: it may be anything")
        }
        add(component)
    }

    /// Adds a component with what its flags name.
    mutating func add(_ component: Component) {
        var component = component
        if component.name == "kine" {
            addDatastore(ofKine: component)
            DistributionConfiguration.redact(&component.configuration)
        }
        layout.components.append(component)
        addFlags(of: component)
    }

    /// Whether two sources tell of the same component: there may be several etcds, each with data of its own.
    func isSame(_ known: Component, _ component: Component) -> Bool {
        guard known.name == component.name else { return false }
        guard component.name == "etcd", let path = dataDirectory(of: known), let other = dataDirectory(of: component)
        else { return true }
        return path == other
    }

    /// Whether only root can have started a process, or let its user have the directory of its data.
    func isTrusted(_ process: RunningComponent) -> Bool {
        guard let userID = process.userID else { return false }
        if userID == 0 || process.isStartedByComponent { return true }
        guard process.component.name == "etcd", let path = dataDirectory(of: process.component), path.hasPrefix("/"),
            let resolved = try? root.resolve(Array(path.utf8)), resolved.attributes.userID == userID,
            let parent = try? resolved.directory.attributes()
        else { return false }
        // Users have directories too: in their homes, and where everybody may make one.
        let place = PathPolicy.reasonToSkip(display(resolved.path))
        return parent.userID == 0 && parent.mode & 0o022 == 0 && (place == nil || place == PathPolicy.etcdData)
    }

    /// The directory of an etcd's data as it is configured, in the component's own view.
    func dataDirectory(of etcd: Component) -> String? {
        let environment = EtcdConfiguration.settings(in: etcd.environment)
        if let path = etcd.configuration.last("config-file") ?? environment["config-file"]?.last, path.hasPrefix("/") {
            guard let nodePath = etcd.nodePath(of: path), let bytes = try? root.bytes(of: nodePath) else { return nil }
            return (try? YAMLDocument.first(in: bytes, path: nodePath))?.text("data-dir")
        }
        return etcd.configuration.last("data-dir") ?? environment["data-dir"]?.last
    }

    // MARK: What is not seen

    /// Programs without whose files there is no control plane.
    private static let essential: Set<String> = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kine", "kubelet", "k3s", "rke2", "k0s",
        "microshift",
    ]

    /// Says of components that run and are known by nothing else that the files which they name are not captured.
    ///
    /// A pod may be the control plane of a guest's cluster, where this node's own is known.
    mutating func reportUnseen() {
        let hasOwn = layout.components.contains {
            $0.name == "kube-apiserver" || DistributionConfiguration.programs.contains($0.name)
        }
        var reported: Set<String> = []
        for process in unseen {
            let component = process.component
            let isKnown =
                layout.components.contains { $0.name == component.name }
                || component.name == "etcd" && layout.etcds.contains { $0.dataDirectory != nil }
            guard Self.essential.contains(component.name), !isKnown, !(process.isInPod && hasOwn),
                reported.insert(component.name).inserted
            else { continue }
            let why =
                process.seesNode
                ? "runs as a user of its own, by no service and no static pod that was found"
                : "runs in a container, by no service and no static pod that was found"
            find(
                .error, "component-paths-unknown", component.name,
                "\(component.name) (\(component.source)) \(why): the files that its flags name are not in the backup",
                "name them among the paths to capture, or run it by a static pod or a service")
        }
    }
}
