import HostIO
import NodeFiles

/// A command line as Go's flag libraries read it: `--flag=value`, `--flag value`, `-flag=value`, `--flag`.
struct CommandLineFlags {
    /// The name of the program: the first known component among the words, else the first word.
    ///
    /// What a program does instead of being that component is part of the name: `etcd grpc-proxy` is `etcd-grpc-proxy`.
    private(set) var program: String
    /// The flags by their names without dashes, each with its values in order; `true` for a flag without one.
    private(set) var flags: [String: [String]] = [:]
    /// The variables that a shell's script sets before it starts the program, and those it was given.
    private(set) var environment: [String: String]
    /// The words before the program's name: wrappers, and what a container is started with.
    private(set) var wrapper: [String]

    /// Programs of control planes, which also stand behind a wrapper or a shell in a command line.
    static let knownPrograms: Set<String> = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager", "kubelet",
        "kube-proxy", "etcd", "k3s", "rke2", "k0s", "microshift", "proxy-server", "kube-vip", "kube-aggregator", "dex",
        "cilium-agent", "calico-node", "flanneld", "openshift-apiserver", "kine",
    ]

    /// Commands of programs that do many things by which they are the component of their name.
    private static let servingCommands: [String: Set<String>] = [
        "k3s": ["server"], "rke2": ["server"], "k0s": ["controller"], "microshift": ["run"],
    ]
    /// Commands of etcd by which it is no member (etcd, `server/etcdmain/main.go`).
    private static let proxies: Set<String> = ["grpc-proxy", "gateway"]
    /// What starts other programs, with flags and numbers of its own.
    private static let wrappers: Set<String> = [
        "exec", "nice", "ionice", "env", "sudo", "setpriv", "chrt", "taskset", "tini", "dumb-init", "nohup",
        "watch-termination", "hyperkube", "kubenswrapper",
    ]

    /// Reads the words of a command.
    ///
    /// - Parameters:
    ///   - name: what to call the program if the words don't tell, such as a container's name.
    ///   - variables: the environment, for a shell's script among the words.
    init(_ words: [String], name: String? = nil, variables: [String: String] = [:]) {
        let (command, environment) = Self.command(of: words, variables)
        self.environment = environment
        let start = command.firstIndex(where: Self.names)
        let first = command.first.flatMap { $0.hasPrefix("-") ? nil : lastName($0) }
        let rest = start.map { command[($0 + 1)...] } ?? command[...]
        let base = start.map { lastName(command[$0]) } ?? name ?? first ?? ""
        program = start == nil ? base : Self.program(base, subcommand: rest.first)
        wrapper = start.map { Array(command[..<$0]) } ?? []
        flags = Self.flags(Array(rest))
    }

    /// Whether it starts one of ``knownPrograms``, and does not only name it.
    var startsKnownProgram: Bool {
        Self.knownPrograms.contains(program)
            && (wrapper.allSatisfy(Self.isWrapping) || ContainerCommand.mounts(wrapper) != nil)
    }

    /// Whether a word is a known program, or the path of one.
    static func names(_ word: String) -> Bool { knownPrograms.contains(lastName(word)) }

    private static func program(_ base: String, subcommand: String?) -> String {
        guard let subcommand, !subcommand.hasPrefix("-") else { return base }
        if let serving = servingCommands[base] { return serving.contains(subcommand) ? base : "\(base)-\(subcommand)" }
        return base == "etcd" && proxies.contains(subcommand) ? "etcd-\(subcommand)" : base
    }

    // MARK: Shells

    /// The command among the words of a shell's script that starts a known program; the words themselves without a shell.
    private static func command(of words: [String], _ variables: [String: String]) -> ([String], [String: String]) {
        guard let shell = words.first.map(lastName), ["sh", "bash", "ash", "dash"].contains(shell),
            let option = words.firstIndex(where: { $0.hasPrefix("-") && $0.hasSuffix("c") }), option + 1 < words.count
        else { return (words, variables) }
        let script = ShellScript(words[option + 1], variables: variables)
        let command =
            script.commands.last(where: isStart) ?? script.commands.last { $0.contains(where: names) }
            ?? script.commands.last ?? []
        return (command, script.variables)
    }

    /// Whether a command starts a known program and does not only name it.
    private static func isStart(_ command: [String]) -> Bool {
        guard let start = command.firstIndex(where: names) else { return false }
        return command[..<start].allSatisfy(isWrapping)
    }

    /// Whether a word is one that starts another program, or such a program's flag or number.
    private static func isWrapping(_ word: String) -> Bool {
        wrappers.contains(lastName(word)) || word.hasPrefix("-") || word.allSatisfy(\.isNumber)
    }

    // MARK: Flags

    private static func flags(_ words: [String]) -> [String: [String]] {
        var flags: [String: [String]] = [:]
        // pflag takes `_` for `-` (component-base `cli/flag`, `WordSepNormalizeFunc`).
        func add(_ name: Substring, _ value: String) {
            // What only a run of the script would tell is not known.
            guard !value.contains(ShellWords.unknown) else { return }
            flags[String(name).replacing("_", with: "-"), default: []].append(value)
        }
        var index = 0
        while index < words.count {
            let word = words[index]
            index += 1
            let name = word.drop { $0 == "-" }
            let dashCount = word.utf8.count - name.utf8.count
            guard (1...2).contains(dashCount), !name.isEmpty else { continue }
            if let equals = name.firstIndex(of: "=") {
                add(name[..<equals], String(name[name.index(after: equals)...]))
            } else if index < words.count, !words[index].hasPrefix("-") {
                add(name, words[index])
                index += 1
            } else {
                add(name, "true")
            }
        }
        return flags
    }
}
