import HostIO
import NodeFiles
import SealedArchive
import YAML

/// Where k3s, RKE2 and k0s have their settings.
enum DistributionConfiguration {
    /// The programs whose servers are a whole control plane.
    static let programs = ["k3s", "rke2", "k0s"]

    /// Short names of flags.
    ///
    /// Source: k3s, `pkg/cli/cmds` (`server.go`, `config.go`, `agent.go`), RKE2 has the same; k0s, `pkg/config/cli.go`.
    static func aliases(of program: String) -> [String: String] {
        program == "k0s"
            ? ["c": "config"]
            : ["c": "config", "d": "data-dir", "t": "token", "o": "write-kubeconfig", "s": "server", "l": "log"]
    }

    /// Flags of k3s that may be given several times; of the others the last counts.
    ///
    /// Source: k3s, `pkg/cli/cmds/server.go` and `agent.go`, flags of the type `StringSlice`.
    static func isList(_ flag: String) -> Bool {
        flag.hasSuffix("-arg") || flag.hasSuffix("-extra-mount")
            || [
                "tls-san", "cluster-cidr", "service-cidr", "cluster-dns", "disable", "node-label", "node-taint",
                "node-ip",
                "node-external-ip", "airgap-extra-registry",
            ].contains(flag)
    }

    /// Variables of the environment that set flags, without the program's name in front.
    ///
    /// Source: k3s, `pkg/cli/cmds/server.go`, `agent.go` and `config.go`, `EnvVar`; tokens are of no use here.
    private static let variables = [
        "DATA_DIR": "data-dir", "DATASTORE_ENDPOINT": "datastore-endpoint", "DATASTORE_CAFILE": "datastore-cafile",
        "DATASTORE_CERTFILE": "datastore-certfile", "DATASTORE_KEYFILE": "datastore-keyfile",
        "TOKEN_FILE": "token-file", "AGENT_TOKEN_FILE": "agent-token-file", "KUBECONFIG_OUTPUT": "write-kubeconfig",
        "VPN_AUTH_FILE": "vpn-auth-file", "CLUSTER_INIT": "cluster-init", "URL": "server",
        "RESOLV_CONF": "resolv-conf",
    ]

    /// The settings of the environment of k3s or RKE2.
    static func settings(in environment: [String: String], of program: String) -> [String: [String]] {
        guard program != "k0s" else { return [:] }
        let prefix = program.uppercased() + "_"
        return variables.reduce(into: [:]) { settings, entry in
            if let value = environment[prefix + entry.key], !value.isEmpty { settings[entry.value] = [value] }
        }
    }

    /// The settings of one of the files of k3s or RKE2.
    ///
    /// - Returns: the values by the names of flags; `isAppended` of a key with `+` behind it.
    static func settings(in document: Node) -> [(name: String, values: [String], isAppended: Bool)] {
        (document.mapping ?? []).compactMap { pair in
            guard let key = pair.key.text else { return nil }
            let values = pair.value.texts
            return (key.hasSuffix("+") ? String(key.dropLast()) : key, values, key.hasSuffix("+"))
        }
    }

    /// The arguments that k0s' configuration has for a component, as `flag=value`.
    ///
    /// Source: k0s, `pkg/apis/k0s/v1beta1` (`APISpec`, `ControllerManagerSpec`, `SchedulerSpec`, `EtcdConfig`): `extraArgs` are
    /// flags without dashes and their values, `rawArgs` arguments as they are given to the program.
    static func k0sArguments(_ component: Node) -> [String]? {
        let extra = (component.value("extraArgs")?.mapping ?? []).flatMap { pair in
            pair.value.texts.compactMap { value in pair.key.text.map { "\($0)=\(value)" } }
        }
        let raw = CommandLineFlags.flags(component.items("rawArgs").compactMap(\.presentText)).values
        let arguments =
            extra + raw.sorted { $0.key < $1.key }.flatMap { flag, values in values.map { "\(flag)=\($0)" } }
        return arguments.isEmpty ? nil : arguments
    }

    /// What only servers have in their data directories.
    static func serverData(of program: String) -> [String] {
        if program == "k0s" { return ["pki/ca.key", "pki/sa.key", "etcd", "db"] }
        let pods = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        return ["server/tls", "server/cred", "server/db", "server/token"]
            + pods.map { "agent/pod-manifests/\($0).yaml" }
    }

