import HostIO
import NodeFiles
import SealedArchive
import YAML

/// What is no part of the control plane and serves it: KMS plugins, load balancers, proxies of etcd, container runtimes. Their
/// configurations have many syntaxes, of which only the paths of files that are there are taken.
extension LayoutBuilder {
    /// Adds services and configurations beside the control plane, with the files that they name.
    mutating func addCompanions() {
        let sockets = kmsSockets()
        for (service, commands) in units where Self.isCompanion(commands) {
            addCompanion(service, commands, Self.captureClass(of: commands))
        }
        for (endpoint, socket) in sockets.sorted(by: { $0.key < $1.key }) { addPlugin(endpoint, socket) }
        for (pattern, captureClass) in Self.configurations {
            for path in FilePattern.paths(matching: pattern, in: root) {
                addFilesNamed(inTextAt: path, classInPods(path) ?? captureClass)
            }
        }
        // What an idle service names is kept, and not looked into.
        for service in idleServices { addCompanion(service, [service.words], .systemd) }
        for reference in collector.references where reference.captureClass == .cloudProvider {
            addFilesNamed(inTextAt: reference.path, .cloudProvider)
        }
    }

    // MARK: Services

    /// Programs of load balancers and of virtual addresses, each with the class of what they name.
    private static let programs: [String: CaptureClass] = [
        "haproxy": .network, "haproxy-systemd-wrapper": .network, "keepalived": .network, "nginx": .network,
        "containerd": .containerRuntime, "crio": .containerRuntime, "dockerd": .containerRuntime,
        "cri-dockerd": .containerRuntime,
    ]

    private static func captureClass(of commands: [[String]]) -> CaptureClass {
        commands.lazy.compactMap { programs[lastName($0[0])] }.first ?? .component
    }

    private static func isCompanion(_ commands: [[String]]) -> Bool {
        commands.contains { words in
            programs[lastName(words[0])] != nil
                || ["etcd-grpc-proxy", "etcd-gateway"].contains(CommandLineFlags(words).program)
        }
    }

    private mutating func addCompanion(
        _ service: ServiceDefinition, _ commands: [[String]], _ captureClass: CaptureClass
    ) {
        let referrer = "service \(service.name)"
        for path in service.files + service.environmentFiles + service.encryptedFiles where !path.hasPrefix("/run/") {
            addKnown(path, .systemd, by: referrer)
        }
        let words = commands.flatMap { $0.dropFirst() } + Array(service.environment.values)
        for path in words.flatMap({ NamedPaths.paths(in: $0.utf8) }) { addCompanionFile(path, captureClass, referrer) }
    }

    // MARK: KMS plugins

    /// The sockets at which API servers expect KMS plugins, by the endpoints as they are written.
    private mutating func kmsSockets() -> [String: String] {
        var sockets: [String: String] = [:]
        for reference in collector.references where reference.captureClass == .encryptionConfiguration {
            guard let document = document(at: reference.path, quiet: true) else { continue }
            for provider in document.items("resources").flatMap({ $0.items("providers") }) {
                guard let endpoint = provider.value("kms")?.text("endpoint"), endpoint.hasPrefix("unix://") else {
                    continue
                }
                sockets[endpoint] = String(endpoint.dropFirst("unix://".count))
            }
        }
        return sockets
    }

    /// Adds the services that have to do with a plugin's socket, and notes what was found to start it.
    private mutating func addPlugin(_ endpoint: String, _ socket: String) {
        let names = Self.spellings(of: socket)
        let pods = hostPaths.filter { volume, _, isControlPlane in
            !isControlPlane && names.contains { isPath($0, atOrBelow: volume.path) }
        }
        var starters = Set(pods.map { "the static pod \($0.pod)" })
        let sockets = socketUnits(names)
        for (service, commands) in units where !startsComponent(service, commands) {
            let isActivated = sockets.contains { lastName($0) == "\(service.name).socket" }
            guard isActivated || mentions(service, commands, names) else { continue }
            addCompanion(service, commands, .component)
            if service.isEnabled { addMissingFiles(of: service) }
            starters.insert("the service \(service.name)")
        }
        for path in sockets { addKnown(path, .systemd, by: "KMS plugin") }
        if !starters.isEmpty { layout.kmsPlugins[endpoint] = starters.sorted() }
    }

    /// An API server has the socket in its configuration.
    private func startsComponent(_ service: ServiceDefinition, _ commands: [[String]]) -> Bool {
        commands.contains {
            CommandLineFlags($0, variables: service.environment, read: root.script).startsKnownProgram
        }
    }

    /// `/var/run` is a link to `/run`.
    private static func spellings(of path: String) -> [String] {
        let path = joinPath("/", path)
        if path.hasPrefix("/var/run/") { return [path, String(path.dropFirst("/var".count))] }
        return path.hasPrefix("/run/") ? [path, "/var\(path)"] : [path]
    }

