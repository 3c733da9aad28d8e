import HostIO
import NodeFiles

/// Services of supervisord, of runit and s6, and of SysV's init scripts, as far as their commands are written out.
///
/// Sources: supervisord's documentation, "Configuration File" (`[program:x]`); runsvdir(8); skarnet.org, `s6-supervise`; LSB 5.0,
/// "Init Script Actions".
struct OtherServices {
    private let root: NodeRoot

    init(root: NodeRoot) { self.root = root }

    /// The services whose command is known to start one of the control plane's programs, and those that are enabled under the
    /// name of one.
    func services() -> [ServiceDefinition] {
        (programs() + runScripts() + initScripts()).compactMap { service in
            var service = service
            let line = CommandLineFlags(service.words, variables: service.environment, read: root.script)
            // A script that is only called like a program, and in which none was found.
            let isItself = service.words == [service.path] && line.scripts.isEmpty
            service.startsKnownProgram = line.startsKnownProgram && !isItself
            let isCalledLikeOne = service.isEnabled && ServiceUnits.essential[service.name] != nil
            return service.startsKnownProgram || isCalledLikeOne ? service : nil
        }
    }

    private func service(
        _ name: String, _ path: String, _ words: [String], isEnabled: Bool, environment: [String: String] = [:]
    ) -> ServiceDefinition {
        ServiceDefinition(
            name: name, path: path, words: words, environment: environment, files: [path], environmentFiles: [],
            isEnabled: isEnabled, isLocal: true)
    }

    // MARK: supervisord

    private static let configurations = [
        "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf", "/etc/supervisor/conf.d/*.conf",
        "/etc/supervisord.d/*.ini", "/etc/supervisord.d/*.conf",
    ]

    private func programs() -> [ServiceDefinition] {
        Self.configurations.flatMap { FilePattern.paths(matching: $0, in: root) }.flatMap { path in
            (root.script(path)).map { programs(in: String(decoding: $0, as: UTF8.self), path) } ?? []
        }
    }

    private func programs(in text: String, _ path: String) -> [ServiceDefinition] {
        let sections = Dictionary(grouping: UnitFile(Array(Self.joined(text).utf8)).assignments, by: \.section)
        return sections.sorted { $0.key < $1.key }.compactMap { section, assignments in
            let prefix = "program:"
            guard section.hasPrefix(prefix) else { return nil }
            let name = String(section.dropFirst(prefix.count))
            func value(_ key: String) -> String? {
                assignments.last { $0.key == key }?.value.replacing("%(program_name)s", with: name)
            }
            guard let command = value("command") else { return nil }
            let variables = UnitWords.split((value("environment") ?? "").replacing(",", with: " "))
            var service = service(
                name, path, UnitWords.split(command), isEnabled: value("autostart")?.lowercased() != "false",
                environment: ServiceSettings.variables(variables))
            if let directory = value("directory"), directory.hasPrefix("/") { service.workingDirectory = directory }
            return service
        }
    }

    /// The text with each indented line behind the one that it continues, and without comments.
    private static func joined(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).reduce(into: "") { result, line in
            let line = line.firstRange(of: " ;").map { line[..<$0.lowerBound] } ?? line
            result += (line.first?.isWhitespace == true ? " " : "\n") + line
        }
    }

    // MARK: runit and s6

    /// Directories of services, and whether all that is there is started.
    private static let directories = [
        ("/etc/service", true), ("/var/service", true), ("/service", true), ("/etc/runit/runsvdir/current", true),
        ("/etc/s6-overlay/s6-rc.d", true), ("/etc/services.d", true), ("/etc/s6/sv", false), ("/etc/sv", false),
    ]

    private func runScripts() -> [ServiceDefinition] {
        var known: Set<String> = []
        return Self.directories.flatMap { directory, isEnabled in
            FilePattern.paths(matching: "\(directory)/*/run", in: root).compactMap { path in
                let script = (try? root.realPath(of: path)) ?? path
                guard known.insert(script).inserted, let words = words(ofScript: script) else { return nil }
                return service(lastName(parentPath(path)), script, words, isEnabled: isEnabled)
            }
        }
    }

    /// The command of a script: itself if it is a shell's, the words of one of execline.
    private func words(ofScript path: String) -> [String]? {
        guard let bytes = root.script(path) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        guard lines.first?.contains("execlineb") == true else { return [path] }
        let words = lines.filter { !$0.hasPrefix("#") }.flatMap { UnitWords.split(String($0)) }
        return words.isEmpty ? nil : words
    }

    // MARK: SysV

    private func initScripts() -> [ServiceDefinition] {
        let started = Set(
            ["/etc/rc?.d/S*", "/etc/rc.d/rc?.d/S*"].flatMap { FilePattern.paths(matching: $0, in: root) }
                .map { String(lastName($0).dropFirst(3)) })
        return ((try? root.names(in: "/etc/init.d")) ?? []).compactMap { name in
            let path = "/etc/init.d/\(name)"
            let isNative = UnitCatalogue.directories.contains { root.hasEntry(joinPath($0, name + UnitName.ending)) }
            guard !isNative, let text = root.script(path).map({ String(decoding: $0, as: UTF8.self) }),
                !text.prefix(while: { !$0.isNewline }).contains("run"), text.hasPrefix("#!")
            else { return nil }
            return service(name, path, [path], isEnabled: started.contains(name))
        }
    }
}
