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
        guard let file = component.configuration.last("openshift-config"), let path = component.nodePath(of: file),
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
            } else if kind == .directory, !isControlPlane, !volume.isReadOnly, !isPath(path, atOrBelow: "/etc") {
                collector.skip(path, "a volume that \(pod), which is no part of the control plane, may write to")
            } else if kind == .file || kind == .directory {
                collector.add(path, .component, by: "hostPath of \(pod)", isRequired: false)
            }
        }
    }

    // MARK: Flags

    /// Adds what the flags of a component name.
    ///
    /// Programs read the last value of a setting that has one only, but what others name is the node's too.
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
        case .writtenFile(let reason):
            for path in value.split(separator: ",") { addWrittenFile(String(path), reason, component) }
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

    /// What a component writes, such as a log, with what was rotated out of it, is no part of its configuration.
    private mutating func addWrittenFile(_ value: String, _ reason: String, _ component: Component) {
        guard value.hasPrefix("/"), let path = component.nodePath(of: value).map({ joinPath("/", $0) }) else { return }
        collector.skip(path, reason)
        collector.addOutput(path, reason)
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
