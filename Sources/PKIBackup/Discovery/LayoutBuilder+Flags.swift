import HostIO
import NodeFiles
import SealedArchive

extension LayoutBuilder {
    /// Adds what the flags of a component name.
    ///
    /// Programs read the last value of a setting that has one only, but what others name is the node's too, if it is there.
    mutating func addFlags(of component: Component) {
        for (flag, values) in component.flags.sorted(by: { $0.key < $1.key }) {
            for value in values.dropLast() where !value.isEmpty {
                add(flag, value, of: component, isRead: Self.repeated.contains(flag))
            }
            if let last = values.last, !last.isEmpty { add(flag, last, of: component) }
        }
        reportUnresolved(of: component)
    }

    /// Flags of which each value counts (Kubernetes 1.36, `pkg/kubeapiserver/options` and `apiserver/pkg/server/options`).
    private static let repeated: Set<String> = ["service-account-key-file", "tls-sni-cert-key"]

    private mutating func add(_ flag: String, _ value: String, of component: Component, isRead: Bool = true) {
        let referrer = "\(component.name) --\(flag)"
        switch FlagTable.use(of: flag, component: component.name) {
        case .path(let captureClass): addNamed(value, captureClass, referrer, flag, component, isRead: isRead)
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
        case .arguments(let name): addFlags(of: component.starting(name, with: [value]))
        case .argumentLine(let name):
            var arguments: [String] = []
            ShellWords.read(value, [:]) { words, _ in arguments += words }
            addFlags(of: component.starting(name, with: arguments))
        case .mount:
            for mount in value.split(separator: ",") {
                addUnknown(String(mount.prefix { $0 != ":" }), referrer, component)
            }
        case .output(let reason): addOutput(value, reason, component)
        case .writtenFile(let reason):
            for path in value.split(separator: ",") { addWrittenFile(String(path), reason, component) }
        case nil: addUnknown(value, referrer, component)
        }
    }

    // MARK: Paths

    /// Where a path that a component names is on the node; nil if it sees none of the node's files there.
    ///
    /// A pod may lack the volume that its flag asks for, and then does not run; what is on the node under the very path is what
    /// was meant. What an image brings by itself is not.
    func nodePath(of path: String, in component: Component) -> String? {
        switch component.place(of: path) {
        case .node(let path): return joinPath("/", path)
        case .volume: return nil
        case .image:
            let path = joinPath("/", path)
            guard CommandLineFlags.knownPrograms.contains(component.name), PathPolicy.reasonToSkip(path) == nil,
                let kind = root.attributes(of: path)?.kind, kind == .file || kind == .directory
            else { return nil }
            return path
        }
    }

    /// A value as an absolute path of the component's view; nil if it is none.
    func absolute(_ value: String, in component: Component) -> String? {
        if value.hasPrefix("/") { return value }
        guard let directory = component.workingDirectory, !directory.contains(ShellWords.unknown),
            Self.mayBePath(value)
        else { return nil }
        return joinPath(directory, value)
    }

    /// Whether a value that does not begin with a slash may be a relative path.
    private static func mayBePath(_ value: String) -> Bool {
        (value.contains("/") || value.contains(".")) && !value.contains("://")
    }

    /// Flags whose files need not be there, or whose components make them.
    private static let optional: Set<String> = [
        "bootstrap-kubeconfig", "cert-dir", "config-dir", "pod-manifest-path", "write-kubeconfig", "resolv-conf",
    ]

    /// Flags whose files are lines of text, not YAML.
    private static let plain: Set<String> = ["token-auth-file", "basic-auth-file", "authorization-policy-file"]

    private mutating func addNamed(
        _ value: String, _ captureClass: CaptureClass, _ referrer: String, _ flag: String, _ component: Component,
        isRead: Bool = true
    ) {
        guard let value = absolute(value, in: component) else {
            return reportRelative(value, flag, component)
        }
        guard let path = nodePath(of: value, in: component) else {
            let place = component.place(of: value) == .volume ? "a volume of its own" : "the image"
            return collector.skip(value, "in \(place) of \(component.name), not on the node")
        }
        if let reason = PathPolicy.reasonToSkipAlways(path) { return collector.skip(path, reason) }
        if flag == "pod-manifest-path" { addStaticPodDirectory(path) }
        collector.add(path, captureClass, by: referrer, isRequired: isRead && !Self.optional.contains(flag))
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
        guard let value = absolute(value, in: component), let path = nodePath(of: value, in: component),
            let kind = root.attributes(of: path)?.kind, kind == .file || kind == .directory
        else { return }
        if let reason = PathPolicy.reasonToSkip(path) { return collector.skip(path, reason) }
        collector.add(path, .component, by: referrer, isRequired: false)
        follow(path, .component, of: component)
    }

    // MARK: What can't be told

    /// Says of settings that name files in a way that only a run would tell that these are not captured.
    private mutating func reportUnresolved(of component: Component) {
        guard CommandLineFlags.knownPrograms.contains(component.name) else { return }
        for (flag, value) in component.configuration.unresolved.sorted(by: { $0.key < $1.key })
        where namesFiles(flag, value.text, of: component) {
            let what = flag.isEmpty ? "further arguments" : "--\(flag)=\(value.text)"
            find(
                .error, "path-unresolved", value.origin,
                "\(component.name) in \(quoted(value.origin)) has \(what), which only the running system can tell: what it names is not in the backup",
                "write out what it stands for, or name the files among the paths to capture")
        }
    }

    /// Says of a relative path that it is not known what it counts from.
    private mutating func reportRelative(_ value: String, _ flag: String, _ component: Component) {
        guard component.workingDirectory?.contains(ShellWords.unknown) != false, Self.mayBePath(value),
            !Self.optional.contains(flag),
            CommandLineFlags.knownPrograms.contains(component.name)
        else { return }
        find(
            .error, "path-unresolved", component.source,
            "\(component.name) in \(quoted(component.source)) has --\(flag)=\(value), and which directory that counts from only the running system can tell: what it names is not in the backup",
            "write the path out, or name the file among the paths to capture")
    }

    private func namesFiles(_ flag: String, _ value: String, of component: Component) -> Bool {
        if flag.isEmpty { return true }
        if flag == "data-dir" { return DistributionConfiguration.programs.contains(component.name) }
        switch FlagTable.use(of: flag, component: component.name) {
        case .path, .certificatePair, .etcdToken: return true
        case .arguments(let name):
            let flags = CommandLineFlags.flags(ofArguments: [value])
            return flags.keys.contains { namesFiles($0, "", of: Component(name: name, source: component.source)) }
        default: return false
        }
    }
}

extension Component {
    /// The components that it starts with arguments out of its own settings, such as `kube-apiserver-arg`.
    var startedComponents: [Component] {
        flags.sorted { $0.key < $1.key }.compactMap { flag, values in
            guard case .arguments(let other) = FlagTable.use(of: flag, component: name) else { return nil }
            return starting(other, with: values)
        }
    }

    fileprivate func starting(_ name: String, with arguments: [String]) -> Component {
        var other = Component(
            name: name, source: source, flags: CommandLineFlags.flags(ofArguments: arguments), mounts: mounts)
        other.workingDirectory = workingDirectory
        return other
    }
}