    /// Values that are never kept: they would only be there to get out.
    private static let secrets: Set<String> = [
        "token", "agent-token", "cluster-secret", "etcd-s3-access-key", "etcd-s3-secret-key", "etcd-s3-session-token",
        "vpn-auth",
    ]

    /// Takes tokens and passwords out of what is kept.
    static func redact(_ configuration: inout MergedConfiguration) {
        configuration.transform { name, text in
            if secrets.contains(name) { return nil }
            return name == "datastore-endpoint" || name == "endpoint" ? Datastore.redacted(text) : text
        }
    }
}

extension LayoutBuilder {
    /// Adds the servers of distributions, each with the configuration that its arguments, files and environment make.
    ///
    /// k3s and RKE2 overwrite their arguments, so those of a process may be gone and the service has to tell.
    mutating func addDistributions(_ processes: [RunningComponent], _ services: [ServiceDefinition]) {
        for program in DistributionConfiguration.programs {
            let process = processes.first { $0.component.name == program && $0.seesNode && isTrusted($0) }?.component
            // Those that are started at boot come first.
            let service = services.map { ($0, component(of: $0)) }.first { $0.1.name == program }
            let isEnabled = process != nil || service?.0.isEnabled ?? false
            addDistribution(program, process, service?.1, isEnabled: isEnabled)
        }
    }

    private mutating func addDistribution(
        _ program: String, _ process: Component?, _ started: Component?, isEnabled: Bool
    ) {
        var arguments = process?.configuration ?? MergedConfiguration()
        arguments.fill(from: started?.configuration ?? MergedConfiguration())
        arguments.expandAliases(DistributionConfiguration.aliases(of: program))
        let environment = (started?.environment ?? [:]).merging(process?.environment ?? [:]) { _, new in new }
        let source = process?.source ?? started?.source
        var server = Component(name: program, source: source ?? program)
        if process == nil { server.mounts = started?.mounts }
        server.workingDirectory = process?.workingDirectory ?? started?.workingDirectory ?? "/"
        var configuration = arguments
        if program == "k0s" {
            addK0sSettings(to: &configuration, of: server)
        } else {
            addRancherSettings(to: &configuration, of: server, environment)
            configuration.fill(
                from: MergedConfiguration(
                    DistributionConfiguration.settings(in: environment, of: program),
                    from: started?.source ?? source ?? "the environment"))
        }
        guard source != nil || configuration != arguments else { return }
        placeDataDirectory(of: server, &configuration)
        let data = configuration.last("data-dir") ?? KnownLayout.standardDataDirectories[program] ?? ""
        guard isEnabled || isInUse(program, data, isInstalled: started != nil) else {
            return
        }
        addDatastore(configuration, program)
        DistributionConfiguration.redact(&configuration)
        if source == nil { server.source = configuration.origins.first ?? program }
        server.configuration = configuration
        addFlags(of: server)
        // Its layout is that of the node.
        containerMounts[program] = server.mounts
        server.mounts = nil
        layout.components.append(server)
    }

    /// Whether a distribution's server that nothing is known to start is this node's control plane.
    ///
    /// - Parameter isInstalled: whether there is a service for it.
    private mutating func isInUse(_ program: String, _ data: String, isInstalled: Bool) -> Bool {
        let isAgent = agents.contains(program)
        let isOther = KnownLayout.hasOther(than: program, root)
        let hasData = DistributionConfiguration.serverData(of: program).contains { root.hasEntry(joinPath(data, $0)) }
        // An agent has no more than its configuration and its own directory.
        let hasAgent = root.hasEntry(joinPath(data, program == "k0s" ? "kubelet" : "agent"))
        let isReplaced = isInstalled && root.hasEntry(joinPath(Self.manifests, "kube-apiserver.yaml"))
        let isInUse = !isAgent && (hasData ? !isReplaced : !isOther && !hasAgent)
        if !isInUse {
            layout.idleDistributions.insert(program)
            if isOther, !isAgent { leftovers.insert(program) }
        }
        return isInUse
    }

