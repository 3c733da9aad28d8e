import HostIO
import NodeFiles

/// A service of the node's init system that starts a program of the control plane, with everything that it is told.
struct ServiceDefinition {
    /// The service's name without an ending.
    var name: String
    /// The file that defines it.
    var path: String
    /// The command with its variables in their place.
    var words: [String]
    /// The variables that the program gets.
    var environment: [String: String]
    /// The files that define it, drop-ins and the links by which it is enabled included.
    var files: [String]
    /// The files that its variables come from, as far as they are there.
    var environmentFiles: [String]
    /// Files of variables that are not there, and without which it does not start.
    var missingEnvironmentFiles: [String] = []
    /// Whether it is started at boot.
    var isEnabled: Bool
    /// Whether an administrator or an installer has put it there, not a package.
    var isLocal: Bool
    /// What relative paths of its arguments count from.
    var workingDirectory = "/"
    /// What the program sees of the node's files; nil if it sees all of them under their own paths.
    var mounts: [ContainerMount]?
    /// Files of credentials that systemd decrypts for it, and this host's key to them.
    var encryptedFiles: [String] = []
    /// Whether its command is known to start one of the control plane's programs.
    var startsKnownProgram = true
    /// Settings that name files in a way that only the running system can tell.
    var unresolved: [String] = []
    /// The distribution of which it starts an agent at boot, such as `k3s`; nil for everything else.
    var agent: String?
}

/// The services of systemd as their files say (systemd.unit(5), systemd.service(5), systemd.exec(5)).
struct ServiceUnits {
    private let root: NodeRoot

    init(root: NodeRoot) { self.root = root }

    /// The services whose command is known to start one of the control plane's programs, and of those that are enabled agents of
    /// distributions and those under the name of such a program, in the order of their names.
    func services() -> [ServiceDefinition] { services(among: all()) }

    /// The same of services that are known already.
    func services(among all: [(service: ServiceDefinition, commands: [[String]])]) -> [ServiceDefinition] {
        all.compactMap { service($0.service, $0.commands) }
    }

    /// Every service that was put there locally or is started by something, whatever it starts, with all of its commands.
    func all() -> [(service: ServiceDefinition, commands: [[String]])] {
        let catalogue = UnitCatalogue(root: root)
        let defaults = managerVariables()
        return catalogue.units.sorted { $0.text < $1.text }.compactMap { definition(of: $0, catalogue, defaults) }
    }

    private func service(_ definition: ServiceDefinition, _ commands: [[String]]) -> ServiceDefinition? {
        guard let unit = UnitName(definition.name + UnitName.ending) else { return nil }
        var service = definition
        let environment = service.environment
        let started = commands.first { isStart($0, environment) }
        service.agent =
            service.isEnabled ? commands.compactMap { Self.agent(in: $0, environment, root) }.first : nil
        guard
            started != nil || service.agent != nil
                || service.isEnabled && isUnknown(service.words, of: unit, environment)
        else { return nil }
        service.words = started ?? service.words
        service.startsKnownProgram = started != nil
        return service
    }

