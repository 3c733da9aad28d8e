import HostIO
import NodeFiles
import SealedArchive

extension LayoutBuilder {
    /// The services of the node's init systems that start programs of the control plane.
    ///
    /// Those that are only called like one are kept, to be told of if nothing else tells what the program is started with.
    ///
    /// - Returns: those that are started at boot first: of two services with one program the other may be left over.
    mutating func services() -> [ServiceDefinition] {
        let quadlets = Quadlets(root: root).services()
        let names = Set(quadlets.map(\.name))
        let catalogue = ServiceUnits(root: root)
        units = catalogue.all()
        let services =
            quadlets + catalogue.services(among: units).filter { !names.contains($0.name) }
            + OpenRCServices(root: root).services() + OtherServices(root: root).services()
            + ComposeServices(root: root).services(startedBy: units)
        unknownServices = services.filter { !$0.startsKnownProgram && $0.agent == nil }
        agents = Set(services.compactMap(\.agent))
        let known = services.filter(\.startsKnownProgram)
        let likely = known.filter { !$0.isEnabled && !LeftoverName.matches($0.name) }
        return known.filter(\.isEnabled) + likely
            + known.filter { !$0.isEnabled && LeftoverName.matches($0.name) }
    }

    /// The component that a service starts, with its arguments and with what it takes from its environment.
    func component(of service: ServiceDefinition) -> Component {
        let line = CommandLineFlags(service.words, variables: service.environment, read: root.script)
        var component = Component(
            name: line.program, source: service.path, mounts: line.container?.mounts ?? service.mounts)
        component.configuration = MergedConfiguration(line.flags, unresolved: line.unresolved, from: service.path)
        var environment = line.environment
        for path in line.container?.environmentFiles ?? [] {
            if let bytes = try? root.bytes(of: path) {
                environment.merge(EnvironmentFile(bytes).variables) { known, _ in known }
            }
        }
        component.environment = environment.filter { Self.isOfComponent($0.key) }
        component.workingDirectory = line.workingDirectory ?? (line.container == nil ? service.workingDirectory : "/")
        return component
    }

    /// Whether a variable is one that programs of the control plane take settings from.
    static func isOfComponent(_ variable: String) -> Bool {
        ["ETCD_", "K3S_", "RKE2_"].contains(where: variable.hasPrefix)
    }

    /// Adds the files of every service, and the components of those in use: what nothing starts is captured, and says nothing
    /// of a component that something else starts.
    mutating func addServices(_ services: [ServiceDefinition]) {
        for service in services {
            let component = component(of: service)
            addFiles(of: service, component.name)
            if service.isEnabled {
                reportUnresolvedFiles(of: service, component.name)
                addMissingFiles(of: service)
            }
            guard !DistributionConfiguration.programs.contains(component.name), component.name != "kubelet" else {
                continue
            }
            if let index = layout.components.firstIndex(where: { isSame($0, component) }) {
                if !service.isEnabled { idleServices.append(service) }
                // A process may hide what its unit tells.
                guard !layout.components[index].isEnvironmentKnown else { continue }
                layout.components[index].environment.merge(component.environment) { known, _ in known }
                layout.components[index].isEnvironmentKnown = true
            } else if isInUse(service, component) {
                add(component)
                reportServerWithoutArguments(service, component)
            } else {
                idleServices.append(service)
            }
        }
    }

    private mutating func addFiles(of service: ServiceDefinition, _ program: String) {
        let line = CommandLineFlags(service.words, variables: service.environment, read: root.script)
        for path in service.files + line.scripts where !path.hasPrefix("/run/systemd/generator") {
            addKnown(path, .systemd, by: "service \(service.name)")
        }
        addEncryptedCredentials(of: service)
        let captureClass: CaptureClass =
            switch program {
            case "etcd": .etcdConfiguration
            case "kubelet": .kubeletConfiguration
            case "k3s", "rke2", "k0s": .distribution
            default: .systemd
            }
        let environmentFiles = service.environmentFiles + (line.container?.environmentFiles ?? [])
        for path in environmentFiles where !path.hasPrefix("/run/") {
            addKnown(path, captureClass, by: "service \(service.name)")
            readEnvironmentFiles.insert(path)
        }
    }

