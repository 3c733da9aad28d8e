import HostIO
import NodeFiles
import YAML

/// A static pod as far as it tells what a component runs with: containers, their arguments and what they see of the node.
///
/// Source: Kubernetes' API reference, `Pod` v1 core: `spec.containers`, `spec.initContainers`, `spec.volumes[].hostPath`,
/// `volumeMounts[].subPath`. The kubelet reads one pod of a file (`pkg/kubelet/config/common.go`, `tryDecodeSinglePod`).
struct PodManifest {
    /// A volume of the node's files.
    struct HostPath {
        var volume: String
        var path: String
        /// The type that the kubelet checks, such as `Directory` or `Socket`; empty for any.
        var type: String
        /// Whether no container may write to it.
        var isReadOnly: Bool

        /// Whether there has to be a file: by the type, or where there is none by an ending that no directory has.
        ///
        /// Source: Kubernetes 1.36, `pkg/volume/hostpath/host_path.go` (`checkType`); without a type the container runtime makes
        /// a directory.
        var isOfFile: Bool {
            let endings = [".conf", ".cfg", ".crt", ".json", ".key", ".pem", ".sh", ".yaml", ".yml"]
            return type == "File" || type.isEmpty && endings.contains { path.hasSuffix($0) }
        }
    }

    /// The pod's name.
    var name: String
    /// The components, one for each container.
    var components: [Component]
    /// The volumes of the node's files.
    var hostPaths: [HostPath]

    /// Reads a manifest; nil if the document is no pod.
    ///
    /// - Throws: ``Failure`` if it is not YAML.
    init?(parsing bytes: [UInt8], path: String) throws {
        guard let root = try YAMLDocument.first(in: bytes, path: path) else {
            throw Failure(.failed, "\(quoted(path)) is empty")
        }
        guard root.text("kind") == "Pod", let spec = root.value("spec") else { return nil }
        name = root.value("metadata")?.text("name") ?? lastName(path)
        let containers = spec.items("containers") + spec.items("initContainers")
        let writable = Set(
            containers.flatMap { $0.items("volumeMounts") }.filter { $0.text("readOnly") != "true" }
                .compactMap { $0.text("name") })
        hostPaths = spec.items("volumes").compactMap { volume in
            guard let name = volume.text("name"), let hostPath = volume.value("hostPath"),
                let path = hostPath.text("path"), path.hasPrefix("/")
            else { return nil }
            return HostPath(
                volume: name, path: joinPath("/", path), type: hostPath.text("type") ?? "",
                isReadOnly: !writable.contains(name))
        }
        let hostPaths = hostPaths
        var expansion = VariableExpansion()
        components = containers.map {
            Self.component($0, hostPaths, source: path, &expansion)
        }
    }

    private static func component(
        _ container: Node, _ hostPaths: [HostPath], source: String, _ expansion: inout VariableExpansion
    ) -> Component {
        var environment: [String: String] = [:]
        var unknown: [String: String] = [:]
        for variable in container.items("env") {
            guard let name = variable.text("name") else { continue }
            // What the API server or the kubelet would put there, such as the pod's address.
            if variable.value("valueFrom") != nil {
                unknown[name] = String(ShellWords.unknown)
            } else {
                environment[name] = expansion.expand(variable.text("value") ?? "", environment)
            }
        }
        let words = (strings(container, "command") + strings(container, "args")).map {
            expansion.expand($0, environment)
        }
        // Without a command the image's own program gets the arguments.
        let image = container.text("image").map(ContainerCommand.imageName).flatMap { name in
            CommandLineFlags.names(name) && strings(container, "command").isEmpty ? name : nil
        }
        let line = CommandLineFlags(
            words, name: image ?? container.text("name"),
            variables: environment.merging(unknown) { known, _ in known })
        var component = Component(
            name: line.program, source: source, image: container.text("image"), environment: line.environment,
            mounts: container.items("volumeMounts").compactMap { mount($0, hostPaths) })
        component.configuration = MergedConfiguration(line.flags, unresolved: line.unresolved, from: source)
        component.workingDirectory = line.workingDirectory ?? container.text("workingDir") ?? "/"
        return component
    }

    private static func strings(_ container: Node, _ key: String) -> [String] {
        container.items(key).compactMap(\.text)
    }

    private static func mount(_ node: Node, _ hostPaths: [HostPath]) -> ContainerMount? {
        guard let volume = node.text("name"), let path = node.text("mountPath") else { return nil }
        let hostPath = hostPaths.first { $0.volume == volume }?.path
        let nodePath = hostPath.map { path in node.text("subPath").map { joinPath(path, $0) } ?? path }
        return ContainerMount(mountPath: joinPath("/", path), nodePath: nodePath)
    }
}