    /// A unit as its files say; nil if it is masked, or starts nothing.
    private func definition(
        of unit: UnitName, _ catalogue: UnitCatalogue, _ defaults: [String: String]
    ) -> (service: ServiceDefinition, commands: [[String]])? {
        // An empty file, or a link to /dev/null, masks the unit.
        guard let path = catalogue.fragment(of: unit), let bytes = try? root.bytes(of: path), !bytes.isEmpty else {
            return nil
        }
        let dropIns = catalogue.dropIns(of: unit)
        var settings = ServiceSettings(UnitSpecifiers(unit: unit, fragment: path, root: root), unit)
        settings.read(UnitFile(bytes))
        for path in dropIns {
            if let bytes = try? root.bytes(of: path) { settings.read(UnitFile(bytes)) }
        }
        let links = catalogue.starters[unit] ?? []
        let environmentFiles = settings.environmentFiles.flatMap { FilePattern.paths(matching: $0, in: root) }
        var environment = defaults.merging(settings.variables()) { _, new in new }
        for path in environmentFiles {
            if let bytes = try? root.bytes(of: path) {
                environment.merge(EnvironmentFile(bytes).variables) { _, new in new }
            }
        }
        for name in settings.unset { environment[name] = nil }
        let commands = settings.commandLines(environment)
        guard let words = commands.first else { return nil }
        var service = ServiceDefinition(
            name: unit.base, path: path, words: words, environment: environment,
            files: [path] + dropIns + links,
            environmentFiles: environmentFiles,
            missingEnvironmentFiles: settings.requiredEnvironmentFiles.filter {
                !$0.hasPrefix("/run/") && !root.hasEntry($0)
            },
            isEnabled: !links.isEmpty,
            isLocal: !UnitCatalogue.isOfPackages(path) || dropIns.contains { !Self.isOfSystem($0) })
        service.workingDirectory = settings.workingDirectory
        let credentials = settings.credentials(root)
        service.mounts = settings.mounts(credentials)
        service.encryptedFiles = credentials.encryptedFiles
        service.startsKnownProgram = false
        service.unresolved = settings.environmentFiles.filter { $0.contains(ShellWords.unknown) }
        return (service, commands)
    }

    private func isStart(_ words: [String], _ environment: [String: String]) -> Bool {
        CommandLineFlags(words, variables: environment, read: root.script).startsKnownProgram
    }

    /// Commands by which a distribution's program is a worker's.
    private static let agents = ["k3s-agent": "k3s", "rke2-agent": "rke2", "k0s-worker": "k0s"]

    private static func agent(in words: [String], _ environment: [String: String], _ root: NodeRoot) -> String? {
        agents[CommandLineFlags(words, variables: environment, read: root.script).program]
    }

    /// Whether a unit has the name of one that starts a program of the control plane, and starts something else than another
    /// command of that program, such as `k3s agent`.
    private func isUnknown(_ words: [String], of unit: UnitName, _ environment: [String: String]) -> Bool {
        guard let program = Self.essential[unit.prefix] else { return false }
        let line = CommandLineFlags(words, variables: environment, read: root.script)
        return !(line.program.hasPrefix("\(program)-") && words.contains(where: CommandLineFlags.names))
    }

    /// Units by the names of which the programs are known that they should start.
    static let essential = [
        "kube-apiserver": "kube-apiserver", "kube-controller-manager": "kube-controller-manager",
        "kube-scheduler": "kube-scheduler", "etcd": "etcd", "k3s": "k3s", "rke2-server": "rke2", "k0scontroller": "k0s",
        "microshift": "microshift", "kine": "kine",
    ]

    /// Drop-ins of packages, and those for all services alike.
    private static func isOfSystem(_ path: String) -> Bool {
        UnitCatalogue.isOfPackages(parentPath(path)) || lastName(parentPath(path)) == "service.d"
    }

    /// The variables that every service gets (systemd-system.conf(5), `DefaultEnvironment=`).
    private func managerVariables() -> [String: String] {
        let directories = [
            "/usr/lib/systemd/system.conf.d", "/run/systemd/system.conf.d", "/etc/systemd/system.conf.d",
        ]
        var dropIns: [String: String] = [:]
        for directory in directories {
            for name in (try? root.names(in: directory)) ?? [] where name.hasSuffix(".conf") {
                dropIns[name] = joinPath(directory, name)
            }
        }
        var words: [String] = []
        for path in ["/etc/systemd/system.conf"] + dropIns.sorted(by: { $0.key < $1.key }).map(\.value) {
            guard let bytes = try? root.bytes(of: path) else { continue }
            for assignment in UnitFile(bytes).assignments where assignment.key == "DefaultEnvironment" {
                words = assignment.value.isEmpty ? [] : words + UnitWords.split(assignment.value)
            }
        }
        return ServiceSettings.variables(words)
    }
}

extension NodeRoot {
    /// The largest script that is read to see what it starts, in bytes.
    private static let scriptByteCountLimit = 256 << 10

    /// The bytes of a file that may be a script; nil if there is none or it is larger than one is.
    func script(_ path: String) -> [UInt8]? { try? bytes(of: path, limitByteCount: Self.scriptByteCountLimit) }
}