    /// Credentials that systemd decrypts can't be judged, and are of no use on another host without this one's key.
    private mutating func addEncryptedCredentials(of service: ServiceDefinition) {
        for path in service.encryptedFiles {
            collector.add(path, .systemd, by: "credential of service \(service.name)", isRequired: true)
        }
        let isInUnit = service.encryptedFiles == [ServiceCredentials.hostKey]
        let found = service.encryptedFiles.first { $0 != ServiceCredentials.hostKey && root.hasEntry($0) }
        guard let first = isInUnit ? service.path : found else { return }
        find(
            .note, "credential-encrypted", first,
            "\(quoted(service.name)) has credentials, such as \(quoted(first)), that only this host can decrypt, with "
                + "\(quoted(ServiceCredentials.hostKey)) or its TPM",
            "keep what is in them at another place too: a key in a TPM is in no backup")
    }

    /// Whether a service is one that this node runs: a package's may only be there, also beside a static pod.
    private func isInUse(_ service: ServiceDefinition, _ component: Component) -> Bool {
        if service.isEnabled { return true }
        guard service.isLocal, !layout.components.contains(where: { $0.name == component.name }) else { return false }
        guard component.name == "etcd", let path = dataDirectory(of: component) else { return component.name != "etcd" }
        return root.attributes(of: joinPath(path, "member"))?.kind == .directory
    }

    // MARK: What can't be told

    private mutating func reportUnresolvedFiles(of service: ServiceDefinition, _ program: String) {
        for pattern in service.unresolved {
            let text = pattern.replacing(String(ShellWords.unknown), with: "?")
            find(
                .error, "path-unresolved", service.path,
                "\(program) in \(quoted(service.path)) has variables of \(quoted(text)), which only the running system can tell: what they name is not in the backup",
                "write out what it stands for, or name the files among the paths to capture")
        }
    }

    /// Places of keys that only a control plane has, by kubeadm and kubespray.
    private static let controlPlaneKeys = [
        "/etc/kubernetes/pki/sa.key", "/etc/kubernetes/pki/apiserver.key", "/etc/kubernetes/ssl/apiserver.key",
        "/etc/kubernetes/ssl/sa.key",
    ]

    /// Components that run where an API server does.
    private static let besideServer = ["kube-controller-manager", "kube-scheduler"]

    /// Files of variables without which an enabled service does not start are a part of it.
    mutating func addMissingFiles(of service: ServiceDefinition) {
        for path in service.missingEnvironmentFiles {
            collector.add(path, .systemd, by: "service \(service.name)", isRequired: true)
        }
    }

    /// Says of an API server whose arguments are variables of nothing that what they name is not known.
    ///
    /// Source: Kubernetes 1.36, `apiserver/pkg/server/options/etcd.go`, `Validate`: it does not start without `--etcd-servers`.
    private mutating func reportServerWithoutArguments(_ service: ServiceDefinition, _ component: Component) {
        guard component.name == "kube-apiserver", component.flags.isEmpty,
            service.missingEnvironmentFiles.isEmpty, component.configuration.unresolved.isEmpty
        else { return }
        find(
            .error, "component-paths-unknown", component.name,
            "the service \(service.name) (\(quoted(service.path))) starts kube-apiserver with no argument that is known: the variables or files that they come from are not there, and what they name is not in the backup",
            "see the variables of the service, or name the files among the paths to capture")
    }

    /// Says of a control plane that nothing is known to start that what its flags name is not known either.
    mutating func reportMissingServer() {
        let programs = DistributionConfiguration.programs + ["kube-apiserver", "kubelite", "microshift"]
        guard !layout.components.contains(where: { programs.contains($0.name) }),
            !layout.findings.contains(where: {
                $0.code == "component-paths-unknown" || $0.code == "manifest-unparsable"
            }),
            let witness = Self.controlPlaneKeys.first(where: root.hasEntry)
                ?? layout.components.first(where: { Self.besideServer.contains($0.name) })?.source
        else { return }
        find(
            .note, "component-paths-unknown", witness,
            "\(quoted(witness)) is a control plane's, and no static pod, service or process was found that starts its API server: files that its flags may name elsewhere are not in the backup",
            "see that nothing is lacking, or name the files among the paths to capture")
    }

    /// Says of services that are started at boot under a program's name that it is not known what they start it with.
    mutating func reportUnknownServices() {
        for service in unknownServices {
            let prefix = String(service.name.prefix { $0 != "@" })
            guard let program = ServiceUnits.essential[prefix],
                !layout.components.contains(where: { $0.name == program })
            else { continue }
            for path in service.files { addKnown(path, .systemd, by: "service \(service.name)") }
            find(
                .error, "component-paths-unknown", program,
                "the service \(service.name) (\(quoted(service.path))) starts \(quoted(service.words.first ?? "")), and what that starts \(program) with is not known: the files that its flags name are not in the backup",
                "name them among the paths to capture, or start it by its own command")
        }
    }
}
