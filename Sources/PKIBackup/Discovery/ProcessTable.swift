import HostIO
import NodeFiles
import SystemPackage

/// A component that runs, and what it runs as.
struct RunningComponent {
    var component: Component
    /// Whether the paths of its arguments are those of the node: it runs in no container.
    var seesNode: Bool
    /// Whether it runs in a pod.
    var isInPod: Bool
    /// The user that it runs as, nil if its real and effective users differ or can't be known.
    var userID: UInt32?
    /// Whether a program of the control plane that root runs has started it, as k0s starts the API server.
    var isStartedByComponent: Bool
}

/// The processes of a host, as `/proc` shows them (proc(5)).
///
/// Only what every user may read is needed: under a unit without `CAP_SYS_PTRACE` neither the environment nor the root
/// directory of another process can be had.
struct ProcessTable {
    private let root: NodeRoot
    private let hostRoot: FileIdentity?
    /// The control group of the node's first process, below which others are if the node is a container itself.
    private let hostGroups: [[Substring]]

    /// The processes in a directory laid out as `/proc` is.
    init(directory: String) {
        root = NodeRoot(prefix: directory)
        hostRoot = try? OpenDirectory(path: "/").attributes().identity
        hostGroups = Self.groups(of: 1, in: root) ?? []
    }

    /// Whether any process can be seen; where `/proc` is not mounted there is none, not even this one.
    var isVisible: Bool { !numbers().isEmpty }

    /// The programs of the control plane among them, in the order of their numbers.
    func components() -> [RunningComponent] {
        numbers().compactMap { number in
            // A process may be gone by now.
            guard let words = words(of: number) else { return nil }
            let line = CommandLineFlags(words)
            let variables = Self.takesVariables.contains(line.program) ? environment(of: number) : [:]
            var component = Component(name: line.program, source: "process \(number)", flags: line.flags)
            component.environment = variables ?? [:]
            component.workingDirectory = workingDirectory(of: number)
            component.isEnvironmentKnown = variables != nil
            let status = status(of: number)
            return RunningComponent(
                component: component, seesNode: seesNode(number), isInPod: isInPod(number), userID: status?.userID,
                isStartedByComponent: status.map { isComponentOfRoot($0.parent) } ?? false)
        }
    }

    /// The processes of the programs that are named, in the order of their numbers.
    func running(_ programs: Set<String>) -> [(number: Int, program: String)] {
        numbers().compactMap { number in
            guard let program = words(of: number)?.first.map(lastName), programs.contains(program) else { return nil }
            return (number, program)
        }
    }

    private func numbers() -> [Int] { ((try? root.names(in: "/")) ?? []).compactMap { Int($0) }.sorted() }

    /// The command line of a program of the control plane.
    private func words(of number: Int) -> [String]? {
        guard let bytes = try? root.bytes(of: "/\(number)/cmdline", limitByteCount: 1 << 20) else { return nil }
        var words = bytes.split(separator: 0, omittingEmptySubsequences: true).map {
            String(decoding: $0, as: UTF8.self)
        }
        // k3s has only `k3s server` left of its arguments, as one word.
        if words.count == 1 { words = words[0].split(separator: " ").map(String.init) }
        guard let first = words.first, CommandLineFlags.names(first) else { return nil }
        return words
    }

    /// Programs that take settings from their environment too.
    private static let takesVariables: Set<String> = ["etcd", "k3s", "rke2"]

    /// The variables of a process that are settings; nil if they can't be read.
    private func environment(of number: Int) -> [String: String]? {
        guard let bytes = try? root.bytes(of: "/\(number)/environ", limitByteCount: 1 << 20) else { return nil }
        let variables = bytes.split(separator: 0).compactMap { variable -> (String, String)? in
            let text = String(decoding: variable, as: UTF8.self)
            guard let equals = text.firstIndex(of: "=") else { return nil }
            let name = String(text[..<equals])
            return LayoutBuilder.isOfComponent(name) ? (name, String(text[text.index(after: equals)...])) : nil
        }
        return Dictionary(variables) { first, _ in first }
    }

    /// Where a process is (proc_pid_cwd(5)); nil where that is not shown, or is there no more.
    private func workingDirectory(of number: Int) -> String? {
        guard let directory = try? root.openDirectory("/\(number)"), let name = EntryName(Array("cwd".utf8)),
            let target = try? directory.readLink(name), let path = String(validating: target, as: UTF8.self)
        else { return nil }
        return path.hasPrefix("/") && !path.hasSuffix(" (deleted)") ? path : nil
    }

    // MARK: Users

    private func isComponentOfRoot(_ number: Int) -> Bool {
        words(of: number) != nil && status(of: number)?.userID == 0
    }

    /// The user and the parent of a process (proc_pid_status(5), `Uid` and `PPid`).
    ///
    /// The user is nil if the real, effective, saved and file system's are not one: anybody may start a set-user-ID program
    /// under another name.
    private func status(of number: Int) -> (userID: UInt32?, parent: Int)? {
        guard let bytes = try? root.bytes(of: "/\(number)/status", limitByteCount: 1 << 20) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        func numbers(_ key: String) -> [UInt32] {
            let line = lines.first { $0.hasPrefix(key) }?.dropFirst(key.count)
            return line?.split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) } ?? []
        }
        let users = numbers("Uid:")
        return (Set(users).count == 1 ? users.first : nil, numbers("PPid:").first.map(Int.init) ?? 0)
    }

    // MARK: Containers

    /// A container has control groups of its own; where its root directory can be seen, that is another one too.
    ///
    /// A unit with `PrivateTmp=` has the host's root directory, though its mount namespace differs.
    private func seesNode(_ number: Int) -> Bool {
        guard let groups = Self.groups(of: number, in: root), !groups.isEmpty,
            !groups.contains(where: isOfContainer)
        else { return false }
        guard let directory = try? OpenDirectory(path: root.location(of: "/\(number)/root")),
            let identity = try? directory.attributes().identity
        else { return true }
        return identity == hostRoot
    }

    private func isInPod(_ number: Int) -> Bool {
        (Self.groups(of: number, in: root) ?? []).joined().contains { name in
            Self.podPrefixes.contains(where: name.hasPrefix)
        }
    }

    /// The control groups of a process, one of each hierarchy, as components (cgroups(7), `/proc/pid/cgroup`).
    private static func groups(of number: Int, in root: NodeRoot) -> [[Substring]]? {
        guard let bytes = try? root.bytes(of: "/\(number)/cgroup", limitByteCount: 1 << 20) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            return fields.count == 3 ? fields[2].split(separator: "/") : nil
        }
    }

    /// Names of the kubelet (`pkg/kubelet/cm`; kind puts a prefix before it), and of what container engines have
    /// containers in.
    private static let podPrefixes = ["kubepods", "kubelet-kubepods"]
    private static let scopePrefixes = ["cri-", "crio-", "docker-", "libpod-", "nerdctl-"]
    private static let parents: Set<Substring> = ["docker", "lxc", "lxc.payload", "machine.slice"]

    private func isOfContainer(_ group: [Substring]) -> Bool {
        let sharedCount = hostGroups.map { zip(group, $0).prefix { $0 == $1 }.count }.max() ?? 0
        return group.dropFirst(sharedCount).contains { name in
            Self.parents.contains(name) || Self.podPrefixes.contains(where: name.hasPrefix)
                || name.hasSuffix(".scope") && Self.scopePrefixes.contains(where: name.hasPrefix)
        }
    }
}