    /// Says where the data of a server that runs in a container is on the node.
    private mutating func placeDataDirectory(of server: Component, _ configuration: inout MergedConfiguration) {
        guard server.mounts != nil, let standard = KnownLayout.standardDataDirectories[server.name] else { return }
        let inside = configuration.last("data-dir") ?? standard
        guard let path = server.nodePath(of: inside) else {
            return find(
                .error, "component-paths-unknown", server.name,
                "\(server.name) (\(server.source)) has its data in a container, at \(quoted(inside)): they are not in the backup",
                "give it a directory of the node there")
        }
        if path != inside {
            configuration["data-dir"] = [MergedConfiguration.Value(text: path, origin: server.source)]
        }
    }

    /// Reads `config.yaml`, then the files of `config.yaml.d` in the order of their names.
    ///
    /// The last file to set something counts; what stands behind `key+` is added. Arguments go before the files, the environment
    /// after them.
    ///
    /// Source: k3s, `pkg/configfilearg/parser.go` (`Parse`, `readConfigFile`, `findConfigFileFlag`, `dotDFiles`).
    private mutating func addRancherSettings(
        to arguments: inout MergedConfiguration, of server: Component, _ environment: [String: String]
    ) {
        let program = server.name
        let named =
            environment["\(program.uppercased())_CONFIG_FILE"] ?? arguments.last("config")
            ?? "/etc/rancher/\(program)/config.yaml"
        guard let path = absolute(named, in: server).flatMap({ server.nodePath(of: $0) }) else { return }
        let dropIns = ((try? root.names(in: path + ".d")) ?? []).filter {
            [".yaml", ".yml"].contains(where: $0.lowercased().hasSuffix)
        }.map { joinPath(path + ".d", $0) }.filter { root.attributes(of: $0)?.kind == .file }
        var files = MergedConfiguration()
        for path in [path] + dropIns where root.hasEntry(path) {
            collector.add(path, .distribution, by: "\(program) configuration", isRequired: false)
            guard let document = document(at: path) else { continue }
            for (name, values, isAppended) in DistributionConfiguration.settings(in: document) {
                let values = values.map { MergedConfiguration.Value(text: $0, origin: path) }
                files[name] = isAppended ? files[name] + values : values
            }
        }
        files.expandAliases(DistributionConfiguration.aliases(of: program))
        files.append(arguments, isList: DistributionConfiguration.isList)
        arguments = files
    }

    /// `spec.storage` of k0s' configuration, and the arguments for the components that it starts, under the names of flags that
    /// k3s has for the same.
    ///
    /// Source: k0s, `pkg/apis/k0s/v1beta1/storage.go` (`StorageSpec`), `pkg/config/cfgvars.go` (`defaultStorageSpec`).
    private mutating func addK0sSettings(to configuration: inout MergedConfiguration, of server: Component) {
        let named = configuration.last("config") ?? "/etc/k0s/k0s.yaml"
        guard let path = absolute(named, in: server).flatMap({ server.nodePath(of: $0) }), root.hasEntry(path) else {
            return
        }
        collector.add(path, .distribution, by: "k0s configuration", isRequired: false)
        guard let document = document(at: path) else { return }
        var settings: [String: [String]] = [:]
        let storage = document.value("spec")?.value("storage")
        let isKine = (storage?.text("type") ?? (configuration.last("single") == "true" ? "kine" : "etcd")) == "kine"
        if isKine, let source = storage?.value("kine")?.text("dataSource") {
            settings["datastore-endpoint"] = [source]
        } else if !isKine, let external = storage?.value("etcd")?.value("externalCluster") {
            let endpoints = external.items("endpoints").compactMap(\.presentText)
            if !endpoints.isEmpty { settings["datastore-endpoint"] = [endpoints.joined(separator: ",")] }
            for (key, flag) in [
                ("caFile", "datastore-cafile"), ("clientCertFile", "datastore-certfile"),
                ("clientKeyFile", "datastore-keyfile"),
            ] {
                if let path = external.text(key) { settings[flag] = [path] }
            }
        }
        for (flag, component) in [
            ("etcd-arg", storage?.value("etcd")), ("kube-apiserver-arg", document.value("spec")?.value("api")),
            ("kube-controller-manager-arg", document.value("spec")?.value("controllerManager")),
            ("kube-scheduler-arg", document.value("spec")?.value("scheduler")),
        ] {
            if let component { settings[flag] = DistributionConfiguration.k0sArguments(component) }
        }
        if let address = storage?.value("etcd")?.text("peerAddress") { settings["etcd-peer-address"] = [address] }
        configuration.fill(from: MergedConfiguration(settings, from: path))
    }
}
