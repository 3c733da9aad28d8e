import HostIO
import NodeFiles

/// What a command line starts in the end: behind wrappers that set variables and limits, behind shells and their scripts,
/// within containers.
struct StartedCommand {
    /// The words of the command that names the program.
    private(set) var words: [String]
    /// Where the program stands among the words; nil if none of the control plane's is among them.
    private(set) var programIndex: Int?
    /// The variables that the program gets.
    private(set) var environment: [String: String]
    /// What relative paths count from, if the command says so.
    private(set) var workingDirectory: String?
    /// The container that it is started in.
    private(set) var container: ContainerCommand?
    /// The scripts of the node that were read to find it.
    private(set) var scripts: [String] = []

    private static let depthLimit = 6
    /// How many scripts may start one another.
    private static let scriptDepthLimit = 2
    private static let shells: Set<String> = ["sh", "bash", "ash", "dash", "ksh", "su", "runuser"]
    /// Options of wrappers by which they set a variable (env(1), sudo(8), systemd-run(1)).
    private static let settingOptions = ["--setenv=", "--env=", "-E"]
    /// Short names of hyperkube's commands (Kubernetes 1.14, `cmd/hyperkube/main.go`).
    private static let hyperkubeCommands = [
        "apiserver": "kube-apiserver", "controller-manager": "kube-controller-manager", "scheduler": "kube-scheduler",
        "proxy": "kube-proxy",
    ]

    /// Looks for the program.
    ///
    /// - Parameters:
    ///   - variables: the environment that the command gets.
    ///   - read: the bytes of a file of the node that may be a script; nil if there is none.
    init(_ words: [String], variables: [String: String], read: (String) -> [UInt8]?) {
        self.init(words, variables, read, depth: 0)
    }

    private init(_ given: [String], _ variables: [String: String], _ read: (String) -> [UInt8]?, depth: Int) {
        let words = Self.withoutShortNames(Self.split(given))
        (self.words, environment) = (words, variables)
        guard depth < Self.depthLimit else { return }
        if let container = ContainerCommand(words, variables: variables) {
            self.container = container
            enter(container, depth)
            return
        }
        let index = Self.programIndex(in: words)
        if let shell = Self.script(of: words, before: index ?? words.count) {
            let outer = Self.variables(words[..<shell.index], environment)
            run(shell.text, outer, Array(words.dropFirst(shell.index + 3)), read, depth)
            return
        }
        programIndex = index
        apply(words[..<(index ?? words.count)])
        readScript(at: index, read, depth)
    }

    /// The first word that names a program and is no value of a wrapper's option, as in `runuser -u etcd -- kube-apiserver`.
    private static func programIndex(in words: [String]) -> Int? {
        let named = words.indices.filter { !words[$0].hasPrefix("-") && CommandLineFlags.names(words[$0]) }
        return named.first { $0 == 0 || words[$0 - 1] == "--" || !words[$0 - 1].hasPrefix("-") } ?? named.first
    }

    /// The text of `sh -c`, whose `-c` may stand among other options.
    private static func script(of words: [String], before end: Int) -> (index: Int, text: String)? {
        guard let shell = words[..<end].firstIndex(where: { shells.contains(lastName($0)) }),
            let option = words[shell...].firstIndex(where: { isCommandOption($0) }), option + 1 < words.count
        else { return nil }
        return (option, words[option + 1])
    }

    private static func isCommandOption(_ word: String) -> Bool {
        word.hasPrefix("-") && !word.hasPrefix("--") && word.hasSuffix("c") && word.utf8.count > 1
            && word.dropFirst().allSatisfy(\.isLetter)
    }

    /// Goes on with the command of a script that starts a program: the last that does.
    private mutating func run(
        _ text: String, _ variables: [String: String], _ arguments: [String], _ read: (String) -> [UInt8]?, _ depth: Int
    ) {
        var variables = variables
        variables["@"] = arguments.joined(separator: " ")
        for (index, argument) in arguments.enumerated() { variables["\(index + 1)"] = argument }
        let script = ShellScript(text, variables: variables, read: read)
        let started = script.commands.map { StartedCommand($0, script.variables, read, depth: depth + 1) }
        let chosen = started.lastIndex(where: \.isStart) ?? started.lastIndex { $0.programIndex != nil }
        guard let index = chosen ?? started.indices.last else {
            environment = Self.withoutArguments(script.variables)
            return
        }
        let directory = script.commands[..<index].last { $0.first == "cd" && $0.count > 1 && $0[1].hasPrefix("/") }?[1]
        let scripts = scripts + script.sourcedPaths
        self = started[index]
        self.scripts = scripts + self.scripts
        environment = Self.withoutArguments(environment)
        workingDirectory = workingDirectory ?? directory
    }

    private static func withoutArguments(_ variables: [String: String]) -> [String: String] {
        variables.filter { $0.key != "@" && $0.key.first?.isNumber != true }
    }

    /// A script of the node in the program's place, or under its name.
    private mutating func readScript(at index: Int?, _ read: (String) -> [UInt8]?, _ depth: Int) {
        guard depth <= Self.scriptDepthLimit else { return }
        let place = index ?? words.firstIndex { $0.hasPrefix("/") && Self.shell(of: read($0)) != nil }
        guard let place, words[place].hasPrefix("/"), let text = Self.shell(of: read(words[place])) else { return }
        let before = self
        scripts.append(words[place])
        run(text, environment, Array(words[(place + 1)...]), read, depth)
        guard programIndex != nil || container != nil else {
            self = before
            return
        }
    }

