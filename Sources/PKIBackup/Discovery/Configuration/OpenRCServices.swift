import HostIO
import NodeFiles

/// The services of OpenRC as their scripts say (openrc-run(8)): `command`, `command_args`, and the variables that the scripts
/// read in.
struct OpenRCServices {
    private let root: NodeRoot

    init(root: NodeRoot) { self.root = root }

    /// The services whose command is known to start one of the control plane's programs, in the order of their names.
    func services() -> [ServiceDefinition] {
        let links = links()
        return ((try? root.names(in: "/etc/init.d")) ?? []).compactMap { service($0, links: links[$0] ?? []) }
    }

    /// The links by which runlevels start services, by the services' names.
    private func links() -> [String: [String]] {
        let runlevels = "/etc/runlevels"
        var links: [String: [String]] = [:]
        for directory in ((try? root.names(in: runlevels)) ?? []).map({ joinPath(runlevels, $0) }) {
            for name in (try? root.names(in: directory)) ?? [] {
                links[name, default: []].append(joinPath(directory, name))
            }
        }
        return links
    }

    private func service(_ name: String, links: [String]) -> ServiceDefinition? {
        let path = "/etc/init.d/\(name)"
        guard root.attributes(of: path)?.kind == .file, let bytes = try? root.bytes(of: path, limitByteCount: 1 << 20)
        else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        let interpreter = text.prefix { !$0.isNewline }
        guard interpreter.contains("openrc-run") || interpreter.contains("runscript") else { return nil }
        // Its settings are read before the script itself.
        let settings = settingsPaths(of: name).filter(root.hasEntry)
        let texts = settings.compactMap { try? root.bytes(of: $0) }.map { String(decoding: $0, as: UTF8.self) }
        let defaults = ShellScript(
            texts.joined(separator: "\n"), variables: ["RC_SVCNAME": name, "SVCNAME": name]
        ) { try? root.bytes(of: $0) }
        var read = settings
        let script = ShellScript(text, variables: defaults.variables) { try? root.bytes(of: $0) }
        read += (defaults.sourcedPaths + script.sourcedPaths).filter(root.hasEntry)
        guard let command = script.variables["command"] else { return nil }
        let arguments = [script.variables["command_args"], script.variables["command_args_foreground"]]
        let line = ([command] + arguments.compactMap(\.self)).joined(separator: " ").replacing("\n", with: " ")
        let words = ShellScript(line, variables: script.variables).commands.first ?? []
        guard CommandLineFlags(words, variables: script.variables, read: root.script).startsKnownProgram else {
            return nil
        }
        var service = ServiceDefinition(
            name: name, path: path, words: words, environment: script.variables, files: [path] + links,
            environmentFiles: read,
            isEnabled: !links.isEmpty, isLocal: true)
        if let directory = script.variables["directory"], directory.hasPrefix("/") {
            service.workingDirectory = directory
        }
        return service
    }

    /// The files of a service's settings, in their order: those of all services, those of the name before a dot of a service
    /// that there are several of, its own (OpenRC, `sh/openrc-run.sh.in`).
    private func settingsPaths(of name: String) -> [String] {
        let first = String(name.prefix { $0 != "." })
        return ["/etc/rc.conf"] + (first == name ? [] : ["/etc/conf.d/\(first)"]) + ["/etc/conf.d/\(name)"]
    }
}