    private func mentions(_ service: ServiceDefinition, _ commands: [[String]], _ names: [String]) -> Bool {
        let words = Array(commands.joined()) + Array(service.environment.values)
        func isNamed(_ text: String) -> Bool {
            // A container sees the socket's directory.
            names.contains { text.contains($0) || text.contains("\(parentPath($0)):") }
        }
        if words.contains(where: isNamed) { return true }
        let files = words.flatMap { NamedPaths.paths(in: $0.utf8) }.filter { PathPolicy.reasonToSkip($0) == nil }
        return files.contains { path in
            text(at: path).map { text in names.contains { text.firstRange(of: Array($0.utf8)) != nil } } ?? false
        }
    }

    /// The units of sockets that listen where a plugin is expected.
    private func socketUnits(_ names: [String]) -> [String] {
        UnitCatalogue.directories.flatMap { directory in
            ((try? root.names(in: directory)) ?? []).filter { $0.hasSuffix(".socket") }.map { joinPath(directory, $0) }
        }.filter { path in
            guard let bytes = try? root.bytes(of: path) else { return false }
            return UnitFile(bytes).assignments.contains {
                $0.section == "Socket" && $0.key == "ListenStream" && names.contains($0.value)
            }
        }
    }

    // MARK: Configurations

    /// Where the configurations of runtimes and load balancers are, whoever starts them.
    ///
    /// Sources: containerd 2.1 documentation, `docs/hosts.md` and `docs/man/containerd-config.toml.5.md` (`imports`); crio.conf(5);
    /// dockerd(8); k0s documentation, "Custom containerd configuration"; haproxy(1); keepalived.conf(5).
    private static let configurations: [(String, CaptureClass)] = [
        ("/etc/containerd/config.toml", .containerRuntime), ("/etc/containerd/conf.d/*.toml", .containerRuntime),
        ("/etc/containerd/certs.d/*/hosts.toml", .containerRuntime), ("/etc/crio/crio.conf", .containerRuntime),
        ("/etc/crio/crio.conf.d/*", .containerRuntime), ("/etc/docker/daemon.json", .containerRuntime),
        ("/etc/k0s/containerd.toml", .containerRuntime), ("/etc/k0s/containerd.d/*.toml", .containerRuntime),
        ("/etc/haproxy/haproxy.cfg", .network), ("/etc/haproxy/conf.d/*.cfg", .network),
        ("/etc/keepalived/keepalived.conf", .network), ("/etc/nginx/nginx.conf", .network),
    ]
    /// The largest file that is taken for a configuration or what one names, in bytes.
    private static let byteCountLimit = 1 << 20
    private static let depthLimit = 3

    /// Adds the files that a text names, as far as they are there and small.
    private mutating func addFilesNamed(inTextAt path: String, _ captureClass: CaptureClass, depth: Int = 0) {
        guard depth < Self.depthLimit, followed.insert(path).inserted, let text = text(at: path) else { return }
        for pattern in NamedPaths.paths(in: text) {
            for found in FilePattern.paths(matching: pattern, in: root) {
                addCompanionFile(found, captureClass, path, depth: depth + 1)
            }
        }
    }

    private mutating func addCompanionFile(
        _ path: String, _ captureClass: CaptureClass, _ referrer: String, depth: Int = 0
    ) {
        let path = joinPath("/", path)
        let captureClass = classInPods(path) ?? captureClass
        guard PathPolicy.reasonToSkip(path) == nil, let attributes = root.attributes(of: path) else { return }
        switch attributes.kind {
        case .file where attributes.byteCount <= Self.byteCountLimit:
            collector.add(path, captureClass, by: referrer, isRequired: false)
            addFilesNamed(inTextAt: path, captureClass, depth: depth)
        case .directory
        where [.containerRuntime, .component].contains(captureClass) && !collector.covers(path) && isSmall(path):
            collector.add(path, captureClass, by: referrer, isRequired: false)
            // containerd's `config_path` has a directory for each registry.
            for name in (try? root.names(in: path)) ?? [] {
                let hosts = joinPath(joinPath(path, name), "hosts.toml")
                if root.hasEntry(hosts) { addFilesNamed(inTextAt: hosts, captureClass, depth: depth + 1) }
            }
        default: break
        }
    }

    /// What a static pod mounts belongs to that, and comes back with it; nil for anything else.
    private func classInPods(_ path: String) -> CaptureClass? {
        hostPaths.contains { isPath(path, atOrBelow: $0.volume.path) } && collector.covers(path) ? .component : nil
    }

    private func text(at path: String) -> [UInt8]? {
        guard root.attributes(of: path)?.kind == .file,
            let bytes = try? root.bytes(of: path, limitByteCount: Self.byteCountLimit), !bytes.contains(0)
        else { return nil }
        return bytes
    }
}
