import HostIO
import SystemPackage

/// A component that runs, and whether the paths of its arguments are those of the node.
struct RunningComponent {
    var component: Component
    var seesNode: Bool
}

/// The processes of a host, as `/proc` shows them (proc(5)).
struct ProcessTable {
    private let root: NodeRoot
    private let hostRoot: FileIdentity?

    /// The processes in a directory laid out as `/proc` is.
    init(directory: String) {
        root = NodeRoot(prefix: directory)
        hostRoot = try? OpenDirectory(path: "/").attributes().identity
    }

    /// The programs of the control plane among them, in the order of their numbers.
    func components() -> [RunningComponent] {
        let numbers = ((try? root.names(in: "/")) ?? []).compactMap { Int($0) }.sorted()
        return numbers.compactMap { number in
            // A process may be gone by now.
            guard let bytes = try? root.bytes(of: "/\(number)/cmdline", limitByteCount: 1 << 20) else { return nil }
            let words = bytes.split(separator: 0, omittingEmptySubsequences: true).map {
                String(decoding: $0, as: UTF8.self)
            }
            guard let first = words.first, CommandLineFlags.knownPrograms.contains(lastName(first)) else { return nil }
            let line = CommandLineFlags(words)
            let component = Component(
                name: line.program, source: "process \(number)",
                flags: line.flags.merging(environment(of: number, line.program)) { flag, _ in flag })
            return RunningComponent(component: component, seesNode: seesNode(number))
        }
    }

    /// Only etcd takes its flags from its environment too.
    private func environment(of number: Int, _ program: String) -> [String: [String]] {
        guard program == "etcd", let bytes = try? root.bytes(of: "/\(number)/environ", limitByteCount: 1 << 20) else {
            return [:]
        }
        let variables = bytes.split(separator: 0).compactMap { variable -> (String, String)? in
            let text = String(decoding: variable, as: UTF8.self)
            return text.firstIndex(of: "=").map { (String(text[..<$0]), String(text[text.index(after: $0)...])) }
        }
        return CommandLineFlags.etcdFlags(in: Dictionary(variables) { first, _ in first })
    }

    /// A container has another root directory; a unit with `PrivateTmp=` has not, though its mount namespace differs.
    private func seesNode(_ number: Int) -> Bool {
        guard let directory = try? OpenDirectory(path: root.location(of: "/\(number)/root")),
            let identity = try? directory.attributes().identity
        else { return true }
        return identity == hostRoot
    }
}
