import HostIO
import NodeFiles
import YAML

/// Containers of Compose files that units start, as the `docker run` commands that they stand for.
///
/// Source: Compose Specification, `services`: `image`, `command`, `entrypoint`, `volumes`, `working_dir`.
struct ComposeServices {
    private let root: NodeRoot

    private static let names = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"]

    init(root: NodeRoot) { self.root = root }

    /// The services whose container is known to run one of the control plane's programs.
    func services(startedBy units: [(service: ServiceDefinition, commands: [[String]])]) -> [ServiceDefinition] {
        units.flatMap { unit, commands in
            commands.flatMap { files(of: $0, in: unit.workingDirectory) }.flatMap { services(in: $0, of: unit) }
        }
    }

    /// The files that a command of Compose reads; none for other commands.
    private func files(of words: [String], in directory: String) -> [String] {
        let isCompose = words.contains { ["docker-compose", "podman-compose"].contains(lastName($0)) }
        guard isCompose || words.contains("compose") else { return [] }
        let named = words.indices.compactMap { index -> String? in
            if ["-f", "--file"].contains(words[index]), index + 1 < words.count { return words[index + 1] }
            return words[index].hasPrefix("--file=") ? String(words[index].dropFirst("--file=".count)) : nil
        }.map { absolutePath($0, from: directory) }
        return named.isEmpty
            ? Self.names.map { joinPath(directory, $0) }.filter(root.hasEntry).prefix(1).map(\.self) : named
    }

    private func services(in path: String, of unit: ServiceDefinition) -> [ServiceDefinition] {
        guard let bytes = root.script(path), let document = try? YAMLDocument.first(in: bytes, path: path) else {
            return []
        }
        return (document.value("services")?.mapping ?? []).compactMap { pair in
            let words = Self.words(pair.value, parentPath(path))
            guard let name = pair.key.text, CommandLineFlags(words).startsKnownProgram else { return nil }
            return ServiceDefinition(
                name: "\(unit.name)/\(name)", path: path, words: words, environment: [:], files: [path] + unit.files,
                environmentFiles: unit.environmentFiles, isEnabled: unit.isEnabled, isLocal: true)
        }
    }

    private static func words(_ service: Node, _ directory: String) -> [String] {
        let volumes = service.items("volumes").compactMap { volume -> String? in
            if let text = volume.text {
                let source = text.prefix { $0 != ":" }
                // A name without a dot in front is that of a volume.
                guard source.hasPrefix(".") else { return text }
                return absolutePath(String(source), from: directory) + text.dropFirst(source.count)
            }
            guard let source = volume.text("source"), let target = volume.text("target") else { return nil }
            return "\(absolutePath(source, from: directory)):\(target)"
        }
        let entryPoint = strings(service.value("entrypoint"))
        let options =
            volumes.map { "--volume=\($0)" } + entryPoint.prefix(1).map { "--entrypoint=\($0)" }
            + (service.text("working_dir").map { ["--workdir=\($0)"] } ?? [])
        return ["docker", "run"] + options + [service.text("image") ?? "image"] + entryPoint.dropFirst()
            + strings(service.value("command"))
    }

    /// A command as a list, or as the words of a text.
    private static func strings(_ node: Node?) -> [String] {
        guard let node else { return [] }
        return node.text.map { UnitWords.split($0) } ?? node.texts
    }
}
