import HostIO
import NodeFiles
import SealedArchive
import YAML

extension LayoutBuilder {
    /// kubeadm's constant `KubeletEnvFileName` and `KubeletConfigurationFileName` (`app/constants`), below the kubelet's
    /// default root directory.
    private static let kubeletFlags = "/var/lib/kubelet/kubeadm-flags.env"
    private static let kubeletConfiguration = "/var/lib/kubelet/config.yaml"
    /// kubeadm's `KubernetesDir` and `ManifestsSubDirName`, also the kubelet's place on OpenShift.
    private static let manifests = "/etc/kubernetes/manifests"

    /// Adds the kubelet as it runs and as its files say, for it knows where static pods are.
    mutating func addKubelets(_ processes: [RunningComponent]) {
        addStaticPodDirectory(Self.manifests)
        for process in processes where process.component.name == "kubelet" { addProcess(process) }
        if let bytes = bytes(of: Self.kubeletFlags) {
            let words = CommandLineFlags.environment(in: bytes).sorted { $0.key < $1.key }.flatMap {
                $0.value.split(separator: " ").map(String.init)
            }
            let flags = CommandLineFlags(words, name: "kubelet").flags
            let isKnown = layout.components.contains { $0.name == "kubelet" }
            let kubelet = Component(name: "kubelet", source: Self.kubeletFlags, flags: flags)
            if !isKnown { layout.components.append(kubelet) }
            addFlags(of: kubelet)
        }
        follow(Self.kubeletConfiguration, .kubeletConfiguration, of: nil)
        // The state of RKE2's and k3s' kubelet is below their own directories.
        for distribution in ["rke2", "k3s"] {
            addStaticPodDirectory("/var/lib/rancher/\(distribution)/agent/pod-manifests")
        }
    }

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
        let isControlPlane = pod.components.contains { CommandLineFlags.knownPrograms.contains($0.name) }
        for component in pod.components {
            layout.components.append(component)
            addFlags(of: component)
        }
        for volume in pod.hostPaths {
            if isControlPlane {
                hostPaths.append((volume, pod.name))
            } else {
                collector.skip(volume.path, "a volume of \(pod.name), which is no part of the control plane")
            }
        }
    }

    /// Adds a process unless a static pod or a file was it, or anybody may have started it under that name.
    mutating func addProcess(_ process: RunningComponent) {
        let component = process.component
        guard !layout.components.contains(where: { Self.isSame($0, component) }) else { return }
        guard process.seesNode else {
            return collector.skip(
                component.source,
                "\(component.name) runs in a container whose manifest was not found: its paths are not known")
        }
        guard isTrusted(process) else {
            return collector.skip(
                component.source,
                "\(component.name) runs as a user who is neither root nor the owner of its data: it may be anything")
        }
        layout.components.append(component)
        addFlags(of: component)
    }

    private static func isSame(_ known: Component, _ component: Component) -> Bool {
        guard known.name == component.name else { return false }
        let directories = (known.flags["data-dir"], component.flags["data-dir"])
        return component.name != "etcd" || directories.0 == nil || directories.1 == nil
            || directories.0 == directories.1
    }

    /// Whether only root can have started a process, or let its user have the directory of its data.
    private func isTrusted(_ process: RunningComponent) -> Bool {
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

    private func dataDirectory(of etcd: Component) -> String? {
        if let path = etcd.flags["data-dir"]?.last { return path }
        guard let path = etcd.flags["config-file"]?.last, path.hasPrefix("/"), let bytes = try? root.bytes(of: path)
        else { return nil }
        return (try? YAMLDocument.first(in: bytes, path: path))?.text("data-dir")
    }

    /// Adds the volumes of control-plane pods that no flag has named yet.
    mutating func addHostPaths() {
        for (volume, pod) in hostPaths {
            let path = volume.path
            if ["Socket", "CharDevice", "BlockDevice"].contains(volume.type) {
                collector.skip(path, "a \(volume.type == "Socket" ? "socket" : "device")")
            } else if let reason = PathPolicy.reasonToSkip(path) {
                collector.skip(path, reason)
            } else if collector.excludes(path) {
                continue
            } else if let kind = root.attributes(of: path)?.kind, kind == .file || kind == .directory {
                collector.add(path, .component, by: "hostPath of \(pod)", isRequired: false)
            }
        }
    }

    // MARK: Flags

    /// Adds what the flags of a component name.
    mutating func addFlags(of component: Component) {
        for (flag, values) in component.flags.sorted(by: { $0.key < $1.key }) {
            for value in values where !value.isEmpty { add(flag, value, of: component) }
        }
    }

    private mutating func add(_ flag: String, _ value: String, of component: Component) {
        let referrer = "\(component.name) --\(flag)"
        switch FlagTable.use(of: flag, component: component.name) {
        case .path(let captureClass): addNamed(value, captureClass, referrer, flag, component)
        case .certificatePair:
            let pair = value.split(separator: ":", maxSplits: 1)[0].split(separator: ",")
            if let path = pair.first { addNamed(String(path), .certificate, referrer, flag, component) }
            if pair.count > 1 { addNamed(String(pair[1]), .privateKey, referrer, flag, component) }
        case .etcdToken:
            for option in value.split(separator: ",") {
                let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
                guard parts.count == 2, parts[0] == "pub-key" || parts[0] == "priv-key" else { continue }
                addNamed(parts[1], parts[0] == "pub-key" ? .etcdConfiguration : .privateKey, referrer, flag, component)
            }
        case .arguments(let name):
            let flags = CommandLineFlags(["--\(value)"], name: name).flags
            addFlags(of: Component(name: name, source: component.source, flags: flags, mounts: component.mounts))
        case .output(let reason): addOutput(value, reason, component)
        case nil: addUnknown(value, referrer, component)
        }
    }

    /// Flags whose files need not be there, or whose components make them.
    private static let optional: Set<String> = [
        "bootstrap-kubeconfig", "cert-dir", "config-dir", "pod-manifest-path", "write-kubeconfig", "resolv-conf",
    ]

    /// Flags whose files are lines of text, not YAML.
    private static let plain: Set<String> = ["token-auth-file", "basic-auth-file", "authorization-policy-file"]

    private mutating func addNamed(
        _ value: String, _ captureClass: CaptureClass, _ referrer: String, _ flag: String, _ component: Component
    ) {
        guard value.hasPrefix("/") else { return }
        guard let path = component.nodePath(of: value).map({ joinPath("/", $0) }) else {
            return collector.skip(value, "in the image of \(component.name), not on the node")
        }
        if let reason = PathPolicy.reasonToSkipAlways(path) { return collector.skip(path, reason) }
        if flag == "pod-manifest-path" { addStaticPodDirectory(path) }
        collector.add(path, captureClass, by: referrer, isRequired: !Self.optional.contains(flag))
        if !Self.plain.contains(flag) { follow(path, captureClass, of: component) }
    }

    private mutating func addOutput(_ value: String, _ reason: String, _ component: Component) {
        guard value.hasPrefix("/"), let path = component.nodePath(of: value).map({ joinPath("/", $0) }) else { return }
        // What is to be left out is decided when it is known what else is there.
        if reason == PathPolicy.etcdData { return collector.addDataDirectory(path) }
        collector.skip(path, reason)
    }

    /// A flag that this program does not know may still name a file.
    private mutating func addUnknown(_ value: String, _ referrer: String, _ component: Component) {
        guard value.hasPrefix("/"), let path = component.nodePath(of: value).map({ joinPath("/", $0) }),
            let kind = root.attributes(of: path)?.kind, kind == .file || kind == .directory
        else { return }
        if let reason = PathPolicy.reasonToSkip(path) { return collector.skip(path, reason) }
        collector.add(path, .component, by: referrer, isRequired: false)
        follow(path, .component, of: component)
    }
}
