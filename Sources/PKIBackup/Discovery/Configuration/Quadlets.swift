import HostIO
import NodeFiles

/// Containers that Podman makes services of (podman-systemd.unit(5)), as the commands that these run.
struct Quadlets {
    private let root: NodeRoot

    /// Directories of their files, that of highest precedence first.
    private static let directories = [
        "/run/containers/systemd", "/etc/containers/systemd", "/usr/share/containers/systemd",
    ]
    private static let ending = ".container"
    private static let podEnding = ".kube"
    private static let depthLimit = 4

    init(root: NodeRoot) { self.root = root }

    /// The services whose container is known to run one of the control plane's programs, in the order of their names.
    func services() -> [ServiceDefinition] {
        let files = Self.directories.reversed().flatMap { self.files(in: $0, depth: 0, ending: Self.ending) }
        let paths = Dictionary(files.map { (lastName($0), $0) }) { _, later in later }
        return paths.sorted { $0.key < $1.key }.flatMap { name, path -> [ServiceDefinition] in
            let base = String(name.dropLast(Self.ending.count))
            guard base.hasSuffix("@") else { return [service(base, path)].compactMap(\.self) }
            // An instance is a link beside its template, or what the template itself names.
            return [defaultInstance(of: path).flatMap { service(base + $0, path) }].compactMap(\.self)
        }
    }

    /// The files of pods that Podman runs, each with the file that names it.
    func pods() -> [(manifest: String, quadlet: String)] {
        Self.directories.flatMap { files(in: $0, depth: 0, ending: Self.podEnding) }.flatMap {
            path -> [(manifest: String, quadlet: String)] in
            let base = String(lastName(path).dropLast(Self.podEnding.count))
            guard let unit = UnitName(base + UnitName.ending), let bytes = try? root.bytes(of: path) else { return [] }
            let specifiers = UnitSpecifiers(unit: unit, fragment: path, root: root)
            return UnitFile(bytes).assignments.filter { $0.section == "Kube" && $0.key == "Yaml" }
                .flatMap { UnitWords.split($0.value) }
                .map { (absolutePath(specifiers.expanded($0), from: parentPath(path)), path) }
        }
    }

    private func files(in directory: String, depth: Int, ending: String) -> [String] {
        guard depth < Self.depthLimit else { return [] }
        return ((try? root.names(in: directory)) ?? []).flatMap { name -> [String] in
            let path = joinPath(directory, name)
            if name.hasSuffix(ending) { return [path] }
            let isDirectory = root.attributes(of: path)?.kind == .directory
            return isDirectory ? files(in: path, depth: depth + 1, ending: ending) : []
        }
    }

    private func defaultInstance(of template: String) -> String? {
        guard let bytes = try? root.bytes(of: template) else { return nil }
        return UnitFile(bytes).assignments.last { $0.section == "Install" && $0.key == "DefaultInstance" }?.value
    }

    private func service(_ base: String, _ path: String) -> ServiceDefinition? {
        guard let unit = UnitName(base + UnitName.ending), let bytes = try? root.bytes(of: path) else { return nil }
        let dropIns = dropInPaths(of: unit, beside: path)
        let texts = [bytes] + dropIns.compactMap { try? root.bytes(of: $0) }
        let assignments = texts.flatMap { UnitFile($0).assignments }
        let specifiers = UnitSpecifiers(unit: unit, fragment: path, root: root)
        let words = Self.words(assignments.filter { $0.section == "Container" }, specifiers, parentPath(path))
        guard CommandLineFlags(words).startsKnownProgram else { return nil }
        let isEnabled = assignments.contains {
            $0.section == "Install" && ["WantedBy", "RequiredBy", "UpheldBy"].contains($0.key) && !$0.value.isEmpty
        }
        return ServiceDefinition(
            name: base, path: path, words: words, environment: [:], files: [path] + dropIns, environmentFiles: [],
            isEnabled: isEnabled, isLocal: true)
    }

    private func dropInPaths(of unit: UnitName, beside path: String) -> [String] {
        let names = unit.dropInDirectories.map { $0.replacing("\(UnitName.ending).d", with: "\(Self.ending).d") }
        var paths: [String: String] = [:]
        for directory in (names + ["container.d"]).map({ joinPath(parentPath(path), $0) }) {
            for file in (try? root.names(in: directory)) ?? [] where file.hasSuffix(".conf") && paths[file] == nil {
                paths[file] = joinPath(directory, file)
            }
        }
        return paths.sorted { $0.key < $1.key }.map(\.value)
    }

    /// Keys whose words are values of an option of `podman run`.
    private static let options = [
        "Volume": "--volume", "Mount": "--mount", "Environment": "--env", "EnvironmentFile": "--env-file",
        "Entrypoint": "--entrypoint", "WorkingDir": "--workdir", "Tmpfs": "--tmpfs",
    ]

    /// The command that Podman's generator writes for a container, as far as it tells what the program sees.
    private static func words(
        _ assignments: [UnitFile.Assignment], _ specifiers: UnitSpecifiers, _ directory: String
    ) -> [String] {
        var words = ["podman", "run"]
        var image = ""
        var command: [String] = []
        for assignment in assignments {
            let values = UnitWords.split(assignment.value).map(specifiers.expanded)
            switch assignment.key {
            case "Image": image = values.first ?? ""
            case "Exec": command = values
            case "PodmanArgs": words += values
            case "Volume", "EnvironmentFile":
                // A path with a dot in front counts from the file's directory.
                let paths = values.map { $0.hasPrefix("./") ? joinPath(directory, $0) : $0 }
                words += paths.map { "\(options[assignment.key] ?? "")=\($0)" }
            case let key: if let option = options[key] { words += values.map { "\(option)=\($0)" } }
            }
        }
        return words + [image.isEmpty ? "image" : image] + command
    }
}
