import HostIO
import NodeFiles
import YAML

/// Where a kubelet has its settings: flags, before the drop-ins of `--config-dir`, before the file of `--config`.
///
/// Source: Kubernetes 1.36, `cmd/kubelet/app/server.go` (`loadConfigFile`, `mergeKubeletConfigurations`,
/// `kubeletConfigFlagPrecedence`), API reference `KubeletConfiguration` (`kubelet.config.k8s.io`).
enum KubeletConfiguration {
    /// kubeadm's constants `KubeletRunDirectory`, `KubeletConfigurationFileName` and `KubeletEnvFileName` (`app/constants`).
    static let rootDirectory = "/var/lib/kubelet"
    static let flagsName = "kubeadm-flags.env"
    static let fileName = "config.yaml"

    /// Fields that name files, with the flags that do the same.
    private static let fields = [
        "staticPodPath": "pod-manifest-path", "tlsCertFile": "tls-cert-file",
        "tlsPrivateKeyFile": "tls-private-key-file",
        "resolvConf": "resolv-conf", "podLogsDir": "pod-logs-dir", "volumePluginDir": "volume-plugin-dir",
    ]

    /// The settings of a file that name others, under the names of flags; relative paths count from the file's directory.
    static func settings(in document: Node, path: String) -> [String: [String]] {
        var settings: [String: [String]] = [:]
        func add(_ text: String?, as flag: String) {
            if let text { settings[flag] = [absolutePath(text, from: parentPath(path))] }
        }
        for (field, flag) in fields { add(document.text(field), as: flag) }
        add(document.value("authentication")?.value("x509")?.text("clientCAFile"), as: "client-ca-file")
        return settings
    }
}

extension LayoutBuilder {
    /// kubeadm's `KubernetesDir` and `ManifestsSubDirName` (`app/constants`), also the kubelet's place on OpenShift.
    static let manifests = "/etc/kubernetes/manifests"

    /// Adds the kubelet with the configuration that its arguments and files make, for it knows where static pods are.
    mutating func addKubelets(_ processes: [RunningComponent], _ services: [ServiceDefinition]) {
        addStaticPodDirectory(Self.manifests)
        let process = processes.first { $0.component.name == "kubelet" && $0.seesNode && isTrusted($0) }
        let service = services.map { ($0, component(of: $0)) }.filter { $0.1.name == "kubelet" }
            .max { !$0.0.isEnabled && $1.0.isEnabled }
        let flagsPath = joinPath(KubeletConfiguration.rootDirectory, KubeletConfiguration.flagsName)
        let started = process?.component ?? service?.1 ?? kubelet(ofFlags: flagsPath)
        var kubelet = started ?? Component(name: "kubelet", source: flagsPath)
        kubelet.environment = [:]
        addConfigurationFiles(to: &kubelet)
        if started != nil || !kubelet.configuration.values.isEmpty {
            if started == nil, let origin = kubelet.configuration.origins.first { kubelet.source = origin }
            layout.components.append(kubelet)
            addFlags(of: kubelet)
        }
        let k0s = layout.components.first { $0.name == "k0s" }?.configuration.last("kubelet-root-dir")
        for directory in [kubelet.configuration.last("root-dir"), k0s].compactMap(\.self) where directory.hasPrefix("/")
        {
            kubeletDirectories.append(joinPath("/", directory))
        }
        // The state of RKE2's and k3s' kubelet is below their own directories.
        for distribution in ["rke2", "k3s"] where !leftovers.contains(distribution) {
            addStaticPodDirectory(joinPath(dataDirectory(of: distribution), "agent/pod-manifests"))
        }
    }

    /// What kubeadm gives its unit, where the unit itself is not there.
    private mutating func kubelet(ofFlags path: String) -> Component? {
        guard let bytes = bytes(of: path) else { return nil }
        let words = EnvironmentFile(bytes).variables.sorted { $0.key < $1.key }.flatMap { UnitWords.split($0.value) }
        var kubelet = Component(name: "kubelet", source: path)
        kubelet.configuration = MergedConfiguration(CommandLineFlags(words, name: "kubelet").flags, from: path)
        return kubelet
    }

    private mutating func addConfigurationFiles(to kubelet: inout Component) {
        let standard = joinPath(
            kubelet.configuration.last("root-dir") ?? KubeletConfiguration.rootDirectory, KubeletConfiguration.fileName)
        let named = kubelet.configuration.last("config")
        var files = MergedConfiguration()
        if let path = named ?? (root.hasEntry(standard) ? standard : nil), path.hasPrefix("/") {
            files.override(with: settings(ofKubelet: path))
        }
        if let directory = kubelet.configuration.last("config-dir"), directory.hasPrefix("/") {
            for path in dropIns(in: directory, depth: 0) { files.override(with: settings(ofKubelet: path)) }
        }
        kubelet.configuration.fill(from: files)
    }

    private mutating func settings(ofKubelet path: String) -> MergedConfiguration {
        followed.insert(path)
        collector.add(path, .kubeletConfiguration, by: "kubelet configuration", isRequired: false)
        guard root.attributes(of: path)?.kind == .file, let document = document(at: path) else {
            return MergedConfiguration()
        }
        return MergedConfiguration(KubeletConfiguration.settings(in: document, path: path), from: path)
    }

    /// Files with the ending `.conf`, those of directories below included, in the order of their paths.
    private func dropIns(in directory: String, depth: Int) -> [String] {
        guard depth < 4 else { return [] }
        return ((try? root.names(in: directory)) ?? []).flatMap { name -> [String] in
            let path = joinPath(directory, name)
            if root.attributes(of: path)?.kind == .directory { return dropIns(in: path, depth: depth + 1) }
            return name.hasSuffix(".conf") ? [path] : []
        }
    }
}
