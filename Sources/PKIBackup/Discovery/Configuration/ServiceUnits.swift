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
    /// Whether it is started at boot.
    var isEnabled: Bool
    /// Whether an administrator or an installer has put it there, not a package.
    var isLocal: Bool
}

/// The services of systemd as their files say (systemd.unit(5), systemd.service(5), systemd.exec(5)).
struct ServiceUnits {
    private let root: NodeRoot

    /// Directories of units, that of highest precedence first (systemd.unit(5), "System Unit Search Path").
    static let directories = [
        "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    /// Where packages have theirs, of which there are hundreds.
    private static let packageDirectories: Set<String> = ["/usr/lib/systemd/system", "/lib/systemd/system"]

    init(root: NodeRoot) { self.root = root }

    /// The services whose command is known to start one of the control plane's programs, in the order of their names.
    func services() -> [ServiceDefinition] {
        let links = links()
        return names().sorted().compactMap { service($0, links: links[$0] ?? []) }
    }

    /// Every unit that was put there locally, and those of packages that the control plane is known to have.
    private func names() -> Set<String> {
        var found: Set<String> = []
        let known = Set(HostGroups.units.map { "\($0).service" })
        for directory in Self.directories {
            for name in (try? root.names(in: directory)) ?? [] {
                let unit = name.hasSuffix(".service.d") ? String(name.dropLast(2)) : name
                guard unit.hasSuffix(".service"), !unit.hasSuffix("@.service") else { continue }
                if known.contains(unit) || !Self.packageDirectories.contains(directory) { found.insert(unit) }
            }
        }
        return found
    }

    /// The links by which targets want or require units, by the units' names.
    private func links() -> [String: [String]] {
        var links: [String: [String]] = [:]
        for directory in Self.directories {
            for target in (try? root.names(in: directory)) ?? []
            where target.hasSuffix(".wants") || target.hasSuffix(".requires") {
                let directory = joinPath(directory, target)
                for name in (try? root.names(in: directory)) ?? [] {
                    links[name, default: []].append(joinPath(directory, name))
                }
            }
        }
        return links
    }

    // MARK: A unit

    private func service(_ unit: String, links: [String]) -> ServiceDefinition? {
        // An empty file, or a link to /dev/null, masks the unit.
        guard let path = Self.directories.map({ joinPath($0, unit) }).first(where: { root.hasEntry($0) }),
            let bytes = try? root.bytes(of: path), !bytes.isEmpty
        else { return nil }
        let dropIns = dropInPaths(of: unit)
        var settings = Settings()
        settings.read(UnitFile(bytes))
        for path in dropIns {
            if let bytes = try? root.bytes(of: path) { settings.read(UnitFile(bytes)) }
        }
        guard let command = settings.commands.first else { return nil }
        let base = String(unit.dropLast(".service".count))
        let environmentFiles = settings.environmentFiles.flatMap { paths(matching: Self.specified($0, base)) }
        var environment = settings.variables(base)
        for path in environmentFiles {
            if let bytes = try? root.bytes(of: path) {
                environment.merge(EnvironmentFile(bytes).variables) { _, new in new }
            }
        }
        let words = Self.words(Self.specified(command, base), environment)
        guard CommandLineFlags(words, variables: environment).startsKnownProgram else { return nil }
        return ServiceDefinition(
            name: base, path: path, words: words, environment: environment, files: [path] + dropIns + links,
            environmentFiles: environmentFiles, isEnabled: !links.isEmpty,
            isLocal: !Self.packageDirectories.contains(parentPath(path)) || !dropIns.isEmpty)
    }

    /// Drop-ins in the order of their names; of those with one name that in the directory of highest precedence counts.
    ///
    /// Those of `a-b.service` are in `service.d`, `a-.service.d` and `a-b.service.d`, the last of which goes first.
    private func dropInPaths(of unit: String) -> [String] {
        var paths: [String: String] = [:]
        for name in Self.dropInDirectories(of: unit) {
            for directory in Self.directories.map({ joinPath($0, name) }) {
                for file in (try? root.names(in: directory)) ?? [] where file.hasSuffix(".conf") && paths[file] == nil {
                    paths[file] = joinPath(directory, file)
                }
            }
        }
        return paths.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func dropInDirectories(of unit: String) -> [String] {
        let base = unit.dropLast(".service".count)
        let prefixes = base.indices.filter { base[$0] == "-" }.reversed().map { base[...$0] }
        return ([base] + prefixes).map { "\($0).service.d" } + ["service.d"]
    }

    /// The file, or those that a pattern in its last component stands for.
    private func paths(matching path: String) -> [String] {
        guard path.hasPrefix("/") else { return [] }
        let pattern = lastName(path)
        guard let star = pattern.firstIndex(of: "*") else { return root.hasEntry(path) ? [joinPath("/", path)] : [] }
        let (start, end) = (pattern[..<star], pattern[pattern.index(after: star)...])
        let directory = parentPath(path)
        return ((try? root.names(in: directory)) ?? []).filter {
            $0.hasPrefix(start) && $0.hasSuffix(end) && $0.count >= start.count + end.count
        }.map { joinPath(directory, $0) }
    }

    /// The specifiers that are the unit's name; others stay.
    private static func specified(_ text: String, _ base: String) -> String {
        guard text.contains("%") else { return text }
        let instance = base.split(separator: "@", maxSplits: 1).dropFirst().first.map(String.init) ?? ""
        let prefix = base.split(separator: "@", maxSplits: 1).first.map(String.init) ?? base
        let values: [Character: String] = [
            "N": base, "n": "\(base).service", "p": prefix, "i": instance, "I": instance, "%": "%",
        ]
        var result = ""
        var rest = text[...]
        while let percent = rest.firstIndex(of: "%") {
            result += rest[..<percent]
            rest = rest[percent...].dropFirst()
            if let letter = rest.first, let value = values[letter] {
                result += value
                rest = rest.dropFirst()
            } else {
                result += "%"
            }
        }
        return result + rest
    }

    /// The words of `ExecStart=`, without what stands before the path.
    private static func words(_ command: String, _ environment: [String: String]) -> [String] {
        let prefix = command.prefix { "@-:+!|".contains($0) }
        var words = UnitWords.split(String(command.dropFirst(prefix.count)))
        // With `@` the second word is only the name that the program sees.
        if prefix.contains("@"), words.count > 1 { words.remove(at: 1) }
        words = Array(words.prefix { $0 != ";" })
        return prefix.contains(":") ? words : UnitWords.expanded(words, environment)
    }

    /// What a unit's section `[Service]` says, of a file and its drop-ins in their order.
    private struct Settings {
        var commands: [String] = []
        var environment: [String] = []
        var environmentFiles: [String] = []
        var unset: [String] = []

        mutating func read(_ file: UnitFile) {
            for assignment in file.assignments where assignment.section == "Service" {
                switch assignment.key {
                case "ExecStart": Self.add(assignment.value, to: &commands)
                case "Environment": Self.add(assignment.value, to: &environment)
                case "EnvironmentFile": Self.add(assignment.value, to: &environmentFiles)
                case "UnsetEnvironment": Self.add(assignment.value, to: &unset)
                default: break
                }
            }
            environmentFiles = environmentFiles.map { $0.hasPrefix("-") ? String($0.dropFirst()) : $0 }
        }

        /// An empty assignment takes back those before.
        private static func add(_ value: String, to values: inout [String]) {
            if value.isEmpty { values = [] } else { values.append(value) }
        }

        func variables(_ base: String) -> [String: String] {
            var variables: [String: String] = [:]
            for word in environment.flatMap({ UnitWords.split(ServiceUnits.specified($0, base)) }) {
                guard let equals = word.firstIndex(of: "=") else { continue }
                variables[String(word[..<equals])] = String(word[word.index(after: equals)...])
            }
            for name in unset.flatMap(UnitWords.split) { variables[name] = nil }
            return variables
        }
    }
}
