import HostIO
import NodeFiles
import SealedArchive
import YAML

extension LayoutBuilder {
    /// Adds every pod of every directory that the kubelet reads.
    mutating func addStaticPods() {
        var index = 0
        // A pod's configuration may name a further directory.
        while index < staticPodDirectories.count {
            let directory = staticPodDirectories[index]
            index += 1
            guard let names = staticPodNames(in: directory) else { continue }
            collector.add(directory, .staticPod, by: "the kubelet's static pods", isRequired: false)
            // The kubelet passes over names with a dot in front (`pkg/kubelet/config/file.go`).
            for name in names where !name.hasPrefix(".") { addStaticPod(joinPath(directory, name)) }
        }
        // Podman runs pods too.
        let played = units.flatMap { service, commands in
            commands.compactMap { Self.playedManifest($0, in: service.workingDirectory) }.map { ($0, service.path) }
        }
        for (manifest, unit) in Quadlets(root: root).pods() + played where root.hasEntry(manifest) {
            collector.add(unit, .systemd, by: "Podman's pods", isRequired: false)
            collector.add(manifest, .component, by: unit, isRequired: false)
            addStaticPod(manifest)
        }
    }

    /// The manifest that `podman kube play` runs (podman-kube-play(1), and `play kube` of old); nil for other commands.
    private static func playedManifest(_ words: [String], in directory: String) -> String? {
        guard words.contains(where: { lastName($0) == "podman" }),
            let verb = words.indices.dropLast().first(where: {
                words[$0] == "kube" && words[$0 + 1] == "play" || words[$0] == "play" && words[$0 + 1] == "kube"
            }),
            let path = words[(verb + 2)...].last(where: { [".yaml", ".yml", ".json"].contains(where: $0.hasSuffix) })
        else { return nil }
        return absolutePath(path, from: directory)
    }

    private mutating func staticPodNames(in directory: String) -> [String]? {
        guard root.attributes(of: directory)?.kind == .directory else { return nil }
        do {
            return try root.names(in: directory)
        } catch {
            find(
                .error, "directory-unreadable", directory, Failure(wrapping: error).message,
                "run as root: the static pods are not known")
            return nil
        }
    }

    private mutating func addStaticPod(_ path: String) {
        guard root.attributes(of: path)?.kind == .file, let bytes = bytes(of: path) else { return }
        do {
            guard let pod = try PodManifest(parsing: bytes, path: path) else {
                return find(
                    .warning, "manifest-not-a-pod", path, "the static pod manifest \(quoted(path)) holds no pod",
                    "the kubelet does not run it: move it away, or correct it")
            }
            add(pod, path)
        } catch {
            find(
                .error, "manifest-unparsable", path, "\(Failure(wrapping: error).message)",
                "the file is captured, but what its pod uses is not known: correct it, or name the paths to capture")
        }
    }

    private mutating func add(_ pod: PodManifest, _ path: String) {
        for component in pod.components { add(withOpenShiftConfiguration(component)) }
        let isControlPlane = pod.components.contains { CommandLineFlags.knownPrograms.contains($0.name) }
        hostPaths += pod.hostPaths.map { ($0, pod.name, isControlPlane) }
    }

    /// OpenShift's API server and controller manager have most of their flags in a file.
    ///
    /// Source: openshift/api, `kubecontrolplane/v1/types.go`: `apiServerArguments`, `extendedArguments`.
    private mutating func withOpenShiftConfiguration(_ component: Component) -> Component {
        guard let file = component.configuration.last("openshift-config"), let path = nodePath(of: file, in: component),
            root.hasEntry(path), let document = document(at: path)
        else { return component }
        var component = component
        for section in ["apiServerArguments", "extendedArguments"] {
            var flags: [String: [String]] = [:]
            for pair in document.value(section)?.mapping ?? [] {
                guard let name = pair.key.text else { continue }
                flags[name] = pair.value.texts
            }
            component.configuration.fill(from: MergedConfiguration(flags, from: path))
        }
        return component
    }

    /// Adds the volumes of static pods that no flag has named yet.
    ///
    /// A static pod that is no part of the control plane may be what it needs: a load balancer, a KMS plugin, a webhook. Of
    /// its volumes those are taken that it reads its configuration from.
    mutating func addHostPaths() {
        for (volume, pod, isControlPlane) in hostPaths {
            let path = volume.path
            let kind = root.attributes(of: path)?.kind
            if ["Socket", "CharDevice", "BlockDevice"].contains(volume.type) {
                collector.skip(path, "a \(volume.type == "Socket" ? "socket" : "device")")
            } else if let reason = PathPolicy.reasonToSkip(path) {
                collector.skip(path, reason)
            } else if collector.excludes(path) {
                continue
            } else if kind == .directory, !isControlPlane, !volume.isReadOnly, !isPath(path, atOrBelow: "/etc"),
                !isSmall(path)
            {
                collector.skip(path, "a volume that \(pod), which is no part of the control plane, may write to")
            } else if kind == .file || kind == .directory {
                collector.add(path, .component, by: "hostPath of \(pod)", isRequired: false)
            } else if kind == nil, volume.isOfFile {
                collector.add(path, .component, by: "hostPath of \(pod)", isRequired: true)
            }
        }
    }
}
