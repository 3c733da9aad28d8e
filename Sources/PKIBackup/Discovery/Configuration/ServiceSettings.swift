import HostIO
import NodeFiles

/// What a unit's section `[Service]` says, of a file and its drop-ins in their order (systemd.service(5), systemd.exec(5)).
///
/// Words are split first and specifiers put in their place then, as systemd does, so that blanks and backslashes in an
/// instance's name stay.
struct ServiceSettings {
    private let specifiers: UnitSpecifiers
    private let unit: UnitName
    private var values: [String: [String]] = [:]

    /// Settings that may be given several times; an empty assignment takes back those before.
    private static let lists = Set([
        "ExecStart", "Environment", "EnvironmentFile", "UnsetEnvironment", "BindPaths", "BindReadOnlyPaths",
        "StateDirectory", "ConfigurationDirectory", "RuntimeDirectory", "CacheDirectory", "LogsDirectory",
    ]).union(ServiceCredentials.settings)

    init(_ specifiers: UnitSpecifiers, _ unit: UnitName) {
        self.specifiers = specifiers
        self.unit = unit
    }

    mutating func read(_ file: UnitFile) {
        for assignment in file.assignments where assignment.section == "Service" {
            let isAdded = Self.lists.contains(assignment.key) && !assignment.value.isEmpty
            values[assignment.key] = (isAdded ? values[assignment.key] ?? [] : []) + [assignment.value]
        }
    }

    private func items(_ key: String) -> [String] { (values[key] ?? []).filter { !$0.isEmpty } }

    private func words(_ key: String) -> [String] {
        items(key).flatMap(UnitWords.split).map(specifiers.expanded)
    }

    // MARK: Commands

    /// The commands of `ExecStart=` with variables in their place.
    func commandLines(_ environment: [String: String]) -> [[String]] {
        items("ExecStart").flatMap { command in
            UnitWords.split(command).split(separator: ";").map { commandLine(Array($0), environment) }
        }.filter { !$0.isEmpty }
    }

    /// A command without what stands before its path.
    private func commandLine(_ words: [String], _ environment: [String: String]) -> [String] {
        guard let first = words.first else { return [] }
        let prefix = first.prefix { "@-:+!|".contains($0) }
        var words = [String(first.dropFirst(prefix.count))] + words.dropFirst()
        if words[0].isEmpty { words.removeFirst() }
        // With `@` the second word is only the name that the program sees.
        if prefix.contains("@"), words.count > 1 { words.remove(at: 1) }
        words = words.map(specifiers.expanded)
        return prefix.contains(":") ? words : UnitWords.expanded(words, environment)
    }

    // MARK: Variables

    /// Patterns of `EnvironmentFile=`.
    var environmentFiles: [String] {
        items("EnvironmentFile").map { specifiers.expanded($0.hasPrefix("-") ? String($0.dropFirst()) : $0) }
    }

    /// Those of `EnvironmentFile=` without which the service does not start (systemd.exec(5)).
    var requiredEnvironmentFiles: [String] {
        items("EnvironmentFile").filter { !$0.hasPrefix("-") }.map(specifiers.expanded)
            .filter { path in path.hasPrefix("/") && !path.contains { "*?[".contains($0) } }
    }

    /// Names of `UnsetEnvironment=`, which goes last.
    var unset: [String] { words("UnsetEnvironment") }

    /// What systemd sets, and what `Environment=` does.
    func variables() -> [String: String] {
        var variables: [String: String] = [:]
        for (setting, (variable, directory)) in Self.directories {
            // `name:link` has a symbolic link behind it.
            let paths = words(setting).map { joinPath(directory, String($0.prefix { $0 != ":" })) }
            if !paths.isEmpty { variables[variable] = paths.joined(separator: ":") }
        }
        if hasCredentials { variables["CREDENTIALS_DIRECTORY"] = credentialsDirectory }
        return variables.merging(Self.variables(words("Environment"))) { _, new in new }
    }

    static func variables(_ words: [String]) -> [String: String] {
        var variables: [String: String] = [:]
        for word in words {
            guard let equals = word.firstIndex(of: "=") else { continue }
            variables[String(word[..<equals])] = String(word[word.index(after: equals)...])
        }
        return variables
    }

    /// Directories that systemd makes, and the variables that tell of them (systemd.exec(5), "Sandboxing").
    private static let directories = [
        "StateDirectory": ("STATE_DIRECTORY", "/var/lib"),
        "ConfigurationDirectory": ("CONFIGURATION_DIRECTORY", "/etc"),
        "RuntimeDirectory": ("RUNTIME_DIRECTORY", "/run"), "CacheDirectory": ("CACHE_DIRECTORY", "/var/cache"),
        "LogsDirectory": ("LOGS_DIRECTORY", "/var/log"),
    ]

    // MARK: Paths

    /// What relative paths count from; `~` is the home of the service's user.
    var workingDirectory: String {
        guard let value = items("WorkingDirectory").last else { return "/" }
        let path = specifiers.expanded(value.hasPrefix("-") ? String(value.dropFirst()) : value)
        return path == "~" ? "/root" : path.hasPrefix("/") ? path : "/"
    }

    /// What the program sees of the node's files: of `RootDirectory=`, `BindPaths=` and credentials; nil without any.
    func mounts(_ credentials: ServiceCredentials) -> [ContainerMount]? {
        var mounts = (words("BindPaths") + words("BindReadOnlyPaths")).compactMap(Self.bind)
        for (name, path) in credentials.paths.sorted(by: { $0.key < $1.key }) {
            mounts.append(ContainerMount(mountPath: joinPath(credentialsDirectory, name), nodePath: path))
        }
        let directory = items("RootDirectory").last.map(specifiers.expanded)
        guard directory != nil || !mounts.isEmpty else { return nil }
        return mounts + [ContainerMount(mountPath: "/", nodePath: directory ?? "/")]
    }

    private var credentialsDirectory: String { joinPath("/run/credentials", unit.text) }

    private var hasCredentials: Bool { ServiceCredentials.settings.contains { !items($0).isEmpty } }

    /// The credentials that the program gets.
    func credentials(_ root: NodeRoot) -> ServiceCredentials {
        ServiceCredentials.all(root) { items($0).map(specifiers.expanded) }
    }

    /// `source:destination:options`; a source with `-` in front need not be there.
    private static func bind(_ text: String) -> ContainerMount? {
        let parts = text.split(separator: ":").map(String.init)
        guard let first = parts.first else { return nil }
        let source = first.hasPrefix("-") ? String(first.dropFirst()) : first
        let target = parts.count > 1 && parts[1].hasPrefix("/") ? parts[1] : source
        return ContainerMount(mountPath: joinPath("/", target), nodePath: joinPath("/", source))
    }
}
