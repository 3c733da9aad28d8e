import HostIO
import NodeFiles

extension LayoutBuilder {
    /// The services of the node's init systems that start programs of the control plane.
    func services() -> [ServiceDefinition] {
        ServiceUnits(root: root).services() + OpenRCServices(root: root).services()
    }

    /// The component that a service starts, with its arguments and with what it takes from its environment.
    func component(of service: ServiceDefinition) -> Component {
        let line = CommandLineFlags(service.words, variables: service.environment)
        var component = Component(
            name: line.program, source: service.path, mounts: ContainerCommand.mounts(line.wrapper))
        component.configuration = MergedConfiguration(line.flags, from: service.path)
        component.environment = line.environment.filter { Self.isOfComponent($0.key) }
        return component
    }

    /// Whether a variable is one that programs of the control plane take settings from.
    static func isOfComponent(_ variable: String) -> Bool {
        ["ETCD_", "K3S_", "RKE2_"].contains(where: variable.hasPrefix)
    }

    /// Adds the files of every service, and the components of those in use.
    mutating func addServices(_ services: [ServiceDefinition]) {
        for service in services {
            let component = component(of: service)
            addFiles(of: service, component.name)
            guard !DistributionConfiguration.programs.contains(component.name), component.name != "kubelet" else {
                continue
            }
            if let index = layout.components.firstIndex(where: { isSame($0, component) }) {
                // A process may hide what its unit tells.
                guard !layout.components[index].isEnvironmentKnown else { continue }
                layout.components[index].environment.merge(component.environment) { known, _ in known }
                layout.components[index].isEnvironmentKnown = true
            } else if isInUse(service, component) {
                add(component)
            }
        }
    }

    private mutating func addFiles(of service: ServiceDefinition, _ program: String) {
        for path in service.files { addKnown(path, .systemd, by: "service \(service.name)") }
        let captureClass: CaptureClass =
            switch program {
            case "etcd": .etcdConfiguration
            case "kubelet": .kubeletConfiguration
            case "k3s", "rke2", "k0s": .distribution
            default: .systemd
            }
        for path in service.environmentFiles where !path.hasPrefix("/run/") {
            addKnown(path, captureClass, by: "service \(service.name)")
            readEnvironmentFiles.insert(path)
        }
    }

    /// Whether a service is one that this node runs: a package's may only be there, also beside a static pod.
    private func isInUse(_ service: ServiceDefinition, _ component: Component) -> Bool {
        if service.isEnabled { return true }
        guard service.isLocal, !layout.components.contains(where: { $0.name == component.name }) else { return false }
        guard component.name == "etcd", let path = dataDirectory(of: component) else { return component.name != "etcd" }
        return root.attributes(of: joinPath(path, "member"))?.kind == .directory
    }
}

/// A command that starts a container: `docker run`, `podman run`, `nerdctl run`.
enum ContainerCommand {
    private static let engines: Set<String> = ["docker", "podman", "nerdctl"]

    /// What the container sees of the node's files (docker-run(1), `--volume`, `--mount`); nil if none is started.
    static func mounts(_ words: [String]) -> [ContainerMount]? {
        guard words.contains(where: { engines.contains(lastName($0)) }) else { return nil }
        var mounts: [ContainerMount] = []
        for (index, word) in words.enumerated() {
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            let next = index + 1 < words.count ? words[index + 1] : ""
            switch parts.first {
            case "-v", "--volume": if let mount = volume(parts.count > 1 ? parts[1] : next) { mounts.append(mount) }
            case "--mount": if let mount = mount(parts.count > 1 ? parts[1] : next) { mounts.append(mount) }
            default: break
            }
        }
        return mounts
    }

    private static func volume(_ text: String) -> ContainerMount? {
        let parts = text.split(separator: ":").map(String.init)
        guard parts.count > 1, parts[0].hasPrefix("/"), parts[1].hasPrefix("/") else { return nil }
        return ContainerMount(mountPath: joinPath("/", parts[1]), nodePath: joinPath("/", parts[0]))
    }

    private static func mount(_ text: String) -> ContainerMount? {
        var fields: [String: String] = [:]
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        guard let source = fields["source"] ?? fields["src"], source.hasPrefix("/"),
            let target = fields["target"] ?? fields["dst"] ?? fields["destination"], target.hasPrefix("/")
        else { return nil }
        return ContainerMount(mountPath: joinPath("/", target), nodePath: joinPath("/", source))
    }
}
