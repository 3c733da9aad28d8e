import HostIO
import NodeFiles

/// A command that starts a container: `docker run`, `podman run`, `nerdctl run`, `ctr run`.
///
/// Sources: docker-run(1), podman-run(1), nerdctl's command reference, containerd's `cmd/ctr/commands/run`.
struct ContainerCommand {
    /// What the container sees of the node's files.
    private(set) var mounts: [ContainerMount] = []
    /// Variables that the command sets in the container.
    private(set) var environment: [String: String] = [:]
    /// Files of the node that it takes variables from, one `NAME=value` a line.
    private(set) var environmentFiles: [String] = []
    /// What the container runs: the entry point if the command sets one, and the arguments.
    private(set) var command: [String]
    /// The name of the image without its registry and its version.
    private(set) var image: String
    /// What relative paths count from, if the command says so.
    private(set) var workingDirectory: String?

    /// Where an engine keeps volumes that have a name.
    private static let volumes = [
        "docker": "/var/lib/docker/volumes", "podman": "/var/lib/containers/storage/volumes",
    ]
    private static let engines: Set<String> = ["docker", "podman", "nerdctl", "ctr"]

    /// Options without a value; all others have one.
    private static let switches: Set<String> = [
        "detach", "disable-content-trust", "env-host", "http-proxy", "init", "interactive", "net-host",
        "no-healthcheck", "no-hostname", "no-hosts", "null-io", "oom-kill-disable", "passwd", "privileged",
        "publish-all", "quiet", "read-only", "read-only-tmpfs", "replace", "rm", "rmi", "rootfs", "sig-proxy",
        "tls-verify", "tty",
    ]
    private static let shortSwitches = Set("ditPq")

    /// Reads the words of a command.
    ///
    /// - Parameter variables: the environment of the command itself, which an option may hand on.
    /// - Returns: nil if it starts no container.
    init?(_ words: [String], variables: [String: String] = [:]) {
        guard let engineIndex = words.firstIndex(where: { Self.engines.contains(lastName($0)) }),
            let run = words[engineIndex...].firstIndex(where: { $0 == "run" || $0 == "create" })
        else { return nil }
        let engine = lastName(words[engineIndex])
        var entryPoint: String?
        var mounts: [ContainerMount] = []
        var environment: [String: String] = [:]
        var environmentFiles: [String] = []
        var workingDirectory: String?
        var index = run + 1
        while index < words.count, words[index].hasPrefix("-") {
            let (name, value) = Self.option(words, &index)
            switch name {
            case "v", "volume": if let mount = Self.volume(value, engine) { mounts.append(mount) }
            case "mount", "tmpfs": if let mount = Self.mount(value, engine) { mounts.append(mount) }
            case "e", "env":
                let parts = value.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                environment[parts[0]] = parts.count > 1 ? parts[1] : variables[parts[0]]
            case "env-file": environmentFiles.append(value)
            case "entrypoint": entryPoint = value
            case "w", "workdir", "cwd": workingDirectory = value
            default: break
            }
        }
        // `ctr run` has the container's name behind the image.
        let rest = Array(words[min(index, words.count)...])
        let arguments = rest.dropFirst(engine == "ctr" ? 2 : 1)
        (self.mounts, self.environment, self.environmentFiles) = (mounts, environment, environmentFiles)
        (self.workingDirectory, image) = (workingDirectory, Self.imageName(rest.first ?? ""))
        command = (entryPoint.map { [$0] } ?? []) + arguments
    }

    /// The last part of an image's name, such as `etcd` of `quay.io:443/coreos/etcd:v3.6@sha256:...`.
    static func imageName(_ reference: String) -> String {
        String(lastName(reference.prefix { $0 != "@" }).prefix { $0 != ":" })
    }

    /// The name of an option without dashes, and its value.
    private static func option(_ words: [String], _ index: inout Int) -> (name: String, value: String) {
        let word = words[index]
        index += 1
        let text = word.drop { $0 == "-" }
        let isLong = word.hasPrefix("--")
        if let equals = text.firstIndex(of: "="), isLong || text.distance(from: text.startIndex, to: equals) == 1 {
            return (String(text[..<equals]), String(text[text.index(after: equals)...]))
        }
        if isLong ? switches.contains(String(text)) : text.allSatisfy(shortSwitches.contains) {
            return (String(text), "")
        }
        if !isLong, text.count > 1 { return (String(text.prefix(1)), String(text.dropFirst())) }
        defer { index += 1 }
        return (String(text), index < words.count ? words[index] : "")
    }

    // MARK: Mounts

    private static func volume(_ text: String, _ engine: String) -> ContainerMount? {
        let parts = text.split(separator: ":").map(String.init)
        guard let first = parts.first else { return nil }
        // A volume without a name is new each time.
        guard parts.count > 1, parts[1].hasPrefix("/") else {
            return ContainerMount(mountPath: joinPath("/", first), nodePath: nil)
        }
        return ContainerMount(mountPath: joinPath("/", parts[1]), nodePath: source(first, engine))
    }

    private static func source(_ source: String, _ engine: String) -> String? {
        source.hasPrefix("/") ? joinPath("/", source) : volumes[engine].map { joinPath($0, "\(source)/_data") }
    }

    private static func mount(_ text: String, _ engine: String) -> ContainerMount? {
        var fields: [String: String] = [:]
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        if text.hasPrefix("/") {
            return ContainerMount(mountPath: joinPath("/", String(text.prefix { $0 != ":" })), nodePath: nil)
        }
        guard let target = fields["target"] ?? fields["dst"] ?? fields["destination"], target.hasPrefix("/") else {
            return nil
        }
        let isOfNode = fields["type"] != "tmpfs" && fields["type"] != "image"
        let path = isOfNode ? (fields["source"] ?? fields["src"]).flatMap { source($0, engine) } : nil
        return ContainerMount(mountPath: joinPath("/", target), nodePath: path)
    }
}