    /// The text of a shell's script; nil if the bytes are none.
    private static func shell(of bytes: [UInt8]?) -> String? {
        guard let bytes, bytes.starts(with: "#!".utf8) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        let interpreter = text.prefix { !$0.isNewline }.split { " /".utf8.contains($0.utf8.first ?? 0) }
        return interpreter.contains { shells.contains(String($0)) } ? text : nil
    }

    /// Within a container neither the node's variables nor its scripts are seen.
    private mutating func enter(_ container: ContainerCommand, _ depth: Int) {
        let inner = StartedCommand(container.command, container.environment, { _ in nil }, depth: depth + 1)
        (words, programIndex, environment) = (inner.words, inner.programIndex, inner.environment)
        workingDirectory = inner.workingDirectory ?? container.workingDirectory
        // The image's own entry point, to which the words are arguments.
        if programIndex == nil, CommandLineFlags.names(container.image) {
            words.insert(container.image, at: 0)
            programIndex = 0
        }
    }

    // MARK: Wrappers

    /// The words with `env -S` undone, which has several in one (env(1), `--split-string`).
    private static func split(_ words: [String]) -> [String] {
        guard let env = words.firstIndex(where: { lastName($0) == "env" }) else { return words }
        let prefix = "--split-string="
        for index in words.indices.dropFirst(env + 1) {
            if words[index].hasPrefix(prefix) {
                let parts = UnitWords.split(String(words[index].dropFirst(prefix.count)))
                return Array(words[..<index]) + parts + Array(words[(index + 1)...])
            }
            if words[index] == "-S", index + 1 < words.count {
                return Array(words[..<index]) + UnitWords.split(words[index + 1]) + Array(words[(index + 2)...])
            }
        }
        return words
    }

    private static func withoutShortNames(_ words: [String]) -> [String] {
        guard let index = words.firstIndex(where: { lastName($0) == "hyperkube" }), index + 1 < words.count,
            let name = hyperkubeCommands[words[index + 1]]
        else { return words }
        var words = words
        words[index + 1] = name
        return words
    }

    /// Takes the variables that wrappers set, and the directory that they go to.
    private mutating func apply(_ wrapper: ArraySlice<String>) {
        environment = Self.variables(wrapper, environment)
        for (index, word) in wrapper.enumerated() where lastName(wrapper.first ?? "") == "env" {
            if word.hasPrefix("--chdir=") { workingDirectory = String(word.dropFirst("--chdir=".count)) }
            if word == "-C" || word == "--chdir" { workingDirectory = wrapper.dropFirst(index + 1).first }
        }
    }

    /// The environment behind wrappers: assignments among their words, and what `env` takes away.
    private static func variables(_ wrapper: ArraySlice<String>, _ inherited: [String: String]) -> [String: String] {
        var variables = inherited
        var isEnv = false
        for (index, word) in zip(wrapper.indices, wrapper) {
            if lastName(word) == "env" { isEnv = true }
            let next = wrapper.dropFirst(index - wrapper.startIndex + 1).first
            switch word {
            case "-i" where isEnv, "--ignore-environment" where isEnv, "-" where isEnv: variables = [:]
            case "-u" where isEnv, "--unset" where isEnv: if let next { variables[next] = nil }
            case _ where isEnv && word.hasPrefix("--unset="): variables[String(word.dropFirst(8))] = nil
            default:
                let option = settingOptions.first(where: word.hasPrefix)
                if let (name, value) = ShellScript.assignment(String(word.dropFirst(option?.count ?? 0))) {
                    variables[name] = value
                }
            }
        }
        return variables
    }

    /// What starts other programs, and whose own options may have values of any kind.
    private static let wrappers: Set<String> = [
        "exec", "nice", "ionice", "env", "sudo", "setpriv", "chrt", "taskset", "tini", "dumb-init", "nohup", "setsid",
        "timeout", "stdbuf", "numactl", "nsenter", "unshare", "chroot", "systemd-run", "systemd-cat",
        "systemd-inhibit", "runuser", "su", "gosu", "su-exec", "prlimit", "flock", "catatonit", "cgexec", "chpst",
        "start-stop-daemon", "supervise-daemon", "watch-termination", "hyperkube", "kubenswrapper",
    ]

    /// Whether the words start the program and do not only name it: it is the first, it stands behind a known wrapper, or it is
    /// told what only itself is: its serving command or, behind its path, a flag that is known to be its own.
    var isStart: Bool {
        guard let index = programIndex else { return false }
        if index == 0 { return true }
        let first = lastName(words[0])
        if Self.wrappers.contains(first) { return true }
        let program = lastName(words[index])
        if let commands = CommandLineFlags.servingCommands[program] {
            return index + 1 < words.count && commands.contains(words[index + 1])
        }
        // Other tools take the name of a pod or a user, but not the path of a program.
        guard words[index].contains("/") || container != nil, !["echo", "printf"].contains(first) else { return false }
        return CommandLineFlags.flags(Array(words[(index + 1)...])).values.keys.contains {
            FlagTable.use(of: $0, component: program) != nil
        }
    }
}
