import HostIO
import NodeFiles

/// A command line as Go's flag libraries read it: `--flag=value`, `--flag value`, `-flag=value`, `--flag`.
struct CommandLineFlags {
    /// The name of the program: the first known component among the words, else the first word.
    var program: String
    /// The flags by their names without dashes, each with its values in order; `true` for a flag without one.
    var flags: [String: [String]] = [:]

    /// Programs of control planes, which also stand behind a wrapper or a shell in a command line.
    static let knownPrograms: Set<String> = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cloud-controller-manager", "kubelet",
        "kube-proxy",
        "etcd", "k3s", "rke2", "k0s", "microshift", "proxy-server", "kube-vip", "kube-aggregator", "dex",
        "cilium-agent",
        "calico-node", "flanneld", "openshift-apiserver", "kine",
    ]

    /// Reads the words of a command.
    ///
    /// - Parameter name: what to call the program if the words don't tell, such as a container's name.
    init(_ words: [String], name: String? = nil) {
        var words = words
        // A shell's script is one word with everything in it.
        if let shell = words.first.map(lastName), ["sh", "bash", "ash", "dash"].contains(shell) {
            words = words.flatMap { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
        }
        let start = words.firstIndex { Self.knownPrograms.contains(lastName($0)) }
        let first = words.first.flatMap { $0.hasPrefix("-") ? nil : lastName($0) }
        program = start.map { lastName(words[$0]) } ?? name ?? first ?? ""
        if let start { words.removeSubrange(...start) }
        readFlags(words)
    }

    private mutating func readFlags(_ words: [String]) {
        var index = 0
        while index < words.count {
            let word = words[index]
            index += 1
            let name = word.drop { $0 == "-" }
            let dashCount = word.utf8.count - name.utf8.count
            guard (1...2).contains(dashCount), !name.isEmpty else { continue }
            if let equals = name.firstIndex(of: "=") {
                add(name[..<equals], Self.unquoted(name[name.index(after: equals)...]))
            } else if index < words.count, !words[index].hasPrefix("-") {
                add(name, Self.unquoted(words[index][...]))
                index += 1
            } else {
                add(name, "true")
            }
        }
    }

    private mutating func add(_ name: Substring, _ value: String) {
        // pflag takes `_` for `-` (component-base `cli/flag`, `WordSepNormalizeFunc`).
        flags[String(name).replacing("_", with: "-"), default: []].append(value)
    }

    /// Words out of a shell's script or an environment file still have their quotes.
    private static func unquoted(_ value: Substring) -> String {
        guard let first = value.first, value.count > 1, first == value.last, first == "\"" || first == "'" else {
            return String(value)
        }
        return String(value.dropFirst().dropLast())
    }
}

extension CommandLineFlags {
    /// The variables of an environment file (systemd.exec(5), `EnvironmentFile=`): `NAME=value` lines, `#` and `;` comments.
    static func environment(in bytes: [UInt8]) -> [String: String] {
        var variables: [String: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline) {
            let line = line.drop(while: \.isWhitespace)
            guard line.first != "#", line.first != ";", let equals = line.firstIndex(of: "=") else { continue }
            var value = line[line.index(after: equals)...]
            while value.last?.isWhitespace == true { value.removeLast() }
            variables[String(line[..<equals])] = unquoted(value)
        }
        return variables
    }

    /// etcd's flags as its environment gives them: `ETCD_CERT_FILE` is `--cert-file`.
    ///
    /// Source: etcd, `pkg/flags`, `SetFlagsFromEnv` and `FlagToEnv`.
    static func etcdFlags(in environment: [String: String]) -> [String: [String]] {
        var flags: [String: [String]] = [:]
        for (name, value) in environment where name.hasPrefix("ETCD_") && !value.isEmpty {
            flags[name.dropFirst("ETCD_".count).lowercased().replacing("_", with: "-")] = [value]
        }
        return flags
    }
}
