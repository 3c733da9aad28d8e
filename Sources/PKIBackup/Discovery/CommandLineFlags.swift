import HostIO
import NodeFiles

/// A command line as Go's flag libraries read it: `--flag=value`, `--flag value`, `-flag=value`, `--flag`.
struct CommandLineFlags {
    /// The name of the program: the first known component among the words, else the first word.
    ///
    /// What a program does instead of being that component is part of the name: `etcd grpc-proxy` is `etcd-grpc-proxy`.
    private(set) var program: String
    /// The flags by their names without dashes, each with its values in order; `true` for a flag without one.
    private(set) var flags: [String: [String]]
    /// The variables that a shell's script sets before it starts the program, and those it was given.
    private(set) var environment: [String: String]
    /// What relative paths count from, if the command line says so.
    private(set) var workingDirectory: String?
    /// The container that the program is started in.
    private(set) var container: ContainerCommand?
    /// The scripts of the node that were read to find the program.
    private(set) var scripts: [String]
    /// Flags whose values only a run would tell; a flag without a name for words that may hold some.
    private(set) var unresolved: [String: String]
    private let isStart: Bool

    /// Programs of control planes, which also stand behind a wrapper or a shell in a command line.
    static let knownPrograms: Set<String> = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager", "kubelet",
        "kube-proxy", "etcd", "k3s", "rke2", "k0s", "microshift", "proxy-server", "kube-vip", "kube-aggregator", "dex",
        "cilium-agent", "calico-node", "flanneld", "openshift-apiserver", "kine", "kubelite",
    ]

    /// Commands of programs that do many things by which they are the component of their name.
    static let servingCommands: [String: Set<String>] = [
        "k3s": ["server"], "rke2": ["server"], "k0s": ["controller"], "microshift": ["run"],
    ]
    /// Commands of etcd by which it is no member (etcd, `server/etcdmain/main.go`).
    private static let proxies: Set<String> = ["grpc-proxy", "gateway"]

    /// Reads the words of a command.
    ///
    /// - Parameters:
    ///   - name: what to call the program if the words don't tell, such as a container's name.
    ///   - variables: the environment, for a shell's script among the words.
    ///   - read: the bytes of a file of the node that may be a script; nil if there is none.
    init(
        _ words: [String], name: String? = nil, variables: [String: String] = [:],
        read: (String) -> [UInt8]? = { _ in nil }
    ) {
        let started = StartedCommand(words, variables: variables, read: read)
        environment = started.environment
        workingDirectory = started.workingDirectory
        container = started.container
        scripts = started.scripts
        isStart = started.isStart
        let command = started.words
        let start = started.programIndex
        let first = command.first.flatMap { $0.hasPrefix("-") ? nil : lastName($0) }
        let rest = start.map { command[($0 + 1)...] } ?? command[...]
        let base = start.map { lastName(command[$0]) } ?? name ?? first ?? ""
        program = start == nil ? base : Self.program(base, subcommand: rest.first)
        let flags = Self.flags(Array(rest))
        (self.flags, unresolved) = (flags.values, flags.unresolved)
    }

    /// Whether it starts one of ``knownPrograms``, and does not only name it.
    var startsKnownProgram: Bool { Self.knownPrograms.contains(program) && isStart }

    /// Whether a word is a known program, or the path of one.
    static func names(_ word: String) -> Bool { knownPrograms.contains(lastName(word)) }

    private static func program(_ base: String, subcommand: String?) -> String {
        guard let subcommand, !subcommand.hasPrefix("-") else { return base }
        if let serving = servingCommands[base] { return serving.contains(subcommand) ? base : "\(base)-\(subcommand)" }
        return base == "etcd" && proxies.contains(subcommand) ? "etcd-\(subcommand)" : base
    }

    // MARK: Flags

    /// The flags among words, and those whose values only a run would tell, as ``unresolved`` has them.
    static func flags(_ words: [String]) -> (values: [String: [String]], unresolved: [String: String]) {
        var flags: [String: [String]] = [:]
        var unresolved: [String: String] = [:]
        // pflag takes `_` for `-` (component-base `cli/flag`, `WordSepNormalizeFunc`).
        func add(_ name: Substring, _ value: String) {
            let name = String(name).replacing("_", with: "-")
            if value.contains(ShellWords.unknown) {
                unresolved[name] = value.replacing(String(ShellWords.unknown), with: "?")
            } else {
                flags[name, default: []].append(value)
            }
        }
        var index = 0
        while index < words.count {
            let word = words[index]
            index += 1
            let name = word.drop { $0 == "-" }
            let dashCount = word.utf8.count - name.utf8.count
            if dashCount == 0, word == String(ShellWords.unknown) { unresolved[""] = "?" }
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
        return (flags, unresolved)
    }

    /// The flags among arguments that a server hands on to a component, with or without dashes: `flag=value`, `--flag=value`,
    /// and `flag+=value` or `flag-=value` by which k3s adds to what it sets itself.
    ///
    /// Source: k3s, `pkg/util/args.go`, `GetArgs`.
    static func flags(ofArguments arguments: [String]) -> [String: [String]] {
        arguments.reduce(into: [:]) { flags, argument in
            let text = argument.hasPrefix("--") ? argument.dropFirst(2) : argument[...]
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            var name = parts[0][...]
            while let last = name.last, last == "-" || last == "+" { name.removeLast() }
            guard !name.isEmpty else { return }
            flags[String(name).replacing("_", with: "-"), default: []].append(parts.count > 1 ? parts[1] : "true")
        }
    }
}
